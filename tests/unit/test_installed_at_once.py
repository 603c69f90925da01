"""How often each of many meshes that are applied at once is looked at: as often as among a few."""

from __future__ import annotations

from collections import Counter

from navarch.core.model.conditions import find_condition
from navarch.core.model.labels import ISTIO_REV
from navarch.core.model.refs import Ref
from navarch.engine.key import Key
from navarch.gather.watches import Role, Watch
from navarch.kube.store import Object
from navarch.triggers.keys import Dependents
from navarch.triggers.known import Known

from tests.support.memory import MESH, REVISION, Memory, build_namespace, build_root_config
from tests.support.meshes import build_mesh

FEW, MANY = 3, 12
NEIGHBOURS = ("a", "b", "c")


class Cluster:
    """A cluster in memory whose changes lead to keys, by the operator's own table, and these to looks."""

    def __init__(self) -> None:
        self._known, self._due = Known(), dict[Key, None]()
        self._memory = Memory(heed=self._heed)
        self.looks = Counter[str]()

    def _heed(self, watch: Watch, old: Object | None, new: Object | None) -> None:
        if watch.role is Role.OWN:
            self._known.change(old, new)
        dependents = Dependents(self._known, find_namespace=self._find_namespace)
        self._due |= dict.fromkeys(ask.key for ask in watch.keys(dependents, old, new))

    def _find_namespace(self, name: str) -> Object | None:
        return self._memory.stores["namespaces"].get(Ref("v1", "Namespace", "", name))

    def apply(self, namespace: str, **labels: str) -> None:
        """A namespace with these labels and a mesh."""
        made = build_namespace(namespace)
        made["metadata"]["labels"] |= labels
        for manifest in (made, build_root_config(namespace), build_mesh(namespace)):
            self._memory.put(manifest)

    async def settle(self) -> None:
        """Look at what is due until nothing is; all meshes are ready then."""
        look = {MESH: self._memory.meshes.reconcile, REVISION: self._memory.revisions.reconcile}
        while self._due:
            key = next(iter(self._due))
            del self._due[key]
            self.looks[key.namespace] += 1
            await look[key.kind](key)
        for (kind, namespace, _), found in self._memory.objects.items():
            if kind == MESH:
                assert (find_condition(found, "Ready") or {}).get("status") == "True", namespace


async def test_meshes_that_are_applied_at_once_are_each_looked_at_as_often_as_a_few() -> None:
    most = []
    for number in (FEW, MANY):
        cluster = Cluster()
        cluster.apply("first")  # which brings Istio's CRDs: all meshes look at these
        await cluster.settle()
        cluster.looks.clear()
        for index in range(number):
            cluster.apply(f"mesh-{index}")
        await cluster.settle()
        assert cluster.looks.total() >= 2 * number, "each mesh and its revision"
        assert cluster.looks["first"] == 0, "nothing that it depends on has changed"
        most.append(max(cluster.looks.values()))
    assert most[0] == most[1]


async def test_a_mesh_that_others_depend_on_is_seen_by_these_alone() -> None:
    cluster = Cluster()
    for namespace in NEIGHBOURS:
        cluster.apply(namespace)
    await cluster.settle()
    cluster.looks.clear()
    cluster.apply("new", **{ISTIO_REV: "b-demo"})  # which stays outside of b, whose label it carries
    await cluster.settle()
    assert {*cluster.looks} == {"b", "new"}
