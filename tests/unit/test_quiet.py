"""What counts against a mesh that is to be quiet."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.support.audit import Request
from tests.support.meshes import build_mesh
from tests.support.quiet import is_settled, leave_out


def ask(verb: str, resource: str, *, namespace: str = "", name: str = "") -> Request:
    return Request(
        user="operator",
        verb=verb,
        group="",
        resource=resource,
        subresource="",
        namespace=namespace,
        name=name,
        code=200,
        agent="",
        uri="",
        dry_run=False,
        forbidden=False,
        received=datetime.now(UTC),
        credential="",
    )


def test_writes_of_every_scope_count_and_so_do_reads_and_events() -> None:
    sent = [
        ask("patch", "clusterroles", name="istiod-t1-demo-inplace"),
        ask("patch", "customresourcedefinitions", name="gateways.networking.istio.io"),
        ask("delete", "mutatingwebhookconfigurations", name="of-no-mesh"),
        ask("create", "events", namespace="t1", name="x"),
        ask("list", "pods"),
    ]
    assert [*leave_out(sent, [build_mesh("t2")])] == sent


def test_other_meshes_the_lease_and_watches_do_not_count() -> None:
    sent = [
        ask("patch", "clusterroles", name="istiod-t2-demo-inplace"),
        ask("get", "meshcontrolplanes", namespace="t2", name="demo"),
        ask("update", "leases", namespace="navarch-system", name="navarch"),
        ask("watch", "pods"),
    ]
    assert [*leave_out(sent, [build_mesh("t2")])] == []


def test_settled_is_what_is_ready_as_it_is_specified_now_and_stays() -> None:
    good = {"Ready": "True", "Progressing": "False"}

    def tell(*, generation: int = 1, **states: str) -> bool:
        mesh = build_mesh("t1")
        mesh["metadata"]["generation"] = 1
        conditions = [{"type": kind, "status": status} for kind, status in {**good, **states}.items()]
        mesh["status"] = {"observedGeneration": generation, "conditions": conditions}
        return is_settled(mesh)

    assert tell()
    assert not tell(generation=0)
    assert not tell(Ready="False")
    assert not tell(Progressing="True")
    gone = build_mesh("t1")
    assert not is_settled(gone)
