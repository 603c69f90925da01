"""How long a failing key waits.

Owns the count of consecutive failures per key. Must never sleep or look at the clock.
Invariant: a delay never exceeds the cap, and a success forgets all failures.
"""

from __future__ import annotations

from collections.abc import Callable

from navarch.engine.key import Key


class Backoff:
    """Exponential backoff per key.

    `base` and `cap` are seconds, `factor` multiplies per failure, `jitter` is the largest relative change,
    and `random` returns numbers from [0, 1).
    """

    def __init__(
        self,
        *,
        random: Callable[[], float],
        base: float = 1.0,
        factor: float = 2.0,
        cap: float = 300.0,
        jitter: float = 0.2,
    ) -> None:
        self._random = random
        self._base, self._factor, self._cap, self._jitter = base, factor, cap, jitter
        self._failures: dict[Key, int] = {}

    def next_delay(self, key: Key) -> float:
        """Count one more failure and return how many seconds to wait, never more than `cap`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = self._base
        for _ in range(failures):
            delay *= self._factor
            if delay >= self._cap:
                break
        spread = 1 + self._jitter * (2 * self._random() - 1)
        return min(delay * spread, self._cap)

    def failures(self, key: Key) -> int:
        """Consecutive failures so far."""
        return self._failures.get(key, 0)

    def reset(self, key: Key) -> None:
        """Forget the failures of a key, after a success."""
        self._failures.pop(key, None)
