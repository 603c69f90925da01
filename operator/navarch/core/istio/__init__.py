"""What Istio is, as data and pure functions: versions, definitions, CRDs, roles, certificates."""
