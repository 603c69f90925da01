"""`navarch check`: one look at the cluster, and everything that is worth saying about it.

Owns the order of these calls. Must never write, and never judge: a mesh is judged by the operator's own
checks, plans and verdicts, the rest by core/diagnosis. Invariant: where the look is complete, what is said of
a mesh follows from the cluster alone, whether or not an operator runs; where it is not, the conditions that
the operator wrote are quoted, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

from pydantic import ValidationError

from navarch.api.controlplane import KIND, PLURAL, MeshControlPlaneSpec
from navarch.api.meta import API_VERSION, GROUP
from navarch.api.problems import build_path, list_problems
from navarch.controllers.containment import tell_crash
from navarch.core.diagnosis.advice import OF_REASONS
from navarch.core.diagnosis.certificates import run_rules_of_certificates
from navarch.core.diagnosis.cluster import (
    RULES,
    RULES_OF_INSTALLATION,
    run_rules,
    run_rules_of_namespace,
)
from navarch.core.diagnosis.conditions import (
    heed_pause,
    judge_findings,
    judge_verdicts,
    read_verdicts,
    without_consequences,
    without_echoes,
)
from navarch.core.diagnosis.labels import find_lost_labels
from navarch.core.diagnosis.observed import ObservedCluster, diagnose
from navarch.core.diagnosis.pods import find_asking_pods, find_bare_namespaces
from navarch.core.diagnosis.report import CLUSTER, Diagnosis, Report, Subject, order_diagnoses, subject_of
from navarch.core.diagnosis.routes import ObservedRoutes, run_rules_of_routes
from navarch.core.diagnosis.signs import Sign
from navarch.core.member.status import MESH_SAYS
from navarch.core.model.conditions import ConditionType
from navarch.core.model.findings import Severity
from navarch.core.model.messages import join
from navarch.core.model.parent import MESH, Parent
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.engine.result import Cause
from navarch.gather.gateway import read_reference
from navarch.gather.member import read_reference as read_mesh_of_member
from navarch.gather.world import World
from navarch.kube.client import Client
from navarch.kube.errors import KubeError, NotFound, Unserved
from navarch.kube.store import version_of
from navarch.survey.examination import Examination, Examiner
from navarch.survey.routes import RouteSurveyor, find_places
from navarch.survey.snapshot import Gap, Snapshot, explain
from navarch.survey.surroundings import Surveyor
from navarch.survey.upgrades import UpgradeSurveyor

MESHES = f"{PLURAL}.{GROUP}"
_CRD = Ref("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", MESHES)
MANAGER = "navarch-check"
"""Field manager of dry runs."""


class MeshNotFound(Exception):
    """There is no mesh, or more than one, of the name that was asked for."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked about: the whole cluster, or the meshes of one namespace, or those of one name; with
    `version` as if their spec.version were that. `upgrades` says that upgrades are looked at, too, which
    takes lists of much that no reconcile asks for."""

    namespace: str = ""
    mesh: str = ""
    version: str = ""
    upgrades: bool = False

    @property
    def whole(self) -> bool:
        """Whether everything is asked about."""
        return not self.namespace and not self.mesh

    def has(self, mesh: Manifest) -> bool:
        """Whether a mesh is asked about."""
        metadata = mesh["metadata"]
        return self.namespace in ("", metadata["namespace"]) and self.mesh in ("", metadata["name"])


@dataclass
class Checkup:
    """One look; `gaps` and `examined` grow while it is made, `routes` are what was seen of them, and
    `upgrades` what is worth knowing before each mesh is upgraded."""

    client: Client
    world: World
    snapshot: Snapshot
    examiner: Examiner
    gaps: list[Gap] = field(default_factory=list)
    examined: list[Examination] = field(default_factory=list)
    routes: ObservedRoutes = field(default_factory=ObservedRoutes)
    upgrades: Mapping[Subject, tuple[Diagnosis, ...]] = field(default_factory=dict)

    async def run(self, scope: Scope, manifests: Sequence[Manifest] = ()) -> Report:
        """Check what is asked about; with `manifests`, these meshes as if they had been applied."""
        self.gaps += self.snapshot.gaps
        meshes = self._select(scope, given=bool(manifests))
        from_file = bool(manifests)
        if scope.version:
            manifests = [_ask_for(each, scope.version) for each in manifests or meshes]
        surveyor = Surveyor(self.client, self.snapshot, self.world)
        place = scope.namespace if not scope.mesh and not manifests else ""
        cluster = await surveyor.observe(
            whole=scope.whole and not manifests, namespace=place, pods=not manifests
        )
        found = [*run_rules(cluster, RULES if scope.whole and not manifests else RULES_OF_INSTALLATION)]
        if place:
            found += run_rules_of_namespace(cluster, place)
        if scope.whole:
            self.gaps += surveyor.gaps
        if not scope.whole:
            asked = {(m["metadata"]["namespace"], m["metadata"]["name"]) for m in meshes}
            told = (*find_lost_labels(cluster), *find_bare_namespaces(cluster), *find_asking_pods(cluster))
            found += [d for m, d in told if m and (m.namespace, m.name) in asked and d not in found]
        found += await self._judge_manifests(manifests, from_file=from_file)
        found += self._judge_rolls(scope, meshes) if not manifests else ()
        for mesh in meshes if not manifests else ():
            found += heed_pause(mesh, without_consequences(await self._judge_mesh(mesh)))
        found += self._judge_gateways(scope, meshes) if not manifests else ()
        if not manifests:
            found += await self._judge_members(scope, meshes)
            routes = await self._look_at_routes(surveyor, cluster, scope, meshes)
            found += run_rules_of_routes(routes)
            found += run_rules_of_certificates(routes.credentials, self.world.now())
        if scope.upgrades:
            self.upgrades = await UpgradeSurveyor(surveyor, cluster).judge(map(ref_of, manifests or meshes))
            found += [told for each in self.upgrades.values() for told in each]
        found += self._tell_gaps(complete=scope.whole or bool(manifests))
        return Report(
            version("navarch"),
            self.world.environment.kubernetes,
            tuple(sorted(subject_of(mesh) for mesh in manifests or meshes)),
            order_diagnoses(found),
            cluster.installations,
        )

    def _select(self, scope: Scope, *, given: bool) -> Sequence[Manifest]:
        """The meshes of the cluster that are asked about. Raises MeshNotFound."""
        meshes = [m for m in self.snapshot.stores["meshes"].list() if scope.has(m)]
        if scope.mesh and not meshes and not given:
            raise MeshNotFound(tell_missing(scope, self.snapshot))
        return meshes

    async def _look_at_routes(
        self, surveyor: Surveyor, cluster: ObservedCluster, scope: Scope, meshes: Sequence[Manifest]
    ) -> ObservedRoutes:
        """Gateways and routes in the namespaces of these meshes, as far as they may be listed; and Gateways
        where no mesh looks."""
        place = scope.namespace if not scope.mesh else ""
        places = find_places(cluster, meshes, whole=scope.whole, namespace=place)
        gaps = len(surveyor.gaps)
        if places.inside or places.outside:
            self.routes = await RouteSurveyor(surveyor).observe(places)
            self.gaps += surveyor.gaps[gaps:]
        return self.routes

    def _tell_gaps(self, *, complete: bool) -> Iterator[Diagnosis]:
        """What could not be looked at. It is a warning where the answer was to be `complete`, and for meshes
        that may not be read at all; else their conditions have been quoted, and nothing is missing."""
        gaps = list(dict.fromkeys(self.gaps))
        blind = gaps if complete else [g for g in gaps if g.what == MESHES and not g.narrowed]
        for gap in blind:
            yield diagnose(Sign.NOT_LOOKED_AT, CLUSTER, str(gap))
        rest = [str(gap) for gap in gaps if gap not in blind]
        if rest:
            yield diagnose(Sign.TOLD_BY_OPERATOR, CLUSTER, "; ".join(rest))

    def _judge_gateways(self, scope: Scope, meshes: Sequence[Manifest]) -> Iterator[Diagnosis]:
        """What the operator wrote about the gateways of these meshes, and about those in the namespace that
        is asked about."""
        asked = {(m["metadata"]["namespace"], m["metadata"]["name"]) for m in meshes}
        for gateway in self.snapshot.stores["gateways"].list():
            inside = not scope.mesh and scope.namespace in ("", gateway["metadata"]["namespace"])
            if inside or read_reference(gateway) in asked:
                yield from without_consequences(judge_verdicts(subject_of(gateway), read_verdicts(gateway)))

    def _judge_rolls(self, scope: Scope, meshes: Sequence[Manifest]) -> Iterator[Diagnosis]:
        """What the operator wrote about the rolls beside these meshes, or in the namespace that is asked
        about."""
        asked = {mesh["metadata"]["namespace"] for mesh in meshes}
        for roll in self.snapshot.stores["rolls"].list():
            namespace = roll["metadata"]["namespace"]
            if namespace in asked or (not scope.mesh and scope.namespace in ("", namespace)):
                yield from without_consequences(judge_verdicts(subject_of(roll), read_verdicts(roll)))

    async def _judge_members(self, scope: Scope, meshes: Sequence[Manifest]) -> list[Diagnosis]:
        """The members of these meshes, and that of the namespace that is asked about. Where not everything
        may be read, what the operator wrote of them."""
        asked = {(m["metadata"]["namespace"], m["metadata"]["name"]) for m in meshes}
        found: list[Diagnosis] = []
        for member in self.snapshot.stores["members"].list():
            inside = not scope.mesh and scope.namespace in ("", member["metadata"]["namespace"])
            if not inside and read_mesh_of_member(member) not in asked:
                continue
            judged = member if self.snapshot.gaps else await self.examiner.examine_member(member)
            said = without_consequences(judge_verdicts(subject_of(member), read_verdicts(judged)))
            found += (d for d in said if not _is_told_elsewhere(d))
        return found

    # --- a mesh of the cluster ------------------------------------------------------------------------------

    async def _judge_mesh(self, mesh: Manifest) -> list[Diagnosis]:
        if self.snapshot.gaps:
            return [*self._quote(mesh)]
        metadata = mesh["metadata"]
        try:
            examined = await self.examiner.examine(metadata["namespace"], metadata["name"])
        except KubeError as error:
            self.gaps.append(Gap(error.method.lower(), error.subject, explain(error)))
            return [*self._quote(mesh)]
        except Exception as error:  # as in a reconcile: one mesh never stands in another's way
            return [*self._quote(mesh), _tell_crash(subject_of(mesh), error)]
        if examined is None:
            return []
        self.examined.append(examined)
        if examined.unproved:
            self.gaps.append(Gap("create", "pods (as a dry run)", examined.unproved))
        return [*_judge(examined)]

    def list_revisions(self, mesh: Manifest) -> Iterator[Manifest]:
        """The revisions of a mesh, as they were read."""
        metadata = mesh["metadata"]
        parent = Parent(MESH, metadata["namespace"], metadata["name"])
        yield from (r for r in self.snapshot.stores["revisions"].list(parent.namespace) if parent.owns(r))

    def _quote(self, mesh: Manifest) -> Iterator[Diagnosis]:
        """What the operator wrote about a mesh and its revisions."""
        subject, metadata = subject_of(mesh), mesh["metadata"]
        seen = int((mesh.get("status") or {}).get("observedGeneration", 0))
        if seen < int(metadata.get("generation", 0)):
            reason = Reason.NOT_YET_DETERMINED
            message = "the operator has not looked at this mesh yet, or not at its last edit"
            advice = OF_REASONS[reason]
            yield Diagnosis(reason.value, advice.severity, subject, message, advice.remedy)
        said = [*judge_verdicts(subject, read_verdicts(mesh))]
        yield from said
        for revision in self.list_revisions(mesh):
            yield from without_echoes(said, judge_verdicts(subject_of(revision), read_verdicts(revision)))

    # --- a mesh of a file -----------------------------------------------------------------------------------

    async def _judge_manifests(self, manifests: Sequence[Manifest], *, from_file: bool) -> list[Diagnosis]:
        """All are taken in before the first one is judged: each sees what the others are to become. The API
        server is asked about those `from_file`; of others it has taken all but the version."""
        found: list[Diagnosis] = []
        bodies = []
        for manifest in manifests:
            refused = _check_form(manifest)
            found += refused
            if not refused:
                body = self._complete(manifest)
                self.snapshot.stores["meshes"].change(body)
                bodies.append((manifest, body))
        for manifest, body in bodies:
            said = await self._judge_manifest(manifest, body, from_file=from_file)
            found += heed_pause(body, without_consequences(said))
        return found

    async def _judge_manifest(
        self, manifest: Manifest, body: Manifest, *, from_file: bool
    ) -> list[Diagnosis]:
        subject = subject_of(manifest)
        namespaces = {ns.name for ns in self.world.cluster.namespaces()}
        if self.snapshot.has("namespaces") and subject.namespace not in namespaces:
            message = f"there is no namespace {subject.namespace}"
            return [diagnose(Sign.NAMESPACE_MISSING, subject, message), *await self._examine_manifest(body)]
        found = await self._examine_manifest(body)
        denied = await self._dry_run(manifest, subject) if from_file else []
        if any(d.severity is Severity.ERROR for d in found):  # our policies say the same in other words
            denied = [d for d in denied if f".{GROUP}'" not in d.message]
        return [*found, *denied]

    async def _examine_manifest(self, body: Manifest) -> list[Diagnosis]:
        try:
            return [*_judge(await self.examiner.examine_manifest(body))]
        except KubeError as error:
            self.gaps.append(Gap(error.method.lower(), error.subject, explain(error)))
            return []
        except Exception as error:
            return [_tell_crash(subject_of(body), error)]

    def _complete(self, manifest: Manifest) -> dict[str, object]:
        """A mesh of a file as it would be once applied."""
        metadata = manifest["metadata"]
        ref = Ref(API_VERSION, KIND, metadata["namespace"], metadata["name"])
        there = self.snapshot.stores["meshes"].get(ref)
        made = {"uid": f"file-{ref}", "creationTimestamp": self.world.now()}
        before: Manifest = there["metadata"] if there else made
        # The API server sets these fields, whatever the file has; the store ignores what is not newer.
        own = {
            "uid": before["uid"],
            "creationTimestamp": before["creationTimestamp"],
            "generation": int(before.get("generation", 0)) + 1,
            "resourceVersion": str(version_of({"metadata": before}) + 1),
        }
        status = {"status": there["status"]} if there and "status" in there else {}
        wanted = {key: value for key, value in manifest.items() if key != "status"}
        return {**wanted, "metadata": {**before, **metadata, **own}, **status}

    async def _dry_run(self, manifest: Manifest, subject: Subject) -> list[Diagnosis]:
        """What the API server itself would say: its schema, policies and quotas."""
        kept = ("name", "namespace", "labels", "annotations")
        metadata = {key: value for key, value in manifest["metadata"].items() if key in kept}
        body = {key: value for key, value in manifest.items() if key != "status"} | {"metadata": metadata}
        try:
            await self.client.apply(body, manager=MANAGER, force=True, dry_run=True)
        except NotFound as error:  # of a mesh that is to be made, nothing else can be missing
            return [diagnose(Sign.NAMESPACE_MISSING, subject, error.message)]
        except KubeError as error:
            blind = isinstance(error, Unserved)
            if blind and self.snapshot.has("crds") and self.snapshot.stores["crds"].get(_CRD) is None:
                return []  # Navarch's CRDs are not installed, which is told already
            if blind or error.cause is Cause.NOT_PERMITTED:
                self.gaps.append(Gap("patch", f"{PLURAL} (as a dry run)", explain(error)))
                return []
            denied = error.cause is Cause.DENIED
            return [
                _refuse(
                    subject, "", error.message, Reason.ADMISSION_DENIED if denied else Reason.INVALID_SPEC
                )
            ]
        return []


def _is_told_elsewhere(diagnosis: Diagnosis) -> bool:
    """Whether what is said of a member only repeats what is said once of its mesh, or of the namespace that
    is asked about."""
    return diagnosis.id in (Reason.PAUSED, Reason.PROXIES_OUTDATED) or diagnosis.message.startswith(MESH_SAYS)


def _ask_for(mesh: Manifest, version: str) -> Manifest:
    """A mesh as if it asked for a version."""
    return {**mesh, "spec": {**(mesh.get("spec") or {}), "version": version}}


def _check_form(manifest: Manifest) -> list[Diagnosis]:
    """What the schema refuses of a mesh."""
    try:
        MeshControlPlaneSpec.model_validate(manifest.get("spec") or {}, extra="forbid", strict=True)
    except ValidationError as error:
        subject, problems = subject_of(manifest), list_problems(MeshControlPlaneSpec, error)
        return [_refuse(subject, build_path(*each.path), each.message, value=each.value) for each in problems]
    return []


def _tell_crash(subject: Subject, error: Exception) -> Diagnosis:
    reason = Reason.INTERNAL_ERROR
    return Diagnosis(reason.value, Severity.ERROR, subject, tell_crash(error), OF_REASONS[reason].remedy)


def tell_missing(scope: Scope, snapshot: Snapshot) -> str:
    """That there is no mesh as was asked for, and whether that could be seen."""
    where = f" in namespace {scope.namespace}" if scope.namespace else ""
    blind = "; ".join(str(gap) for gap in snapshot.gaps if gap.what == MESHES)
    seen = [subject_of(mesh) for mesh in snapshot.stores["meshes"].list()]
    there = f"; there is {join(f'{each.namespace}/{each.name}' for each in sorted(seen))}" if seen else ""
    told = f"there is no mesh {scope.mesh}{where}{there}"
    return told + (f", as far as can be seen ({blind})" if blind else "")


def _refuse(
    subject: Subject, field_: str, message: str, reason: Reason = Reason.INVALID_SPEC, *, value: str = ""
) -> Diagnosis:
    remedy = OF_REASONS[reason].remedy
    return Diagnosis(reason.value, Severity.ERROR, subject, message, remedy, field=field_, value=value)


def _judge(examined: Examination) -> Iterator[Diagnosis]:
    """What an examination says: of the spec each finding by itself, of the rest what conditions say."""
    subject = subject_of(examined.body)
    verdicts = {**examined.verdicts}
    verdicts.pop(ConditionType.SPEC_ACCEPTED, None)
    said = [*judge_findings(subject, examined.findings), *judge_verdicts(subject, verdicts)]
    yield from said
    for revision in examined.revisions:
        yield from without_echoes(said, judge_verdicts(subject_of(revision), read_verdicts(revision)))
