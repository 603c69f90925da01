"""An operator behind a proxy that kills it after exactly so many writes, and brings it up again.

Must never judge what the next run makes of it. Invariant: after the last write that was allowed, not one more
reaches the API server before the process is gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from lab.cluster import Cluster
from tests.polling import eventually
from tests.support.activity import Rest, bring_up
from tests.support.api import Api
from tests.support.audit import Audit, Request
from tests.support.faults import Proxy
from tests.support.meshes import is_current, read_condition
from tests.support.operator import Operator

SETTINGS = {
    "lease_seconds": "4",
    "lease_renew_seconds": "3",
    "lease_retry_seconds": "0.3",
    "identity": "killed",
}
"""One identity for all runs, as in a StatefulSet: the Lease of the run before need not expire first."""
BOUND = 60.0
"""Seconds within which a run must have finished what the one before it left (3 to 5 on a quiet machine)."""


@dataclass
class Stage:
    """What the tests work with: an operator behind a proxy, and the witnesses."""

    api: Api
    audit: Audit
    proxy: Proxy
    operator: Operator

    def is_ready(self, namespace: str) -> bool:
        mesh = self.api.get("mesh", namespace, "demo")
        return is_current(mesh) and read_condition(mesh, "Ready").get("status") == "True"

    def is_gone(self, namespace: str) -> bool:
        return self.api.get("mesh", namespace, "demo") is None

    def list_requests(self, mark: int, namespace: str) -> list[Request]:
        """What the operator has written for one mesh since a mark."""
        return [r for r in self.audit.writes(mark) if namespace in r.uri]

    async def kill_after(
        self, writes: int, begin: Callable[[], object], *, until: Callable[[], bool], what: str
    ) -> bool:
        """Begin, and kill the operator after so many writes. Tells whether there were so many."""
        rest = Rest(self.operator)
        self.proxy.allow(writes)
        begin()

        def has_ended() -> bool:
            return self.proxy.frozen.is_set() or (until() and rest.look())

        await eventually(has_ended, seconds=BOUND, every=0.05, what=f"{what}, {writes} writes")
        killed = self.proxy.frozen.is_set()
        if killed:
            assert self.proxy.writes == writes
            self.operator.kill()
        self.proxy.thaw()
        return killed


@asynccontextmanager
async def a_stage(api: Api, audit: Audit, cluster: Cluster, replica: Operator) -> AsyncIterator[Stage]:
    """A replica behind a proxy, leading and at rest; stopped at the end."""
    with Proxy(cluster, replica.kubeconfig, name="killed") as proxy:
        replica.kubeconfig = proxy.kubeconfig
        try:
            await bring_up(replica)
            yield Stage(api, audit, proxy, replica)
        finally:
            proxy.thaw()
            replica.stop()
