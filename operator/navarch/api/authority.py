"""spec.certificateAuthority of a mesh: who makes the certificates by which its proxies know each other.

Owns these fields, their bounds and defaults, and what status says of an authority. Must never hold how one is
made or renewed: pki and core/trust do. Invariant: nothing in status is a key, or moves by itself.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from navarch.api.meta import Model, build_rule

MANAGED, SELF_SIGNED = "Managed", "SelfSigned"
"""The types of an authority."""
CACERTS = "cacerts"
"""The Secret from which istiod takes its authority, in its own namespace."""
SELF_SIGNED_SECRET = "istio-ca-secret"
"""The Secret in which istiod keeps a root that it made itself."""
ALGORITHM = "ECDSA-P256"
ROOT_DAYS, INTERMEDIATE_DAYS = 3650, 365
CROSS_SIGNED, MULTI_ROOT = "CrossSigned", "MultiRoot"
"""The strategies of a rotation that loses nothing."""
KEPT = 24 * 3600
"""Seconds: the defaults of spec.certificateAuthority.managed."""

Algorithm = Literal["ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-3072", "RSA-4096"]

_LIFETIMES_RULE = build_rule(
    f"(has(self.intermediateLifetimeDays) ? self.intermediateLifetimeDays : {INTERMEDIATE_DAYS}) * 2 <= "
    f"(has(self.rootLifetimeDays) ? self.rootLifetimeDays : {ROOT_DAYS})",
    field=".intermediateLifetimeDays",
    message="an intermediate that lives for more than half as long as its root could not be renewed in the "
    "root's last years; shorten it, or lengthen rootLifetimeDays",
    shown=f"(has(self.intermediateLifetimeDays) ? self.intermediateLifetimeDays : {INTERMEDIATE_DAYS})",
)


class RootRotation(Model):
    """How a mesh goes from one root to another: at the latest when a fifth of a root's life is left, and when
    the annotation mesh.navarch.io/root-generation asks for another one."""

    strategy: Literal["CrossSigned", "MultiRoot"] | None = Field(
        None,
        description="CrossSigned: the old root signs the new one, which signs at once; trust follows when no "
        "proxy has a certificate of the old one. It waits twice until proxies have renewed theirs. "
        "MultiRoot: proxies trust both before the new one signs. It waits three times, and is for an old "
        "root that cannot sign. Default: CrossSigned.",
    )
    keep_old_root_seconds: Annotated[int, Field(ge=0, le=31536000)] | None = Field(
        None,
        description="Seconds for which the old root stays in force beside the new one at least, before the "
        f"last step of all. Until then the way back is short. Default: {KEPT}.",
    )


class ManagedAuthority(Model):
    """A root and an intermediate that Navarch makes. A change counts for what is made from then on: the root
    stays, and the intermediate is made anew when it is due."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [_LIFETIMES_RULE]})

    algorithm: Algorithm | None = Field(
        None, description=f"Kind and size of the keys of root and intermediate. Default: {ALGORITHM}."
    )
    root_lifetime_days: Annotated[int, Field(ge=365, le=10950)] | None = Field(
        None, description=f"Days for which a root is valid. Default: {ROOT_DAYS}."
    )
    intermediate_lifetime_days: Annotated[int, Field(ge=7, le=3650)] | None = Field(
        None,
        description="Days for which an intermediate is valid, with which istiod signs. It is renewed when a "
        "third of them is left, without a restart; that third has to be longer than certificates of proxies "
        f"live, a day unless you set it otherwise. Default: {INTERMEDIATE_DAYS}.",
    )
    rotation: RootRotation | None = Field(None, description="How one root takes the place of another.")


class CertificateAuthority(Model):
    """Who makes the certificates by which proxies of the mesh know each other."""

    type: Literal["Managed", "SelfSigned"] | None = Field(
        None,
        description="Managed: Navarch makes a root, whose key stays in the operator's namespace, and gives "
        "istiod an intermediate that it renews. SelfSigned: istiod makes a root of its own, unless somebody "
        "put a Secret `cacerts` beside it. A mesh that runs goes from SelfSigned to Managed with the root "
        "that it has, and never back. Default: SelfSigned.",
    )
    managed: ManagedAuthority | None = Field(None, description="What Managed makes.")


class CertificateStatus(Model):
    """One certificate of the authority."""

    fingerprint: str = Field(max_length=64, description="SHA-256 of the certificate, hexadecimal.")
    subject: str = Field(max_length=1024, description="Its subject.")
    not_after: str = Field(
        max_length=64, json_schema_extra={"format": "date-time"}, description="When it ends."
    )
    algorithm: str = Field(max_length=64, description="Kind and size of its key.")


class RootStatus(CertificateStatus):
    """The root that proxies trust."""

    origin: Literal["Made", "Adopted"] = Field(
        description="Made: by Navarch. Adopted: it was istiod's own, so its key has been readable in the "
        "namespace of the control plane."
    )
    generation: int | None = Field(
        None, ge=0, description="The how-manieth root of this control plane it is, beginning with 1."
    )


class RotationStatus(Model):
    """How far the way from one root to another is. Told from what is seen, and remembered nowhere."""

    from_: int = Field(alias="from", ge=0, description="The generation of the root that is to go.")
    to: int = Field(ge=0, description="The generation of the root that is to be the only one.")
    phase: Literal["Preparing", "CrossSigned", "TrustingNew", "TrustingBoth", "SigningNew"] = Field(
        description="Preparing: nothing has changed yet. CrossSigned: the new root signs, itself signed by "
        "the old one, which is trusted. TrustingNew: the same, and the new one is trusted. TrustingBoth: "
        "the old root signs, and both are trusted. SigningNew: the new root signs, and both are trusted."
    )
    signing: int = Field(ge=0, description="The generation of the root under which istiod signs.")
    trusted: list[Annotated[int, Field(ge=0)]] = Field(
        max_length=2,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description="The generations of the roots that istiod gives proxies to trust.",
    )
    waiting_for: str = Field(max_length=2048, description="What the next step waits for.")
    lagging: list[Annotated[str, Field(max_length=512)]] | None = Field(
        None,
        max_length=5,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
        description="The first of those that it waits for.",
    )


class CertificateAuthorityStatus(Model):
    """The mesh's certificate authority, as it was seen."""

    type: Literal["Managed", "SelfSigned"] = Field(description="Its type.")
    root: RootStatus | None = Field(None, description="The root; with Managed.")
    intermediate: CertificateStatus | None = Field(
        None, description="The intermediate with which istiod signs; with Managed."
    )
    rotation: RotationStatus | None = Field(
        None, description="The way to another root; absent while the mesh is on none."
    )
    expires: str | None = Field(
        None,
        max_length=10,
        description="The day on which the first of them ends, for kubectl get; it is renewed before that as "
        "far as Navarch can.",
    )
