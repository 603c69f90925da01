"""NetworkPolicies that are enforced for real: who reaches a mesh's members and its control plane.

A second mesh stands beside the shared one. Each refusal has its control: the same request with the firewall
running and no policy yet.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from lab.cluster import Cluster
from lab.node.firewall import enforced_policies
from tests.node.conftest import PROFILES, Mesh, remove_mesh
from tests.node.test_gateways import build_route
from tests.polling import eventually
from tests.support.api import Api
from tests.support.gateways import build_gateway, wait_for_gateway
from tests.support.members import build_member, wait_for_member
from tests.support.meshes import build_mesh
from tests.support.workloads import ask, create_namespace, restart, start_apps, wait_for_deployments

WALLED, SECOND = "walled", "walled-second"
UNREACHED = ("dial tcp", "deadline exceeded", "Client.Timeout")
"""What Go's HTTP client says of a connection that does not come about."""
ISOLATED = {"manage": True, "isolateMembers": True}


@pytest.fixture(scope="module")
def enforced(operator: Cluster) -> Iterator[None]:
    with enforced_policies(operator):
        yield


@pytest.fixture(scope="module")
async def walled(enforced: None, operator: Cluster, api: Api, mesh: Mesh) -> AsyncIterator[Mesh]:
    """A mesh of two members, with an ingress gateway in the first; it has no policy yet."""
    made = Mesh(api, operator, WALLED, "demo", apps=f"{WALLED}-apps", outside=mesh.outside)
    await create_namespace(api, WALLED)
    api.create(build_mesh(WALLED, profiles=PROFILES, scope="Members"))
    await made.wait_for()
    try:
        for name in (made.apps, SECOND):
            await create_namespace(api, name)
            api.create(build_member(name, WALLED))
            await wait_for_member(api, name)
            await start_apps(api, name, made.tag)
        api.create(build_gateway(made.apps, WALLED))
        for manifest in build_route(made.apps):
            api.create(manifest)
        await wait_for_gateway(api, made.apps)
        yield made
    finally:
        api.delete("namespace", "", SECOND)
        remove_mesh(made)


class Calls:
    """Who asks whom."""

    def __init__(self, walled: Mesh, shared: Mesh) -> None:
        self.walled, self.shared = walled, shared
        (pod,) = walled.list_istiods()
        istiod = f"http://{pod['status']['podIP']}"
        self.metrics, self.debug = f"{istiod}:15014/metrics", f"{istiod}:8080/ready"
        self.plaintext, self.discovery = f"{istiod}:15010/", f"{istiod}:15012/"
        self.gateway = f"http://ingress.{walled.apps}/"

    def from_members(self) -> list[bool]:
        """From the server's own namespace, and from the mesh's other one."""
        return [ask(self.walled.cluster, name, self.walled.url).ok for name in (self.walled.apps, SECOND)]

    def from_outside(self, url: str) -> bool:
        """Whether a connection comes about; what is served on it need not be HTTP."""
        answer = ask(self.walled.cluster, self.walled.outside, url, client="stranger")
        return answer.ok or not any(text in answer.text for text in UNREACHED)

    def from_other_mesh(self) -> bool:
        return ask(self.walled.cluster, self.shared.apps, self.walled.url).ok

    async def see(self, url: str, *, reached: bool, what: str) -> None:
        """Until a client outside of all meshes reaches a place, or does not any more."""
        await eventually(lambda: self.from_outside(url) is reached, seconds=60, every=0.5, what=what)


@pytest.fixture
def calls(walled: Mesh, mesh: Mesh) -> Calls:
    return Calls(walled, mesh)


async def test_members_and_istiod_are_reached_by_their_own_mesh_and_by_no_one_else(
    walled: Mesh, calls: Calls, api: Api
) -> None:
    """Without policies everybody reaches everything, with them only who is meant to; and then pods are still
    injected, configured and found ready."""
    await calls.see(calls.gateway, reached=True, what="the gateway's route is in force")
    places = [calls.walled.url, calls.metrics, calls.debug, calls.plaintext, calls.discovery]
    assert [calls.from_outside(place) for place in places] == [True] * len(places)
    assert calls.from_other_mesh()
    assert calls.from_members() == [True, True]

    walled.edit(networkPolicies=ISOLATED)
    for place in places:
        await calls.see(place, reached=False, what=f"{place} is refused")
    assert calls.from_members() == [True, True]
    assert calls.from_outside(calls.gateway), "clients of a gateway come from anywhere"
    assert not ask(walled.cluster, walled.apps, calls.metrics).ok, "metrics are for who is named"

    restart(walled.cluster, walled.apps, "server", "client")
    await wait_for_deployments(api, walled.apps, ("server", "client"))
    assert calls.from_members() == [True, True]
    # Its proxy keeps a connection to the server before this one, until that has ended.
    await eventually(lambda: not calls.from_other_mesh(), seconds=60, what="the other mesh is refused")
    await walled.wait_for()

    walled.edit(networkPolicies={**ISOLATED, "monitoringNamespaces": [walled.outside]})
    await calls.see(calls.metrics, reached=True, what="metrics are let out to those who are named")
    assert not calls.from_outside(calls.debug)
    walled.edit(networkPolicies=None)
    for place in places:
        await calls.see(place, reached=True, what=f"{place} is reached again")
