"""The gates of a rollout: how one follows its readings, and what it means for the restarts.

Must never ask anybody, or judge one answer: core/rollout/answers.py does. Invariants: a gate of which nothing
is known lets nothing pass; one that failed passes when it has been passed for SETTLED seconds; one that is
not answered is never thereby failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from navarch.api.dataplane import DataPlane
from navarch.api.gates import ROLLBACK

INTERVAL, SOONER = 10.0, 5.0
"""Seconds between two readings; the second where something new is there to be read."""
FRESH = 60.0
"""Seconds for which a reading counts: two readings, and the longest that somebody may take to answer."""
SETTLED = 60.0
"""Seconds for which a gate that failed has to be passed before it counts as passed, and has to fail before
there is a way back."""


class GateState(StrEnum):
    """What is known of a gate, as status names it."""

    PASSED = "Passed"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer, in words where it does not let restarts pass."""

    name: str
    state: GateState
    message: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate after its last reading. `since` is when that was, `failing` since when each reading says that it
    failed, `passing` since when each says that it passed after it had failed: seconds of one clock."""

    name: str
    state: GateState
    message: str = ""
    since: float = 0.0
    failing: float | None = None
    passing: float | None = None

    def __str__(self) -> str:
        return f"gate {self.name}: {self.message}"


def follow(last: Gate | None, reading: Reading, at: float) -> Gate:
    """The gate after one more reading."""
    failed = last is not None and last.state is GateState.FAILED
    if reading.state is GateState.FAILED:
        since = last.failing if last is not None and failed and last.failing is not None else at
        return Gate(reading.name, reading.state, reading.message, at, failing=since)
    if last is None or not failed:
        return Gate(reading.name, reading.state, reading.message, at)
    if reading.state is GateState.UNKNOWN:
        return Gate(reading.name, GateState.FAILED, f"{last.message}; now: {reading.message}", at)
    passing = last.passing if last.passing is not None else at
    if at - passing >= SETTLED:
        return Gate(reading.name, GateState.PASSED, since=at)
    return Gate(reading.name, GateState.FAILED, last.message, at, passing=passing)


def read_gate(gate: Gate | None, name: str, now: float) -> Gate:
    """A gate as it stands now: one whose last reading is too old is not known."""
    if gate is None:
        return Gate(name, GateState.UNKNOWN, "it was not asked yet", now)
    if now - gate.since > FRESH:
        return Gate(name, GateState.UNKNOWN, f"its last answer is {int(now - gate.since)} s old", now)
    return gate


def find_closed_gates(gates: Iterable[Gate], state: GateState) -> list[Gate]:
    """The gates in this state."""
    return [gate for gate in gates if gate.state is state]


def find_lasting_failure(policy: DataPlane, gates: Sequence[Gate]) -> Gate | None:
    """The gate that has failed for so long that the mesh has to go back, where it asks for that."""
    if policy.on_failure != ROLLBACK:
        return None
    return next((g for g in gates if g.failing is not None and g.since - g.failing >= SETTLED), None)
