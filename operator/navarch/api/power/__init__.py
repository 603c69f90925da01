"""What each field of a mesh gives power over: one row for each, of which policies, checks and the reference
are made.

Owns the decisions, a module for each place where they are written. Must never hold how they are enforced.
Invariant: every field that Istio or Navarch reads has a row (tests/unit/test_power.py walks all of them).

`free` is what was shown harmless: it runs no code, reads no file, mounts nothing, changes no user, privilege
or image, redirects neither trust nor discovery, moves no namespace, weakens no authentication, and sends
nothing of what workloads say elsewhere. `guarded` needs the verb `host`, which amounts to administrator of
the cluster. `refused` is refused to everybody, holders of `host` included: it would break the mesh's
isolation from others, or Navarch's own working. What has no row is guarded.
"""
