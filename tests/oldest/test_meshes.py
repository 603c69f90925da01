"""A mesh on the oldest Kubernetes, from its manifest to rest: a core of the cluster's tests, as they are."""

from __future__ import annotations

from tests.cluster.test_injection import (  # noqa: F401
    test_injection_needs_the_meshs_own_root_in_every_webhook,
)
from tests.cluster.test_ready import test_a_mesh_becomes_ready_from_one_manifest  # noqa: F401
from tests.cluster.test_status import test_a_settled_mesh_stays_as_it_is  # noqa: F401
