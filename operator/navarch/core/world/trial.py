"""What is seen of the proxy with which a new revision is tried.

Owns the record. Must never judge it: mesh/trial.py does. Invariant: nothing in it moves while the pod stands
as it is.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrialPod:
    """A pod of a trial proxy that has not ended. `template` is the hash of the template it was made from,
    `revision` injected it (empty where none did), `ready` says that its proxy has taken its first
    configuration, `problem` is why it does not start, in the cluster's own words."""

    name: str
    template: str
    revision: str = ""
    ready: bool = False
    leaving: bool = False
    problem: str = ""
