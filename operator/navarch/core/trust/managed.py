"""What is to be done next for a managed authority: a root made, an intermediate issued, or nothing.

Owns the decision. Pure: keys are made, and read, when it is carried out (controllers/authority.py).
Invariants: a root is made only where none is in force; `cacerts` is written only under the root that the mesh
trusts; a step holds however often it is taken, so a process may end between any two writes.

    new mesh          (nothing)                  MakeRoot -> (root) -> Issue -> settled
    self-signed mesh  (istiod's own root)        MakeRoot out of it -> Issue -> istiod rolls -> settled
    settled           (root, cacerts)            a third of its life is left, or it is gone or broken: Issue
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from navarch.api.authority import CACERTS
from navarch.core.model.reasons import Reason
from navarch.core.trust.authority import Authority, Certificate, Form
from navarch.core.trust.observed import SeenAuthority, SeenCacerts

RENEWED = 2 / 3
"""The part of an intermediate's lifetime after which it is renewed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a mesh asks for: the algorithm of keys, and lifetimes in days. `organization` is the trust domain,
    for the names of certificates."""

    algorithm: str
    root_days: int
    intermediate_days: int
    organization: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How the mesh stands: `in_use` is the fingerprint of the roots that its proxies trust, empty where it is
    not known. `installed` says that an istiod was made for it, `managed` that this one has a managed
    authority."""

    in_use: str = ""
    installed: bool = False
    managed: bool = False


@dataclass(frozen=True, slots=True)
class MakeRoot:
    """The first root is to be made for `home`: out of istiod's own where that is there, and if `adopts`, out
    of nothing else."""

    home: str
    adopts: bool
    wanted: Wanted

    def __str__(self) -> str:
        return f"the root of {self.home} is being made"


@dataclass(frozen=True, slots=True)
class Issue:
    """An intermediate is to be issued by the root in Secret `root`, and written to `cacerts`, which is there
    in the version `replaces`, or not at all where that is empty. `why` says what for."""

    home: str
    root: str
    replaces: str
    why: str
    wanted: Wanted

    def __str__(self) -> str:
        return f"an intermediate is being issued: {self.why}"


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing may be done without a person."""

    reason: Reason
    message: str

    def __str__(self) -> str:
        return self.message


Step: TypeAlias = MakeRoot | Issue | Hold | None


def plan_authority(seen: SeenAuthority, standing: Standing, wanted: Wanted, *, now: datetime) -> Step:
    """The next step for a managed authority; None where all is well."""
    cacerts = seen.cacerts
    if not seen.roots:
        return _begin(seen, standing, wanted)
    root = seen.roots[-1]
    certificate = root.certificate
    if certificate is None or certificate.ends <= now:
        what = f"it ended at {tell(certificate.ends)}" if certificate else "it holds no root with its key"
        return Hold(
            Reason.ROOT_UNUSABLE,
            f"Secret {root.name} of the operator's namespace cannot sign: {what}; what istiod has is left as "
            "it is, and is not renewed",
        )
    if cacerts is not None and not cacerts.ours and not is_issued_by(cacerts.authority, certificate):
        return _tell_foreign(seen)
    why = _find_why(cacerts, certificate, now)
    if not why:
        return None
    bundle = root.authority.roots.fingerprint
    if standing.installed and standing.in_use not in ("", bundle):
        return Hold(
            Reason.ANOTHER_ROOT_IN_USE,
            f"proxies trust another root than that of Secret {root.name} in the operator's namespace, and "
            f"would refuse what it issues; Secret {seen.home}/{CACERTS} is left as it is, though {why}",
        )
    return Issue(seen.home, root.name, cacerts.version if cacerts else "", why, wanted)


def _begin(seen: SeenAuthority, standing: Standing, wanted: Wanted) -> Step:
    """The step where no root is there: one is made only where none can be in force."""
    if seen.cacerts is not None and not seen.cacerts.ours:
        return _tell_foreign(seen)
    if standing.managed or seen.cacerts is not None:
        left = "istiod signs on with what it has" if seen.cacerts else f"and so is {seen.home}/{CACERTS}"
        return Hold(
            Reason.ROOT_MISSING,
            f"the Secret with the root of {seen.home} is gone from the operator's namespace; {left}: restore "
            "it from a backup (docs/how-to/back-up-and-restore.md)",
        )
    return MakeRoot(seen.home, standing.installed, wanted)


def _tell_foreign(seen: SeenAuthority) -> Hold:
    return Hold(
        Reason.FOREIGN_AUTHORITY,
        f"Secret {seen.home}/{CACERTS} is not Navarch's, and was left untouched",
    )


def _find_why(cacerts: SeenCacerts | None, root: Certificate, now: datetime) -> str:
    """Why an intermediate is to be issued; empty where the one that is there will do."""
    if cacerts is None:
        return f"there is no Secret {CACERTS}"
    if not is_issued_by(cacerts.authority, root):
        return f"Secret {CACERTS} is not as it was written"
    due = find_renewal(cacerts, root)
    return f"it is due since {tell(due)}" if due is not None and due <= now else ""


def is_issued_by(authority: Authority, root: Certificate) -> bool:
    """Whether an authority is whole, in the form in which Navarch writes it, and under this root."""
    signer, key = authority.signer, authority.key
    if signer is None or key is None or any(part.flaws for part in authority.parts):
        return False
    formed = authority.form is Form.ISTIO and {part.name for part in authority.parts} == {
        *authority.names.required
    }
    paired = key.public == signer.public_key and authority.chain == (signer,)
    return formed and paired and authority.anchors == (root,) and signer.is_signed_by(root)


def find_renewal(cacerts: SeenCacerts | None, root: Certificate) -> datetime | None:
    """When the intermediate is to be renewed; None where a new one would live no longer."""
    signer = cacerts.authority.signer if cacerts is not None else None
    if signer is None or root.ends <= signer.ends:
        return None
    return signer.begins + (signer.ends - signer.begins) * RENEWED


def find_end(root: datetime, days: int, *, now: datetime) -> datetime:
    """When an intermediate of so many days ends: never after its root."""
    return min(now + timedelta(days), root)


def tell(moment: datetime) -> str:
    """A moment in words."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
