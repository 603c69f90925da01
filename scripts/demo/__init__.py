"""`make demo`: a cluster, the operator, a mesh, two applications, a gateway, and requests."""
