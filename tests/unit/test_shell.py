"""kopf's shell: started again when it ends, and known to be dead when its loop stands still."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import kopf
from navarch.engine.key import Key
from navarch.triggers import shell as shells
from navarch.triggers.shell import Shell

from tests.polling import eventually

BEAT = 0.01


async def log_in() -> kopf.ConnectionInfo:
    return kopf.ConnectionInfo(server="http://127.0.0.1:1")


def ignore(key: Key, priority: int) -> None:
    raise AssertionError("nothing is watched here")


@asynccontextmanager
async def running(operate: Callable[..., Any]) -> AsyncIterator[Shell]:
    """A shell over something that is run as kopf is, in kopf's thread and loop."""
    shell = Shell(ignore, log_in, idle=1.0, operate=operate, beat=BEAT)
    assert shell.age == 0.0
    task = asyncio.create_task(shell.run())
    try:
        yield shell
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_loop_that_turns_is_alive_one_that_stands_still_is_not_and_may_recover() -> None:
    stand_still, released = threading.Event(), threading.Event()

    async def operate(*, stop_flag: threading.Event, **_: Any) -> None:
        while not stop_flag.is_set():
            await asyncio.sleep(BEAT)
            if stand_still.is_set():
                released.wait()

    async with running(operate) as shell:
        before = await eventually(lambda: shell._seen)
        await eventually(lambda: (shell._seen or 0) > before, what="it beats")
        stand_still.set()
        await eventually(lambda: shell.age > 20 * BEAT, what="its silence shows")
        stand_still.clear()
        released.set()
        await eventually(lambda: shell.age < 5 * BEAT, what="it beats again")


async def test_a_kopf_that_ends_is_run_again_and_one_that_always_ends_at_once_never_counts_as_alive() -> None:
    runs: list[int] = []
    again = threading.Event()

    async def operate(*, stop_flag: threading.Event, **_: Any) -> None:
        runs.append(threading.get_ident())
        # As kopf waits for its flag: in a thread that nobody ends but the flag.
        asyncio.get_running_loop().run_in_executor(None, stop_flag.wait)
        if len(runs) == 2:
            again.set()
        raise RuntimeError("a watch error that kopf does not know")

    async with running(operate) as shell:
        await eventually(again.is_set, seconds=5 + shells.DELAYS[0], what="a second run")
        assert shell.age >= shells.DELAYS[0], "no sign of life between the runs"
        assert threading.get_ident() not in runs, "not in the process's own thread"


async def test_what_kopf_asks_and_tells_arrives_in_the_process_s_own_loop() -> None:
    told: list[tuple[Key, int, int]] = []
    key = Key("MeshControlPlane", "ns", "demo")
    here = threading.get_ident()
    logins: list[int] = []

    async def log_in_here() -> kopf.ConnectionInfo:
        logins.append(threading.get_ident())
        return await log_in()

    async def operate(*, registry: kopf.OperatorRegistry, stop_flag: threading.Event, **_: Any) -> None:
        (login,) = [handler.fn for handler in registry._activities.get_all_handlers()]
        assert (await login()).server == "http://127.0.0.1:1"  # type: ignore[misc,operator,union-attr]
        note = registry._watching.get_all_handlers()[0].fn
        body = kopf.Body(
            {"kind": key.kind, "metadata": {"namespace": key.namespace, "name": key.name, "generation": 1}}
        )
        note(type="ADDED", body=body)  # type: ignore[call-arg]
        await asyncio.to_thread(stop_flag.wait)

    shell = Shell(
        lambda key, priority: told.append((key, priority, threading.get_ident())),
        log_in_here,
        idle=1.0,
        operate=operate,
    )
    task = asyncio.create_task(shell.run())
    await eventually(lambda: told)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert told == [(key, 0, here)]
    assert logins == [here]
