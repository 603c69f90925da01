"""The part of Navarch's own installation that not every installer brings: the operator puts it there itself.

Owns the admission policies, the probe's namespace, and two bindings of the operator's account
(api/install.py says what they hold). Must never touch the operator's own namespace, its roles, or an object
that a newer release wrote. Invariant:
no mesh is worked on before all of them were looked at once; an object that is as wanted is not written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from navarch.api.meta import RELEASE
from navarch.core.model.ownership import MANAGER
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.engine.result import NotLeading
from navarch.kube.client import Client
from navarch.kube.errors import KubeError, NotFound, Unavailable
from navarch.kube.reflector import Reflector
from navarch.kube.resources import resource_for
from navarch.telemetry import metrics

log = structlog.get_logger(__name__)

RETRY = 5.0
"""Seconds between two looks while something is missing, and the least between two looks for a change."""
AT_ONCE = 4
"""Objects that are read at the same time."""
LABEL = "app.kubernetes.io/name=navarch"
_DEFAULTS: Mapping[str, Any] = {"matchPolicy": "Equivalent", "scope": "*"}
_EMPTY: tuple[Any, ...] = ({}, [], "", None)
_REPLACED = frozenset({"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"})
"""Kinds in which another client's addition decides what is refused: an apply would leave it there."""


class Installation:
    """Keeps the `wanted` objects. `settled` is set once all of them were looked at; `reader` reads
    on every replica, `writer` writes only on the leader."""

    def __init__(
        self, reader: Client, writer: Client, wanted: Sequence[Manifest], *, leading: asyncio.Event
    ) -> None:
        self.settled = asyncio.Event()
        self._reader, self._writer = reader, writer
        self._wanted = {ref_of(manifest): manifest for manifest in wanted}
        self._leading, self._changed = leading, asyncio.Event()
        self._seen: dict[Ref, str] = {}
        """Version of each object as it was last read or written; empty where there was none."""
        self._told: dict[Ref, str] = {}
        """Version of each object that a watch told of since."""

    async def run(self) -> None:
        """Look at all, and again at what changes or is not right yet, until cancelled."""
        reflectors = [self._build_reflector(ref) for ref in self._choose_watched()]
        watches = [asyncio.create_task(reflector.run()) for reflector in reflectors]
        due = {*self._wanted}
        try:
            while True:
                await self._leading.wait()
                missing = await self._look(due)
                await asyncio.sleep(RETRY)
                if not missing:
                    await self._changed.wait()
                due = missing | self._take_changed()
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    def _note(self, old: Manifest | None, new: Manifest | None) -> None:
        about = new or old
        if about is None or (ref := ref_of(about)) not in self._wanted:
            return
        self._told[ref] = new["metadata"]["resourceVersion"] if new is not None else ""
        if self._told[ref] != self._seen.get(ref):
            self._changed.set()

    def _take_changed(self) -> set[Ref]:
        """What the watches told of, but for what was read or written at that version."""
        self._changed.clear()
        told, self._told = self._told, {}
        return {ref for ref, version in told.items() if version != self._seen.get(ref)}

    def _choose_watched(self) -> list[Ref]:
        """One object of each kind: what is watched of it is watched of all of its kind."""
        return [*{(ref.kind, ref.namespace): ref for ref in self._wanted}.values()]

    def _build_reflector(self, ref: Ref) -> Reflector:
        by_label = ref.kind in _REPLACED
        return Reflector(
            self._reader,
            resource_for(ref),
            namespace=ref.namespace,
            label_selector=LABEL if by_label else "",
            field_selector="" if by_label else f"metadata.name={ref.name}",
            metadata_only=True,
            on_change=self._note,
        )

    async def _look(self, due: set[Ref]) -> set[Ref]:
        """Put right what is not as wanted; which of these objects are not, afterwards."""
        # In order, since a binding needs its namespace; reading takes no order.
        refs = [ref for ref in self._wanted if ref in due]
        missing: set[Ref] = set()
        try:
            # A few at a time: each request that is under way beside others takes a TLS connection, 100 KiB.
            for first in range(0, len(refs), AT_ONCE):
                few = refs[first : first + AT_ONCE]
                found = await asyncio.gather(*map(self._read, few))
                missing |= {
                    ref for ref, live in zip(few, found, strict=True) if not await self._keep(ref, live)
                }
        except (NotLeading, Unavailable) as error:
            log.warning("the installation was not looked at", error=str(error))
            return due
        metrics.installation_missing_objects.set(len(missing))
        self.settled.set()
        return missing

    async def _read(self, ref: Ref) -> Manifest | KubeError | None:
        try:
            live = await self._reader.get(ref)
        except NotFound:
            self._seen[ref] = ""
            return None
        except Unavailable:
            raise
        except KubeError as error:
            return error
        self._seen[ref] = live["metadata"]["resourceVersion"]
        return live

    async def _keep(self, ref: Ref, live: Manifest | KubeError | None) -> bool:
        """Write an object unless it is as wanted; whether it is, afterwards."""
        manifest = self._wanted[ref]
        try:
            if isinstance(live, KubeError):
                raise live
            if live is not None and (is_left(manifest, live) or is_kept(manifest, live)):
                return True
            written = await self._write(manifest, live)
        except Unavailable:
            raise
        except KubeError as error:
            log.warning("a part of the installation is missing", object=str(ref), error=str(error))
            return False
        self._seen[ref] = written["metadata"]["resourceVersion"]
        log.info("a part of the installation was put right", object=str(ref))
        return True

    async def _write(self, manifest: Manifest, live: Manifest | None) -> Manifest:
        if live is not None and manifest["kind"] in _REPLACED:
            metadata = {**manifest["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
            return await self._writer.replace({**manifest, "metadata": metadata})
        return await self._writer.apply(manifest, manager=MANAGER, force=True)


def is_left(manifest: Manifest, live: Manifest) -> bool:
    """Whether an object is left as it is: a newer release wrote it, or it is the namespace, whose labels are
    its administrators'. A mesh whose probe they keep out says so."""
    return manifest["kind"] == "Namespace" or read_release(live) > read_release(manifest)


def read_release(manifest: Manifest) -> tuple[int, ...]:
    """The release that wrote an object, comparable; the least one where none is said."""
    said = str((manifest["metadata"].get("annotations") or {}).get(RELEASE, ""))
    numbers = said.partition("-")[0].split(".")
    readable = all(number.isdecimal() and len(number) < 10 for number in numbers)
    return tuple(map(int, numbers)) if readable else ()


def is_kept(manifest: Manifest, live: Manifest) -> bool:
    """Whether an object says what is wanted and, where others' additions count, nothing else."""
    metadata = live["metadata"]
    for field in ("labels", "annotations"):
        there = metadata.get(field) or {}
        if any(there.get(key) != value for key, value in (manifest["metadata"].get(field) or {}).items()):
            return False
    parts = (key for key in manifest if key not in ("apiVersion", "kind", "metadata"))
    return all(is_same(manifest[part], live.get(part)) for part in parts)


def is_same(wanted: Any, live: Any) -> bool:
    """Equal but for what the API server fills in: empty fields and known defaults."""
    if wanted in _EMPTY:
        return live in _EMPTY
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        added = ((key, value) for key, value in live.items() if key not in wanted)
        return all(is_same(value, live.get(key)) for key, value in wanted.items()) and all(
            value in _EMPTY or _DEFAULTS.get(key) == value for key, value in added
        )
    if isinstance(wanted, list) and isinstance(live, list):
        return len(wanted) == len(live) and all(map(is_same, wanted, live))
    return bool(wanted == live)
