"""Meshes beside each other: nothing is fought over, and what one does leaves the others alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from navarch.assets import load_catalog

from tests.cluster.conftest import assert_quiet
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.meshes import build_mesh, edit, list_owned, read_condition, read_versions, wait_for
from tests.support.operator import Operator

MINOR = "mesh.navarch.io/istio-minor"


@asynccontextmanager
async def another_namespace(api: Api, name: str, labels: dict[str, str] | None = None) -> AsyncIterator[str]:
    """A second namespace of a test's, gone afterwards with the mesh in it."""
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}})
    try:
        yield name
    finally:
        for mesh in api.list("mesh", name):
            api.delete("mesh", name, mesh["metadata"]["name"])
        api.delete("namespace", "", name)


async def see_gone(api: Api, namespace: str, name: str = "demo") -> None:
    """Wait until a mesh is gone."""
    await eventually(
        lambda: api.get("mesh", namespace, name) is None, seconds=30, what=f"{namespace}/{name} is gone"
    )


def list_crds(api: Api) -> list[Object]:
    return [crd for crd in api.list("crd") if crd["metadata"]["name"].endswith(".istio.io")]


# --- two meshes in two namespaces --------------------------------------------------------------------------


async def test_two_meshes_of_different_versions_fight_over_nothing_and_one_goes_without_a_trace_in_the_other(
    api: Api, audit: Audit, operator: Operator, settled: str
) -> None:
    mark = audit.mark()
    async with another_namespace(api, f"{settled}-b") as other:
        api.create(build_mesh(settled, version="1.30"))
        api.create(build_mesh(other, version="1.31"))
        for namespace, minor in ((settled, "1.30"), (other, "1.31")):
            newest = load_catalog().find(minor)
            assert newest is not None
            assert (await wait_for(api, namespace))["status"]["version"]["active"] == newest.version
        crds = list_crds(api)
        assert {crd["metadata"]["labels"].get(MINOR) for crd in crds} == {"1.31"}
        written = [r.name for r in audit.writes(mark) if r.resource == "customresourcedefinitions"]
        assert len(written) <= 2 * len(crds), "each CRD at most once for either minor"
        names = [{o["metadata"]["name"] for o in list_owned(api, n)} for n in (settled, other)]
        assert not names[0] & names[1]
        await assert_quiet(api, audit, operator, settled, "demo")
        await assert_quiet(api, audit, operator, other, "demo")
        assert read_versions(list_crds(api)) == read_versions(crds)
        before, mark = list_owned(api, settled), audit.mark()
        api.delete("mesh", other, "demo")
        await see_gone(api, other)
        assert list_owned(api, other) == []
        assert read_versions(list_owned(api, settled)) == read_versions(before)
        mesh = await wait_for(api, settled)
        assert [str(w) for w in audit.writes(mark) if w.namespace == settled] == []
        assert read_condition(mesh, "Available")["status"] == "True"
        edit(api, settled, meshConfig={"accessLogFile": "/dev/stdout"})
        await wait_for(api, settled)
        assert read_versions(list_crds(api)) == read_versions(crds), "never taken back to an older minor"


async def test_what_all_meshes_want_is_put_back_by_one_of_them(
    api: Api, audit: Audit, operator: Operator, settled: str
) -> None:
    name = "wasmplugins.extensions.istio.io"
    async with another_namespace(api, f"{settled}-b") as other:
        for namespace in (settled, other):
            api.create(build_mesh(namespace))
            await wait_for(api, namespace)
        for attempt in ("one", "two", "three"):
            before = (api.get("crd", "", name) or {})["spec"]["names"]["categories"]
            mark = audit.mark()
            api.patch("crd", "", name, {"spec": {"names": {"categories": [attempt]}}})
            await eventually(
                lambda before=before: (
                    (api.get("crd", "", name) or {})["spec"]["names"]["categories"] == before
                ),
                seconds=20,
                what="the CRD is put back",
            )
            for namespace in (settled, other):
                await assert_quiet(api, audit, operator, namespace, "demo")
            assert [r.name for r in audit.writes(mark) if r.resource == "customresourcedefinitions"] == [name]


# --- two meshes in one namespace ---------------------------------------------------------------------------


async def test_a_second_mesh_in_a_namespace_waits_and_says_for_whom(
    api: Api, audit: Audit, operator: Operator, settled: str
) -> None:
    api.create(build_mesh(settled, "first"))
    await wait_for(api, settled, "first")
    before = list_owned(api, settled, "first")
    api.create(build_mesh(settled, "second"))
    second = await wait_for(
        api, settled, "second", condition="SpecAccepted", status="False", reason="NotTheOldest"
    )
    message = read_condition(second, "SpecAccepted")["message"]
    assert f"mesh {settled}/first" in message
    assert "edit this one" in message
    assert read_condition(second, "Ready")["reason"] == "NotTheOldest"
    assert list_owned(api, settled, "second") == []
    assert read_versions(list_owned(api, settled, "first")) == read_versions(before)

    api.delete("mesh", settled, "first")
    await see_gone(api, settled, "first")
    await eventually(lambda: "waits for an edit" in _read_accepted(api, settled, "second")["message"])
    await assert_quiet(api, audit, operator, settled, "second")
    assert _read_accepted(api, settled, "second")["reason"] == "NotTheOldest"
    assert list_owned(api, settled, "second") == []

    edit(api, settled, "second", meshConfig={"accessLogFile": "/dev/stdout"})
    await wait_for(api, settled, "second")


