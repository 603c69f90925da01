"""The gates of rollouts, asked beside the reconciles.

Owns the requests to proxies, istiods, a Prometheus and webhooks, and what was last answered. Must never judge
an answer, nor keep a reconcile waiting. Invariants: a mesh has one round of questions under way at the most,
and begins none within SOONER of the last; an answer counts when it comes, whoever else is still asked; what
is remembered goes with the rollout it was asked for; an answer is read up to a bound, and no redirect is
followed.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from navarch.api.gates import PLACEHOLDER, PROXIES, TIMEOUT, Prometheus, Query, Webhook
from navarch.core.model.labels import ISTIO_REV
from navarch.core.rollout.answers import (
    FILTER,
    KINDS,
    Counts,
    judge_proxies,
    judge_query,
    judge_webhook,
    read_proxy,
)
from navarch.core.rollout.gates import INTERVAL, SOONER, Gate, GateState, Reading, follow, read_gate
from navarch.core.rollout.questions import Questions
from navarch.core.world.proxies import ProxyPod
from navarch.engine.result import Fault
from navarch.kube.client import Client
from navarch.kube.resources import resource_of

REJECTS = "pilot_total_xds_rejects"
"""An istiod's counter of refused configuration; it is there from the first refusal on."""
AT_ONCE = 8
"""Pods that are asked at the same time."""
LONGEST = 30.0
"""Seconds for which the proxies are asked in one round; those that are left are asked in the next."""
ANSWER_BYTES = 4 * 1024 * 1024
"""The most that is read of an answer of a Prometheus or a webhook."""
PROXY_BYTES, ISTIOD_BYTES = 64 * 1024, 16 * 1024 * 1024
"""The most that is read of what a pod answers. A proxy is asked for four counters, and what stands in for one
may answer anything: a line with very many labels takes long to read."""
ENVOY_PORT, ISTIOD_PORT = 15090, 15014
"""Where a proxy and an istiod serve their own metrics, without TLS."""


@dataclass(slots=True)
class _Rollout:
    """What is known of one mesh's gates. `counted` holds the last counters of each proxy, by pod and stamp;
    `good` those that need not be asked again while no istiod counts refusals."""

    target: str
    client: Client
    began: float = 0.0
    task: asyncio.Task[None] | None = None
    gates: dict[str, Gate] = field(default_factory=dict)
    counted: dict[tuple[str, str], Counts] = field(default_factory=dict)
    good: set[tuple[str, str]] = field(default_factory=set)
    rejects: dict[str, float] = field(default_factory=dict)


class Gatekeeper:
    """Asks the gates of each mesh whose rollout goes on, and remembers how they stand."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._clock = client, clock
        self._rollouts: dict[str, _Rollout] = {}

    def read(self, uid: str, questions: Questions | None) -> tuple[Gate, ...]:
        """How the gates of a mesh stand, by what was answered last; those that are due are asked meanwhile.
        Without questions everything is forgotten."""
        if questions is None:
            self.forget(uid)
            return ()
        rollout = self._rollouts.get(uid)
        if rollout is None or rollout.target != questions.target:
            self.forget(uid)
            # What pods do not answer for half a minute must keep neither the requests of reconciles waiting
            # nor those for other meshes.
            client = self._client.guarded(None, requests=AT_ONCE)
            rollout = self._rollouts[uid] = _Rollout(questions.target, client)
        now, unasked = self._clock(), _find_unasked(rollout, questions)
        if rollout.task is None or rollout.task.done():
            due = SOONER if unasked else INTERVAL
            if rollout.task is None or now - rollout.began >= due:
                rollout.began = now
                rollout.task = asyncio.create_task(self._ask(rollout, questions), name=f"gates of {uid}")
        gates = {name: read_gate(rollout.gates.get(name), name, now) for name in questions.list_names()}
        if unasked and gates[PROXIES].state is GateState.PASSED:
            gates[PROXIES] = Gate(PROXIES, GateState.UNKNOWN, f"{unasked} was not asked yet", now)
        return tuple(gates.values())

    def forget(self, uid: str) -> None:
        """Drop what is known of a mesh, and ask nothing more for it."""
        rollout = self._rollouts.pop(uid, None)
        if rollout is not None and rollout.task is not None:
            rollout.task.cancel()

    async def _ask(self, rollout: _Rollout, questions: Questions) -> None:
        """One round."""
        asked: list[Awaitable[Iterable[Reading]]] = []
        if questions.pods is not None:
            asked.append(self._ask_proxies(rollout, questions, questions.pods))
        if (server := questions.prometheus) is not None:
            asked += [_ask_prometheus(server, query, questions.namespaces) for query in server.queries]
        asked += [_ask_webhook(webhook, questions) for webhook in questions.webhooks]
        await asyncio.gather(*(self._note(rollout, each) for each in asked))

    async def _note(self, rollout: _Rollout, asked: Awaitable[Iterable[Reading]]) -> None:
        """Each gate's answer counts when it comes, however long others take."""
        for reading in await asked:
            last = rollout.gates.get(reading.name)
            rollout.gates[reading.name] = follow(last, reading, self._clock())

    async def _ask_proxies(
        self, rollout: _Rollout, questions: Questions, pods: tuple[ProxyPod, ...]
    ) -> list[Reading]:
        try:
            rises = await self._find_rises(rollout, questions)
        except (Fault, ValueError) as error:
            return [judge_proxies({}, [f"istiod was not asked: {error}"], [])]
        if rises:
            rollout.good.clear()
        there = {_key_of(pod): pod for pod in pods}
        starting = {f"Pod {namespace}/{name}" for namespace, name in questions.starting}
        for gone in rollout.counted.keys() - there.keys():
            del rollout.counted[gone]
        rollout.good &= there.keys()
        due = [pod for key, pod in there.items() if key not in rollout.good]
        try:
            async with asyncio.timeout(LONGEST):
                answers = await asyncio.gather(*(self._ask_proxy(rollout, pod) for pod in due))
        except TimeoutError:
            answers = [("a proxy", f"not all were asked in {LONGEST:.0f} s")]
        silent = dict(filter(None, answers))
        counted = {key[0]: counts for key, counts in rollout.counted.items()}
        unread = [f"{name} did not answer: {why}" for name, why in silent.items() if name not in starting]
        return [judge_proxies(counted, unread, rises, starting=starting)]

    async def _ask_proxy(self, rollout: _Rollout, pod: ProxyPod) -> tuple[str, str] | None:
        """Read a proxy's counters; its name and why, where it does not give them."""
        key = _key_of(pod)
        try:
            path = f"{_path_of(pod.namespace, pod.name, ENVOY_PORT)}/stats/prometheus"
            query = urlencode({"filter": FILTER})
            text = str(await rollout.client.fetch(f"{path}?{query}", most=PROXY_BYTES))
            counts = read_proxy(sum_counters(text, *KINDS.values()), rollout.counted.get(key))
        except (Fault, ValueError) as error:
            return key[0], str(error)
        rollout.counted[key] = counts
        if counts.connected and not counts.refusing:
            rollout.good.add(key)
        return None

    async def _find_rises(self, rollout: _Rollout, questions: Questions) -> list[str]:
        """The istiods that count more refusals than they did in the last round."""
        listing = await rollout.client.list(
            resource_of("v1", "Pod"),
            namespace=questions.home,
            label_selector=f"app=istiod,{ISTIO_REV}={questions.revision}",
            field_selector="status.phase=Running",
            metadata_only=True,
        )
        counted, rises = dict[str, float](), []
        for pod in listing.items:
            name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
            path = f"{_path_of(questions.home, name, ISTIOD_PORT)}/metrics"
            text = str(await rollout.client.fetch(path, most=ISTIOD_BYTES))
            rejects = sum(sum_counters(text, REJECTS).values())
            if (more := int(rejects - rollout.rejects.get(uid, rejects))) > 0:
                rises.append(f"Pod {questions.home}/{name} counts {more} more refusals of its configuration")
            counted[uid] = rejects
        rollout.rejects = counted  # where one did not answer, what was counted before still counts
        return rises


