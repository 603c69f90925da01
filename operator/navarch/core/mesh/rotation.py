"""The rotation of a mesh's root: what is asked for, who is asked for evidence, and what is said of it.

Owns the way from an observed mesh to the parties of core/trust/rotation.py. Must never decide a step.
Invariants: nobody is asked while one root is all there is and none other is wanted; of a pod that has no
address yet nothing is waited for, since it has no certificate either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from navarch.api.meta import ROOT_GENERATION, ROOT_STRATEGY
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.trust.authority import Certificate
from navarch.core.trust.evidence import NO_ADDRESS, Answer, Shown, Targets, find_reached, read_trusted
from navarch.core.trust.managed import find_target, read_seen
from navarch.core.trust.observed import SeenAuthority
from navarch.core.trust.position import find_bundle, fingerprint_of
from navarch.core.trust.rotation import Party, Position, Role, Strategy
from navarch.core.trust.steps import BACKDATED, Await, Evidence, Issue, MakeRoot, Step, Wanted

SKEW = timedelta(minutes=2)
"""By how much istiod backdates what it issues (istio.io: ClockSkewGracePeriod)."""
LIVES = timedelta(hours=24)
"""How long a proxy's certificate lives unless the mesh says otherwise."""
LAGGING = 5
"""How many of those that a step waits for status names."""
MOST = 9999
"""The highest generation of a root that may be asked for."""


def read_generation(body: Manifest) -> int:
    """The root that a mesh asks for; 0 for none in particular, and for what is no generation."""
    text = (body["metadata"].get("annotations") or {}).get(ROOT_GENERATION, "")
    return int(text) if text.isascii() and text.isdecimal() and int(text) <= MOST else 0


def read_strategy(body: Manifest, otherwise: str) -> Strategy:
    """How a mesh goes to the root that it asks for: its annotation is for an emergency alone."""
    said = (body["metadata"].get("annotations") or {}).get(ROOT_STRATEGY)
    return Strategy.EMERGENCY if said == Strategy.EMERGENCY else Strategy(otherwise)


def is_rotating(seen: SeenAuthority, wanted: Wanted, now: datetime) -> bool:
    """Whether a mesh is on its way from one root to another, or is to be."""
    at = read_seen(seen)
    return at is not None and (not at.is_settled or find_target(seen, at, wanted, now) != at.signer)


def list_trusted(seen: SeenAuthority | None) -> frozenset[str]:
    """The fingerprints of sets of roots by each of which an istiod of the mesh is trusted, while it may go
    from one root to another; none where it has one root."""
    if seen is None or not len(seen.certificates) > 1 or (at := read_seen(seen)) is None:
        return frozenset()
    roots = seen.certificates
    sets = [frozenset({a, b}) for a in at.roots for b in at.roots]
    return frozenset(fingerprint_of(each, roots) for each in sets if each & at.reached)


def build_targets(observed: ObservedMesh, seen: SeenAuthority) -> Targets:
    """Who is asked for what it shows."""
    at, roots, now = read_seen(seen), seen.certificates, datetime.fromisoformat(observed.now)

    def is_final(shown: Shown) -> bool:
        if at is None or shown.accepted is None:
            return False
        reached = find_reached(shown.chain, roots, now=now)
        return (reached, read_trusted(shown.accepted, roots)) == (at.reached, at.trusted)

    census = observed.census
    names = frozenset(r["metadata"]["name"] for r in observed.revisions)
    pods = (*census.counted, *census.outside)
    return Targets(seen.home, names, pods, since=str(at), settled=is_final)


def build_evidence(observed: ObservedMesh, seen: SeenAuthority) -> Evidence:
    """What everybody shows."""
    at, trust, roots = read_seen(seen), observed.trust, seen.certificates
    now = datetime.fromisoformat(observed.now)
    if at is None or trust is None:
        return Evidence(gap="no proxy was probed yet")
    if not trust.whole:
        return Evidence(gap="not all proxies and istiods have been probed yet")
    istiods = [*_list_shown(Role.ISTIOD, "istiod", trust.istiods, roots, now)]
    if not istiods:
        return Evidence(gap="no running istiod was found")
    shown = [each for each in trust.istiods.values() if isinstance(each, Shown)]
    signer = seen.cacerts.authority.signer if seen.cacerts is not None else None
    moments = [each.chain[0].begins + SKEW for each in shown if each.chain]
    moments += [signer.begins + BACKDATED] if signer is not None else []
    since = max(moments, default=None)
    parties = [
        *istiods,
        *_list_shown(Role.PROXY, "pod", trust.proxies, roots, now),
        *_list_bundles(observed, seen, at),
    ]
    proxies = [each for each in trust.proxies.values() if isinstance(each, Shown) and each.chain]
    leaves = [each.chain[0] for each in proxies if find_reached(each.chain, roots, now=now)]
    lives = max([LIVES, *(leaf.ends - leaf.begins for leaf in leaves)])
    fresh = {name for name, began in trust.made.items() if since is not None and began > since}
    sync = timedelta(seconds=observed.environment.volume_seconds)
    return Evidence(tuple(_credit(p, at, fresh) for p in parties), since, lives, sync)


