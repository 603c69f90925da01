"""A restart: one annotation on the pod template of a workload that is another's.

Owns its form. Must never ask for force. Invariant: a restart that is carried out twice writes once.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.core.model.refs import Ref

ROLLER = "navarch-rollouts"
"""The field manager of restarts."""


@dataclass(frozen=True, slots=True)
class Restart:
    """That the pods of a workload are made anew: `mark` is what its template's annotation ROLLED_FOR says
    from then on, `uid` which object is meant."""

    ref: Ref
    uid: str
    mark: str
