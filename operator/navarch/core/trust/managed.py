"""What is to be done next for a managed authority: a root made, an intermediate issued, a rotation taken one
step further, or nothing.

Owns the decision. Pure: keys are made, and read, when it is carried out (controllers/authority.py).
Invariants: a root is made only where none is in force, or where another one is asked for; `cacerts` is
written only under roots that the mesh trusts; a step holds however often it is taken, so a process may end
between any two writes.

    new mesh          (nothing)                  MakeRoot -> (root) -> Issue -> settled
    self-signed mesh  (istiod's own root)        MakeRoot out of it -> Issue -> istiod rolls -> settled
    settled           (root, cacerts)            a third of its life is left, or it is gone or broken: Issue
    another root      (root, cacerts)            MakeRoot -> Await, Issue for each step of rotation.py
                                                 -> settled under the other
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from navarch.api.authority import CACERTS
from navarch.core.model.reasons import Reason
from navarch.core.trust.authority import Certificate
from navarch.core.trust.observed import SeenAuthority, SeenRoot
from navarch.core.trust.position import find_bundle, lacks_voucher, read_position
from navarch.core.trust.rotation import Clock, Held, Position, Roots, Strategy, find_next, list_held, settle
from navarch.core.trust.steps import (
    HELD,
    Await,
    Evidence,
    Hold,
    Issue,
    MakeRoot,
    RootRef,
    Standing,
    Step,
    Wanted,
)

RENEWED = 2 / 3
"""The part of an intermediate's lifetime after which it is renewed."""
REPLACED = 4 / 5
"""The part of a root's lifetime after which another takes its place: what istiod does with its own."""
LARGEST_RSA = 8192
"""Bits of the largest RSA key that Go's TLS takes, and so every agent."""
_NOBODY = Evidence()


def plan_authority(
    seen: SeenAuthority, standing: Standing, wanted: Wanted, *, evidence: Evidence = _NOBODY, now: datetime
) -> Step:
    """The next step for a managed authority; None where all is well."""
    if not seen.roots:
        return _begin(seen, standing, wanted)
    at = read_current(seen, standing, wanted.generation)
    if seen.cacerts is not None and not seen.cacerts.ours and read_seen(seen) is None:
        return _tell_foreign(seen)
    target = find_target(seen, at, wanted, now)
    if at is None:
        return _restore(seen, standing, wanted, target, now)
    kept = _keep(seen, standing, wanted, at, now)
    foreign = isinstance(kept, Hold) and kept.reason is Reason.ANOTHER_ROOT_IN_USE
    stays = target == at.signer or (foreign and not _is_emergency(wanted, target))
    if isinstance(kept, Issue) or (kept is not None and stays):
        return kept
    return _rotate(seen, standing, wanted, at=at, target=target, evidence=evidence, now=now)


def _keep(seen: SeenAuthority, standing: Standing, wanted: Wanted, at: Position, now: datetime) -> Step:
    """The step that keeps the intermediate as it is, and alive; None where nothing is to be done."""
    why = _find_why(seen, at, now)
    if not why:
        return None
    if standing.installed and standing.in_use and not find_bundle(standing.in_use, seen.certificates):
        return _tell_another(seen, at, why)
    return _issue(seen, at, wanted, why, now)


def read_seen(seen: SeenAuthority) -> Position | None:
    """The position at which the istiods of a namespace are to sign; None where that cannot be read."""
    return read_position(seen.cacerts.authority, seen.certificates) if seen.cacerts is not None else None


def read_current(seen: SeenAuthority, standing: Standing, asked: int) -> Position | None:
    """The same; None also where it is of before: none of the roots that istiods were made to start with, and
    that proxies trust, accepts it, and one of them is `asked` for, or it is under an older one. A backup of
    `cacerts` that is put back would lead there without a question."""
    at = read_seen(seen)
    trusted = find_bundle(standing.marked, seen.certificates)
    if at is None or not trusted or trusted & at.reached or at.signer == asked:
        return at
    if standing.in_use != standing.marked:
        return at
    return at if at.signer > max(trusted) and asked not in trusted else None


