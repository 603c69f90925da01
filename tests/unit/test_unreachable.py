"""An API server that does not answer, as a plan's outcome tells it."""

from __future__ import annotations

from pathlib import Path

import yaml
from navarch.core.model.actions import Action, Plan, Wave
from navarch.core.model.parent import MESH, Parent
from navarch.core.model.reasons import Reason
from navarch.kube.apply import Applier
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials

CONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "gone", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "gone", "user": {"token": "t"}}],
    "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "gone"}}],
    "current-context": "gone",
}


async def test_an_api_server_that_does_not_answer_is_told_and_asked_again(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(CONFIG))
    parent = Parent(MESH, "shop", "mesh", "u")
    labels = parent.labels(component="istiod")
    metadata = {"name": "x", "namespace": "shop", "labels": labels}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}}
    async with Client(await load_credentials(kubeconfig)) as client:
        outcome = await Applier(client, {}).apply(Plan(parent, waves=(Wave("config", (manifest,)),)))
    (failure,) = outcome.failures
    assert (failure.action, failure.reason) == (Action.FAILED, Reason.API_UNAVAILABLE)
    assert "ConfigMap shop/x" in failure.message
    assert outcome.retry_after is not None
