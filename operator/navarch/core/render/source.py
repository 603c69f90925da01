"""One revision of a control plane as it is rendered: everything decided, nothing left to look up.

Owns the input of all templates. Must never be built from anything but a MeshRevision, the catalog and
settings. Invariant: equal inputs render to equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from navarch.api.spec import RevisionConfig
from navarch.core.istio.catalog import Features
from navarch.core.istio.images import refer
from navarch.core.membership.rule import Membership
from navarch.core.model.labels import ISTIO_REV
from navarch.core.model.naming import Names
from navarch.core.model.parent import Parent, find_home


@dataclass(frozen=True, slots=True)
class RevisionInput:
    """What one revision's objects are rendered from.

    `name` is the revision (value of istio.io/rev on its pods), `tag` what users' namespaces carry, `version`
    the exact Istio version of `minor`; `hub`, `image_tag` and `images` (digests or whole references by image,
    with its variant) say where images come from; `config` is the resolved configuration in which every field
    that rendering reads is set, except those whose absence has a meaning. `hosted` says that the control
    plane is in a namespace of Navarch's, `beside_others` that it may run beside other revisions of the mesh.
    `trust` is the fingerprint of the roots that istiod is to start with, empty where it never was told;
    `operator_namespace` is where the operator runs.
    """

    parent: Parent
    name: str
    tag: str
    version: str
    minor: str
    features: Features
    membership: Membership
    hub: str
    image_tag: str
    images: Mapping[str, str]
    config: RevisionConfig
    hosted: bool = False
    beside_others: bool = False
    trust: str = ""
    operator_namespace: str = ""

    @property
    def namespace(self) -> str:
        """The namespace of the control plane."""
        return find_home(self.parent, hosted=self.hosted)

    @property
    def root(self) -> str:
        """The namespace of the mesh, and of its mesh-wide configuration."""
        return self.parent.namespace

    @property
    def names(self) -> Names:
        """Names of the revision's objects."""
        return Names(self.namespace, self.name)

    def image(self, name: str, variant: str = "") -> str:
        """The reference of one image, of a variant (distroless, debug) if one is asked for."""
        tag = f"{self.image_tag}-{variant}" if variant else self.image_tag
        known = self.images.get(f"{name}-{variant}" if variant else name, "")
        return refer(f"{self.hub}/{name}:{tag}", known)

    def labels(
        self, component: str, functional: Mapping[str, str] | None = None, *, shared: bool = False
    ) -> dict[str, str]:
        """Labels of one object: whose it is, and what Istio and its tools select by. `functional` are more of
        the latter; `shared` objects belong to the mesh rather than to this revision, yet name it in
        istio.io/rev."""
        own = self.parent.labels(component=component, revision="" if shared else self.name)
        return {**own, "app.kubernetes.io/part-of": "istio", ISTIO_REV: self.name, **(functional or {})}