def find_target(seen: SeenAuthority, at: Position | None, wanted: Wanted, now: datetime) -> int:
    """The root that is to be the only one: what is asked for, else the one that signs. Another one takes its
    place when a fifth of its life is left, also where it is asked for: the newest, or one that is newer."""
    roots = seen.certificates
    asked = roots.get(wanted.generation)
    if wanted.generation and (asked is None or find_replacement(asked) > now):
        return wanted.generation
    signer = at.signer if at is not None else seen.newest
    if signer not in roots or find_replacement(roots[signer]) > now:
        return signer
    newest = roots.get(seen.newest)
    return seen.newest if newest is not None and find_replacement(newest) > now else seen.newest + 1


def find_replacement(root: Certificate) -> datetime:
    """When another root is to take the place of this one."""
    return root.begins + (root.ends - root.begins) * REPLACED


def _rotate(
    seen: SeenAuthority,
    standing: Standing,
    wanted: Wanted,
    *,
    at: Position,
    target: int,
    evidence: Evidence,
    now: datetime,
) -> Step:
    """A step towards a root, or what it waits for; None at the end."""
    root, strategy = seen.find(target), choose_strategy(seen, at, target, wanted, now)
    busy = standing.busy if strategy is not Strategy.EMERGENCY else ""  # an upgrade may wait for it, then
    if root is None:
        return _make_another(seen, busy, wanted, at, target)
    if what := _tell_unusable(root, now):
        return _tell_root_unusable(root, what, "the mesh stays with the root that it has")
    to = find_next(at, target, strategy)
    if to is None:
        return None
    held = [Held("", busy)] if busy else []
    if strategy is not Strategy.EMERGENCY:
        held += _list_held(at, to, wanted, evidence, now)
    if held:
        return Await(at, to, target, tuple(held[:HELD]), len(held))
    step = _issue(seen, to, wanted, f"{to}, on the way to root {target} alone", now)
    return replace(step, target=target) if isinstance(step, Issue) else step


def _list_held(at: Position, to: Position, wanted: Wanted, evidence: Evidence, now: datetime) -> list[Held]:
    if evidence.gap or evidence.since is None:
        return [Held("", evidence.gap or "the time since which istiods sign under this root is not known")]
    clock = Clock(evidence.since, evidence.lives, evidence.sync, now)
    held = [*list_held(evidence.parties, at, to, clock)]
    left = at.roots - to.roots
    if left and now < (until := evidence.since + wanted.kept):
        held.append(Held("", f"root {min(left)} is kept until {tell(until)} (keepOldRootSeconds)", until))
    return held


def choose_strategy(
    seen: SeenAuthority, at: Position, target: int, wanted: Wanted, now: datetime
) -> Strategy:
    """The strategy by which a mesh goes on: nothing is gained by care for a root that has ended, and who
    cannot sign cannot vouch."""
    others = [seen.find(generation) for generation in at.roots - {target}]
    if any(o is not None and o.certificate is not None and o.certificate.ends <= now for o in others):
        return Strategy.EMERGENCY
    strategy = wanted.strategy
    if strategy is Strategy.EMERGENCY and not _is_emergency(wanted, target):
        strategy = Strategy.CROSS_SIGNED
    both = [*others, seen.find(target)]
    if strategy is Strategy.CROSS_SIGNED and not all(_may_vouch(root, now) for root in both):
        return Strategy.MULTI_ROOT
    return strategy


def _is_emergency(wanted: Wanted, target: int) -> bool:
    """Whether trust may be lost on the way to a root: where a person asks for that one, and never because the
    word was left there until another one's time has come."""
    return wanted.strategy is Strategy.EMERGENCY and wanted.generation == target


