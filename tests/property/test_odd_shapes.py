"""Free-form fields of any shape are reported as a finding or rendered; nothing raises.

The shapes are grown from what stands in those places by right, so that many of them get far.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from navarch.core.mesh.checks import run_checks
from navarch.core.mesh.plan import plan_mesh
from navarch.core.mesh.status import summarise_mesh
from navarch.core.model.actions import Outcome
from navarch.core.model.hashing import stable_hash
from navarch.core.model.refs import Manifest
from navarch.core.render.stages import build_revision_waves
from navarch.core.render.values import build_mesh_config, build_values, proxy_stamp
from navarch.core.revision.source import build_revision_input
from navarch.kube.collisions import find_collisions
from navarch.kube.evidence import find_deviations
from navarch.kube.handover import build_floor, build_handover, find_floors
from pydantic import ValidationError

from tests.unit.observations import a_spec, an_observed_mesh

SCALARS = [None, True, 0, -1, 1.5, 10**30, "", "x", "5s", "a\nb", "\x00", "\U0001f600", "{{", "#"]
ODD = st.sampled_from([*SCALARS, {}, [], [None], [[]], {"a": None}, [{}], ["x"], [1]])


def render(observed: Any) -> list[Manifest]:
    decision = plan_mesh(observed, run_checks(observed))
    if decision.revision is None:
        return []
    source = build_revision_input(decision.revision, observed.assets, observed.environment)
    return [o for wave in build_revision_waves(source, observed.assets) for o in wave.objects]


GOOD = an_observed_mesh()
OBJECTS = {(o["kind"], o["metadata"]["name"]): o for o in render(GOOD)}
SOURCE = build_revision_input(plan_mesh(GOOD, run_checks(GOOD)).revision or {}, GOOD.assets, GOOD.environment)
DEFAULTS = build_values(SOURCE, GOOD.assets)
MESH_CONFIG = build_mesh_config(SOURCE, DEFAULTS)
PATCHED = [o for o in OBJECTS.values() if o["metadata"].get("namespace")]


def grow(draw: st.DrawFn, tree: Any, depth: int = 0) -> Any:
    """Some of a tree, with odd things in place of others."""
    if draw(st.integers(0, 9)) == 0 and depth:
        return draw(ODD)
    if isinstance(tree, dict):
        kept = draw(st.sets(st.sampled_from(sorted(tree)), max_size=3)) if tree else set()
        grown = {key: grow(draw, tree[key], depth + 1) for key in sorted(kept)}
        return grown | ({"odd": draw(ODD)} if draw(st.integers(0, 4)) == 0 else {})
    if isinstance(tree, list):
        return [grow(draw, item, depth + 1) for item in tree]
    return draw(ODD) if draw(st.booleans()) else tree


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """A spec of which one part is odd."""
    match draw(st.integers(0, 3)):
        case 0:
            return {"values": grow(draw, DEFAULTS)}
        case 1:
            return {"meshConfig": grow(draw, MESH_CONFIG)}
        case 2:
            target = draw(st.sampled_from(PATCHED))
            patch = grow(draw, {k: v for k, v in target.items() if k not in ("apiVersion", "kind")})
            name = {"kind": target["kind"], "name": target["metadata"]["name"]}
            return {"overlays": [{"target": name, "patch": patch}]}
        case _:
            placement = {"affinity": grow(draw, {"nodeAffinity": {"x": [{"key": "a"}]}}), "tolerations": [{}]}
            return {"controlPlane": {"placement": placement}}


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(spec=specs())
def test_an_odd_spec_is_told_or_rendered(spec: dict[str, Any]) -> None:
    try:
        observed = an_observed_mesh(spec=a_spec(**spec))
    except ValidationError:
        return  # the schema refuses it
    look_at(observed)


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(
    content=st.builds(dict, st.fixed_dictionaries({}, optional={"values": ODD, "meshConfig": ODD})) | ODD,
    spec=specs(),
)
def test_an_odd_profile_is_told_or_rendered(content: Any, spec: dict[str, Any]) -> None:
    layer = {**content, **spec} if isinstance(content, dict) else content
    look_at(an_observed_mesh(spec=a_spec(profiles=["odd"]), profiles={"odd": layer}))


def list_places(tree: dict[str, Any], depth: int) -> list[tuple[str, ...]]:
    """The paths of all maps of a tree down to a depth."""
    inner = [(key, item) for key, item in tree.items() if isinstance(item, dict) and depth]
    return [(key, *rest) for key, item in inner for rest in [(), *list_places(item, depth - 1)]]


@pytest.mark.parametrize("kind", ["Deployment", "HorizontalPodAutoscaler"])
def test_an_overlay_may_put_something_odd_anywhere(kind: str) -> None:
    (target,) = [o for o in PATCHED if o["kind"] == kind]
    for place in (*list_places(target, 4), *(("spec", key) for key in target["spec"])):
        for odd in (None, "x"):
            patch: Any = odd
            for step in reversed(place):
                patch = {step: patch}
            overlay = {"target": {"kind": kind, "name": target["metadata"]["name"]}, "patch": patch}
            look_at(an_observed_mesh(spec=a_spec(overlays=[overlay])))


def look_at(observed: Any) -> None:
    findings = run_checks(observed)
    decision = plan_mesh(observed, findings)
    json.dumps(summarise_mesh(observed, findings, decision, Outcome()), allow_nan=False)
    if decision.revision is None:
        return
    json.dumps(decision.revision, allow_nan=False)
    proxy_stamp(
        build_revision_input(decision.revision, observed.assets, observed.environment), observed.assets
    )
    rendered = render(observed)
    floors = find_floors(rendered)
    for manifest in rendered:
        stable_hash(manifest)
        live = dict(OBJECTS.get((manifest["kind"], manifest["metadata"]["name"]), {"metadata": {}}))
        live["metadata"] = {**live["metadata"], "uid": "u", "managedFields": [OWNED]}
        list(find_collisions(manifest, live))
        build_handover(manifest, live, "navarch")
        build_floor(manifest, live, floors)
        list(find_deviations(manifest, live))


OWNED = {
    "manager": "navarch",
    "operation": "Apply",
    "fieldsV1": {"f:spec": {"f:replicas": {}, "f:ports": {'k:{"port":1,"protocol":"TCP"}': {".": {}}}}},
}
