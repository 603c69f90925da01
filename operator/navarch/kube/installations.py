"""Other installations of Navarch in the cluster: who may lead beside whom.

Each installation has a Lease in a namespace of its own, so the Lease alone does not keep two of them apart.
Who leads goes on. Who would lead next (kube/lease.py) must find that the ClusterRoleBinding of Navarch does
not name others only, and that no operator of another namespace holds a Lease of the same name; it looks
before it takes its own Lease and once more afterwards. Of two that take theirs at the same time at least one
sees the other, and gives way. Must never write but Events. Invariant: a Lease counts as held for as long as
it says, by our own clock, from the moment at which its last renewal was first seen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from navarch.api.meta import LEASE
from navarch.core.model.installation import BINDING, find_homes, tell_displaced, tell_rival
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref
from navarch.engine.result import Fault
from navarch.kube.client import Client
from navarch.kube.errors import Forbidden
from navarch.kube.events import Recorder
from navarch.kube.own_pod import OwnPod
from navarch.kube.reflector import Reflector
from navarch.kube.resources import resource_of

log = structlog.get_logger(__name__)

_LEASES = resource_of("coordination.k8s.io/v1", "Lease")
_BINDINGS = resource_of("rbac.authorization.k8s.io/v1", "ClusterRoleBinding")
_REF = Ref(_BINDINGS.api_version, _BINDINGS.kind, "", BINDING)
LOOK_SECONDS = 10.0
"""Between two looks at whether the binding may be read at last, and whether there is news to tell."""
RIVAL_SECONDS = 30.0
"""How long a rival is told of after the last look: who stands by, since a replica of its own leads, looks for
none."""
LEASE_SECONDS = 15.0
"""How long a Lease holds that does not say so."""


class Installations:
    """What stands against the installation in `namespace`; `recorder` writes it as an Event on this process's
    own pod."""

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        *,
        namespace: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Not waiting behind reconciles, nor for the Lease.
        self._client = client.guarded(None, requests=2)
        self._own_pod = OwnPod(self._client, recorder)
        self._namespace, self._clock = namespace, clock
        self._binding = Reflector(
            self._client,
            _BINDINGS,
            field_selector=f"metadata.name={BINDING}",
            on_change=lambda old, new: self._news.set(),
        )
        self._news = asyncio.Event()
        self._refused = self._rival = self._told = ""
        self._seen: dict[str, tuple[str, float]] = {}
        self._looked = 0.0

    @property
    def problem(self) -> str:
        """Why this installation may not lead, or has lost its rights; empty where neither is so."""
        is_recent = self._clock() < self._looked + RIVAL_SECONDS
        return self._find_displaced() or self._refused or (self._rival if is_recent else "")

    async def run(self) -> None:
        """Watch the binding, and tell every change of `problem`, until cancelled."""
        watch = asyncio.create_task(self._binding.run())
        try:
            while True:
                await self._try_to_read()
                await self._tell_problem()
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._news.wait()
                except TimeoutError:
                    continue
                self._news.clear()
        finally:
            watch.cancel()

    async def find_rival(self) -> str:
        """Why no replica of this installation may lead now. Raises Fault where that could not be seen."""
        if displaced := self._find_displaced():
            return displaced
        try:
            listing = await self._client.list(_LEASES, field_selector=f"metadata.name={LEASE}")
        except Forbidden as error:
            return self._set_rival(f"whether another installation leads could not be seen: {error}")
        held = [lease for lease in listing.items if self._is_held(lease)]
        if not held:
            return self._set_rival("")
        other, holder = held[0]["metadata"]["namespace"], held[0]["spec"]["holderIdentity"]
        return self._set_rival(tell_rival(holder, other, self._namespace))

    def _set_rival(self, rival: str) -> str:
        self._looked = self._clock()
        if rival != self._rival:
            self._rival = rival
            self._news.set()
        return rival

    def _find_displaced(self) -> str:
        return tell_displaced(find_homes(self._binding.store.get(_REF)), self._namespace)

    def _is_held(self, lease: Manifest) -> bool:
        namespace, spec = lease["metadata"]["namespace"], lease.get("spec") or {}
        if namespace == self._namespace or not spec.get("holderIdentity"):
            return False
        version = lease["metadata"]["resourceVersion"]
        if self._seen.get(namespace, ("", 0.0))[0] != version:
            self._seen[namespace] = (version, self._clock())
        lasts = float(spec.get("leaseDurationSeconds") or LEASE_SECONDS)
        return self._clock() < self._seen[namespace][1] + lasts

    async def _try_to_read(self) -> None:
        """Whether the binding may be read at all: an account that it does not name may read nothing."""
        if self._binding.synced.is_set():
            self._refused = ""
            return
        try:
            await self._client.get(_REF)
        except Forbidden as error:
            self._refused = (
                f"Navarch in namespace {self._namespace} is without its rights ({error}): the installation "
                f"is incomplete, or ClusterRoleBinding {BINDING} names another namespace"
            )
        except Fault:
            return  # out of reach, or there is none: of that the watches tell
        else:
            self._refused = ""

    async def _tell_problem(self) -> None:
        problem = self.problem
        if problem and problem != self._told:
            log.error("this installation does not lead", why=problem)
        elif self._told and not problem:
            log.info("nothing stands against this installation any more")
        self._told = problem
        if problem:
            await self._own_pod.warn(Reason.ANOTHER_INSTALLATION, problem, action="Lead")
