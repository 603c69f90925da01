"""Requests of one plan go side by side, so many at a time, and none is left behind."""

from __future__ import annotations

import asyncio

import pytest
from navarch.kube.together import SIDE_BY_SIDE, do_together


async def test_as_many_as_there_are_slots_are_under_way_and_the_answers_keep_their_order() -> None:
    running, most, full = 0, 0, asyncio.Event()

    async def double(item: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == SIDE_BY_SIDE:
            full.set()
        await full.wait()  # none ends before so many have begun
        running -= 1
        return 2 * item

    assert await do_together(double, range(3 * SIDE_BY_SIDE)) == [
        2 * item for item in range(3 * SIDE_BY_SIDE)
    ]
    assert most == SIDE_BY_SIDE


async def test_an_exception_is_raised_once_all_others_have_ended() -> None:
    ended: list[int] = []

    async def fail_first(item: int) -> None:
        if item == 0:
            raise ValueError(item)
        await asyncio.sleep(0)
        ended.append(item)

    with pytest.raises(ValueError, match="0"):
        await do_together(fail_first, range(5))
    assert ended == [1, 2, 3, 4]
