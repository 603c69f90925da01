"""The lab's container images, written by hand: no registry, no image tool, no network.

Owns the archives (archive), the file trees of each image (base, operator) and the reading of the
Containerfile. Must never pull anything, and never hold what an image of the operator is made of: that is
the Containerfile's. Invariant that tests rely on: the same inputs give the same bytes, and an archive's
name is the hash of its content.
"""
