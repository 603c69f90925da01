"""An API server that others have filled: `python tests/support/swollen.py UPSTREAM PORT MEGABYTES`.

It stands before a real one and hands everything on. What the operator watches in the whole cluster has,
beside what is there, so many megabytes of hostile objects in each listing, about 1 MB each: in labels, in
annotations, in managedFields that name the operator's own manager, in lists, or in texts that are nothing but
control characters. Each watch goes on to say that one of them has changed. It runs as several processes,
since an API server answers one client while it makes a large page for another. GET /filled tells how often
each kind was listed to its end.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import tempfile
from collections import Counter
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import ClientConnectionResetError, ClientSession, ClientTimeout, TCPConnector, web

MB = 1_000_000
EVERY = 10.0
"""Seconds between two hostile events of one watch; there are about thirty watches."""
PROCESSES = 3
NAMESPACES = 10
GROUP = "mesh.navarch.io"
KINDS = {
    "configmaps": "ConfigMap",
    "services": "Service",
    "serviceaccounts": "ServiceAccount",
    "pods": "Pod",
    "namespaces": "Namespace",
    "deployments": "Deployment",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "networkpolicies": "NetworkPolicy",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "roles": "Role",
    "rolebindings": "RoleBinding",
    "clusterroles": "ClusterRole",
    "clusterrolebindings": "ClusterRoleBinding",
    "mutatingwebhookconfigurations": "MutatingWebhookConfiguration",
    "validatingwebhookconfigurations": "ValidatingWebhookConfiguration",
    "customresourcedefinitions": "CustomResourceDefinition",
    "meshcontrolplanes": "MeshControlPlane",
    "meshrevisions": "MeshRevision",
    "peerauthentications": "PeerAuthentication",
}
_OF_CLUSTER = ("namespaces", "cluster", "mutating", "validating", "custom")
CLUSTER = {kind for kind in KINDS if kind.startswith(_OF_CLUSTER)}


def _fill_labels() -> dict[str, Any]:
    return {"labels": {f"x{i:07}.example.com/{'k' * 40}": "v" * 63 for i in range(MB // 130)}}


def _fill_annotations() -> dict[str, Any]:
    return {"annotations": {f"x{i:03}.example.com/y": "v" * 10_000 for i in range(MB // 10_000)}}


def _fill_managed_fields() -> dict[str, Any]:
    fields = {f"f:x{i:07}.example.com/y": {} for i in range(MB // 32)}
    mine = {"manager": "navarch", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1"}
    return {"managedFields": [{**mine, "fieldsV1": {"f:metadata": {"f:labels": fields}}}]}


def _fill_lists() -> dict[str, Any]:
    return {"finalizers": [f"x{i:07}.example.com/y" for i in range(MB // 26)]}


def _fill_controls() -> dict[str, Any]:
    return {"annotations": {"x.example.com/y": "\x01\x1b" * (MB // 12)}}


FILLINGS = [
    fill() for fill in (_fill_labels, _fill_annotations, _fill_managed_fields, _fill_lists, _fill_controls)
]
BODIES: dict[str, dict[str, Any]] = {
    "MeshControlPlane": {"spec": {"version": "1.31"}},
    "MeshRevision": {"spec": {"tag": "x", "version": "1.31.1", "note": "n" * 1000}},
    "Deployment": {"spec": {"template": {"spec": {"containers": []}}}, "status": {}},
    "MutatingWebhookConfiguration": {"webhooks": []},
    "ValidatingWebhookConfiguration": {"webhooks": []},
}


def build_hostile(plural: str, number: int, version: str) -> bytes:
    """One object of a kind."""
    known = _render(plural, number % len(FILLINGS))
    namespace = f"evil-{number % NAMESPACES}"
    for mark, value in (("NUMBER", str(number)), ("NAMESPACE", namespace), ("VERSION", version)):
        known = known.replace(f"@{mark}@".encode(), value.encode())
    return known


@cache
def _render(plural: str, filling_number: int) -> bytes:
    filling = FILLINGS[filling_number]
    own = {
        f"{GROUP}/mesh-name": "evil",
        f"{GROUP}/mesh-namespace": "@NAMESPACE@",
        f"{GROUP}/component": "istiod",
        "service.istio.io/canonical-name": "x",
    }
    metadata: dict[str, Any] = {
        "name": "evil-@NUMBER@",
        "uid": f"{plural}-@NUMBER@",
        "resourceVersion": "@VERSION@",
        "creationTimestamp": "2030-01-01T00:00:00Z",
        **filling,
        "labels": {**own, **filling.get("labels", {})},
    }
    if plural not in CLUSTER:
        metadata["namespace"] = "@NAMESPACE@"
    if plural == "pods":
        metadata["annotations"] = {"istio.io/rev": "r" * 100_000, **metadata.get("annotations", {})}
    kind = KINDS[plural]
    return json.dumps({"kind": kind, **BODIES.get(kind, {}), "metadata": metadata}).encode()


class Swollen:
    """The handler. `megabytes` of each kind; `filled` is where all processes note what was listed."""

    def __init__(self, upstream: str, session: ClientSession, megabytes: int, filled: Path) -> None:
        self._upstream, self._session, self._objects = upstream, session, megabytes
        self._numbers = count()
        self._filled = filled

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path, query = request.path, request.query
        if path == "/filled":
            return web.json_response(Counter(note.name.partition("-")[0] for note in self._filled.iterdir()))
        plural = path.rpartition("/")[2]
        filled = self._objects and request.method == "GET" and plural in KINDS
        # The collection of a whole cluster: /api/v1/pods, /apis/GROUP/VERSION/roles.
        filled = filled and len(path.strip("/").split("/")) == (3 if path.startswith("/api/") else 4)
        if filled and query.get("continue", "").startswith("evil-"):
            return self._list(plural, query["continue"], int(query.get("limit", "1000000")))
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
        body = await request.read()
        async with self._session.request(
            request.method, f"{self._upstream}{request.raw_path}", headers=headers, data=body or None
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k in ("Content-Type", "Retry-After")}
            if filled and "watch" not in query and answer.status == 200:
                listing = json.loads(await answer.read())
                if not listing["metadata"].get("continue"):
                    listing["metadata"]["continue"] = f"evil-0-{listing['metadata']['resourceVersion']}"
                return web.Response(body=json.dumps(listing).encode(), headers=kept)
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            telling = None
            if filled and "watch" in query and answer.status == 200:
                telling = asyncio.create_task(self._tell(response, plural, query.get("resourceVersion", "1")))
            try:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            except ClientConnectionResetError:
                pass  # the replica has gone
            finally:
                if telling is not None:
                    telling.cancel()
            return response

    def _list(self, plural: str, token: str, limit: int) -> web.Response:
        _, start, version = token.split("-")
        first = int(start)
        last = min(first + limit, self._objects)
        items = b",".join(build_hostile(plural, number, version) for number in range(first, last))
        more = f"evil-{last}-{version}" if last < self._objects else ""
        if not more:
            tempfile.mkstemp(prefix=f"{plural}-", dir=self._filled)
        head = json.dumps({"resourceVersion": version, "continue": more}).encode()
        return web.Response(
            body=b'{"metadata":' + head + b',"items":[' + items + b"]}", content_type="application/json"
        )

    async def _tell(self, response: web.StreamResponse, plural: str, version: str) -> None:
        while True:
            await asyncio.sleep(EVERY)
            number = next(self._numbers) % self._objects
            # An event arrives in one piece, be the stream's other writer as quick as it may.
            obj = build_hostile(plural, number, version)
            await response.write(b'{"type":"MODIFIED","object":' + obj + b"}\n")


async def serve(upstream: str, port: int, megabytes: int, filled: Path) -> None:
    insecure = ssl.create_default_context()
    insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE
    timeout = ClientTimeout(total=None)
    async with ClientSession(
        connector=TCPConnector(limit=0, ssl=insecure), timeout=timeout, auto_decompress=True
    ) as session:
        app = web.Application(client_max_size=10 * MB)
        app.router.add_route("*", "/{path:.*}", Swollen(upstream, session, megabytes, filled).answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_port=True).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(PROCESSES - 1):
            if not os.fork():
                break
        asyncio.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(directory)))
