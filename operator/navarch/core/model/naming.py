"""Names of everything a mesh consists of.

Owns every name that is derived from a mesh's. Must never be restated elsewhere. Names are Istio's own where
Istio, istioctl or Kiali look objects up (manifests/charts/istio-control/istio-discovery). Invariant
(tests/property): two meshes with different tags never share a name in the cluster's scope, and every name
that passes find_long_names is accepted by the API server.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import lru_cache

from navarch.api.controlplane import HOSTED_FORM, REVISION_FORM
from navarch.core.model.hashing import stable_hash

TAG_LENGTH = 40
"""Characters of a tag at the most: the tag's Service adds 20, and a Service's name has 63."""

DEFAULT_TAG = "default"

IN_PLACE = "-inplace"

ISTIOD = "istiod-"
"""What the names of a revision's istiod and its Service begin with."""

TRIAL_NAMES = "istio-trial-"
"""What the names of a revision's trial proxy and its account begin with."""

LONGEST_ROLE = "navarch-istiod-namespace-1.100-12345678"
"""A name as long as any of the installation's roles will be."""
ISTIO_SYSTEM = "istio-system"
"""The namespace whose name Istio leaves out of the names of webhook configurations."""

_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def is_revision_like(tag: str) -> bool:
    """Whether a tag has the form of a revision's name, which is refused: one could become the other."""
    return re.search(REVISION_FORM, tag) is not None


def effective_tag(namespace: str, name: str, *, wanted: str | None = None, taken: Container[str] = ()) -> str:
    """The tag of a mesh: the one its spec asks for, else `<namespace>-<name>`, with five characters of a hash
    in place of its end where that is too long, `taken` by another mesh, or looks like a revision."""
    if wanted:
        return wanted
    tag = f"{namespace}-{name}"
    if len(tag) <= TAG_LENGTH and tag not in taken and not is_revision_like(tag):
        return tag
    suffix = stable_hash([namespace, name], length=5).translate(
        _LETTERS
    )  # digits might end it like a revision
    return f"{tag[: TAG_LENGTH - 6].rstrip('-')}-{suffix}"


def name_members(namespace: str, name: str) -> str:
    """The value of the label mesh.navarch.io/member-of on the members of a mesh."""
    return f"{namespace}.{name}"


@lru_cache(maxsize=1024)
def hosted_namespace(namespace: str, name: str) -> str:
    """The namespace of the control plane of a hosted mesh. Names of meshes are tenants' to choose: so the
    hash is long enough that none is found by trying whose mesh would have the namespace of another's."""
    return f"navarch-{stable_hash([namespace, name], length=20)}"


def is_hosting(namespace: str) -> bool:
    """Whether a namespace's name is one that Navarch gives those of hosted control planes."""
    return re.match(HOSTED_FORM, namespace) is not None


def revision_name(tag: str, version: str = "", config: str = "") -> str:
    """The revision of a mesh that is updated in place; with `version`, that of this exact version in a mesh
    that has a revision for each, and with `config` (digits) that of one of its configurations."""
    parts = (tag, version.replace(".", "-"), config)
    return "-".join(filter(None, parts)) if version else tag + IN_PLACE


def is_in_place(revision: str) -> bool:
    """Whether a revision of this name is updated where it stands; else it is of one version for good."""
    return revision.endswith(IN_PLACE)


