"""A restart of a workload that is another's: one annotation on its pod template, or a moment in its spec.

Owns what there is to say of it. Invariant: a restart that is carried out twice writes once.
"""

from __future__ import annotations

from dataclasses import dataclass

from navarch.core.model.refs import Ref

ARGO = "Rollout"
"""The kind of Argo Rollouts, which is restarted by a moment."""
ROLLER = "navarch-rollouts"
"""The field manager of restarts."""


@dataclass(frozen=True, slots=True)
class Restart:
    """That the pods of a workload are made anew: `mark` is what its annotation ROLLED_FOR says from then on,
    `uid` which object is meant, and `at` before when the pods were made, in Kubernetes' form of a moment: for
    whoever replaces them by their age."""

    ref: Ref
    uid: str
    mark: str
    at: str = ""
