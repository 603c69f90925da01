"""A MeshGateway, from `observed` (what is seen) over `checks` and `plan` to `status` (what is said)."""
