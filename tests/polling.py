"""The one way in which tests wait: look, and look again, until a deadline."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE, LEAST = 6, 300.0
"""How much longer than on an idle machine a wait may take, and how long any may at the least: a deadline says
that something hangs, and never that a machine is busy."""

OFTEN, SELDOM = 0.03, 0.25
"""Seconds between two looks, at first and later: what comes late is seen a tenth later still, and a look, at
the operator's metrics for one, costs as much as a reconcile."""


async def eventually(
    probe: Callable[[], T | Awaitable[T]],
    *,
    seconds: float = 10.0,
    every: float | None = None,
    what: str = "",
) -> T:
    """The first truthy value of `probe`, which is called `every` so many seconds; by default often at first,
    and more seldom the longer it takes.

    `seconds` is what that takes at most on an idle machine; AssertionError after a good deal more. Where it
    matters how soon something comes, count what came before it.
    """
    patience = max(PATIENCE * seconds, LEAST)
    started = time.monotonic()
    while True:
        value = probe()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        waited = time.monotonic() - started
        if waited >= patience:
            raise AssertionError(f"not within {patience:.0f} s: {what or inspect.getsource(probe).strip()}")
        await asyncio.sleep(min(max(OFTEN, waited / 10), SELDOM) if every is None else every)
