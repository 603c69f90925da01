"""What queue and workers report, as metrics.

Invariant: every method is a handful of counter updates.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from navarch.telemetry import metrics


class _Key(Protocol):
    @property
    def kind(self) -> str: ...


class MetricsObserver:
    """Implements the engine's Observer without importing it: the two meet in app.py. One a process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started: dict[_Key, float] = {}
        metrics.workqueue_unfinished_work_seconds.set_function(lambda: sum(self._find_running()))
        metrics.workqueue_longest_running_processor_seconds.set_function(
            lambda: max(self._find_running(), default=0.0)
        )

    def _find_running(self) -> list[float]:
        now = self._clock()
        # A copy in one step: metrics are rendered in a thread.
        return [now - started for started in list(self._started.values())]

    def key_added(self, key: _Key) -> None:
        """A key was accepted by the queue."""
        metrics.workqueue_adds_total.labels(key.kind).inc()

    def key_retried(self, key: _Key) -> None:
        """A key will run again because of an error."""
        metrics.workqueue_retries_total.labels(key.kind).inc()

    def reconcile_started(self, key: _Key, *, waited: float) -> None:
        """A worker took a key that had been ready for `waited` seconds."""
        metrics.workqueue_queue_duration_seconds.labels(key.kind).observe(waited)
        metrics.active_workers.labels(key.kind).inc()
        self._started[key] = self._clock()

    def reconcile_finished(self, key: _Key, *, result: str, seconds: float) -> None:
        """A worker is done after so many seconds."""
        metrics.active_workers.labels(key.kind).dec()
        self._started.pop(key, None)
        metrics.workqueue_work_duration_seconds.labels(key.kind).observe(seconds)
        metrics.reconcile_total.labels(key.kind, result).inc()
        metrics.reconcile_time_seconds.labels(key.kind).observe(seconds)
        if result == "error":
            metrics.reconcile_errors_total.labels(key.kind).inc()
        if result == "terminal":
            metrics.reconcile_terminal_errors_total.labels(key.kind).inc()

    def reconcile_crashed(self, key: _Key) -> None:
        """The error was not one that the program knows."""
        metrics.reconcile_panics_total.labels(key.kind).inc()
