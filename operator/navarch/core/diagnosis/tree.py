"""The tree of `navarch describe`: mesh, revisions, components, proxies, each with what is wrong with it.

Owns the shape of the tree and the place of each diagnosis in it: at the deepest node that it is about, and
there only. Must never find anything wrong itself. Invariant: every diagnosis of the mesh and its revisions is
in the tree exactly once, save those that only repeat another one's words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from navarch.api.member import KIND as MEMBER
from navarch.core.diagnosis.gateways import build_deployed, build_gateway, name_gateway
from navarch.core.diagnosis.node import Node, Trouble
from navarch.core.diagnosis.report import Diagnosis, subject_of
from navarch.core.diagnosis.rolls import build_roll
from navarch.core.diagnosis.routes import OF_ROUTES, ObservedRoutes
from navarch.core.diagnosis.workloads import Tally, Workload, build_workload
from navarch.core.model.conditions import ConditionType, find_condition
from navarch.core.model.naming import is_in_place
from navarch.core.model.parent import GATEWAY, ROLL
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.world.proxies import ProxyPod, is_current, read_pins

TREE_VERSION = 1
"""Version of the JSON schema, as REPORT_VERSION of the report."""


@dataclass(frozen=True, slots=True)
class EventNote:
    """An Event about the mesh or a revision; `at` is RFC 3339, `source` the component that it names as its
    writer, which nothing proves."""

    at: str
    type: str
    reason: str
    about: str
    message: str
    source: str


@dataclass(frozen=True, slots=True)
class Portrait:
    """Everything that the tree is made of. `proxies` are the mesh's with the workload of each; `narrowed`
    names the one namespace whose pods could be seen, empty where all could; `rolls` are beside the mesh,
    `gateways` and `members` the MeshGateways and MeshMembers that name it, `routes` what was seen of Gateways
    and routes in its namespaces."""

    mesh: Manifest
    revisions: tuple[Manifest, ...]
    proxies: tuple[tuple[ProxyPod, Workload], ...]
    diagnoses: tuple[Diagnosis, ...]
    events: tuple[EventNote, ...] = ()
    narrowed: str = ""
    rolls: tuple[Manifest, ...] = ()
    gateways: tuple[Manifest, ...] = ()
    routes: ObservedRoutes = field(default_factory=ObservedRoutes)
    members: tuple[Manifest, ...] = ()


_OF_COMPONENTS = frozenset(
    {Reason.ROLLOUT_STUCK, Reason.ROLLING_OUT, Reason.NO_REPLICA_AVAILABLE, Reason.NOT_INSTALLED}
)
_CRDS = ("CRDs", "Istio's CRDs")
_PROXIES = ("Proxies", "proxies")
_ECHOES = frozenset({Reason.VERSION_PENDING, Reason.PROGRESSING})
"""Reasons that may say nothing but what another condition says already."""


def build_tree(portrait: Portrait) -> Node:
    """The tree of one mesh."""
    subject, told = subject_of(portrait.mesh), _place(portrait)
    status = portrait.mesh.get("status") or {}
    revisions = tuple(_build_revision(portrait, revision, told) for revision in portrait.revisions)
    children = (
        _build_crds(told),
        *revisions,
        *(build_gateway(gateway, portrait.routes, told) for gateway in portrait.gateways),
        *build_deployed(portrait.routes, count_workloads(portrait)),
        *(build_roll(roll, told) for roll in portrait.rolls),
        *(_build_member(member, told) for member in portrait.members),
        _build_proxies(portrait, told),
        *_build_events(portrait.events),
    )
    known = {place for node in _walk(children) for place in [(node.kind, node.name)]}
    homeless = [t for place, ts in told.items() if place not in known for t in ts]
    version, home = status.get("version") or {}, status.get("controlPlaneNamespace", "")
    facts = {
        "namespace": subject.namespace,
        "version": version.get("active", ""),
        "desired": version.get("desired", ""),
        "tag": status.get("tag", ""),
        **({"controlPlaneNamespace": home} if home else {}),
        "ready": (find_condition(portrait.mesh, ConditionType.READY) or {}).get("status", "Unknown"),
    }
    return Node(
        subject.kind,
        f"{subject.namespace}/{subject.name}",
        _tell_mesh(facts),
        facts,
        tuple(homeless),
        children,
    )


def _tell_mesh(facts: Mapping[str, str]) -> str:
    active, desired = facts["version"], facts["desired"]
    version = f"Istio {active}" if active else "nothing installed"
    version += f", to be {desired}" if desired and desired != active else ""
    tag = f", tag {facts['tag']}" if facts["tag"] else ""
    tag += f", hosted in {home}" if (home := facts.get("controlPlaneNamespace")) else ""
    words = {"True": "ready", "False": "not ready"}
    return f"{version}{tag}, {words.get(facts['ready'], 'readiness unknown')}"


def _place(portrait: Portrait) -> dict[tuple[str, str], list[Trouble]]:
    """Each diagnosis by (kind, name) of the node that it belongs to."""
    placed: dict[tuple[str, str], list[Trouble]] = defaultdict(list)
    messages = {d.message for d in portrait.diagnoses if d.id not in _ECHOES}
    for diagnosis in portrait.diagnoses:
        if diagnosis.id in _ECHOES and diagnosis.message in messages:
            continue
        if diagnosis.id == Reason.PROXIES_OUTDATED and portrait.proxies and not portrait.narrowed:
            continue  # told at each workload that is concerned
        where = f"{diagnosis.field}: {diagnosis.value!r}: " if diagnosis.field else ""
        shared = diagnosis.id in OF_ROUTES and diagnosis.subject.kind != GATEWAY
        where = f"{diagnosis.subject}: " if shared else where
        trouble = Trouble(diagnosis.id, diagnosis.severity, f"{where}{diagnosis.message}", diagnosis.remedy)
        placed[_find_place(portrait, diagnosis)].append(trouble)
    return placed


def _find_place(portrait: Portrait, diagnosis: Diagnosis) -> tuple[str, str]:
    subject = diagnosis.subject
    if subject.kind in (GATEWAY, ROLL, MEMBER):  # a namespace has one member
        place = name_gateway(subject.namespace, subject.name)
        return subject.kind, subject.namespace if subject.kind == MEMBER else place
    components = [c for r in portrait.revisions for c in (r.get("status") or {}).get("components") or ()]
    if diagnosis.id in _OF_COMPONENTS and components:
        named = [c for c in components if c["name"] in diagnosis.message] or components
        return named[0]["kind"], named[0]["name"]
    if diagnosis.id == Reason.PROXIES_OUTDATED:
        return _PROXIES
    if ConditionType.INJECTION_READY.value in diagnosis.conditions:
        return "Injection", _tag_of(portrait)
    if ConditionType.DEPENDENCIES_READY.value in diagnosis.conditions:
        return _CRDS
    return diagnosis.subject.kind, diagnosis.subject.name


def _tag_of(portrait: Portrait) -> str:
    return str((portrait.mesh.get("status") or {}).get("tag", ""))


def _build_crds(told: Mapping[tuple[str, str], list[Trouble]]) -> Node:
    troubles = tuple(told.get(_CRDS, ()))
    return Node(*_CRDS, "" if troubles else "as they should be", {}, troubles)


def _build_revision(
    portrait: Portrait, revision: Manifest, told: Mapping[tuple[str, str], list[Trouble]]
) -> Node:
    name, status = revision["metadata"]["name"], revision.get("status") or {}
    serving, wanted = status.get("version", ""), revision["spec"]["version"]
    available = find_condition(revision, ConditionType.AVAILABLE)
    summary = f"serves Istio {serving}" if serving else "serves nothing yet"
    if serving and available is not None and available["status"] == "False":
        summary = f"does not serve; last served Istio {serving}"
    summary += f", to be {wanted}" if serving != wanted else ""
    components = [
        Node(
            c["kind"],
            c["name"],
            f"{c['ready']} of {c['desired']} ready",
            {"ready": c["ready"], "desired": c["desired"]},
            tuple(told.get((c["kind"], c["name"]), ())),
        )
        for c in status.get("components") or ()
    ]
    tag = _tag_of(portrait)
    if tag and tag == revision["spec"].get("tag"):
        troubles = tuple(told.get(("Injection", tag), ()))
        components.append(Node("Injection", tag, "" if troubles else "proved", {}, troubles))
    facts = {"version": serving, "desired": wanted}
    return Node(
        "MeshRevision", name, summary, facts, tuple(told.get(("MeshRevision", name), ())), tuple(components)
    )


def _build_member(member: Manifest, told: Mapping[tuple[str, str], list[Trouble]]) -> Node:
    name = member["metadata"]["namespace"]
    ready = find_condition(member, ConditionType.READY) or {"status": "Unknown", "reason": "not looked at"}
    facts = {"ready": ready["status"], "reason": ready["reason"]}
    summary = "belongs to the mesh" if ready["status"] == "True" else f"not ready: {ready['reason']}"
    return Node(MEMBER, name, summary, facts, tuple(told.get((MEMBER, name), ())))


# --- proxies -----------------------------------------------------------------------------------------------


def count_workloads(portrait: Portrait) -> dict[Workload, Tally]:
    """The proxies of each workload, by the same rule as the census in status."""
    active = (portrait.mesh.get("status") or {}).get("activeRevision")
    stamps = {
        r["metadata"]["name"]: (r.get("status") or {}).get("proxy", "")
        for r in portrait.revisions
        if r["metadata"]["name"] == active or (not active and is_in_place(r["metadata"]["name"]))
    }
    counted: dict[Workload, Tally] = defaultdict(Tally)
    pins = read_pins(portrait.gateways)
    for proxy, workload in portrait.proxies:
        if is_current(proxy, stamps, pins):
            counted[workload] += Tally(current=1)
        else:
            counted[workload] += Tally(manual=1) if workload.manual else Tally(outdated=1)
    return dict(sorted(counted.items()))


def _build_proxies(portrait: Portrait, told: Mapping[tuple[str, str], list[Trouble]]) -> Node:
    counted = count_workloads(portrait)
    namespaces: dict[str, list[Workload]] = defaultdict(list)
    for workload in counted:
        namespaces[workload.namespace].append(workload)
    children = [
        Node(
            "Namespace",
            namespace,
            str(census := sum((counted[w] for w in workloads), Tally())),
            census.to_json(),
            (),
            tuple(build_workload(workload, counted[workload]) for workload in workloads),
        )
        for namespace, workloads in namespaces.items()
    ]
    census = sum(counted.values(), Tally())
    summary = str(census) if counted else "none"
    if portrait.narrowed:
        summary += f" in namespace {portrait.narrowed}, the only one that could be looked at"
    return Node(*_PROXIES, summary, census.to_json(), tuple(told.get(_PROXIES, ())), tuple(children))


def _build_events(events: Sequence[EventNote]) -> Iterator[Node]:
    if events:
        children = tuple(
            Node(
                "Event",
                e.reason,
                f"{e.at} {e.type}, {e.about}: {e.message} (by {e.source or '?'})",
                {"at": e.at, "type": e.type, "source": e.source},
            )
            for e in events
        )
        yield Node("Events", "events", f"the last {len(events)}", {}, (), children)


def _walk(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _walk(node.children)
