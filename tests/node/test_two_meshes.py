"""Two teams' meshes side by side: of two minors of Istio, with two roots and two trust domains, one of them
hosted, which is then brought up to date where it stands; and what its owner gets at of the other's.

Each has two namespaces of applications. Whoever is asked by the other mesh answers a control before.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from lab.certificates import build_authority, issue
from lab.cluster import Cluster, service_account_kubeconfig
from tests.golden.rendering import NEWEST
from tests.node.conftest import Mesh, remove_mesh
from tests.node.edge import build_secret
from tests.node.programs import enter_network
from tests.node.teams import (
    FIRST,
    OLDER,
    ROOT,
    Team,
    Teams,
    read_images,
    read_root,
    two_teams,
    wait_for_census,
)
from tests.polling import eventually
from tests.support.admission import bind
from tests.support.api import Api, Object, Refused
from tests.support.members import build_member, read_labels, wait_for_member
from tests.support.meshes import list_owned, read_condition
from tests.support.operator import SYSTEM
from tests.support.workloads import ask, build_apps, is_injected, restart, traffic, wait_for_deployments

OWNER = "owner"
"""The account of whom the hosted mesh belongs to: administrator of three namespaces."""
PLAIN = "plain"
ISTIO = ("networking.istio.io", "security.istio.io")
TOKENS = "istio-ca"
"""For whom a token is made that istiod takes as proof of who asks."""
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
STATUS = """
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": f"Bearer {sys.argv[2]}"})
try:
    print(urllib.request.urlopen(request, timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


@pytest.fixture(scope="module")
async def teams(operator: Cluster, api: Api) -> AsyncIterator[Teams]:
    async with two_teams(operator, api) as made:
        yield made


@pytest.fixture(scope="module")
async def owner(api: Api, teams: Teams) -> AsyncIterator[Api]:
    """Who owns the hosted mesh: `admin` of its namespaces, with Istio's configuration there, and a token."""
    role: Object = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "istio-writer"},
        "rules": [{"apiGroups": list(ISTIO), "resources": ["*"], "verbs": ["*"]}],
    }
    api.apply(role)
    account = {"name": OWNER, "namespace": teams.south.mesh.namespace}
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    for namespace in (teams.south.mesh.namespace, *teams.south.places):
        for name in ("admin", "istio-writer"):
            api.apply(
                {**bind(namespace, name, user=OWNER), "subjects": [{"kind": "ServiceAccount", **account}]}
            )
    owner = Api(service_account_kubeconfig(teams.south.mesh.cluster, account["namespace"], OWNER))
    await eventually(lambda: not is_refused(owner, "south-more"), seconds=30, what="the roles are in force")
    yield owner
    api.delete("clusterrole", "", "istio-writer")


@pytest.fixture(scope="module")
async def plain(operator: Cluster, api: Api) -> AsyncIterator[str]:
    """A namespace of no mesh, with a client."""
    for manifest in build_apps("", "", outside=PLAIN):
        api.apply(manifest)
    await wait_for_deployments(api, PLAIN, ("stranger",))
    yield PLAIN
    api.delete("namespace", "", PLAIN)


def is_refused(client: Api, namespace: str, kind: str = "secret") -> bool:
    """Whether somebody may not list a kind."""
    try:
        client.list(kind, namespace)
    except Refused as refused:
        return refused.code == 403
    return False


def is_gone(mesh: Mesh) -> bool:
    return mesh.api.get("mesh", mesh.namespace, mesh.name) is None


async def test_two_minors_run_at_once_and_each_mesh_counts_its_own_proxies(teams: Teams, api: Api) -> None:
    for team, version in ((teams.north, OLDER), (teams.south, FIRST)):
        found = await wait_for_census(team.mesh, current=3, outdated=0)
        assert found["status"]["version"]["active"] == version
        assert read_images(api, team.mesh) == {version}


