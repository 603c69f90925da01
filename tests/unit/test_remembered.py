"""What is remembered by the hash of its input: never anything else than what would be made anew."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, cast

import pytest
from navarch.api.controlplane import MeshControlPlaneSpec
from navarch.core.istio.assets import Assets
from navarch.core.mesh.checks import CHECKS_OF_PLACE, CHECKS_OF_SPEC, layers, run_checks
from navarch.core.mesh.content import MeshContent
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.plan import build_wanted_revision, plan_mesh
from navarch.core.model.findings import Finding
from navarch.core.model.hashing import stable_hash
from navarch.core.model.naming import revision_name
from navarch.core.model.parent import MESH, Parent
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.render.stages import build_revision_waves
from navarch.core.render.values import build_values
from navarch.core.revision.render import Rendered, _render, count_renderings, render
from navarch.core.revision.source import build_revision_input
from navarch.core.world.cluster import Environment, Namespace

from tests.support.memory import Memory
from tests.unit.observations import (
    a_mesh,
    a_revision,
    a_spec,
    a_webhook,
    an_observed_mesh,
    ask,
    assets,
    content_of,
)

ENVIRONMENT = Environment((1, 35), "navarch-system", "navarch-probe")
SPECS: tuple[dict[str, Any], ...] = (
    {},
    {"meshConfig": {"accesLogFile": "/dev/stdout", "enableTracing": "yes"}},
    {"values": {"global": {"proxy": "x"}, "nothing": 1}},
    {"profiles": ["user", "missing"]},
    {"overlays": [{"target": {"kind": "Service", "name": "x"}, "patch": {"spec": {}}}]},
    {"controlPlane": {"environment": [{"name": "REVISION", "value": "x"}]}},
    {"tag": "taken", "defaultTag": True},
)


def among_others(spec: dict[str, Any], **changes: Any) -> ObservedMesh:
    """A mesh in the middle of everything that an observation can hold."""
    observed = an_observed_mesh(
        spec=a_spec(**spec),
        neighbours=(a_mesh("other", tag="taken", default_tag=True),),
        profiles={"user": {"mtls": {"mode": "Strict"}, "nothing": 1}},
        profile_errors={"broken": "not YAML"},
        revisions=(a_revision("1.31.0", serving="1.31.0"),),
        webhooks=(a_webhook("istio-sidecar-injector", entries={"rev.object.sidecar-injector.istio.io": {}}),),
        crd_minors=("1.31",),
    )
    namespaces = {**observed.namespaces, "app": Namespace("app", {"istio.io/rev": "taken"})}
    return replace(observed, namespaces=namespaces, **changes)


def run_each(observed: ObservedMesh) -> tuple[Finding, ...]:
    """What every rule says of the whole observation, asked by itself."""
    return tuple(f for check in (*CHECKS_OF_PLACE, *CHECKS_OF_SPEC) for f in ask(check, observed))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_what_is_remembered_of_the_checks_is_what_each_would_say(spec: dict[str, Any]) -> None:
    for observed in (an_observed_mesh(spec=a_spec(**spec)), among_others(spec)):
        assert run_checks(observed) == run_each(observed)
        assert run_checks(observed) == run_each(observed), "and once more, from memory"


def test_looks_that_differ_in_the_time_only_resolve_the_layers_once() -> None:
    for spec in SPECS:
        observed = among_others(spec)
        run_checks(observed)
        resolved = layers._resolve.misses
        for second in range(10):
            run_checks(replace(observed, now=f"2026-10-01T12:00:{second:02}Z"))
        assert layers._resolve.misses == resolved, spec


def test_the_values_of_a_mesh_are_built_once_for_its_rendering_and_once_for_its_checks() -> None:
    """They cost as much as half of a mesh's objects together."""
    observed = an_observed_mesh(spec=a_spec(meshConfig={"accessLogFile": "/dev/values"}))
    before = build_values.misses
    assert run_checks(observed) == ()
    assert build_values.misses == before + 1
    wanted = build_wanted_revision(observed)
    assert wanted is not None
    build_revision_waves(build_revision_input(wanted, assets(), ENVIRONMENT), assets())
    assert build_values.misses == before + 2


OTHERWISE: dict[str, Any] = {
    "environment": replace(ENVIRONMENT, operator_namespace="elsewhere"),
    "parent": Parent(MESH, "shop", "another", "uid-shop"),
    "tag": "another",
    "revision": "shop-mesh-1-30-8",
    "default_tag": True,
    "spec": MeshControlPlaneSpec.model_validate({"version": "1.30"}),
    "release": None,
    "profiles": {"another": {}},
    "profile_errors": {"another": "not YAML"},
}
"""Of every field of a mesh's content another value. The assets are handed in beside what is hashed."""


def test_no_field_of_a_mesh_s_content_is_missing_here() -> None:
    assert {*OTHERWISE, "assets"} == {field.name for field in fields(MeshContent)}


@pytest.mark.parametrize("name", OTHERWISE)
def test_each_field_that_rules_of_content_are_handed_is_covered_by_the_hash(name: str) -> None:
    content = content_of(among_others({"profiles": ["user"]}))
    assert replace(content, **{name: OTHERWISE[name]}).hash() != content.hash()


def test_values_that_compare_as_equal_and_are_not_have_hashes_of_their_own() -> None:
    hashes = {
        content_of(an_observed_mesh(spec=a_spec(values={"global": {"x": x}}))).hash() for x in (1, True, 1.0)
    }
    assert len(hashes) == 3


