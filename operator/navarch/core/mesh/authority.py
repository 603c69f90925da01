"""A mesh's certificate authority: what its MeshRevision asks for, what is done about it, what is said of it.

Owns the way from an observed mesh to core/trust, and the verdict. Must never read a key. Invariant: no
MeshRevision with a managed authority is applied before the Secret from which its istiod signs is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from navarch.api.authority import (
    ALGORITHM,
    CACERTS,
    CROSS_SIGNED,
    INTERMEDIATE_DAYS,
    KEPT,
    MANAGED,
    ROOT_DAYS,
    SELF_SIGNED,
    CertificateAuthority,
    ManagedAuthority,
    RootRotation,
)
from navarch.core.mesh.observed import ObservedMesh, is_held
from navarch.core.mesh.rotation import (
    build_evidence,
    build_targets,
    find_busy,
    is_rotating,
    read_generation,
    read_strategy,
    summarise_rotation,
    tell_way,
)
from navarch.core.model.actions import Waiting
from navarch.core.model.applied import is_applied
from navarch.core.model.conditions import Verdict
from navarch.core.model.labels import TRUST
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.revision.manifest import has_managed_authority, is_hosted
from navarch.core.trust.authority import Certificate
from navarch.core.trust.evidence import Targets
from navarch.core.trust.managed import (
    find_renewal,
    find_replacement,
    plan_authority,
    read_current,
    read_seen,
    tell,
)
from navarch.core.trust.observed import ADOPTED, MADE, SeenAuthority, SeenRoot
from navarch.core.trust.position import fingerprint_of
from navarch.core.trust.steps import Await, Hold, Issue, Standing, Step, Wanted
from navarch.core.world.hosting import read_home

AGAIN = 10
"""Seconds after which a rotation that waits is looked at again."""
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
        busy=find_busy(observed, wanted),
        marked=_read_trust(observed.find_revision(ref_of(wanted).name) or wanted),
    )
    asked, now = read_wanted(observed.body, wanted), datetime.fromisoformat(observed.now)
    evidence = build_evidence(observed, seen)
    return plan_authority(seen, standing, asked, evidence=evidence, now=now)


def find_targets(observed: ObservedMesh) -> Targets | None:
    """Who is asked what it trusts, while the mesh goes from one root to another; None where nobody is."""
    seen, revision = observed.authority, observed.revision
    if seen is None or seen.gap or revision is None or not has_managed_authority(revision):
        return None
    asked = read_wanted(observed.body, revision)
    rotating = is_rotating(seen, asked, datetime.fromisoformat(observed.now))
    return build_targets(observed, seen) if rotating else None


def mark_trust(observed: ObservedMesh, revision: Manifest) -> Manifest:
    """The MeshRevision with the label that has its istiods start again with the roots that they are to
    trust: once these have changed, and so not of a mesh that has had one root only."""
    seen = observed.authority
    there = observed.find_revision(ref_of(revision).name)
    trust = _read_trust(there or revision)
    standing = Standing(observed.root, marked=trust)
    at = read_current(seen, standing, read_generation(observed.body)) if seen is not None else None
    if seen is not None and at is not None and (trust or at.trusted != {min(seen.certificates)}):
        trust = fingerprint_of(at.trusted, seen.certificates)
    if not trust:
        return revision
    metadata = revision["metadata"]
    return {**revision, "metadata": {**metadata, "labels": {**metadata["labels"], TRUST: trust}}}


def _read_trust(revision: Manifest) -> str:
    return str((revision["metadata"].get("labels") or {}).get(TRUST, ""))


def read_wanted(body: Manifest, revision: Manifest) -> Wanted:
    """What a mesh and its MeshRevision ask for, with what is left to the defaults."""
    config = revision["spec"].get("config") or {}
    said = CertificateAuthority.model_validate(config.get("certificateAuthority") or {})
    managed = said.managed or ManagedAuthority.model_validate({})
    rotation = managed.rotation or RootRotation.model_validate({})
    return Wanted(
        managed.algorithm or ALGORITHM,
        managed.root_lifetime_days or ROOT_DAYS,
        managed.intermediate_lifetime_days or INTERMEDIATE_DAYS,
        (config.get("trust") or {}).get("domain") or "cluster.local",
        generation=read_generation(body),
        strategy=read_strategy(body, rotation.strategy or CROSS_SIGNED),
        kept=timedelta(
            seconds=KEPT if rotation.keep_old_root_seconds is None else rotation.keep_old_root_seconds
        ),
    )


def find_pending_authority(observed: ObservedMesh, wanted: Manifest, step: Step) -> Iterator[Waiting]:
    """What keeps a MeshRevision that would change from being applied: the Secret from which its istiod is to
    sign, while it cannot, and another root on its way, while it would bring another Istio. `step` is the next
    one for the authority."""
    seen = observed.authority
    there = observed.find_revision(ref_of(wanted).name)
    if seen is None or not has_managed_authority(wanted):
        return
    if there is not None and is_applied(there, wanted):
        return
    ref = Ref("v1", "Secret", seen.home, CACERTS)
    if not _is_usable(seen):
        message = seen.gap or (str(step) if step is not None else f"the namespace {seen.home} comes first")
        yield Waiting(ref, f"certificate authority: {message}")
    elif observed.revisions and (there is None or there["spec"]["version"] != wanted["spec"]["version"]):
        going = step.to if isinstance(step, Issue) else read_seen(seen)
        if going is not None and not going.is_settled:
            yield Waiting(
                ref, f"certificate authority: {tell_way(seen, step)}; another Istio comes after that"
            )


def _is_usable(seen: SeenAuthority) -> bool:
    """Whether an istiod that starts finds the mesh's authority."""
    if seen.cacerts is None:
        return False
    if not seen.certificates:
        return seen.cacerts.ours and seen.cacerts.authority.signer is not None
    return read_seen(seen) is not None


