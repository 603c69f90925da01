"""What the operator tells of itself: probes, metrics, logs."""

from __future__ import annotations

from tests.polling import eventually
from tests.support.activity import add_up, read_metric, read_metrics, wait_for_rest
from tests.support.api import Api
from tests.support.logs import read_events
from tests.support.meshes import build_mesh, wait_for
from tests.support.operator import Operator

CONTROLLER_RUNTIME = {
    "reconcile_total",
    "reconcile_time_seconds_count",
    "active_workers",
    "max_concurrent_reconciles",
    "workqueue_depth",
    "workqueue_adds_total",
    "workqueue_queue_duration_seconds_count",
    "workqueue_work_duration_seconds_count",
    "workqueue_unfinished_work_seconds",
    "workqueue_longest_running_processor_seconds",
    "rest_client_requests_total",
    "leader_election_master_status",
}
"""What there is a sample of in a process that had no trouble; errors and retries show once they happen."""
DECLARED = {
    "reconcile_errors",
    "reconcile_terminal_errors",
    "reconcile_panics",
    "workqueue_retries",
    "drift_repaired",
    "apply",
}


def test_a_running_operator_is_live_and_ready(operator: Operator) -> None:
    assert operator.fetch("/livez") == (200, "ok")
    assert operator.fetch("/readyz") == (200, "ok")
    assert operator.fetch("/nothing")[0] == 404


async def test_metrics_mirror_controller_runtimes(api: Api, operator: Operator, lent: str) -> None:
    await wait_for_rest(operator)
    samples = read_metrics(operator)
    there = {sample.name.removeprefix("navarch_") for sample in samples}
    assert there >= CONTROLLER_RUNTIME
    text = operator.fetch("/metrics")[1]
    assert [name for name in DECLARED if f"# TYPE navarch_{name}_total counter" not in text] == []
    for controller in ("MeshControlPlane", "MeshRevision"):
        assert add_up(samples, "reconcile_total", controller=controller) > 0
        assert add_up(samples, "workqueue_adds_total", controller=controller) > 0
        assert add_up(samples, "active_workers", controller=controller) == 0
    assert add_up(samples, "leader_election_master_status") == 1
    assert add_up(samples, "reconcile_panics_total") == 0
    assert add_up(samples, "rest_client_requests_total", method="PATCH", code="201") > 0
    watches = {sample.labels["watch"] for sample in samples if sample.name == "navarch_watch_age_seconds"}
    assert {"meshes", "revisions", "crds", "Deployment"} <= watches


async def test_a_meshs_metrics_say_what_its_status_says_and_go_with_it(
    api: Api, operator: Operator, fresh: str
) -> None:
    api.create(build_mesh(fresh))
    mesh = await wait_for(api, fresh)
    await wait_for_rest(operator)
    samples = read_metrics(operator)
    for condition in mesh["status"]["conditions"]:
        for status in ("True", "False", "Unknown"):
            labels = {
                "kind": "MeshControlPlane",
                "namespace": fresh,
                "type": condition["type"],
                "status": status,
            }
            assert add_up(samples, "condition", **labels) == (condition["status"] == status), labels
    component = mesh["status"]["components"][0]
    of_mesh = {"namespace": fresh, "mesh": "demo"}
    assert (
        add_up(samples, "component_ready_pods", component=component["name"], **of_mesh)
        == component["ready"]
        == 1
    )
    assert add_up(samples, "component_desired_pods", component=component["name"], **of_mesh) == 1
    assert add_up(samples, "proxies", state="total", **of_mesh) == mesh["status"]["proxies"]["total"]
    of_mesh = {"kind": "MeshControlPlane", "namespace": fresh, "name": "demo"}
    assert add_up(samples, "apply_total", outcome="created", **of_mesh) >= 12
    assert add_up(samples, "apply_total", outcome="failed", **of_mesh) == 0
    assert add_up(samples, "drift_repaired_total", **of_mesh) == 0
    api.delete("mesh", fresh, "demo")

    def is_forgotten() -> bool:
        return not [s for s in read_metrics(operator) if s.labels.get("namespace") == fresh]

    await eventually(is_forgotten, seconds=30, every=0.2, what="no series of the mesh is left")


async def test_applies_and_repairs_are_counted_by_outcome(api: Api, operator: Operator, lent: str) -> None:
    before = read_metric(operator, "apply_total", outcome="configured", namespace=lent)
    repaired = read_metric(operator, "drift_repaired_total", namespace=lent)
    api.patch("configmap", lent, f"istio-{lent}-demo-inplace", {"data": {"mesh": ""}})
    await eventually(
        lambda: read_metric(operator, "drift_repaired_total", namespace=lent) == repaired + 1,
        what="the repair is counted",
    )
    assert read_metric(operator, "apply_total", outcome="configured", namespace=lent) == before + 1


async def test_logs_are_json_and_name_the_reconcile(api: Api, operator: Operator, lent: str) -> None:
    await wait_for_rest(operator)
    lines = [*read_events(operator.log)]
    assert all({"time", "level", "event", "logger"} <= line.keys() for line in lines)
    reconciles = [line for line in lines if line.get("namespace") == lent]
    written = [line for line in reconciles if line["event"] == "written"]
    assert {line["kind"] for line in written} == {"MeshControlPlane", "MeshRevision"}
    assert any(f"Deployment {lent}/istiod-{lent}-demo-inplace created" in line["objects"] for line in written)
    assert all(line["reconcile_id"] and line["name"] for line in reconciles)
    by_id: dict[str, set[tuple[str, str]]] = {}
    for line in reconciles:
        by_id.setdefault(line["reconcile_id"], set()).add((line["kind"], line["name"]))
    assert all(len(keys) == 1 for keys in by_id.values()), "one id, one key"
    # kopf calls it an error when it tries again, also because the process was ended while it began; a Lease
    # is lost where the API server does not answer in time.
    own = [line for line in lines if line["logger"].startswith("navarch") and "lease" not in line]
    assert [line for line in own if line["level"] == "error"] == []
