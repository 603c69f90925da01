"""What OLM is given: bundle and catalog, from the objects of build_install.

Must never decide what an installation consists of, nor hold a rule of RBAC: api/install.py does. Invariant:
the same installation, release and examples give the same bytes.
"""
