"""The last word before a write leaves this process.

Owns the way from a client's guard into the transport: between the moment a request is handed over and the
moment its bytes go to the kernel lie a connection, a handshake and turns of the event loop, and a process
that is stopped in there may go on long after its Lease. Must never know what a guard guards.
Invariant: nothing is awaited between the guard's answer and the handing of the bytes to the socket, so of all
requests of a process that is stopped at any moment at most one was allowed and not sent yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace

import aiohttp

Guard = Callable[[], None]
"""Raises when nothing may be written."""

_guard: ContextVar[Guard | None] = ContextVar("guard", default=None)


@contextmanager
def guarding(guard: Guard | None) -> Iterator[None]:
    """Ask now, and for requests of this task that are sent inside once more when their body is written."""
    if guard is None:
        yield
        return
    guard()
    before = _guard.set(guard)
    try:
        yield
    except aiohttp.ClientError:
        guard()  # its refusal comes out of the transport as a broken connection
        raise
    finally:
        _guard.reset(before)


def build_trace() -> aiohttp.TraceConfig:
    """Makes a session check the guard: its tracing calls back before each piece of a body, in a task with the
    context of the sender. Every write of ours has a body, headers go out together with it.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(_ask)
    return trace


async def _ask(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestChunkSentParams
) -> None:
    guard = _guard.get()
    if guard is not None:
        guard()