def _credit(party: Party, at: Position, fresh: Iterable[str]) -> Party:
    """A pod that shows nothing and was made after every istiod had come to a position has all from there."""
    if party.role is Role.PROXY and party.reached is None and party.name.removeprefix("pod ") in fresh:
        return Party(party.role, party.name, at.reached, at.trusted)
    return party


def _list_shown(
    role: Role, what: str, shown: Mapping[str, Answer], roots: Mapping[int, Certificate], now: datetime
) -> Iterator[Party]:
    for name, each in sorted(shown.items()):
        if each == NO_ADDRESS:
            continue
        if isinstance(each, str):
            yield Party(role, f"{what} {name}", because=each)
            continue
        trusts = read_trusted(each.accepted, roots) if each.accepted is not None else None
        yield Party(
            role,
            f"{what} {name}",
            find_reached(each.chain, roots, now=now),
            trusts,
            "it requests no client certificate",
        )


def _list_bundles(observed: ObservedMesh, seen: SeenAuthority, at: Position) -> Iterator[Party]:
    """ConfigMaps and webhooks with roots by which istiod is trusted."""
    roots = seen.certificates
    for name, bundle in sorted(observed.bundles.items()):
        trusts = find_bundle(bundle, roots) if bundle else None
        place = f"ConfigMap {name}/istio-ca-root-cert"
        if name == observed.parent.namespace:
            yield Party(Role.BUNDLE, place, trusts=trusts, because="it is not there")
        else:  # a member's: who changes it there again and again keeps nobody else waiting for ever
            yield Party(Role.PROXY, place, at.reached, trusts, "it is not there")
    own = (observed.parent.namespace, observed.parent.name)
    for webhook in observed.webhooks:
        if webhook.parent is None or (webhook.parent.namespace, webhook.parent.name) != own:
            continue
        for bundle in sorted({entry.ca_bundle for entry in webhook.entries}):
            trusts = find_bundle(bundle, roots) if bundle else None
            yield Party(
                Role.BUNDLE, str(webhook.ref), trusts=trusts, because="istiod has not written its root"
            )


def find_busy(observed: ObservedMesh, wanted: Manifest) -> str:
    """Why a rotation may not go on: an istiod of another version is on its way."""
    name = ref_of(wanted).name
    if observed.find_revision(name) is not None and observed.active not in ("", name):
        return f"the mesh goes to Istio {wanted['spec']['version']} first ({name})"
    for revision in observed.revisions:
        serves, asked = (revision.get("status") or {}).get("version"), revision["spec"]["version"]
        if serves != asked and ref_of(revision).name in (name, observed.active):
            return f"MeshRevision {ref_of(revision).name} comes to Istio {asked} first"
    return ""


def find_phase(at: Position, target: int) -> str:
    """What a position is on the way to a root, in one word."""
    if at.voucher:
        return "TrustingNew" if at.trusted == {target} else "CrossSigned"
    if len(at.trusted) > 1:
        return "SigningNew" if at.signer == target else "TrustingBoth"
    return "Preparing"


def summarise_rotation(seen: SeenAuthority, step: Step) -> dict[str, Any]:
    """status.certificateAuthority.rotation; empty where none is under way."""
    at = read_seen(seen)
    if at is None:
        return {}
    if isinstance(step, Await) or (isinstance(step, Issue) and step.to != at):
        target, waits = step.target, str(step)
    elif isinstance(step, MakeRoot):
        target, waits = step.generation, str(step)
    elif not at.is_settled:
        target, waits = at.signer, str(step or "")
    else:
        return {}
    others = at.roots - {target}
    held = step.held if isinstance(step, Await) else ()
    lagging = [h.party for h in held if h.party][:LAGGING]
    return {
        "from": min(others, default=target),
        "to": target,
        "phase": find_phase(at, target),
        "signing": at.signer,
        "trusted": sorted(at.trusted),
        "waitingFor": waits[:2048],
        **({"lagging": lagging} if lagging else {}),
    }


def tell_way(seen: SeenAuthority, step: Step) -> str:
    """The way to another root in words; empty where the mesh is on none."""
    told = summarise_rotation(seen, step)
    return f"root {told['to']} takes the place of root {told['from']}: {told['waitingFor']}" if told else ""
