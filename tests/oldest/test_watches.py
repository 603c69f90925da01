"""Watches of the oldest Kubernetes: a core of the cluster's tests, as they are."""

from __future__ import annotations

from tests.cluster.test_reflector import (  # noqa: F401
    test_a_watch_of_a_kind_without_changes_counts_as_heard,
)
