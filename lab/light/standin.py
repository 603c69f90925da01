"""The process that stands in for every istiod of a light lab; the API server reaches them through it.

Owns the egress socket, one Istiod for each revision that has a ready pod, and the metrics of proxies. Pods
are pretended in a light lab; what a real istiod would do while its pod is ready, is done here.
Must never serve a revision that has no ready pod: its webhook calls then fail like those to a dead Service.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from lab.light import egress
from lab.light.api import Account, Api, ApiError, Object, Store
from lab.light.egress import Target, Upstream
from lab.light.istiod import WEBHOOKS, Istiod, Stores
from lab.light.selectors import has_all

_log = logging.getLogger(__name__)
WEBHOOK_PORTS = (15017, "https-webhook", "https-webhooks")
SERVED_AT = "lab.navarch.io/served-at"
"""Annotation of a Service: the port on 127.0.0.1 where a process of this machine plays its backend."""
LONGEST_PAUSE = 10.0
PROXY_PORT, ISTIOD_PORT = 15090, 15014
"""Where a proxy and an istiod serve their metrics."""
COUNTERS = "".join(
    f"{name}_update_success{{}} 1\n" for name in ("envoy_cluster_manager_cds", "envoy_listener_manager_lds")
)
"""What a proxy that has its configuration counts. Proxies are pretended here, and all of them are well."""


def find_upstream(
    target: Target,
    *,
    services: Iterable[Object],
    pods: Iterable[Object],
    sockets: Mapping[tuple[str, str], Path],
) -> Upstream | None:
    """Who serves a ClusterIP and port: an istiod whose pods the Service selects, or an annotated process.

    `sockets` holds the socket of each istiod by namespace and revision.
    """
    for service in services:
        if service["spec"].get("clusterIP") != target.host:
            continue
        metadata, spec = service["metadata"], service["spec"]
        ports = [p for p in spec.get("ports") or () if p["port"] == target.port]
        if served_at := (metadata.get("annotations") or {}).get(SERVED_AT):
            return Target("127.0.0.1", int(served_at)) if ports and served_at.isdigit() else None
        if not spec.get("selector") or not any(port.get("targetPort") in WEBHOOK_PORTS for port in ports):
            return None
        for pod in pods:
            labels = pod["metadata"].get("labels") or {}
            if pod["metadata"]["namespace"] == metadata["namespace"] and has_all(spec["selector"], labels):
                return sockets.get((metadata["namespace"], labels.get("istio.io/rev", "")))
    return None


def is_ready(pod: Object) -> bool:
    """Whether a pod is Ready and not being deleted."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


async def serve_counters(socket: Path) -> None:
    """The metrics of every proxy and every istiod, of which none has refused anything."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="pilot_xds 1\n" if request.path == "/metrics" else COUNTERS)

    application = web.Application()
    application.router.add_get("/metrics", answer)
    application.router.add_get("/stats/prometheus", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()


class StandIn:
    """All istiods of a lab."""

    def __init__(self, api: Api, sockets: Path) -> None:
        self._api = api
        self._sockets = sockets
        self._changed = asyncio.Event()
        self._istiods: dict[tuple[str, str], Istiod] = {}
        self._numbers = itertools.count(1)

        def store(path: str, **query: str) -> Store:
            return Store(path, on_change=self._changed.set, **query)

        self._stores = Stores(
            pods=store("/api/v1/pods", labelSelector="app=istiod,istio.io/rev"),
            services=store("/api/v1/services"),
            namespaces=store("/api/v1/namespaces"),
            config_maps=store("/api/v1/configmaps"),
            injectors=store(f"{WEBHOOKS}/mutatingwebhookconfigurations", labelSelector="istio.io/rev"),
            validators=store(f"{WEBHOOKS}/validatingwebhookconfigurations", labelSelector="istio.io/rev"),
        )
        self._all_stores = [getattr(self._stores, name) for name in Stores.__slots__]

    def find(self, target: Target) -> Upstream | None:
        """The egress proxy's question."""
        sockets = {key: istiod.socket for key, istiod in self._istiods.items() if istiod.socket}
        ready = [pod for pod in self._stores.pods if is_ready(pod)]
        istiods = {(pod.get("status") or {}).get("podIP") for pod in ready}
        if target.port == PROXY_PORT or (target.port == ISTIOD_PORT and target.host in istiods):
            return self._sockets / "counters.sock"
        return find_upstream(target, services=self._stores.services, pods=ready, sockets=sockets)

    async def run(self) -> None:
        """Serves and reconciles until cancelled."""
        await serve_counters(self._sockets / "counters.sock")
        await egress.serve(self._sockets / "egress.sock", self.find)
        async with asyncio.TaskGroup() as tasks:
            for store in self._all_stores:
                tasks.create_task(store.run(self._api))
            for store in self._all_stores:
                await store.synced.wait()
            _log.info("in step with the API server")
            await self._follow()

    async def _follow(self) -> None:
        pause = None
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), pause)
            self._changed.clear()
            done = await self._reconcile()
            pause = None if done else min(LONGEST_PAUSE, (pause or 0.05) * 2)

    async def _reconcile(self) -> bool:
        """One look at everything; False when something failed and must be tried again."""
        wanted: dict[tuple[str, str], list[Object]] = {}
        for pod in filter(is_ready, self._stores.pods):
            key = pod["metadata"]["namespace"], pod["metadata"]["labels"]["istio.io/rev"]
            wanted.setdefault(key, []).append(pod)
        for key in self._istiods.keys() - wanted.keys():
            await self._istiods.pop(key).stop()
            _log.info("%s/%s: no ready pod is left", *key)
        results = [await self._tend(key, pods) for key, pods in wanted.items()]
        return all(results)

    async def _tend(self, key: tuple[str, str], pods: list[Object]) -> bool:
        newest = max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])
        account = Account(key[0], newest["spec"].get("serviceAccountName") or "default")
        uids = frozenset(pod["metadata"]["uid"] for pod in pods)
        try:
            istiod = self._istiods.get(key)
            if istiod is None:
                istiod = Istiod(*key, api=self._api, stores=self._stores)
                await istiod.start(uids, account=account)
                await istiod.serve(self._sockets / f"istiod-{next(self._numbers)}.sock")
                self._istiods[key] = istiod
                _log.info("%s/%s: serves", *key)
            elif not uids <= istiod.pods:
                await istiod.start(uids, account=account)
            istiod.pods = uids
            await istiod.reconcile()
        except (ApiError, aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.warning("%s/%s: %s", *key, error)
            return False
        except Exception:
            # Whatever a test writes into a mesh's objects must not stop the istiods of the others.
            _log.exception("%s/%s", *key)
            return False
        return True


async def main(arguments: Mapping[str, str]) -> None:
    """Runs the stand-in until SIGTERM or SIGINT."""
    state = Path(arguments["state"])
    token = (state / "stand-in.token").read_text()
    # The part before the slash is what managedFields will name, as with the real one.
    agent = "pilot-discovery/stand-in"
    api = Api(arguments["server"], ca_file=str(state / "pki" / "ca.crt"), token=token, agent=agent)
    work: asyncio.Task[Any] = asyncio.ensure_future(StandIn(api, Path(arguments["sockets"])).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work
    await api.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(main(dict(zip(("server", "state", "sockets"), sys.argv[1:], strict=True))))
