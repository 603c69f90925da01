"""World: the readers of the cluster that the gathers of our kinds share, one for each aspect.

Owns their composition. Must never decide, and never write. Invariant: one mesh's look costs what concerns the
mesh, however many others there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from navarch.core.istio.assets import Assets
from navarch.core.world.cluster import Environment
from navarch.gather.catalog import ExtendedAssets
from navarch.gather.certificates import CertificateReader
from navarch.gather.cluster import ClusterReader
from navarch.gather.crds import CRDInspector
from navarch.gather.gates import Gatekeeper
from navarch.gather.kinds import KindReader
from navarch.gather.neighbours import NeighbourReader
from navarch.gather.orphans import OrphanFinder
from navarch.gather.owned import OwnedReader
from navarch.gather.probe import Prober
from navarch.gather.rolled import ROLLED
from navarch.gather.trust import TrustReader
from navarch.kube.client import Client
from navarch.kube.inventory import Inventories
from navarch.kube.restarts import Refusals
from navarch.kube.store import Store


class World:
    """The cluster as the stores know it. `now` gives the time as RFC 3339 with whole seconds."""

    def __init__(
        self,
        client: Client,
        stores: Mapping[str, Store],
        assets: Assets,
        *,
        environment: Environment,
        now: Callable[[], str],
        orphan_seconds: float = 0.0,
        certificate_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self.stores = stores
        self.now = now
        self._assets = ExtendedAssets(assets, stores["catalogs"])
        self.environment = environment
        self.cluster = ClusterReader(stores)
        self.neighbours = NeighbourReader(stores, assets)
        self.inventories = Inventories(
            client,
            stores["inventories"],
            crds=stores["crds"],
            namespace=environment.operator_namespace,
        )
        self.owned = OwnedReader(client, stores, self.inventories)
        self.orphans = OrphanFinder(client, self.owned, seconds=orphan_seconds, clock=clock)
        self.prober = Prober(client)
        self.gatekeeper = Gatekeeper(client, clock=clock)
        self.trust = TrustReader(client, clock=clock)
        self.refusals = Refusals(clock)
        self.certificates = CertificateReader(client, seconds=certificate_seconds, clock=clock)
        self.kinds = KindReader(client, stores["crds"])
        self.crds = CRDInspector(client, stores["crds"], assets)

    @property
    def rolled(self) -> dict[str, Store]:
        """The stores of workloads of others, by kind; none where they are not watched."""
        names = {kind: watch.name for kind, watch in ROLLED.items()}
        return {kind: self.stores[name] for kind, name in names.items() if name in self.stores}

    @property
    def assets(self) -> Assets:
        """The package's data, with the cluster's own additions to the catalog."""
        return self._assets.read()
