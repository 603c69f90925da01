"""A look from beginning to end: connect, list, build what looks, look, disconnect.

Owns the connection of the command. Must never be able to write: its client refuses before anything is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from navarch.api.install import NAME
from navarch.assets import load_assets
from navarch.core.istio.assets import Assets, relate_assets
from navarch.core.model.refs import Ref
from navarch.core.world.cluster import Environment
from navarch.gather.watches import WATCHES, Watch, stores_of_owned
from navarch.gather.world import World
from navarch.kube.apply import Applier
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.kube.environment import read_clock, read_kubernetes
from navarch.kube.errors import Forbidden, NotFound
from navarch.survey.checkup import Checkup
from navarch.survey.examination import Examiner
from navarch.survey.snapshot import Snapshot, take_snapshot

_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
"""What a setting reads as true."""


class WriteRefused(RuntimeError):
    """A bug: the command was about to write."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster, and where Navarch is in it."""

    kubeconfig: Path | None
    context: str | None
    operator_namespace: str
    probe_namespace: str


@dataclass(frozen=True, slots=True)
class Session:
    """What a look is made with."""

    client: Client
    world: World
    snapshot: Snapshot

    def start_checkup(self) -> Checkup:
        """A checkup of this cluster."""
        applier = Applier(
            self.client, stores_of_owned(self.snapshot.stores), inventories=self.world.inventories
        )
        return Checkup(self.client, self.world, self.snapshot, Examiner(self.world, applier))


def refuse_writes() -> None:
    """The guard of a client that only looks."""
    raise WriteRefused("the command only looks")


async def _load_assets(client: Client, operator_namespace: str) -> Assets:
    """The package's data with the images that the operator's Deployment names; without these where it is not
    there or may not be read."""
    try:
        deployment = await client.get(Ref("apps/v1", "Deployment", operator_namespace, NAME))
    except (NotFound, Forbidden):
        return load_assets()
    containers = deployment["spec"]["template"]["spec"]["containers"]
    env = (
        each for container in containers if container["name"] == NAME for each in container.get("env") or ()
    )
    variables = {each["name"]: each.get("value") or "" for each in env}
    only = variables.get("NAVARCH_ONLY_RELATED_IMAGES", "").lower() in _TRUE
    return relate_assets(load_assets(), variables, only=only)


@asynccontextmanager
async def open_session(
    target: Target, *, namespace: str = "", watches: Iterable[Watch] = WATCHES
) -> AsyncIterator[Session]:
    """Look at a cluster. Raises NoCredentials without credentials and KubeError without an answer."""
    credentials = await load_credentials(target.kubeconfig, context=target.context)
    async with Client(credentials, guard=refuse_writes, user_agent="navarch-cli") as client:
        environment = Environment(
            kubernetes=await read_kubernetes(client),
            operator_namespace=target.operator_namespace,
            probe_namespace=target.probe_namespace,
        )
        snapshot = await take_snapshot(
            client, operator_namespace=target.operator_namespace, namespace=namespace, watches=watches
        )
        assets = await _load_assets(client, target.operator_namespace)
        world = World(client, snapshot.stores, assets, environment=environment, now=read_clock)
        yield Session(client, world, snapshot)
