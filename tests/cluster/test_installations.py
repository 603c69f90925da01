"""Two installations of Navarch in one cluster, in namespaces of their own: one works, the other says why it
does not. They speak as accounts of their own, so that the audit log tells their writes apart.
"""

from __future__ import annotations

import asyncio
import copy
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from navarch.api.install import build_install
from navarch.api.meta import LEASE
from navarch.assets import load_assets
from navarch.core.grants import build_grants, list_roles
from navarch.core.model.reasons import Reason
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.kube.events import Recorder
from navarch.kube.installations import Installations
from navarch.kube.lease import Elector

from lab.cluster import Cluster, service_account_kubeconfig
from tests.cluster.conftest import a_lab, install
from tests.polling import eventually
from tests.support.activity import is_leading
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.command import navarch
from tests.support.meshes import build_mesh, edit, get_istiod, wait_for
from tests.support.operator import SYSTEM, Operator

OTHER = "other-system"
NS = "shop"
BINDING = "navarch"


def build_other() -> list[Object]:
    """What `navarch manifests --namespace other-system` prints beside the CRDs; the Deployment as well."""
    assets = load_assets()
    return build_install(grants=build_grants(assets), roles=list_roles(assets), namespace=OTHER)


@dataclass(frozen=True)
class Two:
    """A cluster with both installations, applied one after the other, and an operator of each."""

    cluster: Cluster
    api: Api
    first: Operator
    second: Operator

    def mark(self) -> int:
        return self.audit(SYSTEM).mark()

    def audit(self, namespace: str) -> Audit:
        return Audit(self.cluster.audit_log or Path(), f"system:serviceaccount:{namespace}:navarch")

    def give_rights(self, *namespaces: str) -> None:
        """Let ClusterRoleBinding navarch name the accounts of these namespaces and no others."""
        binding = next(m for m in build_other() if m["kind"] == "ClusterRoleBinding")
        binding = copy.deepcopy(binding)
        account = binding["subjects"][0]
        binding["subjects"] = [account | {"namespace": namespace} for namespace in namespaces]
        self.api.apply(binding)

    def check(self, namespace: str) -> str:
        """What `navarch check` says of two installations, asked for the one in a namespace."""
        options = ["--operator-namespace", namespace, "-o", "json"]
        done = navarch("check", *options, kubeconfig=self.cluster.kubeconfig)
        return " ".join(found["message"] for found in done.find(Reason.ANOTHER_INSTALLATION.value))

    def list_writes(self, namespace: str, mark: int) -> list[str]:
        """What an installation's operator changed in the cluster since a mark, and was allowed to."""
        return [str(w) for w in self.audit(namespace).writes(mark) if w.code < 300]

    async def see_edit(self, by: str) -> None:
        """Edit the mesh; the operator of namespace `by` carries it out, and no other writes."""
        mark = self.mark()
        other = SYSTEM if by == OTHER else OTHER
        replicas = 5 - int(get_istiod(self.api, NS)["spec"].get("replicas", 1))
        control_plane = {"autoscaling": {"enabled": False}, "replicas": replicas}
        edit(self.api, NS, controlPlane=control_plane)
        await wait_for(self.api, NS)
        assert get_istiod(self.api, NS)["spec"]["replicas"] == replicas
        assert self.list_writes(by, mark) != []
        assert self.list_writes(other, mark) == []


def read_ready(operator: Operator) -> tuple[int, str]:
    return operator.fetch("/readyz")


def count_lines(operator: Operator, text: str) -> int:
    return sum(text in line for line in operator.log.read_text().splitlines())


def build_replica(cluster: Cluster, namespace: str) -> Operator:
    kubeconfig = service_account_kubeconfig(cluster, namespace, "navarch")
    settings = {"namespace": namespace, "log_level": "info", "orphan_seconds": "3"}
    return Operator(kubeconfig, cluster.state / f"{namespace}.log", settings=settings)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with a_lab("two") as cluster:
        yield cluster


