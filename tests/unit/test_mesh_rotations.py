"""A mesh goes to another root, look by look: its Secrets, its istiod's restarts, and what it says."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from navarch.core.trust.evidence import SeenTrust, Shown, Targets
from navarch.core.trust.reading import read_secret

from tests.support.managed import decode
from tests.support.meshes import read_condition
from tests.unit.test_managed_authorities import HEALTHY, Meshed, a_managed_mesh
from tests.unit.test_successions import NS

GENERATION, STRATEGY = "mesh.navarch.io/root-generation", "mesh.navarch.io/root-strategy"


class Showing:
    """What istiods and proxies show: what `cacerts` says, but for those who lag. In TrustReader's place."""

    def __init__(self, cluster: Meshed) -> None:
        self.cluster = cluster
        self.asked: Targets | None = None
        self.lagging: dict[str, Shown] = {}

    def read(self, _uid: str, wanted: Targets | None) -> SeenTrust:
        self.asked = wanted
        if wanted is None:
            return SeenTrust()
        shown = self.show()
        proxies = {f"{pod.namespace}/{pod.name}": shown for pod in wanted.pods}
        return SeenTrust({**proxies, **self.lagging}, {f"{NS}/istiod-1": shown}, whole=True)

    def show(self) -> Shown:
        secret = self.cluster.find("cacerts") or {}
        authority = read_secret(secret["data"])
        names = frozenset(root.parsed.subject.public_bytes() for root in authority.anchors)
        return Shown(authority.chain, names)

    def forget(self, _uid: str) -> None:
        self.asked = None


async def a_rotating_mesh(**managed: Any) -> tuple[Meshed, Showing]:
    cluster = await a_managed_mesh(**managed)
    return cluster, watch(cluster)


def watch(cluster: Meshed) -> Showing:
    showing = Showing(cluster)
    cluster.world.trust = showing  # type: ignore[assignment]
    return showing


def ask(cluster: Meshed, **annotations: str | None) -> None:
    mesh = cluster.mesh
    kept = {**(mesh["metadata"].get("annotations") or {}), **annotations}
    told = {key: value for key, value in kept.items() if value is not None}
    cluster.put({**mesh, "metadata": {**mesh["metadata"], "annotations": told}})


async def pass_days(cluster: Meshed, days: float = 1.5) -> None:
    moment = datetime.fromisoformat(cluster.now) + timedelta(days=days)
    cluster.now = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    await cluster.settle()


def read_rotation(cluster: Meshed) -> dict[str, Any]:
    return dict((cluster.mesh["status"].get("certificateAuthority") or {}).get("rotation") or {})


def read_trust(cluster: Meshed) -> str:
    (revision,) = cluster.list_kind("MeshRevision")
    return str(revision["metadata"]["labels"].get("mesh.navarch.io/trust", ""))


def read_restart(cluster: Meshed) -> str:
    (deployment,) = cluster.list_kind("Deployment")
    return str(deployment["spec"]["template"]["metadata"]["annotations"]["mesh.navarch.io/restart"])


async def test_a_mesh_goes_to_another_root_and_istiod_is_rolled_only_when_trust_changes() -> None:
    cluster, showing = await a_rotating_mesh()
    restarts = [read_restart(cluster)]
    assert (showing.asked, read_trust(cluster)) == (None, ""), (
        "nobody is asked, and nothing is rolled, for nothing"
    )
    ask(cluster, **{GENERATION: "2"})
    await pass_days(cluster, 0.1)
    assert read_rotation(cluster)["phase"] == "CrossSigned"
    restarts.append(read_restart(cluster))
    condition = read_condition(cluster.mesh, HEALTHY)
    assert (condition["status"], condition["reason"]) == ("True", "RootRotating")
    assert read_condition(cluster.mesh, "Ready")["status"] == "True"
    await pass_days(cluster)
    assert read_rotation(cluster)["phase"] == "TrustingNew"
    restarts.append(read_restart(cluster))
    await pass_days(cluster)
    assert read_rotation(cluster) == {}
    restarts.append(read_restart(cluster))
    assert showing.asked is None
    assert cluster.mesh["status"]["certificateAuthority"]["root"]["generation"] == 2
    newest = max(cluster.roots, key=lambda root: str(root["metadata"]["name"]))
    assert decode(cluster.find("cacerts") or {}, "root-cert.pem") == decode(newest, "tls.crt")
    first, crossed, trusting, last = restarts
    assert first == crossed, "a running istiod takes another signer"
    assert crossed != trusting, "and other roots when it starts"
    assert trusting == last, "the same roots"
    assert read_condition(cluster.mesh, HEALTHY)["reason"] == "AsExpected"


async def test_a_proxy_that_lags_is_named_and_holds_it_and_the_way_back_is_open() -> None:
    cluster, showing = await a_rotating_mesh()
    old = showing.show()
    ask(cluster, **{GENERATION: "2"})
    await pass_days(cluster, 0.1)
    showing.lagging = {"shop-apps/cart-1": old}
    await pass_days(cluster)
    told = read_rotation(cluster)
    assert (told["phase"], told["lagging"]) == ("CrossSigned", ["pod shop-apps/cart-1"])
    assert "cart-1 still has a certificate under root 1" in told["waitingFor"]
    ask(cluster, **{GENERATION: "1"})
    await pass_days(cluster)
    assert read_rotation(cluster) == {}
    assert cluster.mesh["status"]["certificateAuthority"]["root"]["generation"] == 1


