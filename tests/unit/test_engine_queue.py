"""The queue's promises, on a clock that stands still until it is told to move."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navarch.engine.fairness import LONGEST
from navarch.engine.key import Key
from navarch.engine.observer import Observer
from navarch.engine.queue import (
    BACKGROUND,
    BACKGROUND_LATER,
    EDIT,
    LONGEST_PUT_BACK,
    RETRY,
    UNHEALTHY,
    Closed,
    Queue,
    Taken,
)


@dataclass(order=True)
class Timer:
    due: float
    callback: Callable[..., Any] = field(compare=False)
    args: tuple[Any, ...] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """Time that passes only by `pass_time`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Timer:
        timer = Timer(self.now + delay, callback, args)
        heapq.heappush(self.timers, timer)
        return timer

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timers and self.timers[0].due <= end:
            timer = heapq.heappop(self.timers)
            self.now = timer.due
            if not timer.cancelled:
                timer.callback(*timer.args)
        self.now = end


class Counting(Observer):
    def __init__(self) -> None:
        self.added: list[Key] = []

    def key_added(self, key: Key) -> None:
        self.added.append(key)


def key(name: str, namespace: str = "") -> Key:
    return Key("MeshControlPlane", namespace or f"ns-{name}", name)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> Queue:
    return Queue(clock=clock)


async def take(queue: Queue) -> Key:
    return (await asyncio.wait_for(queue.get(), 60)).key


async def is_empty(queue: Queue) -> bool:
    getter = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    empty = not getter.done()
    getter.cancel()
    await asyncio.gather(getter, return_exceptions=True)
    return empty


async def test_a_key_added_twice_is_handed_out_once(queue: Queue) -> None:
    queue.add(key("a"))
    queue.add(key("a"))
    assert await take(queue) == key("a")
    assert await is_empty(queue)


async def test_a_key_added_while_it_runs_runs_exactly_once_more(queue: Queue) -> None:
    queue.add(key("a"))
    running = await take(queue)
    for _ in range(3):
        queue.add(running)
    assert await is_empty(queue), "not while it runs"
    queue.done(running)
    assert await take(queue) == running
    queue.done(running)
    assert await is_empty(queue)


async def test_two_keys_of_one_namespace_are_never_out_together(queue: Queue) -> None:
    mesh, revision = Key("MeshControlPlane", "ns", "m"), Key("MeshRevision", "ns", "r")
    queue.add(mesh)
    queue.add(revision)
    queue.add(key("elsewhere"))
    assert await take(queue) == mesh
    assert await take(queue) == key("elsewhere")
    assert await is_empty(queue)
    queue.done(mesh)
    assert await take(queue) == revision


async def test_keys_of_one_lane_are_never_out_together_wherever_their_objects_lie(queue: Queue) -> None:
    mesh, gateway = Key("MeshControlPlane", "home", "m"), Key("Gateway", "team", "g", "home")
    queue.add(mesh)
    queue.add(gateway)
    assert await take(queue) == mesh
    assert await is_empty(queue)
    queue.done(mesh)
    assert await take(queue) == gateway
    queue.add(mesh)
    assert await is_empty(queue), "nor the other way round"


async def test_keys_of_different_lanes_may_be_out_together_though_they_lie_in_one_namespace(
    queue: Queue,
) -> None:
    ours, theirs = Key("Gateway", "team", "a", "home"), Key("Gateway", "team", "b", "elsewhere")
    queue.add(ours)
    queue.add(theirs)
    assert [await take(queue), await take(queue)] == [ours, theirs]


async def test_a_key_waits_for_the_lane_that_was_said_last_and_its_own_run_says_none(
    queue: Queue, clock: Clock
) -> None:
    def gateway(lane: str) -> Key:
        return Key("Gateway", "team", "g", lane)

    busy = Key("MeshControlPlane", "new", "m")
    queue.add(gateway("old"))
    queue.add(gateway("new"))
    running = (await queue.get()).key
    assert (queue.depth, running.lane) == (0, "new"), "while it waits for a worker"

    queue.add(gateway("old"))
    queue.add(running, priority=RETRY, after=5)
    queue.done(running)
    running = (await queue.get()).key
    assert running.lane == "old", "while it runs"

    queue.add(gateway("new"), after=5)
    queue.add(running, priority=RETRY, after=9)
    queue.done(running)
    queue.add(busy)
    assert await take(queue) == busy
    clock.pass_time(5)
    assert await is_empty(queue), "while its time has not come"
    queue.done(busy)
    assert (await queue.get()).key.lane == "new"


