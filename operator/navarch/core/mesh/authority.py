"""A mesh's certificate authority: what its MeshRevision asks for, what is done about it, what is said of it.

Owns the way from an observed mesh to core/trust, and the verdict. Must never read a key. Invariant: no
MeshRevision with a managed authority is applied before the Secret from which its istiod signs is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from navarch.api.authority import (
    ALGORITHM,
    CACERTS,
    INTERMEDIATE_DAYS,
    MANAGED,
    ROOT_DAYS,
    SELF_SIGNED,
    CertificateAuthority,
    ManagedAuthority,
)
from navarch.core.mesh.observed import ObservedMesh, is_held
from navarch.core.model.actions import Waiting
from navarch.core.model.applied import is_applied
from navarch.core.model.conditions import Verdict
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.revision.manifest import has_managed_authority, is_hosted
from navarch.core.trust.authority import Certificate
from navarch.core.trust.managed import (
    Hold,
    Standing,
    Step,
    Wanted,
    find_renewal,
    is_issued_by,
    plan_authority,
    tell,
)
from navarch.core.trust.observed import ADOPTED, MADE, SeenAuthority
from navarch.core.world.hosting import read_home

NOTICE = (90, 60, 30, 7)
"""Days before its end from which a certificate is told, each with a text of its own."""


def find_step(observed: ObservedMesh, wanted: Manifest) -> Step:
    """What is to be done next for the authority that a MeshRevision asks for; None where nothing is."""
    seen = observed.authority
    if seen is None or seen.gap or not has_managed_authority(wanted):
        return None
    if is_hosted(wanted) and read_home(observed.parent, observed.owned, observed.inventory).obstacle:
        return None  # its namespace comes first
    standing = Standing(
        in_use=observed.root,
        installed=bool(observed.revisions),
        managed=any(map(has_managed_authority, observed.revisions)),
    )
    return plan_authority(seen, standing, read_wanted(wanted), now=datetime.fromisoformat(observed.now))


def read_wanted(revision: Manifest) -> Wanted:
    """What a MeshRevision asks for, with what is left to the defaults."""
    config = revision["spec"].get("config") or {}
    said = CertificateAuthority.model_validate(config.get("certificateAuthority") or {})
    managed = said.managed or ManagedAuthority.model_validate({})
    return Wanted(
        managed.algorithm or ALGORITHM,
        managed.root_lifetime_days or ROOT_DAYS,
        managed.intermediate_lifetime_days or INTERMEDIATE_DAYS,
        (config.get("trust") or {}).get("domain") or "cluster.local",
    )


def find_pending_authority(observed: ObservedMesh, wanted: Manifest) -> Iterator[Waiting]:
    """The Secret from which the istiod of a MeshRevision is to sign, while it cannot; only where the revision
    would change."""
    seen = observed.authority
    there = observed.find_revision(ref_of(wanted).name)
    if seen is None or not has_managed_authority(wanted) or _is_usable(seen):
        return
    if there is not None and is_applied(there, wanted):
        return
    step = find_step(observed, wanted)
    message = seen.gap or (str(step) if step is not None else f"the namespace {seen.home} comes first")
    yield Waiting(Ref("v1", "Secret", seen.home, CACERTS), f"certificate authority: {message}")


def _is_usable(seen: SeenAuthority) -> bool:
    """Whether an istiod that starts finds the mesh's authority."""
    root = seen.roots[-1].certificate if seen.roots else None
    if seen.cacerts is None:
        return False
    if root is None:
        return seen.cacerts.ours and seen.cacerts.authority.signer is not None
    return is_issued_by(seen.cacerts.authority, root)


def find_wait(observed: ObservedMesh, wanted: Manifest) -> float | None:
    """Seconds until a certificate is renewed, or told; None where nothing of that comes."""
    seen = observed.authority
    if seen is None or not has_managed_authority(wanted) or not seen.roots:
        return None
    now = datetime.fromisoformat(observed.now)
    root = seen.roots[-1].certificate
    moments = [find_renewal(seen.cacerts, root)] if root is not None else []
    for _, certificate in _list_certificates(seen):
        moments += [certificate.ends, *(certificate.ends - timedelta(days) for days in NOTICE)]
    return min(((at - now).total_seconds() for at in moments if at is not None and at > now), default=None)


def _list_certificates(seen: SeenAuthority) -> Iterator[tuple[str, Certificate]]:
    """Root and intermediate, as far as they are there, and what they are called."""
    if seen.roots and (root := seen.roots[-1].certificate) is not None:
        yield "root", root
    if seen.cacerts is not None and seen.cacerts.ours and (signer := seen.cacerts.authority.signer):
        yield "intermediate", signer


def determine_authority(observed: ObservedMesh, revision: Manifest | None, step: Step) -> Verdict:
    """Whether the managed authority of a mesh is whole, can be renewed, and does not end soon."""
    if revision is None:
        return Verdict("Unknown", Reason.NOT_YET_DETERMINED, "the mesh has no MeshRevision yet")
    if not has_managed_authority(revision):
        message = "istiod makes its own root, or takes the one in a Secret cacerts beside it"
        return Verdict("Unknown", Reason.AUTHORITY_NOT_MANAGED, message)
    seen = observed.authority
    if seen is None or seen.gap:
        gap = seen.gap if seen is not None else "Secrets are not looked at"
        return Verdict("Unknown", Reason.AUTHORITY_NOT_SEEN, gap)
    if isinstance(step, Hold):
        return Verdict("False", step.reason, step.message)
    if not _is_usable(seen):
        message = str(step) if step is not None else f"namespace {seen.home} is not there yet"
        message += "; nothing is made while spec.paused is true" if is_held(observed) else ""
        return Verdict("False", Reason.AUTHORITY_PENDING, message)
    now = datetime.fromisoformat(observed.now)
    told = [text for what, each in _list_certificates(seen) if (text := _tell_end(what, each, now))]
    return Verdict("False", Reason.AUTHORITY_ENDS_SOON, "; ".join(told)) if told else _AS_EXPECTED


_AS_EXPECTED = Verdict("True", Reason.AS_EXPECTED)


def _tell_end(what: str, certificate: Certificate, now: datetime) -> str:
    """That a certificate ends soon; empty where it does not. A notice of more than a third of its life would
    stand there before an intermediate is due."""
    left, whole = certificate.ends - now, certificate.ends - certificate.begins
    if left <= timedelta(0):
        return f"the {what} ended at {tell(certificate.ends)}"
    days = next((days for days in sorted(NOTICE) if left <= timedelta(days)), None)
    if days is None or timedelta(days) > whole / 3:
        return ""
    return f"the {what} ends at {tell(certificate.ends)}, within {days} days"


def summarise_authority(observed: ObservedMesh, revision: Manifest | None) -> dict[str, Any] | None:
    """status.certificateAuthority."""
    if revision is None:
        return None
    if not has_managed_authority(revision):
        return {"type": SELF_SIGNED}
    status: dict[str, Any] = {"type": MANAGED}
    seen = observed.authority
    if seen is None:
        return status
    certificates = dict(_list_certificates(seen))
    for what, certificate in certificates.items():
        status[what] = {
            "fingerprint": certificate.fingerprint,
            "subject": certificate.subject,
            "notAfter": f"{certificate.ends.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "algorithm": certificate.algorithm,
        }
    if "root" in status:
        status["root"]["origin"] = ADOPTED if seen.roots[-1].adopted else MADE
    if certificates:
        status["expires"] = f"{min(each.ends for each in certificates.values()).astimezone(UTC):%Y-%m-%d}"
    return status