@pytest.fixture
async def two(cluster: Cluster) -> AsyncIterator[Two]:
    """The first installation leads and has a mesh. Of the second one everything in its own namespace is
    there, the Deployment without a process behind it as well; its operator is not started."""
    api = Api(cluster.kubeconfig)
    await install(api)
    for manifest in build_other():
        if manifest["metadata"].get("namespace") == OTHER or manifest["metadata"]["name"] == OTHER:
            api.apply(manifest)
    first, second = build_replica(cluster, SYSTEM), build_replica(cluster, OTHER)
    first.start()
    try:
        await eventually(
            lambda: first.is_ready() and is_leading(first), seconds=60, what="the first one leads"
        )
        if api.get("namespace", "", NS) is None:
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS}})
            api.create(build_mesh(NS))
        await wait_for(api, NS)
        yield Two(cluster, api, first, second)
    finally:
        first.stop()
        second.stop()


def copy_into(namespace: str, manifest: Object) -> Object:
    """The manifest of the same object in another namespace."""
    metadata = {key: manifest["metadata"][key] for key in ("name", "labels")}
    return {**manifest, "metadata": {**metadata, "namespace": namespace}}


async def stands_aside(operator: Operator, because: str) -> None:
    """Waits until an operator runs, is not ready for this reason, and does not lead."""

    def is_aside() -> bool:
        code, text = read_ready(operator)
        return code == 503 and because in text and "synced" not in text

    await eventually(is_aside, seconds=60, every=0.1, what=f"{operator.log} stands aside: {because}")
    assert operator.is_running()
    assert not is_leading(operator)


async def test_an_operator_beside_one_that_leads_does_nothing_and_says_so(two: Two) -> None:
    two.give_rights(SYSTEM, OTHER)
    mark = two.mark()
    two.second.start()
    await stands_aside(two.second, f"holds Lease {SYSTEM}/navarch")
    assert two.first.is_ready()
    await two.see_edit(by=SYSTEM)
    assert two.list_writes(OTHER, mark) == []
    assert count_lines(two.second, "this installation does not lead") == 1

    def is_told() -> bool:
        events = two.api.list("event", OTHER)
        about = [e["regarding"]["kind"] for e in events if e["reason"] == "AnotherInstallation"]
        return about == ["ServiceAccount"]  # it runs in no pod here

    await eventually(is_told, seconds=30, every=0.1, what="one Event about the second operator's account")
    for namespace in (SYSTEM, OTHER):
        assert f"installed in {SYSTEM} and {OTHER}" in two.check(namespace)
    spare = build_replica(two.cluster, OTHER)
    spare.start()
    try:
        await stands_aside(spare, f"holds Lease {SYSTEM}/navarch")
        two.first.stop()
        both = (two.second, spare)
        await eventually(
            lambda: sorted(map(is_leading, both)) == [False, True], seconds=60, every=0.1, what="one leads"
        )
        await eventually(
            lambda: all(o.is_ready() for o in both), seconds=60, every=0.1, what="both are ready"
        )
    finally:
        spare.stop()


async def test_manifests_that_take_the_rights_away_stop_the_first_one_and_start_no_second(two: Two) -> None:
    for manifest in build_other():
        if manifest["kind"] != "Deployment":
            two.api.apply(manifest)
    await eventually(
        lambda: f"gives Navarch's rights to namespace {OTHER}" in read_ready(two.first)[1],
        seconds=30,
        every=0.1,
        what="the first one says who has its rights",
    )
    two.second.start()
    await stands_aside(two.second, f"holds Lease {SYSTEM}/navarch")
    assert is_leading(two.first)
    mark = two.mark()
    template = get_istiod(two.api, NS)["spec"]["template"]
    edit(two.api, NS, controlPlane={"networkPolicy": True})

    def has_tried() -> bool:
        return any(r.forbidden for r in two.audit(SYSTEM).since(mark))

    await eventually(has_tried, seconds=30, every=0.1, what="the first one was refused")
    assert two.list_writes(SYSTEM, mark) == two.list_writes(OTHER, mark) == []
    assert f"gives its rights to {OTHER}" in two.check(SYSTEM)

    two.first.stop()  # the installation moves, as docs/how-to/install.md says
    copied = [
        copy_into(OTHER, m) for m in two.api.list("configmap", SYSTEM, labels="mesh.navarch.io/inventory")
    ]
    assert copied
    for manifest in copied:
        two.api.apply(manifest)
    await eventually(lambda: is_leading(two.second), seconds=60, every=0.1, what="the second one leads")
    await wait_for(two.api, NS)
    await eventually(lambda: two.list_writes(OTHER, mark) != [], seconds=30, what="it carries the edit out")
    assert get_istiod(two.api, NS)["spec"]["template"] == template
    two.first.start()
    await eventually(
        lambda: "is without its rights" in read_ready(two.first)[1],
        seconds=60,
        every=0.1,
        what="the first one, started again, says what is missing",
    )
    assert not is_leading(two.first)
    await two.see_edit(by=OTHER)

    two.second.stop()  # and back
    await install(two.api)
    await eventually(lambda: is_leading(two.first), seconds=90, every=0.1, what="the first one leads again")
    await eventually(two.first.is_ready, seconds=30, what="and is ready")
    await two.see_edit(by=SYSTEM)