async def test_cluster_scoped_keys_are_serialised_by_name(queue: Queue) -> None:
    first, second = Key("MeshNodeAgents", "", "default"), Key("MeshNodeAgents", "", "other")
    assert (first.lane, second.lane) == ("default", "other")


async def test_edits_overtake_retries_and_retries_overtake_background_work(queue: Queue) -> None:
    queue.add(key("resync"), priority=BACKGROUND)
    queue.add(key("retry"), priority=RETRY)
    queue.add(key("edit"), priority=EDIT)
    taken = [await asyncio.wait_for(queue.get(), 60) for _ in range(3)]
    assert [(t.key, t.priority) for t in taken] == [
        (key("edit"), EDIT),
        (key("retry"), RETRY),
        (key("resync"), BACKGROUND),
    ]


async def test_nothing_is_more_urgent_than_an_edit(queue: Queue, clock: Clock) -> None:
    queue.add(key("edit"), priority=EDIT)
    clock.pass_time(0.1)
    queue.add(key("pushy"), priority=EDIT + 100)
    assert [await take(queue), await take(queue)] == [key("edit"), key("pushy")]


async def test_the_highest_priority_wins_when_a_key_is_added_twice(queue: Queue) -> None:
    queue.add(key("a"), priority=BACKGROUND)
    queue.add(key("b"), priority=RETRY)
    queue.add(key("a"), priority=RETRY)
    queue.add(key("a"), priority=EDIT)
    queue.add(key("a"), priority=BACKGROUND)
    queue.add(key("c"), priority=RETRY)
    assert [await take(queue), await take(queue)] == [key("a"), key("b")]
    assert await take(queue) == key("c")
    assert await is_empty(queue)


async def test_a_raised_priority_counts_also_for_a_key_that_waits_for_its_lane(queue: Queue) -> None:
    busy, low, high = (Key(kind, "ns", "x") for kind in ("Busy", "Low", "High"))
    queue.add(busy)
    await take(queue)
    queue.add(high, priority=RETRY)
    queue.add(low, priority=BACKGROUND)
    assert await is_empty(queue)
    queue.add(low, priority=EDIT)
    queue.done(busy)
    assert await take(queue) == low


async def test_a_delayed_key_comes_when_its_time_has_come(queue: Queue, clock: Clock) -> None:
    queue.add(key("a"), after=10)
    clock.pass_time(9.9)
    assert queue.delayed == 1
    assert await is_empty(queue)
    clock.pass_time(0.2)
    assert await take(queue) == key("a")


async def test_of_several_delays_the_earliest_counts(queue: Queue, clock: Clock) -> None:
    queue.add(key("a"), after=10)
    queue.add(key("a"), after=5)
    queue.add(key("a"), after=20)
    clock.pass_time(5)
    assert await take(queue) == key("a")
    queue.done(key("a"))
    clock.pass_time(100)
    assert await is_empty(queue)


async def test_an_edit_replaces_a_pending_delay(queue: Queue, clock: Clock) -> None:
    queue.add(key("a"), after=300)
    queue.add(key("a"))
    assert await take(queue) == key("a")
    queue.done(key("a"))
    clock.pass_time(300)
    assert await is_empty(queue)


async def test_a_delay_is_dropped_when_the_key_was_added_while_it_ran(queue: Queue, clock: Clock) -> None:
    queue.add(key("a"))
    await take(queue)
    queue.add(key("a"))
    queue.add(key("a"), after=300)
    queue.done(key("a"))
    assert await take(queue) == key("a")
    queue.done(key("a"))
    clock.pass_time(300)
    assert await is_empty(queue)


async def test_a_closed_queue_ends_everybody_who_waits(queue: Queue) -> None:
    waiting = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.close()
    assert all(isinstance(end, Closed) for end in await asyncio.gather(*waiting, return_exceptions=True))
    queue.add(key("late"))
    assert queue.depth == 0
    with pytest.raises(Closed):
        await queue.get()


