"""A MeshRevision, from `observed` (what is seen) over `plan` to `status` (what is said)."""