def test_each_mesh_has_a_root_of_its_own_in_its_namespaces_and_in_no_other(
    teams: Teams, api: Api, plain: str
) -> None:
    roots = [
        {read_root(api, place) for place in (team.mesh.namespace, *team.places)}
        for team in (teams.north, teams.south)
    ]
    assert [len(one) for one in roots] == [1, 1]
    assert roots[0] != roots[1]
    for nowhere in (plain, teams.south.home):
        assert api.get("configmap", nowhere, ROOT) is None


def test_pods_talk_within_their_mesh_and_not_into_the_other(teams: Teams) -> None:
    calls = teams.read_calls()
    assert calls == {"north": teams.north.places, "south": teams.south.places}


async def test_labels_that_somebody_forges_bring_no_namespace_into_a_mesh(
    teams: Teams, api: Api, plain: str
) -> None:
    """Not as administrator of all namespaces; nor does a tag by hand, on old pods or new ones."""
    anybody = api.impersonating("anybody")
    member_of = {"mesh.navarch.io/member-of": "south.demo"}
    rights = {"kind": "ClusterRoleBinding", "metadata": {"name": "anybody"}}
    role = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "patch"]}
    metadata = {"name": "labels-namespaces"}
    api.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": metadata,
            "rules": [role],
        }
    )
    api.apply({**bind("", metadata["name"], user="anybody"), **rights})
    before = read_labels(api, "north-more")

    def forge(namespace: str, labels: Object) -> str:
        try:
            anybody.patch("namespace", "", namespace, {"metadata": {"labels": labels}})
        except Refused as refused:
            return str(refused)
        return ""

    tag = {"istio.io/rev": teams.south.mesh.tag}
    await eventually(lambda: forge(plain, tag) == "", seconds=30, what="anybody may label namespaces")
    for namespace in (plain, "north-more"):
        assert "this label is Navarch's to write" in forge(namespace, member_of)
    restart(teams.south.mesh.cluster, plain, "stranger")
    await wait_for_deployments(api, plain, ("stranger",))
    assert [pod["metadata"]["name"] for pod in api.list("pod", plain) if is_injected(pod)] == []
    assert api.get("configmap", plain, ROOT) is None
    for place in (*teams.north.places, *teams.south.places):
        assert not ask(teams.south.mesh.cluster, plain, f"http://server.{place}/", client="stranger").ok
    assert read_labels(api, "north-more") == before
    api.delete("clusterrolebinding", "", "anybody")
    api.delete("clusterrole", "", metadata["name"])


def test_an_owner_reads_nothing_of_other_teams_and_nothing_beside_the_own_istiod(
    teams: Teams, owner: Api
) -> None:
    istiod = f"{teams.south.mesh.istiod}"
    for namespace in teams.south.places:
        assert not is_refused(owner, namespace)
    for namespace in (teams.south.home, teams.north.mesh.namespace, *teams.north.places, SYSTEM, ""):
        for kind in ("secret", "configmap", "pod", "serviceaccount", "deployment"):
            assert is_refused(owner, namespace, kind), (namespace, kind)
    for method, path in (
        ("POST", f"serviceaccounts/{istiod}/token"),
        ("GET", f"services/{istiod}:15014/proxy/debug/configz"),
        ("GET", f"pods/{teams.south.find_istiod()['metadata']['name']}/log"),
    ):
        with pytest.raises(Refused, match="forbidden"):
            owner.request(method, f"/api/v1/namespaces/{teams.south.home}/{path}", {})


def test_istiod_shows_an_owner_nothing_that_it_knows(teams: Teams, api: Api) -> None:
    """Asked by a workload of the root namespace, which Istio takes for one of its own; beside it, what an
    istiod that is not hosted says to this workload, and to one of its own root namespace."""
    cluster = teams.south.mesh.cluster
    tokens = [
        cluster.run("create", "token", account, "-n", namespace, f"--audience={TOKENS}").strip()
        for account, namespace in ((OWNER, "south"), ("client", "south-apps"), ("default", "north"))
    ]

    def read_status(team: Team, path: str, token: str) -> int:
        address = team.find_istiod()["status"]["podIP"]
        url = f"http://{address}:15014/debug/{path}"
        command = [*enter_network(cluster), sys.executable, "-c", STATUS, url, token]
        return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)

    for path in ("krtz", "configz"):
        assert [read_status(teams.north, path, token) for token in ("none", *tokens)] == [401, 403, 403, 200]
        assert [read_status(teams.south, path, token) for token in ("none", *tokens)] == [404] * 4


