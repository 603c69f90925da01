"""Collects an archive: what is asked first, what follows from it, and what happens when time is up.

Owns the order of requests, and the account of what was not answered. Must never let one refusal or a slow
answer keep the rest from being collected. Invariant: after `limits.seconds` nothing is asked any more, and
what was not answered by then is named.
"""

from __future__ import annotations

import asyncio
import heapq
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from itertools import count
from typing import Any, TypeAlias

import yaml

from navarch.api.controlplane import KIND
from navarch.api.install import NAME
from navarch.api.meta import GROUP
from navarch.core.diagnosis.masking import mask_object
from navarch.core.diagnosis.report import Report
from navarch.core.model.labels import MESH_NAME
from navarch.core.model.refs import Manifest, Ref
from navarch.kube.client import Client
from navarch.kube.errors import Forbidden, KubeError
from navarch.kube.resources import Resource
from navarch.survey.archive import kinds
from navarch.survey.archive.folder import Folder
from navarch.survey.archive.kinds import Wanted
from navarch.survey.archive.logs import READ_BYTES, Log, cut_log, find_logs
from navarch.survey.checkup import Scope
from navarch.survey.session import Target, open_session
from navarch.survey.snapshot import Gap, explain, is_no_kind, name_of
from navarch.survey.surroundings import OPERATOR

Tell: TypeAlias = Callable[[int, int, str], None]
"""Told how many of how many requests are done, and what is being asked."""
WriteReport: TypeAlias = Callable[[Report], str]
"""Makes the report of `navarch check` a text for people."""
Ask: TypeAlias = tuple[str, Callable[[], Awaitable[None]]]