async def test_a_leader_that_was_stopped_for_longer_than_its_lease_does_not_lead_beside_the_other(
    two: Two,
) -> None:
    two.give_rights(SYSTEM, OTHER)
    two.second.start()
    await stands_aside(two.second, f"holds Lease {SYSTEM}/navarch")
    os.kill(two.first.pid, signal.SIGSTOP)
    try:
        await eventually(lambda: is_leading(two.second), seconds=90, every=0.1, what="the second one leads")
        mark = two.mark()
    finally:
        os.kill(two.first.pid, signal.SIGCONT)
    await eventually(lambda: not two.first.is_running(), seconds=60, every=0.05, what="the first one ends")
    assert two.first.stop() != 0
    assert two.list_writes(SYSTEM, mark) == []
    two.first.start()
    await stands_aside(two.first, f"holds Lease {OTHER}/navarch")
    assert is_leading(two.second)


ROUNDS = 6


async def test_of_two_that_start_at_the_same_moment_one_leads(cluster: Cluster) -> None:
    """Nothing but the two Leases keeps them apart: there is no binding that names either."""
    api = Api(cluster.kubeconfig)
    api.delete("clusterrolebinding", "", BINDING)
    for namespace in (SYSTEM, OTHER):
        # One whose holder was killed counts as held until it has expired, by the clock of each new elector.
        api.delete("lease", namespace, LEASE)
    async with Client(await load_credentials(cluster.kubeconfig)) as client:
        for number in range(ROUNDS):
            sides = [f"race-{number}-{side}" for side in ("a", "b")]
            looks: Counter[str] = Counter()
            electors = {side: build_elector(client, side, looks) for side in sides}
            for side in sides:
                api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": side}})
            tasks = [asyncio.create_task(elector.run()) for elector in electors.values()]
            most = 0

            def find_leaders(electors: dict[str, Elector] = electors) -> list[str]:
                nonlocal most
                leading = [side for side, elector in electors.items() if elector.leading.is_set()]
                most = max(most, len(leading))
                return leading

            (leader, *_) = await eventually(find_leaders, seconds=60, every=0.001, what="one of them leads")
            (other,) = {*sides} - {leader}
            before = looks[other]

            def has_looked(other: str = other, before: int = before, looks: Counter[str] = looks) -> bool:
                return bool(find_leaders()) and looks[other] >= before + 3

            await eventually(has_looked, seconds=60, every=0.001, what="the other one has looked again")
            assert most == 1
            for elector, task in zip(electors.values(), tasks, strict=True):
                await elector.release()
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def build_elector(client: Client, namespace: str, looks: Counter[str]) -> Elector:
    """An elector that counts how often it looks for others."""
    recorder = Recorder(client, instance=namespace, now=lambda: datetime.now(UTC), ids=lambda: "x")
    installations = Installations(client, recorder, namespace=namespace)

    async def find_rival() -> str:
        looks[namespace] += 1
        return await installations.find_rival()

    return Elector(
        client,
        namespace=namespace,
        name=LEASE,
        identity=namespace,
        on_lost=lambda: None,
        find_rival=find_rival,
        retry=0.1,
    )
