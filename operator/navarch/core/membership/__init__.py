"""Which namespaces belong to a mesh, and the selectors that follow."""
