"""The operator's stores, filled once: what a watch would keep, as of now.

Owns the lists of one look and the account of what could not be listed. Must never watch. Invariant: a store
exists for every watch of the operator, so what gather() asks for is there, if perhaps empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from navarch.engine.result import Cause
from navarch.gather.watches import WATCHES, Watch
from navarch.kube.client import Client, Listing
from navarch.kube.errors import Forbidden, KubeError, Unserved
from navarch.kube.resources import Resource, resource_of
from navarch.kube.shelf import Pool
from navarch.kube.store import Store


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that could not be looked at. `what` names it as RBAC does, `narrowed` says that it was looked
    at in one namespace only."""

    verb: str
    what: str
    why: str
    narrowed: str = ""

    def __str__(self) -> str:
        if self.narrowed:
            return f"{self.verb} {self.what} outside namespace {self.narrowed}: {self.why}"
        return f"{self.verb} {self.what}: {self.why}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The stores by the names of their watches, and what is missing from them."""

    stores: Mapping[str, Store]
    gaps: tuple[Gap, ...]

    def has(self, *names: str) -> bool:
        """Whether these stores are complete."""
        return not {name_of(self.stores[name].resource) for name in names} & {g.what for g in self.gaps}


def name_of(resource: Resource) -> str:
    """A resource as RBAC and its messages name it."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def explain(error: KubeError) -> str:
    """Why a request failed, in few words where they suffice."""
    return "not permitted" if error.cause is Cause.NOT_PERMITTED else error.message


def is_no_kind(error: KubeError, resource: Resource) -> bool:
    """Whether a list failed because the cluster has no CRD of the kind, so that there are no objects of it.
    Of a built-in kind the same answer is an outage."""
    return isinstance(error, Unserved) and not resource.builtin


async def take_snapshot(
    client: Client, *, operator_namespace: str, namespace: str = "", watches: Iterable[Watch] = WATCHES
) -> Snapshot:
    """List everything that the operator watches. Where the whole cluster is forbidden and `namespace` is
    given, that namespace alone is listed."""
    watches, pool = tuple(watches), Pool()
    lists = [
        asyncio.create_task(_fill(client, watch, operator_namespace, namespace, pool)) for watch in watches
    ]
    try:
        listed = await asyncio.gather(*lists)
    finally:
        for task in lists:  # where one has failed, the others have not ended
            task.cancel()
        await asyncio.gather(*lists, return_exceptions=True)
    stores = {watch.name: store for watch, (store, _) in zip(watches, listed, strict=True)}
    return Snapshot(stores, tuple(dict.fromkeys(gap for _, gap in listed if gap is not None)))


async def _fill(
    client: Client, watch: Watch, operator_namespace: str, namespace: str, pool: Pool
) -> tuple[Store, Gap | None]:
    resource = resource_of(watch.api_version, watch.kind)
    store = Store(
        resource,
        metadata_only=watch.metadata_only,
        transform=watch.transform,
        bound=watch.bound,
        pool=pool,
    )
    store.begin()
    where = operator_namespace if watch.in_operator_namespace else ""
    gap: Gap | None = None
    try:
        listing = await _list(client, watch, store, where)
        store.served = True
    except Forbidden as error:
        gap = Gap("list", name_of(resource), explain(error))
        listing = Listing((), "")
        if namespace and resource.namespaced and not where:
            try:
                listing = await _list(client, watch, store, namespace)
                gap = Gap("list", name_of(resource), explain(error), narrowed=namespace)
            except KubeError:
                pass  # the wider refusal tells more
    except KubeError as error:
        listing = Listing((), "")
        if not is_no_kind(error, resource):
            gap = Gap("list", name_of(resource), explain(error))
    store.commit(listing.resource_version)
    return store, gap


async def _list(client: Client, watch: Watch, store: Store, namespace: str) -> Listing:
    return await client.list(
        store.resource,
        namespace=namespace,
        label_selector=watch.label_selector,
        field_selector=watch.field_selector,
        metadata_only=watch.metadata_only,
        limit=watch.page,
        keep=store.stage,
    )
