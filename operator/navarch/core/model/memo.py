"""What was made from data, remembered for each mesh as long as the data stay the same.

Owns the wrapper that makes JSON-like data comparable by its hash, and the memory. What is remembered is a
pure function's result, so it can be wrong only where an input is missing from the arguments, and may be lost
at any time. Invariants: two Hashed values are equal exactly when their data is; of one place no more than the
latest result is kept, so that no mesh takes more memory, nor takes it from others, by being edited often.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import is_not
from typing import Any, Generic, TypeVar

from navarch.core.model.hashing import stable_hash

T = TypeVar("T")

REMEMBERED = 256
"""Places of which each memo keeps the result; the one that was used longest ago goes first. What one mesh
becomes takes about 0.2 MiB."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """JSON-like data that is compared by its hash. `place` says whose it is: a mesh, or a revision. No
    code may change `data`."""

    digest: str
    data: Any = field(compare=False, repr=False)
    place: str = field(default="", compare=False)


def build_hashed(data: Any, *, place: str = "") -> Hashed:
    """`data` with its hash in full length, for nothing else tells two inputs apart."""
    return Hashed(stable_hash(data, length=64), data, place)


class Last(Generic[T]):
    """A function whose result for the very arguments of the last call is remembered: a decorator, for what a
    dozen callers ask one after the other. Nobody may change arguments or result. `misses` counts."""

    def __init__(self, function: Callable[..., T]) -> None:
        self._function = function
        self._kept: tuple[tuple[Any, ...], T] | None = None
        self.misses = 0

    def __call__(self, *asked: Any) -> T:
        """The result, made anew for any other argument, be it an equal one."""
        kept = self._kept
        if kept is None or len(kept[0]) != len(asked) or any(map(is_not, kept[0], asked)):
            self.misses += 1
            kept = self._kept = asked, self._function(*asked)
        return kept[1]


class Latest(Generic[T]):
    """A function of hashed data and further arguments, whose latest result for each place is remembered: a
    decorator. `hits` and `misses` count."""

    def __init__(self, function: Callable[..., T]) -> None:
        self._function = function
        self._kept: OrderedDict[str, tuple[Hashed, tuple[Any, ...], T]] = OrderedDict()
        self.hits = self.misses = 0

    def __call__(self, asked: Hashed, *rest: Any) -> T:
        """The result, made anew only when anything differs from the last time."""
        kept = self._kept.get(asked.place)
        if kept is not None and kept[:2] == (asked, rest):
            self.hits += 1
            self._kept.move_to_end(asked.place)
            return kept[2]
        self.misses += 1
        result = self._function(asked, *rest)
        self._kept[asked.place] = (asked, rest, result)
        self._kept.move_to_end(asked.place)
        while len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
        return result
