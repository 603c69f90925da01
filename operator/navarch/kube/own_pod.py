"""Events about the operator itself, on the pod that it runs in: what `kubectl describe pod` shows.

Must never raise: who tells has other work.
"""

from __future__ import annotations

from typing import Literal

import structlog

from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest
from navarch.engine.result import Fault
from navarch.kube.account import find_self
from navarch.kube.client import Client
from navarch.kube.events import Recorder

log = structlog.get_logger(__name__)


class OwnPod:
    """The pod of this process, or its ServiceAccount where there is none."""

    def __init__(self, client: Client, recorder: Recorder) -> None:
        self._client, self._recorder = client, recorder
        self._self: Manifest | None = None

    async def warn(
        self, reason: Reason, message: str, *, action: Literal["InstallGatewayAPI", "Lead", "ServeMetrics"]
    ) -> None:
        """Write a Warning, unless it repeats the last one of this reason."""
        try:
            self._self = self._self or await find_self(self._client)
        except Fault as fault:
            log.warning("an Event was not written", error=str(fault))
            return
        if self._self is not None:
            await self._recorder.record(
                self._self, reason=reason, message=message, type="Warning", action=action
            )
