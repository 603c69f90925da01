"""`navarch must-gather`: what is needed to help from afar, as files in the layout of `oc adm inspect`.

Owns what is collected (kinds), in which order and within which time (collector), the logs among it (logs),
and the files with their bounds (folder). Must never read a Secret, and never write to the cluster: its client
refuses. Invariants: what could not be read is named in the archive; equal clusters give equal files.
"""