def test_a_profile_that_changes_changes_what_is_found() -> None:
    spec = {"profiles": ["user"]}
    good, bad = {"mtls": {"mode": "Strict"}}, {"mtls": {"mode": "Strict"}, "nothing": 1}
    assert run_checks(among_others(spec, profiles={"user": good})) != run_checks(
        among_others(spec, profiles={"user": bad})
    )


def a_rendering(revision: Manifest, *, data: Assets | None = None, probe: str = "navarch-probe") -> Any:
    return render(revision, data or assets(), replace(ENVIRONMENT, probe_namespace=probe))


def a_wanted(**spec: Any) -> Manifest:
    wanted = build_wanted_revision(an_observed_mesh(spec=a_spec(**spec)))
    assert wanted is not None
    return wanted


def test_equal_revisions_share_one_rendering_with_any_status_and_order() -> None:
    wanted = a_wanted()
    first = a_rendering(wanted)
    other = {key: wanted[key] for key in reversed(wanted)} | {"status": {"version": "1.31.0"}}
    other["metadata"] = {**wanted["metadata"], "resourceVersion": "7", "annotations": {"a": "b"}}
    before = count_renderings()
    again = a_rendering(other)
    assert again == first
    assert again.mesh_waves is first.mesh_waves
    assert count_renderings() == {**before, "remembered": before["remembered"] + 1}


def test_each_input_of_a_rendering_counts() -> None:
    wanted, made = a_wanted(), count_renderings()["made"]
    first = a_rendering(wanted)
    labels = {**wanted["metadata"]["labels"], "mesh.navarch.io/mesh-uid": "another"}
    renderings = [
        first,
        a_rendering(a_wanted(meshConfig={"accessLogFile": "/dev/stdout"})),
        a_rendering(wanted, probe="elsewhere"),
        a_rendering({**wanted, "metadata": {**wanted["metadata"], "labels": labels}}),
        a_rendering(wanted, data=replace(assets())),
    ]
    assert len({stable_hash([r.waves, r.mesh_waves, r.proxy]) for r in renderings}) == len(renderings) - 1
    assert count_renderings()["made"] >= made + len(renderings) - 1
    assert renderings[-1] == first


def test_a_plan_leaves_what_is_remembered_as_it_is() -> None:
    overlay = {"target": {"kind": "Service", "name": "istiod-shop-mesh-inplace"}, "patch": {"spec": {"x": 1}}}
    for spec in ({}, {"overlays": [overlay]}, {"defaultTag": True, "mtls": {"mode": "Strict"}}):
        observed = an_observed_mesh(spec=a_spec(**spec))
        rendered = a_rendering(a_wanted(**spec))
        before = stable_hash([rendered.waves, rendered.mesh_waves])
        plan_mesh(observed, run_checks(observed))
        for seen in (rendered, a_rendering(a_wanted(**spec))):
            assert stable_hash([seen.waves, seen.mesh_waves]) == before


async def test_looks_and_repairs_leave_what_is_remembered_as_it_is() -> None:
    memory, name = Memory(), revision_name("a-demo")
    await memory.add_mesh("a", mtls={"mode": "Strict"})

    def look_at_rendering() -> Rendered:
        revision = memory.objects["MeshRevision", "a", name]
        return render(revision, memory.world.assets, memory.world.environment)

    rendered = look_at_rendering()
    before = stable_hash([rendered.waves, rendered.mesh_waves])
    wanted = [o for wave in (*rendered.waves, *rendered.mesh_waves) for o in wave.objects]
    assert len(wanted) > 10
    for manifest in wanted:
        ref = ref_of(manifest)
        current = memory.objects[ref.kind, ref.namespace, ref.name]
        memory.put({**current, "metadata": {**current["metadata"], "annotations": {}}})
        memory.requests.clear()
        await memory.look("a", name)
        assert any(request.startswith(f"apply {ref}") for request in memory.requests), "it was repaired"
    seen = look_at_rendering()
    assert seen.mesh_waves is rendered.mesh_waves
    for each in (seen, rendered):
        assert stable_hash([each.waves, each.mesh_waves]) == before


def test_what_is_kept_of_a_rendering_is_what_was_rendered() -> None:
    """Also where the text that stands between the parts occurs nowhere, or the templates are the user's."""
    for spec in ({}, {"values": {"sidecarInjectorWebhook": {"templates": {"x": "y" * 9000}}}}):
        wanted = a_wanted(**spec)
        source = build_revision_input(wanted, assets(), ENVIRONMENT)
        made = build_revision_waves(source, assets())
        for rendered in (a_rendering(wanted), a_rendering(wanted)):
            assert stable_hash([w.objects for w in rendered.waves]) == stable_hash([w.objects for w in made])


def test_meshes_of_one_version_keep_the_injection_templates_once() -> None:
    def find_parts(namespace: str) -> tuple[str, ...]:
        wanted = build_wanted_revision(
            an_observed_mesh(parent=Parent(MESH, namespace, "mesh", f"uid-{namespace}"))
        )
        assert wanted is not None
        render(wanted, assets(), ENVIRONMENT)
        _, _, kept = _render._kept[f"{namespace}/{wanted['metadata']['name']}"]
        objects = [o for wave in kept.waves for o in wave.objects if o["kind"] == "ConfigMap"]
        (parts,) = [o["data"]["config"].texts for o in objects if "config" in o["data"]]
        return cast(tuple[str, ...], parts)

    first, second = find_parts("one"), find_parts("two")
    assert sum(map(len, first)) > 50_000
    assert [id(text) for text in first] == [id(text) for text in second]