@dataclass
class Collector:
    """One collection into `folder`. `places` are namespaces that are asked for where the whole cluster may
    not be."""

    client: Client
    folder: Folder
    tell: Tell
    places: tuple[str, ...] = ()
    homes: set[str] = field(default_factory=set)
    mesh_namespaces: set[str] = field(default_factory=set)
    pods: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    _pending: dict[str, None] = field(default_factory=dict)
    _done: int = 0
    _total: int = 0

    async def run(self, target: Target, write_report: WriteReport) -> None:
        """Everything, within the time that there is."""
        limits = self.folder.limits
        self.homes = {target.operator_namespace}
        try:
            async with asyncio.timeout(limits.seconds):
                await asyncio.gather(self._check(target, write_report), self._collect())
        except TimeoutError:
            self.folder.miss(f"nothing was asked for after {limits.seconds:g} s")
            for what in self._pending:
                self.folder.miss(f"{what}: no answer within {limits.seconds:g} s")

    async def _collect(self) -> None:
        later = ("what lies in the namespaces of Navarch and of meshes", "logs")
        self._pending |= dict.fromkeys(later)
        await self._ask_all([self._list(wanted) for wanted in kinds.OF_THE_CLUSTER])
        del self._pending[later[0]]
        await self._ask_all(self._plan_places())
        del self._pending[later[1]]
        await self._ask_all(self._plan_logs())

    async def _ask_all(self, asks: Iterable[Ask]) -> None:
        """Ask all of these, some at a time. Those that were not answered in time stay pending."""
        asks = [*asks]
        self._pending |= dict.fromkeys(what for what, _ in asks)
        self._total += len(asks)
        slots = asyncio.Semaphore(self.folder.limits.requests)

        async def ask(what: str, get: Callable[[], Awaitable[None]]) -> None:
            async with slots:
                self.tell(self._done, self._total, what)
                try:
                    await get()
                except KubeError as error:
                    self.folder.miss(f"{what}: {explain(error)}")
                except Exception as error:  # a bug in one part: the others are needed all the more
                    self.folder.miss(f"{what}: failed, which is a bug: {type(error).__name__}: {error}")
            self._pending.pop(what, None)
            self._done += 1
            self.tell(self._done, self._total, what)

        await asyncio.gather(*(ask(what, get) for what, get in asks))

    # --- the check report -----------------------------------------------------------------------------------

    async def _check(self, target: Target, write_report: WriteReport) -> None:
        async def get() -> None:
            async with open_session(target, namespace=self.places[0]) as session:
                report = await session.start_checkup().run(Scope())
            self.folder.add_text("check.json", json.dumps(mask_object(report.to_json()), indent=2))
            self.folder.add_text("check.txt", write_report(report))

        await self._ask_all([("the report of `navarch check`", get)])

    # --- objects --------------------------------------------------------------------------------------------

    def _list(self, wanted: Wanted) -> Ask:
        where = f" in namespace {wanted.namespace}" if wanted.namespace else ""
        which = f" with label {wanted.labels}" if wanted.labels else ""
        what = f"list {name_of(wanted.resource)}{which}{where}"
        return what, partial(self._take_list, wanted, what)

    async def _take_list(self, wanted: Wanted, what: str) -> None:
        resource, narrowed = wanted.resource, () if wanted.namespace else self.places
        try:
            await self._read_list(wanted, wanted.namespace, what)
        except Forbidden as error:
            if not (narrowed and resource.namespaced):
                raise
            read = [place for place in narrowed if await self._may_read(wanted, place, what)]
            if not read:
                raise
            self.folder.miss(str(Gap("list", name_of(resource), explain(error), narrowed=", ".join(read))))
        except KubeError as error:
            if not is_no_kind(error, resource):
                raise

    async def _may_read(self, wanted: Wanted, namespace: str, what: str) -> bool:
        try:
            await self._read_list(wanted, namespace, what)
        except Forbidden:
            return False
        return True

    async def _read_list(self, wanted: Wanted, namespace: str, what: str) -> None:
        taken, most = count(1), self.folder.limits.objects
        left_out = 0

        def keep(manifest: dict[str, Any]) -> None:
            nonlocal left_out
            if not wanted.keep(manifest):
                return
            if next(taken) > most:
                left_out += 1
                return
            self._see(wanted, manifest)
            self.folder.add_object(wanted.resource, manifest)

        await self.client.list(
            wanted.resource, namespace=namespace, label_selector=wanted.labels, limit=50, keep=keep
        )
        if left_out:
            self.folder.miss(f"{what}: {left_out:,} more than {most:,}")

    def _see(self, wanted: Wanted, manifest: Manifest) -> None:
        """What follows from an object: where else is looked, and whose logs are read."""
        resource, metadata = wanted.resource, manifest["metadata"]
        namespace = metadata.get("namespace", "")
        if resource == kinds.PODS:
            self.pods[namespace, metadata["name"]] = manifest
        if resource == kinds.DEPLOYMENTS and wanted.labels == OPERATOR and metadata["name"] == NAME:
            self.homes.add(namespace)
            containers = manifest["spec"]["template"]["spec"]["containers"]
            self.versions[f"Deployment {namespace}/{NAME}"] = [each["image"] for each in containers]
        if manifest["kind"] == KIND:
            status = manifest.get("status") or {}
            self.versions[f"{KIND} {namespace}/{metadata['name']}"] = status.get("version")
        if namespace and (resource.group == GROUP or wanted.labels == MESH_NAME):
            self.mesh_namespaces.add(namespace)

    # --- what lies in the namespaces ------------------------------------------------------------------------

    def _plan_places(self) -> Iterable[Ask]:
        homes, most = sorted(self.homes), self.folder.limits.namespaces
        others = sorted(self.mesh_namespaces - self.homes)
        for namespace in [*homes, *others[:most]]:
            yield self._get(Ref("v1", "Namespace", "", namespace), kinds.NAMESPACES)
            yield f"list events in namespace {namespace}", partial(self._take_events, namespace)
        for namespace in homes:
            yield from map(self._list, kinds.list_home(namespace))
            yield f"catalogs of OLM for {namespace}", partial(self._take_catalogs, namespace)
        for namespace in others[:most]:
            yield from map(self._list, kinds.list_place(namespace))
        if others[most:]:
            self.folder.miss(f"what lies in {len(others[most:]):,} more namespaces than {most:,}")
        yield "list customresourcedefinitions.apiextensions.k8s.io", self._take_crds

    def _get(self, ref: Ref, resource: Resource) -> Ask:
        async def get() -> None:
            self.folder.add_object(resource, await self.client.get(ref))

        return f"get {ref}", get

    async def _take_events(self, namespace: str) -> None:
        """The newest Events of a namespace, of any number of them."""
        newest: list[tuple[str, str, Manifest]] = []
        most, seen = self.folder.limits.events, 0

        def keep(event: dict[str, Any]) -> None:
            nonlocal seen
            seen += 1
            metadata = event["metadata"]
            at = (
                event.get("lastTimestamp")
                or event.get("eventTime")
                or metadata.get("creationTimestamp")
                or ""
            )
            entry = (at[:19], metadata["name"], event)
            (heapq.heappush if len(newest) < most else heapq.heappushpop)(newest, entry)

        await self.client.list(kinds.EVENTS, namespace=namespace, limit=50, keep=keep)
        for _, _, event in newest:
            self.folder.add_object(kinds.EVENTS, event)
        if seen > most:
            self.folder.miss(
                f"list events in namespace {namespace}: {seen - most:,} older than the newest {most:,}"
            )

    async def _take_catalogs(self, namespace: str) -> None:
        """The catalogs from which Subscriptions of a namespace come, which lie in others."""
        named: set[tuple[str, str]] = set()

        def keep(subscription: dict[str, Any]) -> None:
            spec = subscription.get("spec") or {}
            named.add((str(spec.get("sourceNamespace", "")), str(spec.get("source", ""))))

        try:
            await self.client.list(kinds.SUBSCRIPTIONS, namespace=namespace, keep=keep)
            for where, name in sorted(named):
                ref = Ref(kinds.CATALOGS.api_version, kinds.CATALOGS.kind, where, name)
                found = await self.client.fetch(kinds.CATALOGS.path(namespace=where, name=name))
                self.folder.add_object(
                    kinds.CATALOGS, {"apiVersion": ref.api_version, "kind": ref.kind, **found}
                )
        except KubeError as error:
            if not is_no_kind(error, kinds.SUBSCRIPTIONS):
                raise

    async def _take_crds(self) -> None:
        names: list[str] = []

        def keep(crd: dict[str, Any]) -> None:
            name = crd["metadata"]["name"]
            if kinds.is_told_crd(name):
                names.append(name)

        await self.client.list(kinds.CRDS, metadata_only=True, keep=keep)
        refs = [Ref(kinds.CRDS.api_version, kinds.CRDS.kind, "", name) for name in sorted(names)]
        await self._ask_all(self._get(ref, kinds.CRDS) for ref in refs)

    # --- logs -----------------------------------------------------------------------------------------------

    def _plan_logs(self) -> Iterable[Ask]:
        def rank(pod: Manifest) -> tuple[bool, bool, str, str]:
            metadata = pod["metadata"]
            is_istiod = (metadata.get("labels") or {}).get("app") == "istiod"
            return (
                metadata["namespace"] not in self.homes,
                not is_istiod,
                metadata["namespace"],
                metadata["name"],
            )

        pods, most = sorted(self.pods.values(), key=rank), self.folder.limits.pods
        if pods[most:]:
            self.folder.miss(f"logs of {len(pods[most:]):,} more pods than {most:,}")
        for pod in pods[:most]:
            for log in find_logs(pod):
                yield str(log), partial(self._take_log, log)

    async def _take_log(self, log: Log) -> None:
        limits = self.folder.limits
        text = await self.client.read_log(
            log.namespace,
            log.pod,
            container=log.container,
            previous=log.previous,
            lines=limits.log_lines,
            most=READ_BYTES,
        )
        end, is_cut = cut_log(text, limits.log_bytes)
        if is_cut:
            self.folder.miss(f"{log}: all but the last {limits.log_bytes:,} bytes")
        self.folder.add_text(log.path, end)


async def collect(
    client: Client,
    target: Target,
    folder: Folder,
    *,
    places: tuple[str, ...],
    tell: Tell,
    write_report: WriteReport,
) -> None:
    """Fill `folder` from a cluster. Raises KubeError where the API server does not answer at all."""
    kubernetes = await client.fetch("/version")
    folder.add_text("version", f"{NAME}/must-gather\n{version('navarch')}\n")
    where = tuple(dict.fromkeys((*places, target.operator_namespace)))
    collector = Collector(client, folder, tell, where)
    await collector.run(target, write_report)
    found = {
        "navarch": version("navarch"),
        "kubernetes": kubernetes,
        **dict(sorted(collector.versions.items())),
    }
    folder.add_text("versions.yaml", yaml.safe_dump(found, sort_keys=False))