def _scoped(base: str, revision: str, namespace: str) -> str:
    """A name in the cluster's scope. Concatenation alone could be read in two ways where something ends like
    a revision beside the revision's own end; then a hash of both parts settles it."""
    tail = revision + (f"-{namespace}" if namespace else "")
    name = f"{base}-{tail}"
    if is_in_place(revision):
        is_plain = name.count(IN_PLACE) == 1
    else:
        parts = tail.split("-")
        is_plain = sum(is_revision_like("-" + "-".join(parts[:n])) for n in range(1, len(parts) + 1)) == 1
    return name if is_plain else f"{name}-{stable_hash([revision, namespace], length=8)}"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one revision's objects, and of the tags that point to it. `namespace` is that of the
    control plane, which Istio puts into names in the cluster's scope."""

    namespace: str
    revision: str

    @property
    def istiod(self) -> str:
        """Deployment, Service, ServiceAccount, autoscaler, budget and NetworkPolicy of istiod."""
        return ISTIOD + self.revision

    @property
    def trial(self) -> str:
        """Deployment and ServiceAccount of the proxy with which the revision is tried."""
        return TRIAL_NAMES + self.revision

    @property
    def mesh_config(self) -> str:
        """ConfigMap that istiod reads MeshConfig and MeshNetworks from."""
        return f"istio-{self.revision}"

    @property
    def injector_config(self) -> str:
        """ConfigMap that istiod reads injection templates and values from."""
        return f"istio-sidecar-injector-{self.revision}"

    def gateway_class_config(self, gateway_class: str) -> str:
        """ConfigMap of what a class's Gateways are deployed with, which istiod finds by label."""
        return f"istio-{self.revision}-gatewayclass-{gateway_class}"

    @property
    def values(self) -> str:
        """ConfigMap that shows the values to people."""
        return f"values-{self.revision}"

    def cluster_binding(self, role: str) -> str:
        """ClusterRoleBinding of istiod to one of the installation's roles: for each role another one."""
        return _scoped(role, self.revision, self.namespace)

    def binding(self, role: str) -> str:
        """RoleBinding of istiod to one of the installation's roles."""
        return f"{role}-{self.revision}"

    @property
    def webhook_role(self) -> str:
        """ClusterRole for the mesh's own webhook configurations, and its binding."""
        return _scoped("istiod-webhooks", self.revision, self.namespace)

    @property
    def injector(self) -> str:
        """MutatingWebhookConfiguration of the revision."""
        suffix = "" if self.namespace == ISTIO_SYSTEM else self.namespace
        return _scoped("istio-sidecar-injector", self.revision, suffix)

    @property
    def validator(self) -> str:
        """ValidatingWebhookConfiguration of the revision."""
        return _scoped("istio-validator", self.revision, self.namespace)

    def tag_service(self, tag: str) -> str:
        """Service by which istiod recognises a tag as its own."""
        return f"istiod-revision-tag-{tag}"

    def tag_validator(self, tag: str) -> str:
        """ValidatingWebhookConfiguration that follows a tag. A tag is unique in the cluster."""
        return f"istio-tag-validator-{tag}"

    def tag_webhook(self, tag: str, *, default_suffixed: bool) -> str:
        """MutatingWebhookConfiguration of a tag. A tag is unique in the cluster, so nothing is added to it,
        but for `default`, which istiod looks up by name (with its namespace where `default_suffixed`), and
        tags that could be mistaken for `default` with a namespace."""
        name = f"istio-revision-tag-{tag}"
        if tag == DEFAULT_TAG:
            suffixed = default_suffixed and self.namespace != ISTIO_SYSTEM
            return f"{name}-{self.namespace}" if suffixed else name
        return f"{name}-{stable_hash(tag, length=8)}" if tag.startswith(f"{DEFAULT_TAG}-") else name


DEFAULT_VALIDATOR = "istiod-default-validator"
"""ValidatingWebhookConfiguration for configuration that names no revision; istiod looks it up by this
name."""


@dataclass(frozen=True, slots=True)
class LongName:
    """A derived name that the API server would refuse; `limit` in characters."""

    kind: str
    name: str
    limit: int


def find_long_names(*, namespace: str, name: str, tag: str) -> Iterator[LongName]:
    """Names derived from the mesh `namespace`/`name` with this tag that are too long for what they name."""
    names = Names(namespace, revision_name(tag))
    candidates = (
        LongName("label value", name, 63),
        LongName("label value", names.revision, 63),
        LongName("Service", names.istiod, 63),
        LongName("Service", names.tag_service(tag), 63),
        LongName("ConfigMap", names.injector_config, 253),
        LongName("ClusterRoleBinding", names.cluster_binding(LONGEST_ROLE), 253),
        LongName("MutatingWebhookConfiguration", names.injector, 253),
        LongName("ValidatingWebhookConfiguration", names.validator, 253),
    )
    return (candidate for candidate in candidates if len(candidate.name) > candidate.limit)
