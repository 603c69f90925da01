"""What a look at a cluster depends on beside its objects: the version of Kubernetes, and the time.

Owns how both are read. Must never wait: who may wait for an API server, asks again.
"""

from __future__ import annotations

from datetime import UTC, datetime

from navarch.kube.client import Client
from navarch.kube.errors import Unavailable

_PATH = "/version"


async def read_kubernetes(client: Client) -> tuple[int, int]:
    """Major and minor of the API server. Raises KubeError; Unavailable also where the answer is no version,
    because something else answers in its place."""
    answer = await client.fetch(_PATH)
    try:
        return int(answer["major"]), int(answer["minor"].rstrip("+"))
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        text = "the answer is not the version of a Kubernetes API server"
        raise Unavailable(text, method="GET", subject=_PATH) from error


def read_clock() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
