"""Applying on the oldest Kubernetes: a core of the cluster's tests, as they are."""

from __future__ import annotations

from tests.cluster.test_apply import (  # noqa: F401
    test_a_foreign_object_is_named_and_left_untouched,
    test_an_apply_that_changes_nothing_sends_nothing_and_a_forced_one_keeps_the_version,
    test_an_object_is_created_by_one_request_and_no_field_of_it_names_a_version,
    test_right_after_an_apply_our_entry_covers_every_leaf,
    test_what_stands_unseen_under_a_name_is_not_changed_though_no_field_conflicts,
)
