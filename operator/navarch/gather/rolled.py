"""The watches of workloads that are others', for their restarts.

Owns this list: the operator follows it while a mesh asks for restarts, the command never. Must never keep a
pod template. Invariant: a kind that the cluster lacks is asked for no sooner than its
CustomResourceDefinition is there.
"""

from __future__ import annotations

from navarch.core.model.restarts import ARGO
from navarch.core.world.argo import CRD
from navarch.core.world.rollable import API_VERSIONS
from navarch.gather.excerpts import shrink_budget, shrink_rollout, shrink_workload
from navarch.gather.watches import SMALL_PAGE, Role, Watch
from navarch.kube.shelf import Bound
from navarch.triggers.keys import Dependents, by_state
from navarch.triggers.known import asks_for_rollouts

BUDGETS = Watch(
    "rolled-budgets",
    "policy/v1",
    "PodDisruptionBudget",
    Role.LOOKED_AT,
    by_state(Dependents.asks_for_workload),
    transform=shrink_budget,
    bound=Bound(object=8 * 1024),
    page=SMALL_PAGE,
    asked_by=asks_for_rollouts,
)
ROLLED = {
    kind: Watch(
        f"rolled-{kind.lower()}s",
        api_version,
        kind,
        Role.LOOKED_AT,
        by_state(Dependents.asks_for_workload),
        transform=shrink_rollout if kind == ARGO else shrink_workload,
        bound=Bound(object=8 * 1024),
        page=SMALL_PAGE,
        asked_by=asks_for_rollouts,
        crd=CRD if kind == ARGO else "",
    )
    for kind, api_version in API_VERSIONS.items()
}
OF_ROLLOUTS = (*ROLLED.values(), BUDGETS)
