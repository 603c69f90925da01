"""What a look at a mesh costs among others: counted in objects and calls, since no time is the same twice."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import pytest
from navarch.core.model.labels import COMPONENT, MESH_NAME, MESH_NAMESPACE, REVISION
from navarch.core.model.naming import revision_name

from tests.support.memory import Memory, build_namespace

FEW, MANY = 2, 8
CALLS = 1.01
"""By how much the number of calls may grow: a dictionary that grew has other collisions."""
REVISION_OF_FIRST = revision_name("mesh-0-demo")


def build_pod(namespace: str, name: str, revision: str) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": {"service.istio.io/canonical-name": "web"},
        "annotations": {"istio.io/rev": revision, "mesh.navarch.io/proxy": "1.31.0-abc"},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


async def populate(memory: Memory, numbers: range) -> None:
    """Meshes with a member namespace and a proxy each."""
    for number in numbers:
        name = f"mesh-{number}"
        await memory.add_mesh(name, mtls={"mode": "Strict"})
        memory.put(build_namespace(f"app-{number}", rev=f"{name}-demo"))
        memory.put(build_pod(f"app-{number}", "web", revision_name(f"{name}-demo")))


async def look(memory: Memory) -> None:
    await memory.look("mesh-0", REVISION_OF_FIRST)


async def count_visited(memory: Memory) -> int:
    before = memory.visited
    await look(memory)
    return memory.visited - before


async def count_calls(act: Callable[[], Awaitable[None]]) -> int:
    """Functions of Python and of C that are called."""
    calls = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        await act()
    finally:
        sys.setprofile(None)
    return calls


async def test_a_look_takes_as_many_objects_and_calls_among_many_meshes_as_among_few() -> None:
    memory = Memory()
    await populate(memory, range(FEW))
    await look(memory)
    visited, calls = await count_visited(memory), await count_calls(lambda: look(memory))
    assert visited > 20, "it does look at its own objects"
    await populate(memory, range(FEW, MANY))
    await look(memory)
    assert await count_visited(memory) == visited
    assert await count_calls(lambda: look(memory)) <= CALLS * calls


async def test_an_object_without_a_record_is_looked_up_without_reading_all_inventories() -> None:
    memory = Memory()
    await populate(memory, range(FEW))
    labels = {
        MESH_NAMESPACE: "mesh-0",
        MESH_NAME: "demo",
        COMPONENT: "istiod",
        REVISION: REVISION_OF_FIRST,
    }
    metadata = {"name": f"istiod-{REVISION_OF_FIRST}-x", "namespace": "mesh-0", "labels": labels}
    memory.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {}})
    await look(memory)
    visited = await count_visited(memory)
    await populate(memory, range(FEW, MANY))
    await look(memory)
    assert await count_visited(memory) == visited


async def test_a_new_mesh_takes_as_many_objects_among_many_as_among_few() -> None:
    memory, visited = Memory(), []
    for numbers in (range(FEW), range(FEW, MANY)):
        await populate(memory, numbers)
        before = memory.visited
        await memory.add_mesh(f"new-{numbers.stop:02}")
        visited.append(memory.visited - before)
    assert visited[0] == visited[1]


@pytest.mark.parametrize("default", [False, True])
async def test_what_a_look_costs_follows_the_meshs_own_namespaces_and_pods(default: bool) -> None:
    memory = Memory()
    await populate(memory, range(FEW))
    await memory.add_mesh("crowded", defaultTag=default)
    revision = revision_name("crowded-demo")

    async def count() -> int:
        await memory.look("crowded", revision)
        before = memory.visited
        await memory.look("crowded", revision)
        return memory.visited - before

    alone = await count()
    for number in range(10):
        label = {"injection": "enabled"} if default else {"rev": "crowded-demo"}
        memory.put(build_namespace(f"member-{number}", **label))
        memory.put(build_pod(f"member-{number}", "web", revision))
    mesh = memory.objects["MeshControlPlane", "crowded", "demo"]
    assert await count() >= alone + 20
    assert mesh is not memory.objects["MeshControlPlane", "crowded", "demo"], "the census was written"
