"""The boundary inside which an unexpected error of one object stays, and how it is shown there.

Owns the last step of a reconcile that crashed: status and an Event on the object itself. Must never hide the
error: it goes on to the engine, which logs it with its traceback, counts it and waits. Invariant: the
engine sees the crash and nothing else, also when reporting it fails.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from navarch.controllers.kind import Kinds, Reconcile
from navarch.controllers.report import Reporter
from navarch.core.model.crashes import describe_crash, summarise_crash
from navarch.core.model.refs import Ref
from navarch.engine.key import Key
from navarch.engine.result import Fault, Result
from navarch.kube.store import Store

log = structlog.get_logger(__name__)

LONGEST_ERROR = 500
"""Characters of an exception that a message quotes: some carry the whole of what they choked on."""
ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
"""Where an object lies in memory, as its repr tells: another place at each try."""
PACKAGE = Path(__file__).parents[1]


class Containment:
    """Wraps the `reconcile` of one of our `kinds`. `stores` hold their objects by the names of their watches,
    `now` is the time as Kubernetes writes it."""

    def __init__(
        self, reporter: Reporter, stores: Mapping[str, Store], *, kinds: Kinds, now: Callable[[], str]
    ) -> None:
        self._reporter = reporter
        self._stores = stores
        self._kinds = kinds
        self._now = now

    def wrap(self, reconcile: Reconcile) -> Reconcile:
        """The same reconcile, whose unexpected errors are told on the object before they go on."""

        async def contained(key: Key) -> Result:
            try:
                return await reconcile(key)
            except Fault:
                raise
            except Exception as error:
                await self._tell(key, error)
                raise

        return contained

    async def _tell(self, key: Key, error: Exception) -> None:
        kind = self._kinds[key.kind]
        store = self._stores[kind.watch.name]
        body = store.get(Ref(store.resource.api_version, key.kind, key.namespace, key.name))
        if body is None:
            return
        try:
            message = tell_crash(error)
            status = summarise_crash(body, message, conditions=kind.conditions, now=self._now())
            await self._reporter.report_crash(body, status=status, message=message)
        except Exception as second:
            log.warning("a crash could not be told on its object", error=f"{type(second).__name__}: {second}")


def tell_crash(error: Exception) -> str:
    """The message for an unexpected exception."""
    return describe_crash(_quote(error), _find_place(error))


def _quote(error: Exception) -> str:
    text = ADDRESS.sub("0x…", " ".join(str(error).split()))
    return f"{type(error).__name__}: {text[:LONGEST_ERROR]}".rstrip(": ")


def _find_place(error: Exception) -> str:
    """The innermost line of our own code that the error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    if not own:
        return "an unknown place"
    return f"{Path(own[-1].filename).relative_to(PACKAGE.parent)}:{own[-1].lineno}"
