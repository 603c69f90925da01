"""Reasons that several refused fields share: what each would do, and after a semicolon what to do instead."""

MEMBERSHIP = "which namespaces and pods belong to a mesh follows from its tag; label namespaces instead"
DOMAIN = "it would change whose identities are believed past spec.trust; use spec.trust.domain"
CA = "it would hand the mesh's identities to another certificate authority; leave it out, istiod is its own"
ROOTS = "it would add roots past the mesh's certificate authority; leave it out"
ELSEWHERE = (
    "it would take the control plane out of Navarch's hands; leave it out, istiod runs beside this object"
)
IMAGES = "images come from one place so that they can be mirrored and pinned; use spec.images"
SWITCH = "it would have every proxy of the mesh run or read a file of its image unseen; leave it out"
TAGS = "revisions and tags are Navarch's to name; use spec.tag and spec.defaultTag"
OWN = "Navarch finds its objects by it; leave it out of the patch"
FIXED = "istiod's identity follows from this object and cannot be set; leave it out"
OTHERS = (
    "it would let others than the mesh's own proxies read its configuration or act for them; leave it out"
)
IDENTITY = "a proxy's identity follows from its pod; leave it out"
