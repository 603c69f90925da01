"""Random versions of meshes and gateways: what is accepted is supported by Istio, and no upgrade rolls it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from navarch.core.gateway.checks import run_checks
from navarch.core.gateway.pin import find_pin
from navarch.core.gateway.plan import build_gateway, plan_gateway
from navarch.core.model.findings import is_accepted
from navarch.core.model.labels import PROXY_IMAGE

from tests.unit.gateways import a_gateway, find, pinned, settled, with_mesh
from tests.unit.observations import assets

VERSIONS = assets().catalog.versions
MINORS = tuple(minor.name for minor in assets().catalog.minors)
meshes = st.sampled_from(VERSIONS)
pins = st.sampled_from((*VERSIONS, *MINORS, "1.28", "2.0.0"))
configs = st.sampled_from(({}, {"proxy": {"logLevel": "debug"}}, {"images": {"hub": "mirror.example.org/x"}}))


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@settings(deadline=None, max_examples=60)
@given(mesh=meshes, pin=pins, config=configs)
def test_a_pin_is_accepted_exactly_where_its_proxies_are_supported(
    mesh: str, pin: str, config: dict[str, Any]
) -> None:
    observed = pinned(pin, mesh=mesh, **config)
    (_, istiod, _), asked = numbers(mesh), numbers(pin)
    known = pin in VERSIONS or pin in MINORS
    in_time = len(asked) == 2 or asked <= numbers(mesh)
    supported = known and in_time and istiod - 1 <= asked[1] <= istiod
    assert is_accepted(run_checks(observed)) == supported
    found = find_pin(observed)
    assert (found is not None) == supported
    if found is not None:
        assert numbers(found.version) <= numbers(mesh)
        assert f"{found.version}.".startswith(f"{pin}.")
        hub = config.get("images", {}).get("hub") or assets().catalog.find(found.version).minor.hub  # type: ignore[union-attr]
        assert found.image == f"{hub}/proxyv2:{found.version}"


@settings(deadline=None, max_examples=40)
@given(
    before=meshes, after=meshes, pin=st.sampled_from(VERSIONS), serves=st.booleans(), follows=st.booleans()
)
def test_no_upgrade_of_a_mesh_changes_pods_of_an_exact_pin_at_any_moment(
    before: str, after: str, pin: str, serves: bool, follows: bool
) -> None:
    first = pinned(pin, mesh=before)
    if not is_accepted(run_checks(first)):
        return
    made = settled(first)
    moment = with_mesh(
        a_gateway({"version": pin}),
        after,
        serving=after if serves else before,
        stamp="" if follows else first.stamp,
    )
    now = replace(moment, owned=made.owned, proxies=made.proxies)
    findings = run_checks(now)
    plan = plan_gateway(now, findings)
    kinds = [o for o in plan.objects() if o["kind"] == "Deployment"]
    if not is_accepted(findings):
        assert (kinds, plan.prune) == ([], ())
        return
    template = find(build_gateway(made), "Deployment")["spec"]["template"]
    assert find(build_gateway(now), "Deployment")["spec"]["template"] == template
    assert template["metadata"]["annotations"][PROXY_IMAGE].endswith(f":{pin}")
