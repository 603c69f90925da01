"""Logs of pods: which containers have any, and the end of each.

Owns the choice and the places of logs. Must never decide by what a log says. Invariant: a container that
never ran is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from navarch.core.model.refs import Manifest
from navarch.survey.archive.folder import clean

READ_BYTES = 15 * 1024 * 1024
"""The most that is read of one log, to keep its end: less than what the client reads of an answer."""


@dataclass(frozen=True, slots=True)
class Log:
    """One log of a container: of the one that runs, or of the one before it."""

    namespace: str
    pod: str
    container: str
    previous: bool = False

    def __str__(self) -> str:
        which = ", previous" if self.previous else ""
        return f"log {self.namespace}/{self.pod}, container {self.container}{which}"

    @property
    def path(self) -> str:
        """Where it lies in an archive."""
        container = clean(self.container)
        where = f"namespaces/{clean(self.namespace)}/pods/{clean(self.pod)}/{container}/{container}/logs"
        return f"{where}/{'previous' if self.previous else 'current'}.log"


def find_logs(pod: Manifest) -> Iterator[Log]:
    """The logs of a pod's containers, the first ones first."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    for field in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for container in status.get(field) or ():
            log = Log(metadata["namespace"], metadata["name"], container["name"])
            state = container.get("state") or {}
            if "running" in state or "terminated" in state:
                yield log
            if container.get("restartCount") or "terminated" in (container.get("lastState") or {}):
                yield Log(log.namespace, log.pod, log.container, previous=True)


def cut_log(text: str, most: int) -> tuple[str, bool]:
    """The end of a log, from the beginning of a line, and whether that is not all of it."""
    if len(text) <= most:
        return text, False
    end = text[-most:]
    _, _, rest = end.partition("\n")
    return rest or end, True
