"""What queue and workers tell about themselves; the names mirror controller-runtime's metrics.

Must never influence the work: an observer returns nothing and is called synchronously.
"""

from __future__ import annotations

from navarch.engine.key import Key


class Observer:
    """Receives counts and durations (seconds). Every method does nothing unless overridden."""

    def key_added(self, key: Key) -> None:
        """A key was accepted by the queue (workqueue_adds_total)."""

    def key_retried(self, key: Key) -> None:
        """A key will run again because of an error (workqueue_retries_total)."""

    def reconcile_started(self, key: Key, *, waited: float) -> None:
        """A worker took a key that had been ready for `waited` (queue_duration, active_workers + 1)."""

    def reconcile_finished(self, key: Key, *, result: str, seconds: float) -> None:
        """A worker is done; `result` is success, requeue_after, error or terminal (active_workers - 1)."""

    def reconcile_crashed(self, key: Key) -> None:
        """The error was not one that the program knows (reconcile_panics_total)."""