def _may_vouch(root: SeenRoot | None, now: datetime) -> bool:
    """Whether a root may sign for another that signs intermediates."""
    if root is None or root.certificate is None or _tell_unusable(root, now):
        return False
    basic = root.certificate.find(x509.BasicConstraints)
    return basic is not None and basic.ca and (basic.path_length is None or basic.path_length >= 2)


def _make_another(seen: SeenAuthority, busy: str, wanted: Wanted, at: Position, target: int) -> Step:
    """The step where the root that is asked for is not there."""
    if target != seen.newest + 1:
        there = ", ".join(str(root.generation) for root in seen.roots)
        return Hold(
            Reason.ROOT_MISSING,
            f"root {target} is asked for, and there are {there}: ask for one of these, or for "
            f"{seen.newest + 1}, which is then made",
        )
    if busy:
        return Await(at, at, target, (Held("", busy),), 1)
    return MakeRoot(seen.home, False, wanted, generation=target)


def _restore(seen: SeenAuthority, standing: Standing, wanted: Wanted, target: int, now: datetime) -> Step:
    """The step where `cacerts` is not there, or not as it was written: it is written anew under what proxies
    trust, and so that all of them accept what it issues."""
    why = f"Secret {CACERTS} is not as it was written" if seen.cacerts else f"there is no Secret {CACERTS}"
    trusted = find_bundle(standing.in_use, seen.certificates)
    to = settle(target if seen.find(target) is not None else seen.newest)
    if standing.installed and len(seen.roots) > 1:
        if not standing.in_use:
            return Hold(
                Reason.ANOTHER_ROOT_IN_USE,
                f"{why}, and it is not known which of the {len(seen.roots)} roots proxies trust: ConfigMap "
                f"istio-ca-root-cert of the mesh's namespace is not there",
            )
        to = _find_restored(seen, trusted, to.signer, now) if trusted else to
    if _lacks_voucher(seen) and not _is_emergency(wanted, to.signer):
        return Hold(
            Reason.ROOT_MISSING,
            f"the Secret with the root that signed for root {to.signer} is gone from the operator's "
            "namespace, or broken, and proxies may trust that root alone; istiod signs on with what it has: "
            "restore it from a backup, or go on without it (docs/how-to/rotate-the-root.md#in-an-emergency)",
        )
    step = _issue(seen, to, wanted, why, now)
    known = not (standing.installed and standing.in_use) or trusted & to.reached
    return step if known or isinstance(step, Hold) else _tell_another(seen, to, why)


def _find_restored(seen: SeenAuthority, trusted: Roots, target: int, now: datetime) -> Position:
    """A position with this trust whose certificates everybody accepts who was on the way from one root to
    another, as far as that can be."""
    signer = target if target in trusted else max(trusted)
    others = [
        *(trusted - {signer}),
        target,
        *(g for g in sorted(seen.certificates, reverse=True) if g < signer),
    ]
    other = next((g for g in others if g != signer), 0)
    if all(_may_vouch(seen.find(generation), now) for generation in (signer, other)):
        return Position(signer, trusted, other)
    return Position(signer, trusted)


def _lacks_voucher(seen: SeenAuthority) -> bool:
    """Whether `cacerts` is under a root for which another one signed that is not there."""
    authority = seen.cacerts.authority if seen.cacerts is not None else None
    return authority is not None and lacks_voucher(authority, seen.certificates)


def _tell_another(seen: SeenAuthority, to: Position, why: str) -> Hold:
    root = seen.find(to.signer) or seen.roots[-1]
    return Hold(
        Reason.ANOTHER_ROOT_IN_USE,
        f"proxies trust another root than that of Secret {root.name} in the operator's namespace, and would "
        f"refuse what it issues; Secret {seen.home}/{CACERTS} is left as it is, though {why}",
    )