def build_client_certificates(namespace: str, credentials: dict[str, str]) -> Iterator[Object]:
    """Hosts outside of the mesh to which the namespace's client shows a certificate, each by the name of a
    Secret."""
    group = "networking.istio.io/v1"
    hosts: Object = {"hosts": [f"{name}.example" for name in credentials], "resolution": "STATIC"}
    hosts |= {"location": "MESH_EXTERNAL", "endpoints": [{"address": "192.0.2.1"}]}
    hosts["ports"] = [{"number": 443, "name": "http", "protocol": "HTTP"}]
    metadata = {"name": "elsewhere", "namespace": namespace}
    yield {"apiVersion": group, "kind": "ServiceEntry", "metadata": metadata, "spec": hosts}
    for name, credential in credentials.items():
        spec: Object = {"host": f"{name}.example", "workloadSelector": {"matchLabels": {"app": "client"}}}
        spec["trafficPolicy"] = {"tls": {"mode": "MUTUAL", "credentialName": credential}}
        metadata = {"name": name, "namespace": namespace}
        yield {"apiVersion": group, "kind": "DestinationRule", "metadata": metadata, "spec": spec}


async def test_istiod_gives_a_proxy_no_secret_of_another_namespace(
    teams: Teams, api: Api, owner: Api
) -> None:
    south, apps = teams.south, teams.south.mesh.apps
    authority = build_authority(common_name="authority")
    pair = issue(authority, common_name="client")
    api.apply(build_secret("north-apps", "web", pair, authority=authority))
    owner.apply(build_secret(apps, "own", pair, authority=authority))
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}]
    metadata = {"name": "certificates", "namespace": apps}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": metadata}
    owner.apply({**role, "kind": "Role", "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "certificates"}
    subject = {"kind": "ServiceAccount", "name": "client", "namespace": apps}
    owner.apply({**role, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]})
    wanted = {"theirs": "north-apps/web", "istiods": f"{south.home}/istio-ca-secret", "own": "own"}
    rules_of = f"/apis/networking.istio.io/v1/namespaces/{apps}/destinationrules"
    for manifest in build_client_certificates(apps, wanted):
        entries = rules_of.replace("destinationrules", "serviceentries")
        owner.request("POST", entries if manifest["kind"] == "ServiceEntry" else rules_of, manifest)

    def read_secrets() -> str:
        shown = "config_dump?resource=dynamic_active_secrets"
        proxy = ("exec", "-n", apps, "deploy/client", "-c", "istio-proxy", "--")
        return south.mesh.cluster.run(*proxy, "pilot-agent", "request", "GET", shown)

    await eventually(lambda: "kubernetes://own" in read_secrets(), seconds=60, every=0.5, what="the own one")
    name = south.find_istiod()["metadata"]["name"]

    def is_told() -> bool:
        log = south.mesh.cluster.run("logs", "-n", south.home, name)
        refused = [line for line in log.splitlines() if "unauthorized certificates" in line]
        return all(any(secret in line for line in refused) for secret in ("web", "istio-ca-secret"))

    await eventually(is_told, seconds=60, every=0.5, what="istiod tells that it refuses the others")
    assert not any(wanted[name] in read_secrets() for name in ("theirs", "istiods"))
    # A proxy that starts would wait for what it does not get.
    owner.request("DELETE", rules_of, {})


def build_reader(namespace: str) -> Object:
    """An EnvoyFilter that has proxies say, in a header of each request that comes in, what stands beside
    their account's token."""
    code = f"""
function envoy_on_request(handle)
  local file = io.open("{ACCOUNT}/namespace")
  handle:headers():add("x-read", file:read("*l"))
  file:close()
end
"""
    kind = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
    value = {
        "name": "reader",
        "typed_config": {"@type": kind, "default_source_code": {"inline_string": code}},
    }
    chain = {"name": "envoy.filters.network.http_connection_manager"}
    chain |= {"subFilter": {"name": "envoy.filters.http.router"}}
    match = {"context": "SIDECAR_INBOUND", "listener": {"filterChain": {"filter": chain}}}
    patch = {"operation": "INSERT_BEFORE", "value": value}
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "reader", "namespace": namespace},
        "spec": {"configPatches": [{"applyTo": "HTTP_FILTER", "match": match, "patch": patch}]},
    }


