"""How late the event loop is, which all meshes share.

Must never end by itself.
"""

from __future__ import annotations

import asyncio

from navarch.telemetry import metrics

PERIOD = 0.25
"""Seconds between two looks."""


async def watch_stalls() -> None:
    """Measure it for as long as the loop runs."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PERIOD
        await asyncio.sleep(PERIOD)
        metrics.event_loop_stall_seconds.observe(loop.time() - due)
