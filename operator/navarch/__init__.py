"""Navarch: an operator that owns the whole life of Istio service meshes."""
