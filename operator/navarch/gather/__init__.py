"""gather: what the stores and a few requests say, as the frozen values that the core decides on.

One module for each aspect (cluster, neighbours, owned objects, orphans, CRDs, catalog, workload, dry run),
one for each kind (mesh, revision), and World, which holds them together. Never decides, never writes.
"""
