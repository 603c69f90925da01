"""What the real istiod writes into a webhook leaves its match conditions as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.cluster import Cluster
from tests.polling import eventually
from tests.support.api import Api
from tests.support.istiod import run_istiod
from tests.upstream.installations import (
    REVISION,
    Setting,
    build_configuration,
    find_one,
    render_ours,
)


async def test_istiod_puts_its_root_into_our_webhook_and_keeps_its_conditions(
    cluster: Cluster, tmp_path: Path
) -> None:
    api, objects = Api(cluster.kubeconfig), render_ours(Setting())
    wanted = find_one(objects, "MutatingWebhookConfiguration", f"istio-sidecar-injector-{REVISION}")
    name = wanted["metadata"]["name"]

    def read_entries() -> list[dict[str, Any]]:
        found = api.get("mwc", "", name)
        return found["webhooks"] if found else []

    def has_roots() -> bool:
        return all(entry["clientConfig"].get("caBundle") for entry in read_entries())

    try:
        api.apply(wanted)
        before = [entry.get("matchConditions") for entry in read_entries()]
        assert any(before)
        assert not has_roots()
        with run_istiod(cluster.kubeconfig, build_configuration(objects), tmp_path):
            await eventually(has_roots, seconds=60, what="istiod's root in every entry")
        assert [entry.get("matchConditions") for entry in read_entries()] == before
    finally:
        api.delete("mwc", "", name)
