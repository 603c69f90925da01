"""The one way in which tests wait: look, and look again, until a deadline."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    probe: Callable[[], T | Awaitable[T]], *, seconds: float = 10.0, every: float = 0.02, what: str = ""
) -> T:
    """The first truthy value of `probe`, which is called every so often; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what or inspect.getsource(probe).strip()}")
        await asyncio.sleep(every)
