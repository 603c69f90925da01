"""Two teams' meshes side by side, each with two namespaces of applications, and who reaches whom.

Must never judge. A call counts only when each side has seen the other's identity.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from navarch.core.model.naming import hosted_namespace

from lab.builds import ISTIO_LINES, ISTIO_VERSIONS
from lab.cluster import Cluster
from tests.node.conftest import PROFILES, Mesh, remove_mesh
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.members import build_member, wait_for_member
from tests.support.meshes import build_mesh
from tests.support.workloads import (
    Answer,
    ask,
    build_apps,
    create_namespace,
    find_proxy,
    wait_for_deployments,
)

OLDER, FIRST = ISTIO_LINES[-2].versions[-1], ISTIO_VERSIONS[0]
"""Versions: of the one mesh, and with which the hosted one begins."""
ROOT = "istio-ca-root-cert"


@dataclass(frozen=True)
class Team:
    """A mesh with a client and a server in one namespace, and a server in `more`; `home` is where its istiod
    runs."""

    mesh: Mesh
    home: str
    domain: str
    more: list[str] = field(default_factory=list)

    @property
    def places(self) -> list[str]:
        return [self.mesh.apps, *self.more]

    def ask(self, namespace: str) -> Answer:
        """What the team's client gets from the server of a namespace."""
        return ask(self.mesh.cluster, self.mesh.apps, f"http://server.{namespace}/")

    def reaches(self, namespace: str) -> bool:
        """Whether it gets an answer, and each side has seen the other's identity."""
        answer = self.ask(namespace)
        seen = (
            f"URI={self.identity(self.mesh.apps, 'client')}",
            f"By={self.identity(namespace, 'server')}",
        )
        return answer.ok and all(one in answer.text for one in seen)

    def identity(self, namespace: str, account: str) -> str:
        return f"spiffe://{self.domain}/ns/{namespace}/sa/{account}"

    def find_istiod(self) -> Object:
        (pod,) = self.mesh.api.list("pod", self.home, labels=f"app=istiod,istio.io/rev={self.mesh.revision}")
        return pod


@dataclass(frozen=True)
class Teams:
    """`north` is an administrator's, of the older minor, `south` is hosted."""

    north: Team
    south: Team

    def read_calls(self) -> dict[str, list[str]]:
        """Which namespaces each team's client reaches."""
        places = [*self.north.places, *self.south.places]
        teams = {"north": self.north, "south": self.south}
        return {name: [place for place in places if team.reaches(place)] for name, team in teams.items()}


async def start(api: Api, made: Mesh, namespace: str, *, client: bool) -> None:
    """A member of the mesh with a server, and perhaps a client."""
    await create_namespace(api, namespace)
    api.create(build_member(namespace, made.namespace))
    await wait_for_member(api, namespace)
    for manifest in build_apps(namespace, made.tag):
        if manifest["kind"] != "Namespace" and (client or manifest["metadata"]["name"] != "client"):
            api.apply(manifest)


@asynccontextmanager
async def two_teams(operator: Cluster, api: Api) -> AsyncIterator[Teams]:
    """Both, with everything of theirs ready, until the block ends."""
    north, south = (Mesh(api, operator, name, "demo", apps=f"{name}-apps") for name in ("north", "south"))
    shared = {"profiles": PROFILES, "scope": "Members", "mtls": {"mode": "Strict"}}
    trust = {"trust": {"domain": "north.example"}}
    made = Teams(
        Team(north, north.namespace, "north.example", ["north-more"]),
        Team(south, hosted_namespace("south", "demo"), "cluster.local", ["south-more"]),
    )
    try:
        await create_namespace(api, north.namespace)
        await create_namespace(api, south.namespace)
        api.create(build_mesh(north.namespace, version=OLDER, **shared, **trust))
        api.create(build_mesh(south.namespace, version=FIRST, hosting="Hosted", **shared))
        for team in (made.north, made.south):
            await team.mesh.wait_for()
            for place in team.places:
                await start(api, team.mesh, place, client=place == team.mesh.apps)
        for team in (made.north, made.south):
            await wait_for_deployments(api, team.mesh.apps, ("server", "client"))
            await wait_for_deployments(api, team.more[0], ("server",))
        yield made
    finally:
        for name in ("north-more", "south-more"):
            api.delete("namespace", "", name)
        remove_mesh(north)
        remove_mesh(south)


def read_root(api: Api, namespace: str) -> str:
    found = api.get("configmap", namespace, ROOT) or {}
    return str(found["data"]["root-cert.pem"])


def read_images(api: Api, mesh: Mesh) -> set[str]:
    """Tags of the proxies that run in the mesh's first namespace."""
    pods = [pod for pod in api.list("pod", mesh.apps) if "deletionTimestamp" not in pod["metadata"]]
    return {find_proxy(pod)["image"].rpartition(":")[2] for pod in pods}


async def wait_for_census(mesh: Mesh, *, current: int, outdated: int) -> Object:
    """The mesh, once its census says so."""
    total = current + outdated
    wanted = {"total": total, "current": current, "outdated": outdated, "summary": f"{current}/{total}"}

    def is_counted() -> Object | None:
        found = mesh.api.get("mesh", mesh.namespace, mesh.name) or {}
        return found if wanted.items() <= found["status"]["proxies"].items() else None

    found = await eventually(is_counted, seconds=60, every=0.2, what=f"{mesh.tag}: {wanted}")
    assert found is not None
    return found
