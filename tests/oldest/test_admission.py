"""Admission on the oldest Kubernetes: a core of the cluster's tests, as they are."""

from __future__ import annotations

from navarch.assets import load_assets

from lab.cluster import Cluster
from tests.cluster.test_admission import (  # noqa: F401
    test_a_key_that_would_widen_power_is_refused,
    test_no_expression_of_a_policy_earns_a_warning,
    test_only_the_operator_writes_revisions,
    test_the_operator_may_do_what_it_needs_and_no_more,
    test_who_holds_the_verb_host_may_create_a_mesh_there_and_nowhere_else,
)
from tests.cluster.test_gateways_admission import (  # noqa: F401
    test_as_many_gateways_as_the_lists_hold_are_taken,
    test_gateways_elsewhere_take_the_verb_host_and_those_beside_the_mesh_what_a_meshgateway_takes,
)


def test_the_cluster_is_the_oldest_that_a_supported_istio_takes(light: Cluster) -> None:
    minimum = min(m.kubernetes_minimum for m in load_assets().catalog.minors if not m.end_of_life)
    assert light.kubernetes.startswith(".".join(map(str, minimum)) + ".")