async def test_an_emergency_asks_nobody() -> None:
    cluster, showing = await a_rotating_mesh()
    showing.lagging = {"shop-apps/cart-1": showing.show()}
    ask(cluster, **{GENERATION: "2", STRATEGY: "Emergency"})
    await pass_days(cluster, 0)
    assert read_rotation(cluster) == {}
    assert cluster.mesh["status"]["certificateAuthority"]["root"]["generation"] == 2


@pytest.mark.parametrize("said", ["two", "-1", "0", "1.5", "99999999"])
async def test_what_names_no_root_is_told_and_has_no_effect(said: str) -> None:
    cluster, _ = await a_rotating_mesh()
    ask(cluster, **{GENERATION: said})
    await pass_days(cluster, 0)
    assert len(cluster.roots) == 1
    accepted = read_condition(cluster.mesh, "SpecAccepted")
    assert GENERATION in accepted["message"]
    assert accepted["status"] == "True"


async def test_a_root_that_is_skipped_is_told() -> None:
    cluster, _ = await a_rotating_mesh()
    ask(cluster, **{GENERATION: "5"})
    await pass_days(cluster, 0)
    assert len(cluster.roots) == 1
    condition = read_condition(cluster.mesh, HEALTHY)
    assert condition["status"] == "False"
    assert "2, which is then made" in condition["message"]


async def test_an_upgrade_waits_for_a_rotation_and_goes_on_after_it() -> None:
    cluster, showing = await a_rotating_mesh()
    old = showing.show()
    ask(cluster, **{GENERATION: "2"})
    await pass_days(cluster, 0.1)
    showing.lagging = {"shop-apps/cart-1": old}
    cluster.put({**cluster.mesh, "spec": {**cluster.mesh["spec"], "version": "1.31"}})
    await pass_days(cluster)
    (revision,) = cluster.list_kind("MeshRevision")
    assert revision["spec"]["version"].startswith("1.30")
    told = "\n".join(
        f"{c['type']} {c['reason']}: {c['message']}" for c in cluster.mesh["status"]["conditions"]
    )
    assert "root 2 takes the place of root 1" in told
    assert "another Istio comes after that" in told
    showing.lagging = {}
    for _ in range(4):
        await pass_days(cluster)
    versions = {each["spec"]["version"].rpartition(".")[0] for each in cluster.list_kind("MeshRevision")}
    assert "1.31" in versions
    assert cluster.mesh["status"]["certificateAuthority"]["root"]["generation"] == 2


async def test_killed_between_any_two_looks_it_goes_on() -> None:
    cluster, _ = await a_rotating_mesh()
    ask(cluster, **{GENERATION: "2"})
    for _ in range(8):
        now, cluster = cluster.now, cluster.restart()
        cluster.now = now
        watch(cluster)
        await pass_days(cluster, 1)
    assert read_rotation(cluster) == {}
    assert cluster.mesh["status"]["certificateAuthority"]["root"]["generation"] == 2
    assert len(cluster.roots) == 2


async def test_a_paused_mesh_stands_where_it_is() -> None:
    cluster, _ = await a_rotating_mesh()
    ask(cluster, **{GENERATION: "2"})
    cluster.put({**cluster.mesh, "spec": {**cluster.mesh["spec"], "paused": True}})
    await pass_days(cluster)
    assert len(cluster.roots) == 1


async def test_a_pod_that_feigns_holds_its_mesh_for_a_certificates_lifetime_and_no_longer() -> None:
    """It says that it trusts the old root alone, and shows a certificate that nobody accepts."""
    cluster, showing = await a_rotating_mesh()
    old = showing.show()
    ask(cluster, **{GENERATION: "2"})
    await pass_days(cluster, 0.1)
    other = watch(await a_managed_mesh()).show()
    showing.lagging = {
        "shop-apps/fake-1": Shown(other.chain, old.accepted),
        "shop-apps/mute-1": Shown(other.chain),
    }
    await pass_days(cluster, 0.5)
    for _ in range(4):
        await pass_days(cluster)
    assert read_rotation(cluster) == {}
    assert cluster.mesh["status"]["certificateAuthority"]["root"]["generation"] == 2


@pytest.mark.parametrize("asked", [None, "2"])
async def test_a_backup_of_cacerts_rolls_no_istiod_back(asked: str | None) -> None:
    cluster, _ = await a_rotating_mesh()
    backup = cluster.find("cacerts") or {}
    ask(cluster, **{GENERATION: "2"})
    for _ in range(4):
        await pass_days(cluster)
    assert cluster.mesh["status"]["certificateAuthority"]["root"]["generation"] == 2
    before = read_restart(cluster)
    ask(cluster, **{GENERATION: asked})
    cluster.put({**(cluster.find("cacerts") or {}), "data": backup["data"]})
    await pass_days(cluster, 0.01)
    assert read_restart(cluster) == before
    newest = max(cluster.roots, key=lambda root: str(root["metadata"]["name"]))
    assert decode(cluster.find("cacerts") or {}, "root-cert.pem") == decode(newest, "tls.crt")
