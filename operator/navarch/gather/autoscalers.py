"""Other clients' autoscalers of one gateway.

Owns the one request that finds them. Must never decide what follows. Invariant: nothing is asked for while
the number of pods is as Navarch wrote it last.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from navarch.api.gateway import MeshGatewaySpec
from navarch.core.gateway.autoscalers import may_be_scaled
from navarch.core.model.refs import Manifest
from navarch.kube.client import Client
from navarch.kube.resources import resource_of

_AUTOSCALER = resource_of("autoscaling/v2", "HorizontalPodAutoscaler")


async def gather_autoscalers(
    client: Client, spec: MeshGatewaySpec | None, workload: Manifest | None, owned: Iterable[Manifest]
) -> tuple[str, ...]:
    """Names of the HorizontalPodAutoscalers that scale a gateway's Deployment and are not the gateway's."""
    if workload is None or not may_be_scaled(spec, workload):
        return ()
    ours = {o["metadata"]["uid"] for o in owned}
    name, namespace = workload["metadata"]["name"], workload["metadata"]["namespace"]

    def keep(found: dict[str, Any]) -> dict[str, Any] | None:
        target, metadata = found["spec"]["scaleTargetRef"], found["metadata"]
        scales = (target["kind"], target["name"]) == (workload["kind"], name)
        stays = metadata["uid"] not in ours and "deletionTimestamp" not in metadata
        return {"name": metadata["name"]} if scales and stays else None

    listing = await client.list(_AUTOSCALER, namespace=namespace, keep=keep)
    return tuple(sorted(found["name"] for found in listing.items))
