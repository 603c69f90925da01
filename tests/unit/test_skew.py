"""Objects that another release of Navarch wrote, or has no field for: read, left out, and told."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from navarch.api.controlplane import KIND as MESH
from navarch.api.controlplane import MeshControlPlaneStatus
from navarch.api.export import RESOURCES, build_crd
from navarch.api.revision import KIND as REVISION
from navarch.core.istio.crds import find_missing
from navarch.core.mesh.checks import run_checks
from navarch.core.mesh.plan import build_wanted_revision, plan_mesh
from navarch.core.mesh.status import determine_dependencies
from navarch.core.model.installation import find_homes, tell_displaced
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.core.revision.render import render
from navarch.core.revision.rights import find_bound
from navarch.core.revision.source import find_obstacle, is_renderable
from navarch.core.world.cluster import CRD, CRDOwner, Environment
from navarch.core.world.kinds import CURRENT, ServedKinds

from tests.unit.observations import a_spec, an_observed_mesh, assets

ENVIRONMENT = Environment((1, 35), "navarch-system", "navarch-probe")
FULL = {
    "profiles": ["production"],
    "proxy": {"accessLog": {"file": "/dev/stdout"}, "nativeSidecars": True},
    "mtls": {"mode": "Strict"},
    "controlPlane": {"environment": [{"name": "PILOT_TRACE_SAMPLING", "value": "1"}], "networkPolicy": True},
    "images": {"hub": "registry.example.com/istio"},
    "meshConfig": {"accessLogFile": "/dev/stdout"},
}
SERVED = {resource.kind: build_crd(resource) for resource in RESOURCES}


def a_stored_revision(**spec: Any) -> dict[str, Any]:
    """A MeshRevision as this release writes it."""
    wanted = build_wanted_revision(an_observed_mesh(spec=a_spec(**{**FULL, **spec})))
    assert wanted is not None
    return copy.deepcopy(dict(wanted))


def list_paths(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from list_paths(value, (*above, key))


def find_parent(tree: Any, path: tuple[Any, ...]) -> Any:
    for step in path[:-1]:
        tree = tree[step]
    return tree


PATHS = list(list_paths(a_stored_revision()["spec"]))


def render_whatever_can_be_read(revision: Manifest) -> bool:
    """Whether a revision can be read; what can be read is rendered, and its roles are found."""
    if not is_renderable(revision, assets()):
        return False
    rendered = render(revision, assets(), ENVIRONMENT)
    assert any(o["kind"] == "Deployment" for wave in rendered.waves for o in wave.objects)
    return len(find_bound(revision, assets())) == 2


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_a_revision_that_lacks_a_field_is_rendered_or_told(path: tuple[Any, ...]) -> None:
    revision = a_stored_revision()
    del find_parent(revision["spec"], path)[path[-1]]
    if not render_whatever_can_be_read(revision):
        obstacle = find_obstacle(revision, assets())
        assert obstacle is not None
        assert obstacle.reason in (Reason.UNKNOWN_VERSION, Reason.REVISION_UNREADABLE)
    if path[0] == "config" and path[1:2] in (("proxy",), ("trust",), ("mtls",)):
        assert is_renderable(revision, assets())


def test_a_field_that_an_older_release_did_not_have_is_the_base_profiles() -> None:
    newer, older = a_stored_revision(proxy=None), a_stored_revision(proxy=None)
    del older["spec"]["config"]["proxy"]["readinessPeriodSeconds"]
    del older["spec"]["config"]["trust"]
    rendered = [render(revision, assets(), ENVIRONMENT).waves for revision in (newer, older)]
    assert rendered[0] == rendered[1]


def test_resources_that_a_profile_took_away_stay_away() -> None:
    revision = a_stored_revision()
    before = render(revision, assets(), ENVIRONMENT).waves
    del revision["spec"]["config"]["proxy"]["resources"]["limits"]
    after = render(revision, assets(), ENVIRONMENT).waves
    assert before != after


@pytest.mark.parametrize("path", [(), *PATHS], ids=lambda path: ".".join(map(str, path)) or "spec")
def test_a_field_that_only_a_newer_release_knows_is_passed_over(path: tuple[Any, ...]) -> None:
    known, revision = a_stored_revision(), a_stored_revision()
    at = find_parent(revision["spec"], (*path, ""))
    if not isinstance(at, dict) or path[:2] in (("config", "meshConfig"), ("config", "values")):
        return
    at["fromTomorrow"] = {"renderer": 2}
    assert render_whatever_can_be_read(revision)
    if "resources" not in path and "placement" not in path:
        rendered = [render(r, assets(), ENVIRONMENT).waves for r in (known, revision)]
        assert rendered[0] == rendered[1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"strategy": "Canary"}, Reason.REVISION_UNREADABLE),
        ({"members": "all"}, Reason.REVISION_UNREADABLE),
        ({"config": {"proxy": {"logLevel": 7}}}, Reason.REVISION_UNREADABLE),
        ({"config": []}, Reason.REVISION_UNREADABLE),
        ({"version": "1.99.0"}, Reason.UNKNOWN_VERSION),
    ],
)
def test_what_cannot_be_read_is_left_as_it_is_and_written_anew(
    change: dict[str, Any], reason: Reason
) -> None:
    revision = a_stored_revision()
    revision["spec"].update(change)
    obstacle = find_obstacle(revision, assets())
    assert obstacle is not None
    assert obstacle.reason is reason
    wanted = a_stored_revision()
    observed = an_observed_mesh(spec=a_spec(**FULL), revisions=(revision,))
    assert plan_mesh(observed, run_checks(observed)).revision == wanted
    refused = an_observed_mesh(spec=a_spec(**FULL, version="9.9"), revisions=(revision,))
    assert plan_mesh(refused, run_checks(refused)).plan.waves == ()


# --- CRDs of an older release -------------------------------------------------------------------------------


def cut(kind: str, *path: str) -> tuple[Manifest, ServedKinds]:
    """A CRD of ours without one field, and what the operator makes of it."""
    crd = copy.deepcopy(SERVED[kind])
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    at = schema
    for step in path[:-1]:
        at = at["properties"][step]
    del at["properties"][path[-1]]
    return crd, ServedKinds((find_missing(SERVED[kind], crd),), {kind: schema})


def test_what_an_older_crd_has_no_field_for_is_left_out_of_status_and_nothing_else() -> None:
    crd, kinds = cut(MESH, "status", "proxies", "misplaced")
    assert find_missing(SERVED[MESH], crd) == "field v1beta1.status.proxies.misplaced"
    proxies = {"total": 1, "outdated": 0, "misplaced": 2, "current": 1, "summary": "1/1"}
    status = {"proxies": proxies, "conditions": [{"type": "Ready", "status": "True"}], "tag": "x"}
    assert MeshControlPlaneStatus.model_validate(status | {"conditions": None})
    rest = {key: value for key, value in proxies.items() if key != "misplaced"}
    fitted = kinds.fit(MESH, "status", status)
    assert fitted == status | {"proxies": rest}
    assert kinds.fit(MESH, "status", fitted) == fitted
    assert CURRENT.fit(MESH, "status", status) == status


def test_free_form_fields_are_kept_whole() -> None:
    _, kinds = cut(REVISION, "spec", "config", "images")
    revision = a_stored_revision(values={"global": {"anything": {"at": ["all"]}}})
    config = kinds.fit(REVISION, "spec", revision["spec"])["config"]
    assert "images" not in config
    assert config == {key: value for key, value in revision["spec"]["config"].items() if key != "images"}


def test_of_a_crd_of_this_release_nothing_is_left_out() -> None:
    schema = SERVED[REVISION]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = a_stored_revision()["spec"]
    kinds = ServedKinds(("a column",), {REVISION: schema})
    assert kinds.fit(REVISION, "spec", spec) == spec


def test_a_mesh_under_older_crds_says_so_and_its_dependencies_are_met() -> None:
    _, kinds = cut(MESH, "status", "proxies", "misplaced")
    names = [crd["metadata"]["name"] for crd in assets().crds["1.31"]]
    crds = tuple(CRD(name, CRDOwner.NAVARCH, established=True, minor="1.31", lacks="") for name in names)
    current = an_observed_mesh(crds=crds, crd_minors=("1.31",))
    assert determine_dependencies(current, None).reason is Reason.DEPENDENCIES_MET
    verdict = determine_dependencies(replace(current, kinds=kinds), None)
    assert (verdict.status, verdict.reason) == ("True", Reason.NAVARCH_CRDS_OUTDATED)
    assert "misplaced" in verdict.message
    assert "navarch manifests" in verdict.message


# --- two installations --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("binding", "displaced"),
    [
        (None, False),
        ({}, False),
        ({"subjects": [{"kind": "Group", "name": "admins"}]}, False),
        ({"subjects": [{"kind": "ServiceAccount", "namespace": "here", "name": "navarch"}]}, False),
        ({"subjects": [{"kind": "ServiceAccount", "namespace": "there", "name": "navarch"}]}, True),
        ({"subjects": [{"kind": "ServiceAccount", "namespace": n} for n in ("there", "here")]}, False),
    ],
)
def test_an_installation_is_displaced_when_the_binding_names_others_only(
    binding: Manifest | None, displaced: bool
) -> None:
    text = tell_displaced(find_homes(binding), "here")
    assert bool(text) is displaced
    if displaced:
        assert "kubectl -n here scale deployment navarch --replicas=0" in text


def test_where_no_version_was_accepted_it_is_not_known_which_crds_are_needed() -> None:
    """A first mesh that was refused, or one of a minor that this release has forgotten."""
    names = [crd["metadata"]["name"] for crd in assets().crds["1.31"]]
    forgotten = tuple(CRD(name, CRDOwner.NAVARCH, established=True, minor="1.28", lacks="") for name in names)
    for crds in ((), forgotten):
        verdict = determine_dependencies(an_observed_mesh(crds=crds, crd_minors=()), None)
        assert (verdict.status, verdict.reason) == ("Unknown", Reason.NOT_YET_DETERMINED)
        assert "no version" in verdict.message