def find_wait(observed: ObservedMesh, wanted: Manifest, step: Step) -> float | None:
    """Seconds until a certificate is renewed or told, or a rotation is looked at again; None where nothing of
    that comes."""
    seen = observed.authority
    if seen is None or not has_managed_authority(wanted) or not seen.roots:
        return None
    now = datetime.fromisoformat(observed.now)
    at = read_seen(seen)
    moments: list[datetime | None] = [root.begins for root in seen.certificates.values()]
    if at is not None:
        moments += [find_renewal(seen, at), find_replacement(seen.certificates[at.signer])]
    if isinstance(step, Await):
        moments.append(now + timedelta(seconds=AGAIN))
    for _, certificate in _list_certificates(seen):
        if certificate.ends > now:  # of one from the first year of all there is no moment before
            moments += [certificate.ends, *(certificate.ends - timedelta(days) for days in NOTICE)]
    return min(((at - now).total_seconds() for at in moments if at is not None and at > now), default=None)


def _list_certificates(seen: SeenAuthority) -> Iterator[tuple[str, Certificate]]:
    """Root and intermediate, as far as they are there, and what they are called: of several roots the one
    that signs."""
    if (root := _find_root(seen)) is not None and root.certificate is not None:
        yield "root", root.certificate
    if seen.cacerts is not None and seen.cacerts.ours and (signer := seen.cacerts.authority.signer):
        yield "intermediate", signer


def _find_root(seen: SeenAuthority) -> SeenRoot | None:
    """The root that signs; the newest one while that cannot be read."""
    at = read_seen(seen)
    return seen.find(at.signer if at is not None else seen.newest)


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
    return _tell_course(observed, seen, step)


def _tell_course(observed: ObservedMesh, seen: SeenAuthority, step: Step) -> Verdict:
    """What is said of an authority that is whole."""
    now = datetime.fromisoformat(observed.now)
    ends = [text for what, each in _list_certificates(seen) if (text := _tell_end(what, each, now))]
    way = tell_way(seen, step)
    if ends:
        return Verdict("False", Reason.AUTHORITY_ENDS_SOON, "; ".join(filter(None, (*ends, way))))
    return Verdict("True", Reason.ROOT_ROTATING, way) if way else _AS_EXPECTED


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


def summarise_authority(
    observed: ObservedMesh, revision: Manifest | None, step: Step
) -> dict[str, Any] | None:
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
            "notAfter": certificate.ends.replace(microsecond=0, tzinfo=None).isoformat() + "Z",
            "algorithm": certificate.algorithm,
        }
    if "root" in status:
        root = _find_root(seen)
        status["root"]["origin"] = ADOPTED if root is not None and root.adopted else MADE
        status["root"]["generation"] = root.generation if root is not None else 0
    if certificates:
        if rotation := summarise_rotation(seen, step):
            status["rotation"] = rotation
        status["expires"] = min(each.ends for each in certificates.values()).date().isoformat()
    return status
