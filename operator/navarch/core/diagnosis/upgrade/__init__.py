"""What is worth knowing before a mesh is upgraded, beyond what its own checks say of its spec.

Owns the list of rules. Must never veto: what the operator refuses are findings of the mesh's own checks
(core/mesh/checks), and it lists nothing of what these rules are about. Invariant: equal observations give
equal diagnoses in equal order.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.core.diagnosis.report import Diagnosis
from navarch.core.diagnosis.upgrade import configuration, filters, running
from navarch.core.diagnosis.upgrade.observed import ObservedUpgrade, Rule

RULES_OF_UPGRADE: tuple[Rule, ...] = (
    configuration.check_stored_versions_stay,
    configuration.check_stored_versions_of_gateway_api_stay,
    configuration.check_nothing_is_removed,
    configuration.check_nothing_is_deprecated,
    filters.check_filters_take_the_version,
    filters.check_filters_stand_alone,
    running.check_no_proxy_is_newer,
    running.check_pods_may_be_disrupted,
    running.check_autoscalers_have_room,
    running.check_nodes_have_room,
)


def run_rules_of_upgrade(upgrade: ObservedUpgrade) -> Iterator[Diagnosis]:
    """Everything that is worth saying before this upgrade."""
    for rule in RULES_OF_UPGRADE:
        yield from rule(upgrade)
