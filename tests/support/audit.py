"""The API server's audit log: who asked for what, the one witness that cannot be argued with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.logs import find_end, read_events

READS = frozenset({"get", "list", "watch"})
DECISION = "authorization.k8s.io/decision"
CREDENTIAL = "authentication.kubernetes.io/credential-id"
ASIDE = frozenset({"leases", "events", "selfsubjectreviews", "subjectaccessreviews", "tokenreviews"})
"""Resources whose writes are the process's own breath, not work on a mesh."""


@dataclass(frozen=True, slots=True)
class Request:
    """One finished request."""

    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    agent: str
    uri: str
    dry_run: bool
    forbidden: bool
    """Whether it was refused for want of a right, and not by a policy, quota or webhook."""
    received: datetime
    """When the API server had read its head, by this machine's clock."""
    credential: str
    """Which token it came with; empty when it did not come with a service account's."""

    @property
    def is_mutating(self) -> bool:
        """Whether it asked for a change of any kind, the process's own breath included."""
        return self.verb not in READS and not self.dry_run

    @property
    def is_write(self) -> bool:
        return self.is_mutating and self.resource not in ASIDE

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.verb} {self.resource}/{self.subresource} {where} -> {self.code}"


def list_refused(log: Path, user: str) -> set[str]:
    """Verb and resource, with its subresource, of every request of a user that was refused for want of a
    right."""
    with log.open("rb") as lines:
        # A log of a whole session has hundreds of thousands of lines: only these are taken apart.
        events = [json.loads(line) for line in lines if b'"forbid"' in line and line.endswith(b"\n")]
    return {
        f"{event['verb']} {_name_asked(event)}"
        for event in events
        if event["user"].get("username") == user
        and (event.get("annotations") or {}).get(DECISION) == "forbid"
    }


def _name_asked(event: dict[str, Any]) -> str:
    about = event.get("objectRef") or {}
    parts = (about.get("resource", event["requestURI"]), about.get("subresource", ""))
    return "/".join(filter(None, parts))


class Audit:
    """Reads a log from a point on. The log is written before a request returns (audit-log-mode blocking)."""

    def __init__(self, path: Path, user: str) -> None:
        self._path = path
        self._user = user

    def mark(self) -> int:
        """A point in the log: now."""
        return find_end(self._path)

    def since(self, mark: int, *, user: str | None = None) -> list[Request]:
        """Finished requests of the user since `mark`, watches when they end."""
        wanted = self._user if user is None else user
        return [r for r in self._read(mark) if r.user == wanted]

    def everybody(self, mark: int) -> list[Request]:
        """Finished requests of all users since `mark`."""
        return [*self._read(mark)]

    def writes(self, mark: int) -> list[Request]:
        """Requests of the operator since `mark` that changed something."""
        return [r for r in self.since(mark) if r.is_write]

    def _read(self, mark: int) -> Iterator[Request]:
        for event in read_events(self._path, mark):
            if event["stage"] != "ResponseComplete" and event["verb"] != "watch":
                continue
            about = event.get("objectRef") or {}
            yield Request(
                user=event["user"].get("username", ""),  # none where no authenticator knew the request
                verb=event["verb"],
                group=about.get("apiGroup", ""),
                resource=about.get("resource", ""),
                subresource=about.get("subresource", ""),
                namespace=about.get("namespace", ""),
                name=about.get("name", ""),
                code=(event.get("responseStatus") or {}).get("code", 0),
                agent=event.get("userAgent", ""),
                uri=event["requestURI"],
                forbidden=(event.get("annotations") or {}).get(DECISION) == "forbid",
                dry_run="dryRun=All" in event["requestURI"],
                received=datetime.fromisoformat(event["requestReceivedTimestamp"]),
                credential=",".join((event["user"].get("extra") or {}).get(CREDENTIAL, ())),
            )
