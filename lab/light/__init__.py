"""The light cluster: a real API server and controllers, pretended nodes and pods, and a stand-in for istiod.

Needs no root and no network but loopback.
"""
