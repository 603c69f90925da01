"""What goes on while a control plane changes: requests through proxies, and pods that ask for injection.

Owns two loops and their books. Must never judge: what is counted is for the test to weigh.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.node.conftest import Mesh
from tests.node.kubelet import ask_from, find_container
from tests.support.api import Api, Refused
from tests.support.workloads import PATIENCE, build_pod, find_proxy, is_injected

BATCH = 20
"""Requests of one call of the client."""
REST = 0.2
"""Seconds between two batches, and between two pods."""


@dataclass
class Seen:
    """`requests` are batches that were answered whole, `failures` what the client said of others; `proxies`
    counts injected pods by the tag of their proxy's image, `bare` pods without one, `refusals` what creating
    a pod was answered otherwise."""

    requests: int = 0
    failures: list[str] = field(default_factory=list)
    proxies: Counter[str] = field(default_factory=Counter)
    bare: int = 0
    refusals: list[str] = field(default_factory=list)

    @property
    def pods(self) -> int:
        """How often a pod was asked for."""
        return sum(self.proxies.values()) + self.bare + len(self.refusals)


@contextmanager
def streams(mesh: Mesh) -> Iterator[Seen]:
    """Requests from the mesh's client to its server, and dry-run pods in its namespace, until the block
    ends. The client's pod has to stay."""
    client = find_container(mesh.api, mesh.apps, "client")
    with pods(mesh) as seen, _running(_send_requests, mesh, client, seen):
        yield seen


@contextmanager
def pods(mesh: Mesh, *, rest: float = REST) -> Iterator[Seen]:
    """Dry-run pods in the namespace of the mesh's applications, one after the other, until the block ends."""
    seen = Seen()
    # A client of the loop's own: the tests' is not made for threads.
    with _running(_create_pods, Api(mesh.cluster.kubeconfig), mesh.apps, seen, rest):
        yield seen


@contextmanager
def _running(loop: Callable[..., None], *arguments: Any) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=loop, args=(*arguments, over))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _send_requests(mesh: Mesh, client: str, seen: Seen, over: threading.Event) -> None:
    while not over.is_set():
        answer = ask_from(mesh.cluster, client, mesh.url, count=BATCH, seconds=PATIENCE)
        if answer.ok:
            seen.requests += BATCH
        elif not is_unresolved(answer.text):
            lines = (line for line in answer.text.splitlines() if " 200 " not in line)
            seen.failures.append("\n".join(lines))
        over.wait(REST)


def is_unresolved(text: str) -> bool:
    """Whether all that failed was to learn the server's address: the lab's DNS, which no proxy is asked for,
    answers late on a machine that is busy."""
    errors = [line for line in text.splitlines() if " error " in line]
    return bool(errors) and all(": lookup " in line for line in errors) and " 503 " not in text


def _create_pods(api: Api, namespace: str, seen: Seen, rest: float, over: threading.Event) -> None:
    while not over.is_set():
        try:
            pod = api.request(
                "POST", f"{api.path('pod', namespace)}?dryRun=All", build_pod(namespace, "dry-run")
            )
        except Refused as refusal:
            seen.refusals.append(str(refusal))
        else:
            if is_injected(pod):
                seen.proxies[find_proxy(pod)["image"].rpartition(":")[2]] += 1
            else:
                seen.bare += 1
        over.wait(rest)
