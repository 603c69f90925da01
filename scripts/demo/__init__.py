"""`make demo`: a cluster, the operator, a mesh, two applications, and a request between them."""
