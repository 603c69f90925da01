"""Doing the same with many objects side by side.

Owns how many requests of one plan are under way at the same time. Must never leave one behind: all have ended
when it returns. Invariant: the answers stand in the order of the questions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

SIDE_BY_SIDE = 8
"""Objects of one plan that are written at the same time."""


async def do_together(do: Callable[[Item], Awaitable[Answer]], items: Iterable[Item]) -> list[Answer]:
    """What `do` answers for each item. Raises the first exception of any, after all have ended."""
    slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def do_one(item: Item) -> Answer:
        async with slots:
            return await do(item)

    ended = await asyncio.gather(*map(do_one, items), return_exceptions=True)
    answers: list[Answer] = []
    for answer in ended:
        if isinstance(answer, BaseException):
            raise answer
        answers.append(answer)
    return answers