def _path_of(namespace: str, pod: str, port: int) -> str:
    """By which a port of a pod is reached through the API server."""
    return f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy"


def sum_counters(text: str, *names: str) -> dict[str, float]:
    """The counters whose names begin so, summed over their labels, without the rest, which is long. Raises
    ValueError for what is no text of metrics."""
    lines = [line for line in text.splitlines() if line.startswith(names)]
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families("\n".join([*lines, ""])):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def _key_of(pod: ProxyPod) -> tuple[str, str]:
    return f"Pod {pod.namespace}/{pod.name}", pod.proxy


def _find_unasked(rollout: _Rollout, questions: Questions) -> str:
    """A proxy of a workload that is rolled out, of which nothing is known yet."""
    new = (_key_of(p) for p in questions.pods or () if (p.namespace, p.name) not in questions.starting)
    return next((key[0] for key in new if key not in rollout.counted), "")


async def _ask_prometheus(server: Prometheus, query: Query, namespaces: Iterable[str]) -> list[Reading]:
    url = f"{server.url.rstrip('/')}/api/v1/query"
    form = {"query": query.query.replace(PLACEHOLDER, "|".join(namespaces))}
    try:
        status, text = await _post(server, url, data=form)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return [Reading(f"query/{query.name}", GateState.UNKNOWN, _tell(url, error))]
    return [judge_query(query, status, text)]


async def _ask_webhook(webhook: Webhook, questions: Questions) -> list[Reading]:
    namespace, name = questions.mesh
    body = {
        "mesh": {"namespace": namespace, "name": name},
        "target": questions.target,
        "wave": questions.wave,
        "waves": questions.waves,
        "namespaces": [*questions.namespaces],
    }
    try:
        status, text = await _post(webhook, webhook.url, json=body)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return [Reading(f"webhook/{webhook.name}", GateState.UNKNOWN, _tell(webhook.url, error))]
    return [judge_webhook(webhook, status, text)]


async def _post(server: Prometheus | Webhook, url: str, **content: object) -> tuple[int, str]:
    """Status and text of an answer. Raises aiohttp.ClientError, OSError (TimeoutError and ssl's among them),
    ValueError for certificates or a text that cannot be read."""
    trusted = base64.b64decode(server.ca_bundle).decode() if server.ca_bundle else None
    context = ssl.create_default_context(cadata=trusted)
    limits = aiohttp.ClientTimeout(total=server.timeout_seconds or TIMEOUT)
    async with (
        aiohttp.ClientSession(timeout=limits) as session,
        session.post(url, ssl=context, allow_redirects=False, **content) as response,  # type: ignore[arg-type]
    ):
        text = bytearray()
        async for chunk in response.content.iter_any():
            text += chunk
            if len(text) > ANSWER_BYTES:
                raise ValueError(f"its answer is longer than {ANSWER_BYTES} bytes")
        return response.status, text.decode(errors="replace")


def _tell(url: str, error: Exception) -> str:
    return f"{url} did not answer: {str(error) or type(error).__name__}"
