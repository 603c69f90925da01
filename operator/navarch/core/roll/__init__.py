"""MeshMemberRoll: the namespaces that a mesh's administrator brings into it."""
