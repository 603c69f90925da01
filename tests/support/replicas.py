"""Several replicas of the operator that the audit log can tell apart, each run by a token of its own."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import yaml

from lab.cluster import Cluster, service_account_kubeconfig
from tests.polling import eventually
from tests.support.activity import is_leading
from tests.support.api import Api
from tests.support.audit import Request
from tests.support.operator import SYSTEM, Operator


@dataclass
class Replica:
    """A replica with a name in the Lease. Each start is a new process with a new token, as a pod's is."""

    cluster: Cluster
    name: str
    settings: dict[str, str] = field(default_factory=dict)
    process: Operator = field(init=False)
    credential: str = ""
    """The token of the present process, as the audit log names it."""

    def __post_init__(self) -> None:
        settings = {"identity": self.name, "log_level": "info", **self.settings}
        log = self.cluster.state / f"{self.name}.log"
        self.process = Operator(Path(), log, settings=settings)

    async def start(self) -> None:
        """Returns when the process is ready: it leads, or stands by with warm caches."""
        file = service_account_kubeconfig(self.cluster, SYSTEM, "navarch", holder=self.name)
        self.process.kubeconfig = file
        self.credential = f"JTI={_read_token_id(file)}"
        self.process.start()
        await eventually(self.process.is_ready, seconds=60, every=0.05, what=f"ready, see {self.process.log}")

    def is_leading(self) -> bool:
        return is_leading(self.process)

    def send(self, number: signal.Signals) -> float:
        """Send a signal; returns when, by the monotonic clock."""
        os.kill(self.process.pid, number)
        return time.monotonic()

    def describe(self) -> str:
        """What one wants to know when a test fails: whether it runs, leads, and what it said last."""
        running = self.process.is_running()
        leads = running and self.process.is_ready() and self.is_leading()
        last = self.process.log.read_text().splitlines()[-30:]
        return "\n".join([f"{self.name}: running {running}, leading {leads}", *last])

    async def see_end(self, *, seconds: float = 30) -> int:
        """The exit code of the process, which must end by itself."""
        await eventually(
            lambda: not self.process.is_running(), seconds=seconds, every=0.02, what=f"{self.name} has ended"
        )
        return self.process.stop()


@dataclass(frozen=True, slots=True)
class Takeover:
    """How a standby took the Lease, by the audit log: how often it had looked at it since the leader's last
    write of it, the release included, and which other writes of the standby's came before."""

    looks: int
    early: list[str]


def find_takeover(requests: Iterable[Request], *, leader: str, standby: str) -> Takeover:
    """The takeover in a log of the operator's requests; replicas by their tokens, in order of arrival."""
    ordered = sorted(requests, key=lambda r: r.received)
    lease = [r for r in ordered if r.resource == "leases" and r.code < 300]
    last = max(r.received for r in lease if r.credential == leader and r.is_mutating)
    taken = min(r.received for r in lease if r.credential == standby and r.is_mutating)
    looks = [r for r in lease if r.credential == standby and r.verb == "get" and last < r.received < taken]
    early = [str(r) for r in ordered if r.credential == standby and r.is_write and r.received < taken]
    return Takeover(len(looks), early)


def _read_token_id(kubeconfig: Path) -> str:
    token = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"]
    claims = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["jti"])


def read_holder(api: Api) -> tuple[str, datetime]:
    """Who holds the operator's Lease, and since when; the name is empty while there is no holder."""
    spec = (api.get("lease", SYSTEM, "navarch") or {}).get("spec") or {}
    return spec.get("holderIdentity") or "", datetime.fromisoformat(
        spec.get("acquireTime") or "1970-01-01T00:00:00Z"
    )
