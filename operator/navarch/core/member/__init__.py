"""MeshMember: a namespace that belongs to a mesh."""