async def test_a_worker_cancelled_while_it_waits_takes_no_key_with_it(queue: Queue) -> None:
    first, second = (asyncio.ensure_future(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue.add(key("a"))
    first.cancel()
    assert (await asyncio.wait_for(second, 60)).key == key("a")


async def test_waiting_time_depth_and_age_are_told(clock: Clock) -> None:
    observer = Counting()
    queue = Queue(clock=clock, observer=observer)
    queue.add(key("a"))
    clock.pass_time(3)
    queue.add(key("a"))
    queue.add(key("b"))
    clock.pass_time(1)
    assert (queue.depth, queue.age) == (2, 4.0)
    assert (await queue.get()).waited == 4.0
    assert queue.age == 1.0
    assert observer.added == [key("a"), key("b")]


NAMES = st.sampled_from(["a", "b", "c", "d"])
STEPS = st.one_of(
    st.tuples(st.just("add"), NAMES, st.sampled_from([BACKGROUND, RETRY, EDIT])),
    st.tuples(st.just("later"), NAMES, st.integers(1, 20)),
    st.tuples(st.just("take"), NAMES, st.just(0)),
    st.tuples(st.just("done"), NAMES, st.just(0)),
    st.tuples(st.just("time"), NAMES, st.integers(1, 20)),
)


class Scenario:
    """A queue driven step by step, with the two promises checked at each step."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.queue = Queue(clock=self.clock)
        self.out: set[Key] = set()
        self.owed: set[Key] = set()

    async def take(self, key: Key, number: int) -> bool:
        getter = asyncio.ensure_future(self.queue.get())
        await asyncio.sleep(0)
        if not getter.done():
            getter.cancel()
            await asyncio.gather(getter, return_exceptions=True)
            return False
        taken = getter.result().key
        assert taken.lane not in {other.lane for other in self.out}
        self.out.add(taken)
        self.owed.discard(taken)
        return True

    async def add(self, key: Key, number: int) -> None:
        self.queue.add(key, priority=number)
        self.owed.add(key)

    async def later(self, key: Key, number: int) -> None:
        self.queue.add(key, after=number)
        self.owed.add(key)

    async def done(self, key: Key, number: int) -> None:
        if key in self.out:
            self.out.discard(key)
            self.queue.done(key)

    async def time(self, key: Key, number: int) -> None:
        self.clock.pass_time(number)

    async def drain(self) -> None:
        self.clock.pass_time(100)
        going = True
        while going:
            for running in list(self.out):
                await self.done(running, 0)
            going = await self.take(Key("", "", ""), 0)


@given(st.lists(st.tuples(STEPS, st.sampled_from(["", "one", "two", "three"])), max_size=60))
def test_in_any_order_of_calls_nothing_is_lost_and_lanes_are_exclusive(
    steps: list[tuple[tuple[str, str, int], str]],
) -> None:
    async def play() -> None:
        scenario = Scenario()
        for (action, name, number), lane in steps:
            namespace = "one" if name in "ab" else "two"
            await getattr(scenario, action)(Key("K", namespace, name, lane), number)
        await scenario.drain()
        assert not scenario.owed
        assert scenario.queue.depth == scenario.queue.delayed == 0

    asyncio.run(play())


async def test_keys_of_low_priority_leave_workers_to_edits(clock: Clock) -> None:
    queue = Queue(clock=clock, share=2)
    low = [Key("Mesh", f"low-{n}", "m") for n in range(5)]
    for key in low:
        queue.add(key, priority=BACKGROUND)
    out = [(await queue.get()).key for _ in range(2)]
    assert out == low[:2]
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    edit = Key("Mesh", "edited", "m")
    queue.add(edit, priority=EDIT)
    await asyncio.sleep(0)
    assert not waiting.done(), "what never ran has low priority too"
    queue.done(low[1])
    assert (await waiting).key == edit
    queue.done(edit)
    queue.add(Key("Mesh", "low-9", "m"), priority=BACKGROUND)
    waiting = asyncio.create_task(queue.get())
    assert (await waiting).key == low[2]
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.add(edit, priority=EDIT)
    assert (await waiting).key == edit
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done(), "an edit that is out gives keys of low priority no more room"
    queue.done(low[0])
    assert (await waiting).key == low[3]


async def test_an_edit_waits_for_what_was_edited_before_and_for_nothing_else(clock: Clock) -> None:
    """However often others are edited, and however much is waiting."""
    queue = Queue(clock=clock, share=1)
    for number in range(500):
        queue.add(Key("Mesh", f"background-{number}", "m"), priority=BACKGROUND)
    earlier = [Key("Mesh", f"earlier-{number}", "m") for number in range(20)]
    mine = Key("Mesh", "mine", "m")
    for key in (*earlier, mine):  # to be known as well
        queue.add(key, priority=EDIT)
        queue.done((await queue.get()).key)
    for key in (*earlier, mine):
        queue.add(key, priority=EDIT)
    started: list[Key] = []
    while mine not in started:
        taken = await queue.get()
        started.append(taken.key)
        for key in earlier:  # their owners never rest
            queue.add(key, priority=EDIT)
        queue.done(taken.key)
    assert started == [*earlier, mine]


async def test_a_rested_lane_passes_those_that_never_rest(clock: Clock) -> None:
    queue = Queue(clock=clock)
    busy = [Key("Mesh", f"busy-{number}", "m") for number in range(50)]
    mine = Key("Mesh", "mine", "m")
    queue.add(mine, priority=EDIT)
    queue.done((await queue.get()).key)
    for _ in range(20):
        for key in busy:
            queue.add(key, priority=EDIT)
            clock.pass_time(0.01)
            queue.done((await queue.get()).key)
    for key in busy:
        queue.add(key, priority=EDIT)
    clock.pass_time(LONGEST / 2)
    queue.add(mine, priority=EDIT)
    assert (await queue.get()).key == mine


async def test_a_busy_lane_is_put_back_and_never_held_back(clock: Clock) -> None:
    queue = Queue(clock=clock)
    busy = Key("Mesh", "busy", "m")
    for _ in range(500):
        queue.add(busy, priority=EDIT)
        queue.done((await queue.get()).key)
    rested = [Key("Mesh", f"rested-{number}", "m") for number in range(10)]
    for key in rested:
        queue.add(key, priority=EDIT)
        queue.done((await queue.get()).key)
    queue.add(busy, priority=EDIT)
    clock.pass_time(LONGEST + 0.1)
    for key in rested:
        queue.add(key, priority=EDIT)
    assert (await queue.get()).key == busy


async def test_a_healthy_key_passes_one_that_never_succeeded_and_none_waits_for_ever(clock: Clock) -> None:
    queue = Queue(clock=clock)
    mine, broken = Key("Mesh", "mine", "m"), [Key("Mesh", f"broken-{number}", "m") for number in range(100)]
    queue.add(mine)
    queue.done((await queue.get()).key, well=True)
    for key in broken:
        queue.add(key)
        queue.done((await queue.get()).key, well=False)
    for key in broken:
        queue.add(key, priority=EDIT)
    clock.pass_time(UNHEALTHY / 2)
    queue.add(mine, priority=EDIT)
    assert (await queue.get()).key == mine
    queue.done(mine)
    clock.pass_time(UNHEALTHY)
    queue.add(mine, priority=EDIT)
    assert (await queue.get()).key in broken


async def test_what_is_new_passes_a_first_look_at_everything_and_that_does_not_wait_for_ever(
    clock: Clock,
) -> None:
    queue = Queue(clock=clock, share=1)
    swept = [Key("Member", f"member-{number}", "default") for number in range(500)]
    for key in swept:
        queue.add(key, priority=BACKGROUND)
    broken, joins = Key("Member", "broken", "default"), Key("Member", "joins", "default")
    queue.add(broken)
    queue.done((await queue.get()).key, well=False)
    clock.pass_time(BACKGROUND_LATER + UNHEALTHY - 1)
    queue.add(broken)
    assert (await queue.get()).key == swept[0], "one that failed is not new"
    queue.done(swept[0])
    queue.add(joins)
    assert (await queue.get()).key == joins
    queue.done(joins, well=False)
    clock.pass_time(2)
    queue.add(Key("Member", "late", "default"))
    assert (await queue.get()).key == swept[1]


async def take_now(queue: Queue) -> Taken | None:
    """What a free worker gets without waiting."""
    getter = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    if getter.done():
        return getter.result()
    getter.cancel()
    await asyncio.gather(getter, return_exceptions=True)
    return None


class Crew:
    """`workers` workers; `end` is told of each key whose run took `seconds`, and gives it back."""

    def __init__(
        self, queue: Queue, clock: Clock, *, workers: int, seconds: float, end: Callable[[Key], None]
    ) -> None:
        self.queue, self.clock, self.workers, self.seconds, self.end = queue, clock, workers, seconds, end
        self.out: dict[Key, float] = {}
        self.starts: list[tuple[float, Key]] = []

    async def work(self, seconds: int) -> None:
        """For so many seconds; time passes one second at a time."""
        for _ in range(seconds):
            for running in [key for key, due in self.out.items() if due <= self.clock.now]:
                del self.out[running]
                self.end(running)
            while len(self.out) < self.workers and (taken := await take_now(self.queue)) is not None:
                self.out[taken.key] = self.clock.now + self.seconds
                self.starts.append((self.clock.now, taken.key))
            self.clock.pass_time(1)

    def started(self, key: Key) -> float:
        """When a key started last."""
        return max((at for at, other in self.starts if other == key), default=float("inf"))


HANGS = 10
"""Seconds for which a run of these hangs."""


@pytest.mark.parametrize(("well", "priority"), [(True, RETRY), (False, RETRY), (False, EDIT)])
async def test_keys_that_hang_and_return_for_ever_starve_no_other(
    clock: Clock, well: bool, priority: int
) -> None:
    queue = Queue(clock=clock, share=2)
    hanging = [key(f"hangs-{number}") for number in range(9)]
    mine, resync, new = key("mine"), key("resync"), key("new")

    def end(running: Key) -> None:
        if running in hanging:
            queue.add(running, priority=priority, after=5)
        queue.done(running, well=well or running == mine)

    crew = Crew(queue, clock, workers=8, seconds=HANGS, end=end)
    queue.add(mine)
    await crew.work(HANGS + 1)
    for other in hanging:
        queue.add(other, priority=priority)
    await crew.work(300)
    asked = clock.now
    queue.add(resync, priority=BACKGROUND)
    queue.add(new, priority=EDIT)
    queue.add(mine, priority=EDIT)
    await crew.work(300)
    assert crew.started(mine) == asked, "workers are left for edits of what is well"
    once_each = (len(hanging) + 1) * HANGS / 2
    for late in (resync, new):
        assert crew.started(late) <= asked + LONGEST_PUT_BACK + once_each
    assert len([at for at, other in crew.starts if other in hanging]) > 50, "they did keep coming"


@pytest.mark.parametrize("priority", [EDIT, EDIT + 100])
async def test_no_number_of_namespaces_that_are_touched_without_pause_holds_up_an_edit(
    clock: Clock, priority: int
) -> None:
    """However the one asks for it that touches them."""
    queue = Queue(clock=clock, share=2)
    touched, mine = [key(f"touched-{number}") for number in range(40)], key("mine")

    def end(running: Key) -> None:
        if running in touched:
            queue.add(running, priority=priority)
        queue.done(running)

    crew = Crew(queue, clock, workers=8, seconds=1, end=end)
    queue.add(mine)
    for other in touched:
        queue.add(other, priority=priority)
    await crew.work(100)
    asked, queued = clock.now, queue.depth
    queue.add(mine, priority=EDIT)
    await crew.work(100)
    assert queued > 8
    passed = [other for at, other in crew.starts if asked <= at < crew.started(mine)]
    assert crew.started(mine) <= asked + LONGEST + len(touched) / 8 + 1
    assert len(passed) <= len(touched) + 8 * (LONGEST + 1)


async def test_edits_of_healthy_keys_without_end_starve_no_other(clock: Clock) -> None:
    queue = Queue(clock=clock, share=2)
    busy, resync = [key(f"busy-{number}") for number in range(40)], key("resync")

    def end(running: Key) -> None:
        if running in busy:
            queue.add(running, priority=EDIT)
        queue.done(running)

    crew = Crew(queue, clock, workers=8, seconds=1, end=end)
    for other in busy:
        queue.add(other)
    await crew.work(100)
    asked = clock.now
    queue.add(resync, priority=BACKGROUND)
    await crew.work(200)
    assert crew.started(resync) <= asked + LONGEST_PUT_BACK + len(busy) / 8 + 1


async def test_what_did_not_run_to_its_end_counts_as_what_it_did_before(clock: Clock) -> None:
    queue = Queue(clock=clock, share=1)
    good, bad, other = key("good"), key("bad"), key("other")
    for name, well in ((good, True), (bad, False)):
        queue.add(name)
        queue.done(await take(queue), well=well)
        queue.add(name)
        queue.done(await take(queue), well=None)
    queue.add(other, priority=BACKGROUND)
    assert await take(queue) == other
    queue.add(bad)
    queue.add(good)
    assert await take(queue) == good, "the one place for low priority is taken"
    assert await is_empty(queue)
