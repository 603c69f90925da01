"""The one way in which tests wait: look, and look again, until a deadline."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE, LEAST = 4, 60.0
"""How much longer than on an idle machine a wait may take, and how long any may at the least: a deadline says
that something hangs, and never that a machine is busy."""


async def eventually(
    probe: Callable[[], T | Awaitable[T]], *, seconds: float = 10.0, every: float = 0.02, what: str = ""
) -> T:
    """The first truthy value of `probe`, which is called every so often.

    `seconds` is what that takes at most on an idle machine; AssertionError after a good deal more. Where it
    matters how soon something comes, count what came before it.
    """
    patience = max(PATIENCE * seconds, LEAST)
    deadline = time.monotonic() + patience
    while True:
        value = probe()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {patience:.0f} s: {what or inspect.getsource(probe).strip()}")
        await asyncio.sleep(every)
