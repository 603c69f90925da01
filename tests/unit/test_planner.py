"""What a mesh and a revision plan to do, and wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from navarch.api.revision import MOST_EXCLUDED
from navarch.core.membership.rule import take_census
from navarch.core.mesh.crds import find_crd_minor
from navarch.core.mesh.membership import find_effective_membership
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.plan import build_wanted_revision, plan_mesh
from navarch.core.mesh.status import determine_dependencies
from navarch.core.mesh.teardown import is_released
from navarch.core.model.actions import Plan
from navarch.core.model.conditions import ConditionType
from navarch.core.model.findings import Finding
from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import APPLIED, MESH_COMPONENTS, REDIRECTED, REREAD, TEMPLATE, component_of
from navarch.core.model.ordering import WEBHOOK_KINDS
from navarch.core.model.ownership import Inventory, Record
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.model.removal import plan_removal
from navarch.core.model.requeue import determine_requeue
from navarch.core.revision.observed import ObservedRevision
from navarch.core.revision.plan import plan_revision
from navarch.core.world.cluster import CRD, CRDOwner, Environment, Namespace
from navarch.core.world.probe import Probe, ProbeVerdict
from navarch.core.world.proxies import Census, ProxyPod
from navarch.core.world.workload import WorkloadPod

from tests.unit import observations
from tests.unit.observations import OURS, PARENT, a_mesh, a_spec, a_webhook, assets

ERROR = Finding(Reason.UNKNOWN_VERSION, "spec.version", "9.9", "is unknown", "use 1.31")


def an_observed_mesh(**changes: Any) -> ObservedMesh:
    return observations.an_observed_mesh(**{"crd_minors": ("1.31",), **changes})


def established(minor: str = "1.31") -> tuple[CRD, ...]:
    return tuple(CRD(c["metadata"]["name"], CRDOwner.NAVARCH, True, minor) for c in assets().crds[minor])


def installed(observed: ObservedMesh, *, available: str = "True", **status: Any) -> ObservedMesh:
    """The mesh with its MeshRevision in the cluster."""
    revision = build_wanted_revision(observed)
    assert revision is not None
    condition = {
        "type": "Available",
        "status": available,
        "reason": "AsExpected",
        "message": "",
        "observedGeneration": 1,
    }
    body = {**revision, "metadata": {**revision["metadata"], "generation": 1, "managedFields": OURS}}
    return replace(observed, revisions=({**body, "status": {"conditions": [condition], **status}},))


def names(plan: Plan) -> list[str]:
    return [wave.name for wave in plan.waves]


def test_a_new_mesh_starts_with_crds_and_waits_for_them() -> None:
    decision = plan_mesh(an_observed_mesh(), ())
    assert names(decision.plan) == ["crds"]
    assert "not established" in decision.plan.waiting[0].message


def test_with_crds_the_revision_is_made_and_waited_for() -> None:
    decision = plan_mesh(an_observed_mesh(crds=established()), ())
    assert names(decision.plan) == ["crds", "revision"]
    assert decision.plan.waiting


def test_tags_come_with_an_available_revision_and_policies_with_trusted_validators() -> None:
    observed = installed(an_observed_mesh(spec=a_spec(mtls={"mode": "Strict"}), crds=established()))
    decision = plan_mesh(observed, ())
    assert names(decision.plan) == ["crds", "revision", "tags"]
    trusted = a_webhook(
        "istio-validator", kind="ValidatingWebhookConfiguration", parent=PARENT, entries={"v": {}}
    )
    entries = tuple(replace(e, ca_bundle="root") for e in trusted.entries)
    decision = plan_mesh(replace(observed, webhooks=(replace(trusted, entries=entries),)), ())
    assert names(decision.plan) == ["crds", "revision", "tags", "policies"]
    assert decision.plan.waiting == ()


def test_foreign_crds_are_left_out_of_the_plan() -> None:
    foreign = tuple(replace(crd, owner=CRDOwner.FOREIGN, minor="") for crd in established())
    observed = an_observed_mesh(crds=foreign)
    assert find_crd_minor(observed, None) is None
    decision = plan_mesh(observed, ())
    assert decision.plan.waves[0].objects == ()
    assert "revision" in names(decision.plan)


def test_crds_that_are_handed_over_and_have_more_stay_as_they_are_and_it_is_told_what_they_have() -> None:
    newer, *others = established()
    kept = replace(newer, owner=CRDOwner.FOREIGN, minor="", beyond="version v7")
    observed = an_observed_mesh(crds=(kept, *others))
    assert find_crd_minor(observed, None) is None, "one that would lose something keeps the whole set"
    verdict = determine_dependencies(observed, None)
    assert (verdict.status, verdict.reason) == ("True", Reason.CRDS_FOREIGN)
    assert f"not taken over: {newer.name} has version v7" in verdict.message
    outdated = determine_dependencies(
        replace(observed, crds=(replace(kept, lacks="version v1"), *others)), None
    )
    assert (outdated.status, outdated.reason) == ("False", Reason.CRDS_OUTDATED)
    assert f"{newer.name} has version v7" in outdated.message


def test_the_crds_are_of_the_highest_minor_that_is_asked_for_or_there() -> None:
    older = an_observed_mesh(spec=a_spec(version="1.30"), crd_minors=("1.30",))
    assert find_crd_minor(older, None) == "1.30"
    assert find_crd_minor(replace(older, crd_minors=("1.30", "1.31")), None) == "1.31"
    assert find_crd_minor(replace(older, crds=established("1.31")), None) == "1.31"
    oldest = an_observed_mesh(spec=a_spec(version="1.29"), crd_minors=("1.29",))
    assert find_crd_minor(oldest, None) == "1.29"
    assert find_crd_minor(replace(oldest, crds=established("1.30")), None) == "1.30"


def test_an_error_plans_nothing_for_a_new_mesh() -> None:
    decision = plan_mesh(an_observed_mesh(crds=established()), (ERROR,))
    assert decision.revision is None
    assert decision.plan == Plan(PARENT)


def test_an_error_keeps_up_what_was_accepted_last() -> None:
    observed = installed(an_observed_mesh(crds=established()))
    accepted = plan_mesh(observed, ())
    broken = replace(observed, spec=None, spec_error="bad")
    assert plan_mesh(broken, (ERROR,)).plan == accepted.plan


def test_an_object_that_is_no_longer_wanted_is_pruned_and_those_of_the_revision_are_not() -> None:
    observed = installed(an_observed_mesh(crds=established()))
    mine: Manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "istiod-revision-tag-old",
            "namespace": PARENT.namespace,
            "labels": PARENT.labels(component="tags"),
            "managedFields": OURS,
        },
    }
    revision = observed.revisions[0]["metadata"]["name"]
    other = {
        **mine,
        "metadata": {
            **mine["metadata"],
            "name": f"istiod-{revision}",
            "labels": PARENT.labels(component="istiod", revision=revision),
        },
    }
    orphan = {
        **mine,
        "metadata": {
            **mine["metadata"],
            "name": "istiod-gone",
            "labels": PARENT.labels(component="istiod", revision="gone"),
        },
    }
    trusted = a_webhook("t", parent=PARENT, tag="shop-mesh", entries={"a": {}})
    entries = tuple(replace(e, ca_bundle="root") for e in trusted.entries)
    objects = plan_mesh(observed, ()).plan.objects()
    (tag,) = [o for o in objects if o["kind"] == "MutatingWebhookConfiguration"]
    webhook = replace(trusted, ref=ref_of(tag), entries=entries)
    owned = (mine, other, orphan)
    plan = plan_mesh(replace(observed, owned=owned, webhooks=(webhook,)), ()).plan
    assert {ref.name for ref in plan.prune} == {"istiod-revision-tag-old", "istiod-gone"}


def strip_proof(manifest: Manifest) -> Manifest:
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    return {**manifest, "metadata": metadata}


@pytest.mark.parametrize(
    "change",
    [
        strip_proof,
        lambda o: {**o, "kind": "ConfigMap"},
        lambda o: {**o, "metadata": {**o["metadata"], "name": "theirs"}},
        lambda o: {**o, "metadata": {**o["metadata"], "labels": PARENT.labels(component="istiod")}},
    ],
    ids=["not applied by us", "of another kind", "of another name", "of no revision"],
)
def test_labels_alone_make_nothing_go(change: Callable[[Manifest], Manifest]) -> None:
    observed = leaving(installed(an_observed_mesh(crds=established())))
    ours: Manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "istiod-revision-tag-old",
            "namespace": PARENT.namespace,
            "uid": "u",
            "labels": PARENT.labels(component="tags"),
            "managedFields": OURS,
        },
    }
    assert ref_of(ours) in plan_mesh(replace(observed, owned=(ours,)), ()).plan.prune
    forged = change(ours)
    assert ref_of(forged) not in plan_mesh(replace(observed, owned=(forged,)), ()).plan.prune
    record = Record(ref_of(forged), "u", "tags")
    recorded = replace(observed, owned=(forged,), inventory=Inventory(records={ref_of(forged): record}))
    assert ref_of(forged) in plan_mesh(recorded, ()).plan.prune


def test_a_recorded_object_that_is_out_of_sight_goes_with_its_mesh() -> None:
    observed = leaving(installed(an_observed_mesh(crds=established())))
    ref = Ref("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", "istiod-x")
    lost = Inventory(records={ref: Record(ref, "u", "istiod", "shop-mesh-inplace")})
    assert ref in plan_mesh(replace(observed, inventory=lost), ()).plan.prune


def test_a_namespace_that_holds_another_mesh_stays_outside_although_labelled() -> None:
    labelled = Namespace("ops", {"istio.io/rev": "shop-mesh"})
    plain = Namespace("dev", {"istio.io/rev": "shop-mesh"})
    observed = an_observed_mesh(neighbours=(a_mesh("ops"),))
    observed = replace(observed, namespaces={**observed.namespaces, "ops": labelled, "dev": plain})
    revision = build_wanted_revision(observed)
    assert revision is not None
    excluded = revision["spec"]["members"]["excluded"]
    assert "ops" in excluded
    assert "dev" not in excluded
    assert {"kube-system", "navarch-system"} <= set(excluded)


def test_a_revision_is_the_same_however_many_namespaces_have_a_reserved_name() -> None:
    observed = an_observed_mesh()
    names = [f"kube-x{i}" for i in range(1100)]
    labelled = {name: Namespace(name, {"istio.io/rev": "shop-mesh"}) for name in names}
    crowded = replace(observed, namespaces={**observed.namespaces, **labelled})
    assert build_wanted_revision(crowded) == build_wanted_revision(observed)


def test_more_control_planes_than_a_revision_can_name_stop_nothing_and_the_first_ones_stay() -> None:
    def observe(count: int) -> ObservedMesh:
        names = [f"ops-{i:04}" for i in range(count)]
        neighbours = tuple(
            replace(a_mesh(name), waiting=True, created=f"2026-10-02T{i // 60:02}:{i % 60:02}:00Z")
            for i, name in enumerate(names)
        )
        labelled = {name: Namespace(name, {"istio.io/rev": "shop-mesh"}) for name in names}
        observed = an_observed_mesh(neighbours=neighbours)
        return replace(observed, namespaces={**observed.namespaces, **labelled})

    full, over = (build_wanted_revision(observe(count)) for count in (MOST_EXCLUDED, MOST_EXCLUDED + 50))
    assert full is not None
    assert len(full["spec"]["members"]["excluded"]) == MOST_EXCLUDED
    assert over == full


def leaving(observed: ObservedMesh) -> ObservedMesh:
    metadata = {**observed.body["metadata"], "deletionTimestamp": "now"}
    return replace(observed, body={**observed.body, "metadata": metadata})


def test_a_deleted_mesh_takes_its_webhooks_away_first_and_is_released_when_nothing_is_left() -> None:
    observed = leaving(installed(an_observed_mesh(crds=established())))
    webhook: Manifest = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {
            "name": "istio-revision-tag-w",
            "labels": PARENT.labels(component="tags"),
            "managedFields": OURS,
        },
    }
    deployment: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "istiod-r",
            "namespace": PARENT.namespace,
            "labels": PARENT.labels(component="istiod", revision="r"),
            "managedFields": OURS,
        },
    }
    observed = replace(observed, owned=(deployment, webhook))
    plan = plan_mesh(observed, ()).plan
    assert plan.waves == ()
    assert plan.prune[0].kind in WEBHOOK_KINDS
    assert {ref.kind for ref in plan.prune} >= {"Deployment", "MeshRevision"}
    assert not is_released(observed, plan)
    empty = replace(observed, owned=(), revisions=())
    assert is_released(empty, plan_mesh(empty, ()).plan)


def test_a_terminating_namespace_is_a_teardown() -> None:
    observed = installed(an_observed_mesh(crds=established()))
    there = Namespace(PARENT.namespace, {}, terminating=True)
    plan = plan_mesh(replace(observed, namespaces={PARENT.namespace: there}), ()).plan
    assert plan.waves == ()
    assert [ref.kind for ref in plan.prune] == ["MeshRevision"]


def an_observed_revision(**changes: Any) -> ObservedRevision:
    mesh = an_observed_mesh()
    body = build_wanted_revision(mesh)
    assert body is not None
    base = ObservedRevision(
        environment=Environment((1, 35), "navarch-system", "navarch-probe"),
        assets=assets(),
        parent=PARENT,
        body={**body, "metadata": {**body["metadata"], "generation": 1}},
        mesh=mesh.body,
        namespace=mesh.namespace,
        owned=(),
        roles=mesh.roles,
    )
    return replace(base, **changes)


def serving(plan: Plan) -> tuple[Manifest, ...]:
    """What the plan applies, with an istiod that serves."""
    status = {
        "observedGeneration": 1,
        "replicas": 1,
        "updatedReplicas": 1,
        "availableReplicas": 1,
        "readyReplicas": 1,
    }
    return tuple(
        {**o, "metadata": {**o["metadata"], "generation": 1}, "status": status}
        if o["kind"] == "Deployment"
        else o
        for o in plan.objects()
    )


def test_a_revision_applies_webhooks_only_when_an_istiod_serves() -> None:
    first = plan_revision(an_observed_revision()).plan
    assert names(first) == ["rbac", "bindings", "config", "workload"]
    assert first.waiting[0].ref.kind == "Deployment"
    second = plan_revision(an_observed_revision(owned=serving(first))).plan
    assert names(second)[-1] == "webhooks"
    assert second.waiting == ()
    assert second.prune == ()


def test_a_revision_prunes_what_it_no_longer_renders_but_nothing_of_the_mesh() -> None:
    first = plan_revision(an_observed_revision()).plan
    name = first.waves[0].objects[0]["metadata"]["labels"]["mesh.navarch.io/revision"]
    labels = PARENT.labels(component="istiod", revision=name)
    old: Manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": f"istiod-{name}-old",
            "namespace": PARENT.namespace,
            "labels": labels,
            "managedFields": OURS,
        },
    }
    tag: Manifest = {
        **old,
        "metadata": {**old["metadata"], "labels": {**labels, "mesh.navarch.io/component": "tags"}},
    }
    plan = plan_revision(an_observed_revision(owned=(*serving(first), old, tag))).plan
    assert plan.prune == (ref_of(old),)
    assert component_of(tag) in MESH_COMPONENTS


def test_a_revision_without_its_mesh_does_nothing() -> None:
    assert plan_revision(an_observed_revision(mesh=None)).plan == Plan(PARENT)


def test_an_unproved_injection_is_looked_at_soon() -> None:
    plan = replace(plan_mesh(an_observed_mesh(crds=established()), ()).plan, waiting=(), requeue_after=None)
    unproved = [{"type": ConditionType.INJECTION_READY, "status": "Unknown"}]
    proved = [{"type": ConditionType.INJECTION_READY, "status": "True"}]
    assert determine_requeue(plan, None, unproved) == 5.0
    assert determine_requeue(plan, None, proved) is None


def test_an_old_tag_goes_only_when_istiod_has_taken_up_the_new_one() -> None:
    observed = installed(an_observed_mesh(crds=established()))
    old: Manifest = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {
            "name": "istio-revision-tag-old",
            "labels": PARENT.labels(component="tags"),
            "managedFields": OURS,
        },
    }
    observed = replace(observed, owned=(old,))
    plan = plan_mesh(observed, ()).plan
    assert plan.prune == ()
    (new,) = [o for o in plan.objects() if o["kind"] == "MutatingWebhookConfiguration"]
    webhook = a_webhook(new["metadata"]["name"], parent=PARENT, tag="shop-mesh", entries={"a": {}})
    assert plan_mesh(replace(observed, webhooks=(webhook,)), ()).plan.prune == ()
    entries = tuple(replace(e, ca_bundle="root") for e in webhook.entries)
    trusted = replace(observed, webhooks=(replace(webhook, entries=entries),))
    assert [ref.name for ref in plan_mesh(trusted, ()).plan.prune] == ["istio-revision-tag-old"]


UNTRUSTED = "tls: failed to verify certificate: x509: certificate signed by unknown authority"


def injectors(observed: ObservedMesh) -> list[Manifest]:
    objects = plan_mesh(observed, ()).plan.objects()
    return [o for o in objects if o["kind"] == "MutatingWebhookConfiguration"]


def read_rereads(observed: ObservedMesh) -> list[str | None]:
    return [(o["metadata"].get("annotations") or {}).get(REREAD) for o in injectors(observed)]


def failing(observed: ObservedMesh, seconds: float, *, now: str, message: str = UNTRUSTED) -> ObservedMesh:
    probe = Probe(ProbeVerdict.WEBHOOK_FAILED, message=message, failing=seconds)
    return replace(observed, probe=probe, now=now)


def test_an_injector_that_the_api_server_has_not_read_is_written_once_more_and_then_left_alone() -> None:
    observed = installed(an_observed_mesh(spec=a_spec(defaultTag=True), crds=established()))
    first, soon, later = "2026-10-01T12:00:00Z", "2026-10-01T12:04:59Z", "2026-10-01T12:05:00Z"
    assert read_rereads(observed) == [None, None]
    assert read_rereads(failing(observed, 14.9, now=first)) == [None, None], "it may still be on its way"
    assert read_rereads(failing(observed, 600, now=first, message="no endpoints")) == [None, None]
    marked = replace(observed, owned=tuple(injectors(failing(observed, 15, now=first))))
    assert read_rereads(failing(observed, 15, now=first)) == [first, first]
    assert read_rereads(failing(marked, 60, now=soon)) == [first, first], "something else is wrong"
    assert read_rereads(failing(marked, 600, now=later)) == [later, later]
    healed = replace(marked, probe=Probe(ProbeVerdict.INJECTED, revision="x"), now=later)
    assert read_rereads(healed) == [first, first], "taking it off would be a change as well"


def test_tags_wait_while_the_revision_still_serves_another_version() -> None:
    observed = installed(an_observed_mesh(crds=established()), version="1.30.3")
    decision = plan_mesh(observed, ())
    assert names(decision.plan) == ["crds", "revision"]
    assert "still serves 1.30.3" in decision.plan.waiting[0].message


def test_crds_of_a_newer_release_are_not_touched() -> None:
    newer = tuple(replace(crd, minor="9.9") for crd in established())
    observed = an_observed_mesh(crds=newer)
    assert find_crd_minor(observed, None) is None
    assert "revision" in names(plan_mesh(observed, ()).plan)


def test_the_injectors_configuration_follows_a_rolled_out_istiod() -> None:
    plan = plan_revision(an_observed_revision()).plan
    there = tuple(stamped(o) for o in serving(plan))
    assert injector_names(plan_revision(an_observed_revision(owned=there)).plan) == injector_names(plan)
    rolling = tuple(
        {**o, "metadata": {**o["metadata"], "annotations": {APPLIED: "older"}}}
        if o["kind"] == "Deployment"
        else o
        for o in there
    )
    assert injector_names(plan_revision(an_observed_revision(owned=rolling)).plan) == []
    missing = tuple(o for o in rolling if o["kind"] != "ConfigMap")
    assert injector_names(plan_revision(an_observed_revision(owned=missing)).plan) == injector_names(plan)


def test_the_injectors_configuration_waits_for_the_end_of_terminating_pods_of_an_older_template() -> None:
    plan = plan_revision(an_observed_revision()).plan
    wanted = next(o for o in plan.objects() if o["kind"] == "Deployment")
    template = wanted["spec"]["template"]["metadata"]["labels"][TEMPLATE]
    there = tuple(stamped(o) for o in serving(plan))
    current = WorkloadPod("new", template)
    ending = WorkloadPod("old", "another", deadline="2026-11-01T00:00:30Z")

    def at(now: str, *pods: WorkloadPod) -> Plan:
        return plan_revision(an_observed_revision(owned=there, pods=pods, now=now)).plan

    held = at("2026-11-01T00:00:10Z", current, ending)
    assert injector_names(held) == []
    assert ["old" in waiting.message for waiting in held.waiting] == [True]
    assert held.requeue_after
    assert names(held) == names(at("2026-11-01T00:00:10Z", current)), "nothing else waits"
    assert injector_names(at("2026-11-01T00:00:10Z", current)) == injector_names(plan)
    assert injector_names(at("2026-11-01T00:05:29Z", current, ending)) == []
    lost = at("2026-11-01T00:05:31Z", current, ending)
    assert injector_names(lost) == injector_names(plan), "a dead node never reports the end of its pods"


LEAVING = WorkloadPod("old", "a", "2026-11-01T00:00:40Z", leaving="2026-11-01T00:00:10Z")
STAYING = WorkloadPod("new", "b", ready="2026-11-01T00:00:09Z")


def test_webhooks_get_another_path_when_an_istiod_leaves_and_keep_it() -> None:
    settled = serving(plan_revision(an_observed_revision(owned=serving(first_plan()))).plan)
    pods, now = (LEAVING, STAYING), "2026-11-01T00:00:13Z"
    plan = plan_revision(an_observed_revision(owned=settled, pods=pods, now=now)).plan
    assert read_paths(plan.objects()) == {"/inject/", "/validate/"}
    injector = next(o for o in plan.objects() if o["kind"] == "MutatingWebhookConfiguration")
    assert injector["metadata"]["annotations"] == {REDIRECTED: now}
    for later in ("2026-11-01T00:00:14Z", "2026-11-01T01:00:00Z"):
        again = plan_revision(an_observed_revision(owned=serving(plan), pods=pods, now=later)).plan
        assert again.waves[-1] == plan.waves[-1], "the wave of the webhooks"


@pytest.mark.parametrize("path", ["/inject/cluster/x", "/elsewhere", "/inject/12", None])
def test_a_webhooks_path_that_others_wrote_is_put_back(path: str | None) -> None:
    settled = serving(plan_revision(an_observed_revision(owned=serving(first_plan()))).plan)
    service = {"name": "istiod", "namespace": "mesh"} | ({"path": path} if path else {})
    there = tuple(
        {**o, "webhooks": [{**entry, "clientConfig": {"service": service}} for entry in o["webhooks"]]}
        if o["kind"] == "MutatingWebhookConfiguration"
        else o
        for o in settled
    )
    plan = plan_revision(an_observed_revision(owned=there, now="2026-11-01T00:00:13Z")).plan
    assert read_paths(plan.objects()) == {"/inject", "/validate"}


def first_plan() -> Plan:
    return plan_revision(an_observed_revision()).plan


def read_paths(objects: Iterable[Manifest]) -> set[str]:
    entries = (entry for o in objects for entry in o.get("webhooks") or ())
    return {entry["clientConfig"]["service"]["path"] for entry in entries}


def test_a_tags_webhook_has_the_path_of_the_revisions_also_while_tags_wait() -> None:
    observed = installed(an_observed_mesh(crds=established()))
    plan = plan_mesh(observed, ()).plan
    assert read_paths(plan.objects()) == {"/inject"}
    revision = next(o for o in plan.objects() if o["kind"] == "MeshRevision")
    labels = PARENT.labels(component="injection", revision=revision["metadata"]["name"])
    entry = {"name": "x", "clientConfig": {"service": {"path": "/inject/"}}}
    injector: Manifest = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "injector", "labels": labels},
        "webhooks": [entry],
    }
    there = replace(observed, owned=(*observed.owned, injector))
    moved = plan_mesh(there, ()).plan
    assert read_paths(moved.objects()) == {"/inject/"}
    tags = next(wave for wave in plan.waves if wave.name == "tags").objects
    trusting = [trust(o, caBundle="root") for o in tags]
    waiting = installed(an_observed_mesh(crds=established()), version="1.30.3")
    waiting = replace(waiting, owned=(*waiting.owned, injector, *trusting))
    held = plan_mesh(waiting, ()).plan
    restated = [o for wave in held.waves if wave.name == "route" for o in wave.objects]
    assert restated == [o for wave in moved.waves for o in wave.objects if o["kind"] in WEBHOOK_KINDS]
    done = replace(waiting, owned=(*waiting.owned[: -len(tags)], *(trust(o) for o in restated)))
    assert names(plan_mesh(done, ()).plan) == ["crds", "revision"], "nothing is left to write"


def trust(manifest: Manifest, **more: str) -> Manifest:
    """A webhook with what istiod adds to it; another object as it is."""
    if manifest["kind"] not in WEBHOOK_KINDS:
        return manifest
    entries = [{**e, "clientConfig": {**e["clientConfig"], **more}} for e in manifest["webhooks"]]
    return {**manifest, "webhooks": entries}


def injector_names(plan: Plan) -> list[str]:
    return [
        o["metadata"]["name"]
        for o in plan.objects()
        if component_of(o) == "injection" and o["kind"] == "ConfigMap"
    ]


def stamped(manifest: Manifest) -> Manifest:
    """The object as the operator leaves it: with the hash of what was applied."""
    bare = {k: v for k, v in manifest.items() if k != "status"}
    bare = {**bare, "metadata": {k: v for k, v in bare["metadata"].items() if k != "generation"}}
    annotations = {**(manifest["metadata"].get("annotations") or {}), APPLIED: stable_hash(bare)}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}


def test_what_a_vanished_mesh_left_is_removed_webhooks_first() -> None:
    plan = plan_revision(an_observed_revision()).plan
    removal = plan_removal(PARENT, plan_revision(an_observed_revision(owned=serving(plan))).plan.objects())
    assert removal.prune[0].kind in WEBHOOK_KINDS
    assert removal.requeue_after
    assert plan_removal(PARENT, ()).requeue_after is None


def test_the_labels_of_a_mesh_count_only_in_its_own_namespace() -> None:
    labels = PARENT.labels(component="istiod")
    mine = {"metadata": {"name": "x", "namespace": PARENT.namespace, "labels": labels}}
    forged = {"metadata": {"name": "x", "namespace": "elsewhere", "labels": labels}}
    assert PARENT.owns(mine)
    assert not PARENT.owns(forged)
    assert PARENT.owns({"metadata": {"name": "cluster-scoped", "labels": labels}})


def test_only_pods_in_the_mesh_s_namespaces_are_counted_with_any_annotations() -> None:
    observed = an_observed_mesh()
    namespaces = {**observed.namespaces, "app": Namespace("app", {"istio.io/rev": "shop-mesh"})}
    observed = replace(observed, namespaces=namespaces)
    name = "shop-mesh-inplace"
    inside, forged = ProxyPod("app", "p", name, ""), ProxyPod("left", "p", name, "1.31.1-x")
    moved = ProxyPod("app", "old", "other-mesh-inplace", "1.31.1-x")
    unrelated = ProxyPod("left", "q", "other-mesh-inplace", "1.31.1-x")
    pods = [inside, forged, moved, unrelated]
    census = take_census(find_effective_membership(observed), namespaces, pods, revisions={name})
    assert census == Census(counted=(inside,), outside=(forged,), of_others=(moved,))


def test_proxies_in_another_control_plane_s_namespace_are_not_the_mesh_s_though_it_carries_its_tag() -> None:
    observed = an_observed_mesh(neighbours=(a_mesh("other"),))
    namespaces = {**observed.namespaces, "other": Namespace("other", {"istio.io/rev": "shop-mesh"})}
    observed = replace(observed, namespaces=namespaces)
    own = ProxyPod("other", "p", "other-mesh-inplace", "")
    census = take_census(find_effective_membership(observed), namespaces, [own], revisions=())
    assert census == Census()
