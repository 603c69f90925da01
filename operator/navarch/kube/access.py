"""Who may read the metrics: what the API server says of a token, and of its account.

Owns the reviews and how long their results hold. Must never keep a token, only its hash. Invariants: of one
token there is at most one TokenReview a minute, however many requests carry it at once and whatever came of
it; what is remembered is bounded, and refused tokens never push out an allowed one.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from navarch.engine.result import Fault
from navarch.kube.client import Client
from navarch.telemetry.exposition import Verdict

log = structlog.get_logger(__name__)

HOLD_SECONDS = 60.0
"""How long a result holds, a failure to get one included."""
OUTAGE_SECONDS = 3600.0
"""How long a token that was allowed stays so while the API server gives no answer: an outage is when metrics
are needed."""
MOST_ALLOWED = 64
MOST_OTHERS = 1024
MOST_RUNNING = 64
"""Reviews that are under way or wait for that: of more tokens the API server is not asked."""
WAIT_SECONDS = 3.0
"""How long a request waits for a review; the result of one that takes longer is for the next request."""
_REVIEWS_AT_ONCE = 4


@dataclass(eq=False, slots=True)
class _Entry:
    begun: float
    task: asyncio.Task[Verdict] | None = None
    allowed_at: float | None = None


class Access:
    """Whether the bearer of a token may `verb` the URL `path`."""

    def __init__(
        self, client: Client, *, path: str, verb: str = "get", clock: Callable[[], float] = time.monotonic
    ) -> None:
        # Not waiting behind reconciles, nor for the Lease: replicas that stand by are scraped as well.
        self._client = client.guarded(None, requests=_REVIEWS_AT_ONCE)
        self._attributes = {"path": path, "verb": verb}
        self._clock = clock
        self._allowed: OrderedDict[bytes, _Entry] = OrderedDict()
        self._others: OrderedDict[bytes, _Entry] = OrderedDict()
        self._running: set[asyncio.Task[Verdict]] = set()

    async def judge(self, token: str) -> Verdict:
        """The verdict on a token; UNDECIDED where the API server gave none."""
        if not token.isascii():
            return Verdict.UNKNOWN
        digest = hashlib.sha256(token.encode()).digest()
        entry = self._find(digest)
        if entry is None or self._clock() - entry.begun >= HOLD_SECONDS:
            if len(self._running) >= MOST_RUNNING:
                return self._decide_alone(entry)
            entry = self._begin(digest, token, before=entry)
        assert entry.task is not None
        # One request that goes away must not take the verdict from the others.
        done, _ = await asyncio.wait({entry.task}, timeout=WAIT_SECONDS)
        return entry.task.result() if done else self._decide_alone(entry)

    def _find(self, digest: bytes) -> _Entry | None:
        for shelf in (self._allowed, self._others):
            if digest in shelf:
                shelf.move_to_end(digest)
                return shelf[digest]
        return None

    def _begin(self, digest: bytes, token: str, *, before: _Entry | None) -> _Entry:
        entry = _Entry(self._clock(), allowed_at=before.allowed_at if before else None)
        entry.task = asyncio.create_task(self._review(entry, digest, token))
        self._running.add(entry.task)
        entry.task.add_done_callback(self._running.discard)
        self._keep(digest, entry)
        return entry

    def _keep(self, digest: bytes, entry: _Entry) -> None:
        is_allowed = entry.allowed_at is not None
        into, out = (self._allowed, self._others) if is_allowed else (self._others, self._allowed)
        out.pop(digest, None)
        into[digest] = entry
        while len(into) > (MOST_ALLOWED if is_allowed else MOST_OTHERS):
            into.popitem(last=False)

    async def _review(self, entry: _Entry, digest: bytes, token: str) -> Verdict:
        try:
            verdict = await self._ask(token)
        except Fault as fault:
            log.warning("who reads the metrics could not be reviewed", error=str(fault))
            return self._decide_alone(entry)
        entry.allowed_at = self._clock() if verdict is Verdict.ALLOWED else None
        self._keep(digest, entry)
        return verdict

    def _decide_alone(self, entry: _Entry | None) -> Verdict:
        """Without the API server."""
        since = entry.allowed_at if entry else None
        if since is not None and self._clock() - since < OUTAGE_SECONDS:
            return Verdict.ALLOWED
        return Verdict.UNDECIDED

    async def _ask(self, token: str) -> Verdict:
        said = await self._create("authentication.k8s.io/v1", "TokenReview", {"token": token})
        if not said.get("authenticated"):
            return Verdict.UNKNOWN
        user = said.get("user") or {}
        spec = {
            "user": user.get("username", ""),
            "uid": user.get("uid", ""),
            "groups": user.get("groups") or [],
            "extra": user.get("extra") or {},
            "nonResourceAttributes": self._attributes,
        }
        said = await self._create("authorization.k8s.io/v1", "SubjectAccessReview", spec)
        return Verdict.ALLOWED if said.get("allowed") else Verdict.FORBIDDEN

    async def _create(self, api_version: str, kind: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        review = {"apiVersion": api_version, "kind": kind, "metadata": {}, "spec": dict(spec)}
        answer = await self._client.create(review)
        return answer.get("status") or {}
