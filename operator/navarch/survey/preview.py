"""`navarch plan`: what would become of a mesh, asked of the cluster without a change to it.

Owns the dry runs. Must never write, and never plan: what a mesh wants is what its reconcile would apply, and
which of it is pending is what the applier's comparison says. Invariant: two looks at an unchanged cluster
give equal plans.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from navarch.api.dataplane import MANAGED
from navarch.api.revision import KIND as REVISION_KIND
from navarch.core.diagnosis.report import Diagnosis, Report, Subject
from navarch.core.mesh.approval import find_hold
from navarch.core.mesh.checks import run_checks
from navarch.core.mesh.checks.version import count_minors_at_once, running_version
from navarch.core.mesh.observed import ObservedMesh, is_held
from navarch.core.mesh.plan import build_wanted_revision
from navarch.core.mesh.rollout import read_orders
from navarch.core.mesh.teardown import find_removable
from navarch.core.mesh.unread import mark_unread
from navarch.core.mesh.windows import read_own_windows
from navarch.core.model.actions import Plan, Wave
from navarch.core.model.findings import Severity, is_accepted
from navarch.core.model.labels import component_of
from navarch.core.model.ownership import MANAGER
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.offline import build_objects
from navarch.core.preview.duration import tell_duration
from navarch.core.preview.fields import find_changes
from navarch.core.preview.preview import Change, ObjectChange, Preview, find_path, order_changes
from navarch.core.preview.restarts import Restart, Waves, find_restarts
from navarch.core.revision.render import render
from navarch.core.revision.route import read_route, redirect
from navarch.core.world.proxies import read_pins
from navarch.engine.result import Cause
from navarch.gather.mesh import observe_mesh
from navarch.gather.rollout import read_policy
from navarch.kube.apply import Applier
from navarch.kube.errors import KubeError, NotFound
from navarch.survey.checkup import MeshNotFound, Scope, tell_missing
from navarch.survey.description import list_proxies, list_watches
from navarch.survey.session import Session, Target, open_session
from navarch.survey.snapshot import Gap, explain

_DENIED = (Cause.NOT_PERMITTED, Cause.DENIED)


async def preview(target: Target, scope: Scope, manifests: Sequence[Manifest]) -> tuple[Preview, ...]:
    """The plans of the meshes that are asked for; with `manifests`, of these as if they had been applied.
    Raises MeshNotFound where there is none of the name that was asked for."""
    namespace = scope.namespace or (manifests[0]["metadata"]["namespace"] if manifests else "")
    async with open_session(target, namespace=namespace, watches=list_watches()) as session:
        checkup = session.start_checkup()
        report = await checkup.run(replace(scope, upgrades=True), manifests)
        meshes = session.snapshot.stores["meshes"]
        asked = [ref_of(m) for m in manifests] or [ref_of(m) for m in meshes.list() if scope.has(m)]
        if not asked:
            raise MeshNotFound(tell_missing(scope, session.snapshot))
        upgrades = checkup.upgrades
        previewer = Previewer(session, checkup.examiner.applier, report, bool(manifests), upgrades)
        found = [await previewer.preview(ref, meshes.get(ref)) for ref in sorted(asked)]
        unread = [str(gap) for gap in checkup.gaps]
        return tuple(replace(each, unread=tuple(sorted({*unread, *each.unread}))) for each in found)


@dataclass(frozen=True, slots=True)
class Previewer:
    """Plans meshes one by one. `report` is what a checkup said of them, `upgrades` what is worth knowing
    before each is upgraded; `from_file` says that they are not in the cluster as they are planned."""

    session: Session
    applier: Applier
    report: Report
    from_file: bool
    upgrades: Mapping[Subject, tuple[Diagnosis, ...]]

    async def preview(self, ref: Ref, body: Manifest | None) -> Preview:
        """The plan of one mesh; `body` is None for one that the schema refuses."""
        subject = Subject(ref.kind, ref.namespace, ref.name)
        upgrade = self.upgrades.get(subject, ())
        said = tuple(d for d in self.report.diagnoses if d.subject == subject or d in upgrade)
        if body is None:
            return Preview(subject, refused=True, diagnoses=said)
        observed = await observe_mesh(self.session.world, body)
        running = running_version(observed) or ""
        wanted = build_wanted_revision(observed)
        if wanted is None or not is_accepted(run_checks(observed)) or self._is_denied(said):
            return Preview(subject, running, refused=True, paused=is_held(observed), diagnoses=said)
        version = wanted["spec"]["version"]
        looked = [each async for each in self._find_changes(observed, wanted)]
        restarts = self._find_restarts(observed, wanted)
        policy = read_policy(observed.spec)
        return Preview(
            subject,
            running,
            version,
            find_path(observed.assets.catalog, running, version, stride=count_minors_at_once(observed)),
            paused=is_held(observed),
            objects=order_changes(each for each in looked if isinstance(each, ObjectChange)),
            restarts=restarts,
            diagnoses=said,
            unread=tuple(str(each) for each in looked if isinstance(each, Gap)),
            hold=find_hold(observed, wanted),
            expected=tell_duration(restarts, policy) if policy is not None else "",
        )

    def _is_denied(self, said: Iterable[Diagnosis]) -> bool:
        """Whether the API server would not take a mesh of a file: no condition says that."""
        return self.from_file and any(d.severity is Severity.ERROR and not d.conditions for d in said)

    def _find_restarts(self, observed: ObservedMesh, wanted: Manifest) -> tuple[Restart, ...]:
        stamp = render(wanted, observed.assets, observed.environment).proxy
        names = {revision["metadata"]["name"] for revision in observed.revisions}
        proxies = list_proxies(self.session, observed.body, names)
        waves = find_waves(observed)
        return find_restarts(proxies, stamp=stamp, pins=read_pins(observed.gateways), waves=waves)

    async def _find_changes(
        self, observed: ObservedMesh, wanted: Manifest
    ) -> AsyncIterator[ObjectChange | Gap]:
        """What the mesh would change when all that its plans wait for has come, and what could not be read
        of it."""
        objects = build_objects(observed)
        waves = mark_unread((Wave("all", objects),), observed)
        (wave,) = redirect(waves, read_route(observed.owned, ref_of(wanted).name))
        compared = await self.applier.compare(Plan(observed.parent, waves=(wave,)))
        by_ref = {ref_of(manifest): manifest for manifest in wave.objects}
        for outcome in compared.foreign:
            component = component_of(by_ref[outcome.ref])
            yield ObjectChange(Change.FOREIGN, outcome.ref, component, message=outcome.message)
        for ref in compared.pending:
            if (change := await self._dry_run(by_ref[ref])) is not None:
                yield change
        for manifest in find_removable(observed):
            if ref_of(manifest) not in by_ref:
                yield ObjectChange(Change.REMOVE, ref_of(manifest), component_of(manifest))

    async def _dry_run(self, manifest: Manifest) -> ObjectChange | Gap | None:
        """What a write of this object would change; None where it would change nothing that anybody reads."""
        ref, component = ref_of(manifest), component_of(manifest)
        try:
            before = await self.session.client.get(ref)
        except NotFound:
            return ObjectChange(Change.CREATE, ref, component)
        except KubeError as error:
            return Gap("get", str(ref), explain(error))
        exact, after = True, None
        # A policy lets only the operator write MeshRevisions, and the API server fills in nothing of them.
        if ref.kind != REVISION_KIND:
            try:
                sent = _name(manifest, before)
                after = await self.session.client.apply(sent, manager=MANAGER, force=True, dry_run=True)
            except KubeError as error:
                if error.cause not in _DENIED:
                    return ObjectChange(Change.REFUSED, ref, component, message=error.message)
                exact = False
        fields = find_changes(before, after or _overlay(before, manifest))
        return ObjectChange(Change.CHANGE, ref, component, fields, exact=exact) if fields else None


def find_waves(observed: ObservedMesh) -> Waves | None:
    """How Navarch restarts the mesh's workloads; None where their owners do."""
    policy = read_policy(observed.spec)
    if policy is None or policy.mode != MANAGED:
        return None
    return Waves(policy, observed.parent.uid, read_orders(observed), read_own_windows(observed))


def _name(manifest: Manifest, current: Manifest) -> Manifest:
    """The object as it would be sent: for this very one that is there."""
    return {**manifest, "metadata": {**manifest["metadata"], "uid": current["metadata"]["uid"]}}


def _overlay(current: Manifest, manifest: Manifest) -> Manifest:
    """What is there with what would be sent in its place, as far as that says anything."""
    metadata, wanted = dict(current["metadata"]), manifest["metadata"]
    for key in ("labels", "annotations"):
        metadata[key] = {**(metadata.get(key) or {}), **(wanted.get(key) or {})}
    kept = {key: value for key, value in manifest.items() if key not in ("metadata", "apiVersion", "kind")}
    return {**current, **kept, "metadata": metadata}
