"""What depends on the API server, on the oldest Kubernetes: a core of the cluster's tests, as they are.

`make soak` runs all of these modules so.
"""

from __future__ import annotations

from navarch.assets import load_assets

from lab.cluster import Cluster
from tests.cluster.test_admission import (  # noqa: F401
    test_a_key_that_would_widen_power_is_refused,
    test_creating_a_mesh_needs_the_verb_host,
    test_no_expression_of_a_policy_earns_a_warning,
    test_nobody_but_the_operator_writes_revisions,
    test_the_operator_may_do_what_it_needs_and_no_more,
    test_who_holds_the_verb_host_may_create_a_mesh_there_and_nowhere_else,
)
from tests.cluster.test_apply import (  # noqa: F401
    test_a_foreign_object_is_named_and_left_untouched,
    test_an_apply_that_changes_nothing_sends_nothing_and_a_forced_one_keeps_the_version,
    test_right_after_an_apply_our_entry_covers_every_leaf,
)
from tests.cluster.test_injection import (  # noqa: F401
    test_injection_needs_the_meshs_own_root_in_every_webhook,
)
from tests.cluster.test_ready import test_a_mesh_becomes_ready_from_one_manifest  # noqa: F401
from tests.cluster.test_status import test_a_settled_mesh_stays_as_it_is  # noqa: F401


def test_the_cluster_is_the_oldest_that_a_supported_istio_takes(light: Cluster) -> None:
    minimum = min(m.kubernetes_minimum for m in load_assets().catalog.minors if not m.end_of_life)
    assert light.kubernetes.startswith(".".join(map(str, minimum)) + ".")
