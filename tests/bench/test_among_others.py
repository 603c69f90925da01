"""What a look costs and what a mesh takes among many: in one process, over a cluster in memory.

500 meshes in a light lab would measure the API server and their istiods. Here the operator's own stores,
gather, plans and apply run over what an API server would hold of them, and nothing else does.
"""

from __future__ import annotations

import gc
import time
import tracemalloc

import pytest
from navarch.core.model.naming import revision_name

from tests.bench.conftest import Note
from tests.support.memory import Memory

SECTION = "Many meshes"
FEW = 10
RATIO = 1.2
LOOKS = 10
TRACED = 40
"""Meshes by which memos are filled anew."""
ROUNDS = 8
MESH = "mesh-0"
MEMORY = 0.15
"""MiB of objects that a mesh leaves in stores, memos and metrics: counted by the allocator, so the same on
every machine."""


async def populate(memory: Memory, numbers: range, *, prefix: str = "mesh") -> None:
    for number in numbers:
        await memory.add_mesh(f"{prefix}-{number}")


async def spend(memory: Memory) -> float:
    """Seconds of CPU of a look at one mesh and its revision."""
    started = time.process_time()
    for _ in range(LOOKS):
        await memory.look(MESH, revision_name(f"{MESH}-demo"))
    return (time.process_time() - started) / LOOKS


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_look_costs_as_much_among_many_meshes_as_among_few(note: Note, full: bool) -> None:
    number = 500 if full else 60
    few, many = Memory(), Memory()
    await populate(few, range(FEW))
    await populate(many, range(number))
    gc.collect()
    # In turn, so that other load of the machine meets both; of each the best, which it disturbed least.
    rounds = [(await spend(few), await spend(many)) for _ in range(ROUNDS)]
    least, most = (min(spent) for spent in zip(*rounds, strict=True))
    ratio = most / least
    note(SECTION, f"CPU of a look among {FEW} meshes, in memory", f"{1000 * least:.1f} ms")
    note(SECTION, f"the same among {number}, by that", f"{ratio:.2f} x", bound=f"{RATIO} x")
    assert ratio <= RATIO


@pytest.mark.timeout(300)
async def test_a_mesh_takes_little_memory(note: Note) -> None:
    memory, more = Memory(), 10
    await populate(memory, range(FEW), prefix="known")  # what is there once for all meshes
    tracemalloc.start()
    try:
        # Memos of a fixed size hold the latest meshes, and would count as growth where they began untraced.
        await populate(memory, range(TRACED), prefix="traced")
        memory.objects.clear()
        memory.requests.clear()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        await populate(memory, range(more), prefix="taken")  # names of which no memo knows anything
        memory.objects.clear()  # what the API server would hold
        memory.requests.clear()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    taken = (after - before) / 2**20 / more
    note(SECTION, "objects in memory for each mesh", f"{taken:.2f} MiB", bound=f"{MEMORY} MiB")
    assert taken <= MEMORY