async def test_to_join_a_mesh_is_to_let_its_owner_read_what_proxies_read(teams: Teams, owner: Api) -> None:
    """What the guide and docs/explanation/security.md say; of the other mesh's proxies none listens."""
    south, north = teams.south, teams.north
    path = f"/apis/networking.istio.io/v1alpha3/namespaces/{south.mesh.namespace}/envoyfilters"
    owner.request("POST", path, build_reader(south.mesh.namespace))
    said = '"X-Read":"{}"'
    await eventually(
        lambda: all(said.format(place) in south.ask(place).text for place in south.places),
        seconds=60,
        every=0.5,
        what="members' proxies read a file",
    )
    assert [said.format(place) in north.ask(place).text for place in north.places] == [False, False]
    owner.request("DELETE", f"{path}/reader")


async def test_an_owner_upgrades_a_hosted_mesh_and_proxies_are_outdated_until_they_are_restarted(
    teams: Teams, owner: Api, api: Api
) -> None:
    south = teams.south.mesh
    with traffic(south.cluster, south.apps, south.url, count=60):
        owner.patch("mesh", south.namespace, south.name, {"spec": {"version": NEWEST}})
        await south.wait_for()
        found = await wait_for_census(south, current=0, outdated=3)
        assert found["status"]["version"] == {"desired": NEWEST, "active": NEWEST}
        assert read_condition(found, "UpToDate")["reason"] == "ProxiesOutdated"
        assert read_images(api, south) == {FIRST}
    restart(south.cluster, south.apps, "server", "client")
    restart(south.cluster, "south-more", "server")
    await wait_for_deployments(api, south.apps, ("server", "client"))
    await wait_for_deployments(api, "south-more", ("server",))
    found = await wait_for_census(south, current=3, outdated=0)
    assert read_condition(found, "UpToDate")["status"] == "True"
    assert read_images(api, south) == {NEWEST}


async def test_calls_follow_a_namespace_that_moves_from_one_mesh_to_the_other(teams: Teams, api: Api) -> None:
    moved, north, south = teams.north.more.pop(), teams.north, teams.south
    api.delete("member", moved, "default")
    await eventually(lambda: api.get("member", moved, "default") is None, seconds=60, what="it has left")
    assert read_labels(api, moved) == {}
    api.create(build_member(moved, south.mesh.namespace))
    await wait_for_member(api, moved)
    await wait_for_census(north.mesh, current=2, outdated=0)
    restart(south.mesh.cluster, moved, "server")
    await wait_for_deployments(api, moved, ("server",))
    await eventually(lambda: south.reaches(moved), seconds=60, every=0.5, what="it answers its new mesh")
    assert not north.ask(moved).ok
    assert read_root(api, moved) == read_root(api, south.mesh.apps)
    await wait_for_census(south.mesh, current=4, outdated=0)
    south.more.append(moved)


async def test_the_removal_of_one_mesh_leaves_the_others_traffic_untouched(teams: Teams, api: Api) -> None:
    north, south = teams.north.mesh, teams.south
    with traffic(north.cluster, north.apps, north.url, count=40):
        for place in south.more:
            api.delete("namespace", "", place)
        remove_mesh(south.mesh)
        await eventually(lambda: is_gone(south.mesh), seconds=60, every=0.2, what="the hosted mesh is gone")
        assert list_owned(api, south.mesh.namespace) == []
        assert api.get("namespace", "", south.home) is None
    found = await north.wait_for()
    assert found["status"]["proxies"]["total"] == 2