def _issue(seen: SeenAuthority, to: Position, wanted: Wanted, why: str, now: datetime) -> Step:
    """An intermediate at this position, if its roots can sign."""
    roots: dict[int, RootRef] = {}
    for generation in sorted(to.roots):
        root = seen.find(generation) or seen.roots[-1]
        signs = generation in to.reached
        if what := _tell_unusable(root, now) if signs else ("" if root.certificate else _NO_ROOT):
            return _tell_root_unusable(root, what)
        assert root.certificate is not None
        roots[generation] = RootRef(root.name, root.certificate.fingerprint)
    return Issue(seen.home, to, roots, seen.cacerts.version if seen.cacerts else "", why, wanted)


_NO_ROOT = "it holds no root with its key"


def _tell_unusable(root: SeenRoot, now: datetime) -> str:
    """Why a root cannot sign; empty where it can."""
    return _tell_invalid(root.certificate, now) if root.certificate is not None else _NO_ROOT


def _tell_root_unusable(
    root: SeenRoot, what: str, left: str = "what istiod has is left as it is, and is not renewed"
) -> Hold:
    return Hold(
        Reason.ROOT_UNUSABLE,
        f"Secret {root.name} of the operator's namespace cannot sign: {what}; {left}",
    )


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
    return MakeRoot(seen.home, standing.installed, wanted, standing.in_use)


def _tell_foreign(seen: SeenAuthority) -> Hold:
    return Hold(
        Reason.FOREIGN_AUTHORITY,
        f"Secret {seen.home}/{CACERTS} is not Navarch's, and was left untouched",
    )


def _find_why(seen: SeenAuthority, at: Position, now: datetime) -> str:
    """Why an intermediate is to be issued where `cacerts` stands; empty where its own will do."""
    assert seen.cacerts is not None
    signer = seen.cacerts.authority.signer
    if signer is not None and signer.begins > now:  # made by a clock that was ahead
        return f"it is not valid before {tell(signer.begins)}"
    if not seen.cacerts.ours:  # restored without them, and so anybody's to change
        return f"Secret {CACERTS} lacks Navarch's labels"
    due = find_renewal(seen, at)
    return f"it is due since {tell(due)}" if due is not None and due <= now else ""


def _tell_invalid(certificate: Certificate, now: datetime) -> str:
    """Why a certificate does not count at this moment; empty where it does."""
    if certificate.begins > now:
        return f"it is not valid before {tell(certificate.begins)}, if the operator's clock is right"
    return f"it ended at {tell(certificate.ends)}" if certificate.ends <= now else ""


def find_obstacle(root: SeenRoot, step: MakeRoot, *, now: datetime) -> str:
    """Why istiod's own root does not become the managed one, which nobody could take back; empty where it
    does."""
    certificate = root.certificate
    if certificate is None or any(part.flaws for part in root.authority.parts):
        return "it is not one certificate with its key"
    key = certificate.parsed.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size > LARGEST_RSA:
        return f"its key has more than {LARGEST_RSA} bits"
    basic = certificate.find(x509.BasicConstraints)
    if basic is None or not basic.ca or basic.path_length == 0:
        return "it may sign no intermediate"
    if step.adopts and not step.in_use:
        return "what proxies trust is not known yet"
    if step.adopts and root.authority.roots.fingerprint != step.in_use:
        return "proxies trust another one"
    return _tell_invalid(certificate, now)


def find_renewal(seen: SeenAuthority, at: Position) -> datetime | None:
    """When the intermediate is to be renewed; None where a new one would live no longer."""
    signer = seen.cacerts.authority.signer if seen.cacerts is not None else None
    ends = [root.ends for generation in at.reached if (root := seen.certificates.get(generation))]
    if signer is None or not ends or min(ends) <= signer.ends:
        return None
    return signer.begins + (signer.ends - signer.begins) * RENEWED


def find_end(root: datetime, days: int, *, now: datetime) -> datetime:
    """When an intermediate of so many days ends: never after its root."""
    return min(now + timedelta(days), root)


def tell(moment: datetime) -> str:
    """A moment in words."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