def _read_accepted(api: Api, namespace: str, name: str) -> Object:
    return read_condition(api.get("mesh", namespace, name), "SpecAccepted")


# --- tags --------------------------------------------------------------------------------------------------


async def test_a_tag_has_one_owner_in_the_whole_cluster(api: Api, settled: str) -> None:
    async with another_namespace(api, f"{settled}-b") as other:
        tag = f"{settled}-shared"
        api.create(build_mesh(settled, tag=tag))
        await wait_for(api, settled)
        before = list_owned(api, settled)
        api.create(build_mesh(other, tag=tag))
        refused = await wait_for(api, other, condition="SpecAccepted", status="False", reason="TagConflict")
        message = read_condition(refused, "SpecAccepted")["message"]
        assert f"spec.tag: '{tag}'" in message
        assert f"mesh {settled}/demo" in message
        assert list_owned(api, other) == []
        assert read_versions(list_owned(api, settled)) == read_versions(before)

        api.delete("mesh", settled, "demo")
        await see_gone(api, settled, "demo")
        await eventually(lambda: "waits for an edit" in _read_accepted(api, other, "demo")["message"])
        assert list_owned(api, other) == [], "no mesh inherits the namespaces that carry another mesh's tag"
        edit(api, other, meshConfig={"accessLogFile": "/dev/stdout"})
        await wait_for(api, other)


async def test_a_mesh_that_was_refused_keeps_no_tag_from_others(api: Api, settled: str) -> None:
    async with another_namespace(api, f"{settled}-b") as other:
        api.create(build_mesh(settled))
        await wait_for(api, settled)
        tag = f"{settled}-payments"
        api.create(build_mesh(settled, "squatter", tag=tag, defaultTag=True))
        refused = {"condition": "SpecAccepted", "status": "False", "reason": "NotTheOldest"}
        await wait_for(api, settled, "squatter", **refused)
        api.create(build_mesh(other, tag=tag, defaultTag=True))
        await wait_for(api, other)


async def test_the_default_tag_has_one_owner_and_passes_on(api: Api, settled: str) -> None:
    async with another_namespace(api, f"{settled}-b") as other:
        api.create(build_mesh(settled, defaultTag=True))
        await wait_for(api, settled)
        names = {o["metadata"]["name"] for o in list_owned(api, settled)}
        assert f"istio-revision-tag-default-{settled}" in names
        assert "istiod-default-validator" in names
        api.create(build_mesh(other, version="1.30"))
        await wait_for(api, other)
        before = list_owned(api, other)
        edit(api, other, defaultTag=True)
        refused = await wait_for(
            api, other, condition="SpecAccepted", status="False", reason="DefaultTagConflict"
        )
        message = read_condition(refused, "SpecAccepted")["message"]
        assert "spec.defaultTag: 'true'" in message
        assert f"mesh {settled}/demo" in message
        assert read_condition(refused, "Available")["status"] == "True"
        assert read_versions(list_owned(api, other)) == read_versions(before)

        edit(api, settled, defaultTag=None)
        await wait_for(api, settled)
        waits = "waits for an edit"
        await eventually(lambda: waits in _read_accepted(api, other, "demo")["message"])
        edit(api, other, meshConfig={"accessLogFile": "/dev/stdout"})
        await wait_for(api, other)
        names = {o["metadata"]["name"] for o in list_owned(api, other)}
        assert {"istio-revision-tag-default", "istiod-default-validator"} <= names
        assert not any(
            "default" in o["metadata"]["name"] for o in list_owned(api, settled) if o["kind"][-5:] == "ation"
        )

        api.delete("mesh", other, "demo")
        await see_gone(api, other, "demo")
        assert list_owned(api, other) == [], "what has moved to another namespace goes like all else"
        edit(api, settled, defaultTag=True)
        await wait_for(api, settled)


# --- control-plane namespaces ------------------------------------------------------------------------------


async def test_a_mesh_never_takes_the_namespace_of_another_ones_control_plane(api: Api, settled: str) -> None:
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    async with another_namespace(api, f"{settled}-b", {"istio.io/rev": f"{settled}-demo"}) as other:
        api.create(build_mesh(other))
        await wait_for(api, other)

        def read_excluded() -> list[str]:
            revision = api.get("revision", settled, f"{settled}-demo-inplace")
            assert revision is not None
            excluded: list[str] = revision["spec"]["members"]["excluded"]
            return excluded

        await eventually(
            lambda: other in read_excluded(), what=f"{other} is excluded from the mesh of {settled}"
        )
        await wait_for(api, settled)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "in-between", "namespace": other},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        }
        annotations = api.create(pod, dry_run=True)["metadata"].get("annotations") or {}
        assert annotations.get("istio.io/rev") != f"{settled}-demo-inplace"
    await eventually(
        lambda: f"{settled}-b" not in read_excluded(), seconds=30, what="the namespace is forgotten"
    )
    await wait_for(api, settled)
