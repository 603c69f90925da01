"""The lab: Kubernetes clusters made of real processes on this machine, for the demo and the tests.

Independent of the operator's package. Must never touch anything it did not start or make itself.
"""
