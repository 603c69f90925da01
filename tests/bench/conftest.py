"""What the measurements share: a lab of their own each, an operator, and the table that they fill."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.cluster import Cluster
from tests.bench.crowd import Crowd
from tests.bench.ledger import Ledger, print_table, write_page
from tests.bench.measure import Moment, find_open_watches, read_moments
from tests.cluster.conftest import a_lab, build_operator, install
from tests.polling import eventually
from tests.support.activity import is_leading, wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.meshes import build_mesh, is_current, wait_for
from tests.support.operator import USER, Operator

_ledger = Ledger()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Print the table, and write it if that was asked for and nothing is missing."""
    if not _ledger.rows:
        return
    terminalreporter.section("measured")
    for line in print_table(_ledger.sort()):
        terminalreporter.write_line(line)
    file = config.getoption("--performance", default=None)
    if file and exitstatus == 0 and _ledger.is_complete():
        write_page(Path(file), _ledger.sort(), date=config.getoption("--measured-on"))
        terminalreporter.write_line(f"written to {file}")


Note = Callable[..., None]


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Note a number: what it is, its value, and by keyword its bound and the peer's."""

    def add(section: str, what: str, value: str, *, bound: str = "", sail: str = "") -> None:
        name = getattr(request.node, "originalname", request.node.name)
        _ledger.add(section, what, value, bound=bound, sail=sail, test=name)

    return add


@dataclass
class Bed:
    """A lab with Navarch's manifests in it, and one replica that is the caller's to start."""

    cluster: Cluster
    api: Api
    audit: Audit
    operator: Operator
    crowd: Crowd

    async def start(self) -> None:
        """Start the operator; returns when it leads and is at rest."""
        self.operator.start()
        await eventually(
            self.operator.is_ready, seconds=60, every=0.05, what=f"ready, see {self.operator.log}"
        )
        await eventually(lambda: is_leading(self.operator), seconds=30, every=0.1, what="leading")
        await self.rest()

    async def rest(self) -> None:
        await wait_for_rest(self.operator, seconds=120)

    def moments(self, mark: int) -> list[Moment]:
        """Every request since `mark`, anybody's."""
        assert self.cluster.audit_log is not None
        return list(read_moments(self.cluster.audit_log, mark))

    def find_open_watches(self) -> Counter[str]:
        """The operator's watches that are open now, by what they watch."""
        assert self.cluster.audit_log is not None
        return find_open_watches(self.cluster.audit_log, USER)

    def list_writes(self, mark: int) -> list[Moment]:
        """The operator's writes since `mark`."""
        return [moment for moment in self.moments(mark) if moment.user == USER and moment.is_write]

    async def make_mesh(self, namespace: str, **spec: object) -> None:
        """A namespace with a mesh of this specification, ready and at rest."""
        self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        self.api.create(build_mesh(namespace, **spec))
        await wait_for(self.api, namespace, seconds=120)
        await self.rest()

    async def make_meshes(self, names: Sequence[str], **spec: object) -> None:
        """A namespace with a mesh for each name, all of them ready and at rest; the first one brings Istio's
        CRDs."""
        await self.make_mesh(names[0], **spec)
        await self.add_meshes(names[1:], **spec)

    async def add_meshes(self, names: Sequence[str], **spec: object) -> None:
        """The same where Istio's CRDs are there; all meshes that were there before are ready."""
        ready = await self.count_ready("mesh")
        await self.crowd.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names
        )
        await self.crowd.create(build_mesh(name, **spec) for name in names)

        async def are_ready() -> bool:
            return await self.count_ready("mesh") == ready + len(names)

        await eventually(are_ready, seconds=300, every=0.5, what="all meshes are ready")
        await self.rest()

    async def count_ready(self, kind: str) -> int:
        """Objects of a kind of ours whose status says Ready."""
        listed = await self.crowd.send("GET", self.api.path(kind))

        def is_ready(o: Object) -> bool:
            conditions = (o.get("status") or {}).get("conditions") or ()
            return is_current(o) and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        return sum(map(is_ready, listed["items"]))


@asynccontextmanager
async def a_bed(name: str, **settings: str) -> AsyncIterator[Bed]:
    """A lab with the operator running with these settings, and at rest."""
    with a_lab(f"bench{name}") as cluster:
        api = Api(cluster.kubeconfig)
        await install(api)
        assert cluster.audit_log is not None
        operator, crowd = build_operator(cluster, **settings), Crowd(cluster.kubeconfig)
        bed = Bed(cluster, api, Audit(cluster.audit_log, USER), operator, crowd)
        try:
            await bed.start()
            yield bed
        finally:
            operator.stop()
            await crowd.close()


@pytest.fixture
def rounds(full: bool) -> Callable[[int, int], int]:
    """The first number in the short form, the second in the full one."""
    return lambda short, long: long if full else short
