"""The certificates of gateways, as far as a setting asks for them and the operator may read their Secrets.

Owns these requests and how long their results are kept. Must never keep data of a Secret, nor read one that
is neither beside the gateway's pods nor beside the Gateway that names it: a gateway's status would tell of it
to others. Invariants: in nine tenths of the interval a certificate costs one GET, all Gateways of the cluster
one LIST for each kind, and a gateway that is looked at in between nothing; what is kept of the Gateways has a
bound, and those of one namespace push out no others.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest

from navarch.core.diagnosis.routing import Entrance, read_gateway, read_istio_gateway
from navarch.core.model.messages import shorten
from navarch.core.model.refs import Manifest, Ref, is_object_name
from navarch.core.world.certificates import Certificate, SeenCertificates, Served, read_certificate
from navarch.kube.client import Client
from navarch.kube.errors import Forbidden, NotFound, Unserved
from navarch.kube.resources import Resource
from navarch.kube.shelf import MIB, Bound, Pool, Shelf
from navarch.kube.weight import weigh

MOST = 64
"""Secrets of one gateway that are looked at."""
_LONGEST = 100
"""Characters of a listener's name in a message."""
BOUND = Bound(object=256 * 1024, watch=16 * MIB)
"""Bytes of what is kept of a Gateway, and of all."""
_KINDS = (
    (Resource("networking.istio.io/v1", "Gateway", "gateways", True), read_istio_gateway),
    (Resource("gateway.networking.k8s.io/v1", "Gateway", "gateways", True), read_gateway),
)


@dataclass(frozen=True, slots=True)
class Place:
    """What decides which Gateways are a gateway's: its namespace, name and its pods' labels, and which
    namespaces belong to its mesh."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    inside: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a request gave, and until when it counts; `certificate` is None where it was forbidden."""

    until: float
    certificate: Certificate | None


class Entrances:
    """The Gateways of a cluster that name a Secret, within `bound`: others write them, in any number."""

    def __init__(self, bound: Bound = BOUND) -> None:
        self._bound = bound
        self._shelf = Shelf(bound, Pool(bound.watch), on_evict=lambda _: None)

    def __iter__(self) -> Iterator[Entrance]:
        return (kept["entrance"] for kept in self._shelf.walk())

    def put(self, entrance: Entrance) -> None:
        """Keep one that names a Secret."""
        if not any(listener.secrets for listener in entrance.listeners):
            return
        namespace, name = entrance.subject.namespace, f"{entrance.subject.kind}/{entrance.subject.name}"
        kept = {"metadata": {"namespace": namespace, "name": name}, "entrance": entrance}
        if (weight := weigh(kept)) > self._bound.object:
            self._shelf.leave_out((namespace, name))
        else:
            self._shelf.put(kept, weight)

    def count_left_out(self, inside: Callable[[str], bool]) -> int:
        """How many are not kept, of the namespaces that are `inside`."""
        return sum(inside(namespace) for namespace, _ in self._shelf.left_out)


class CertificateReader:
    """Reads certificates at most once in `seconds`; never where that is 0."""

    def __init__(
        self, client: Client, *, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._seconds = seconds
        self._clock = clock
        self._lock = asyncio.Lock()
        self._listed: tuple[float, Entrances] = (-math.inf, Entrances())
        self._kept: dict[Ref, _Kept] = {}

    async def gather(self, place: Place) -> SeenCertificates | None:
        """What is known of the certificates of a gateway; None where nothing asks for it."""
        if not self._seconds:
            return None
        try:
            entrances = await self._list()
        except Forbidden as error:
            return SeenCertificates(next=self._seconds, gap=str(error))
        wanted = dict.fromkeys(_list_wanted(entrances, place))
        served, soonest = [], self._listed[0]
        for listener, hosts, namespace, name in islice(wanted, MOST):
            kept = await self._look(Ref("v1", "Secret", namespace, name))
            served.append(Served(listener, hosts, namespace, name, kept.certificate))
            soonest = min(soonest, kept.until)
        wait = max(soonest - self._clock(), 1.0)
        return SeenCertificates(
            tuple(served),
            wait,
            left_out=max(len(wanted) - MOST, 0),
            unlisted=entrances.count_left_out(place.inside),
        )

    async def _list(self) -> Entrances:
        """The Gateways of the cluster."""
        async with self._lock:
            until, entrances = self._listed
            if not self._is_due(until):
                return entrances
            found = Entrances()
            for resource, read in _KINDS:

                def keep(gateway: Manifest, read: Callable[[Manifest], Entrance] = read) -> None:
                    found.put(read(gateway))

                try:
                    await self._client.list(resource, keep=keep)
                except (NotFound, Unserved):  # the cluster does not have this kind
                    continue
            now = self._clock()
            self._kept = {ref: kept for ref, kept in self._kept.items() if kept.until > now}
            self._listed = now + self._seconds, found
            return self._listed[1]

    def _is_due(self, until: float) -> bool:
        """Whether something is read again: a little early, so that one look does for all that is about to."""
        return until <= self._clock() + self._seconds / 10

    async def _look(self, ref: Ref) -> _Kept:
        kept = self._kept.get(ref)
        if kept is None or self._is_due(kept.until):
            certificate = await self._read(ref)
            kept = self._kept[ref] = _Kept(self._clock() + self._seconds, certificate)
        return kept

    async def _read(self, ref: Ref) -> Certificate | None:
        if not is_object_name(ref.name):  # a Gateway's author writes what they like there
            return read_certificate(None)
        try:
            return read_certificate((await self._client.get(ref)).get("data") or {})
        except NotFound:
            return read_certificate(None)
        except Forbidden:
            return None


def _list_wanted(
    entrances: Iterable[Entrance], place: Place
) -> Iterator[tuple[str, tuple[str, ...], str, str]]:
    """Listener, hosts, namespace and name of each Secret that a gateway's listeners name. Istio's own
    Gateways name one beside the pods that serve them. Those of the gateway's own namespace come first, and of
    the others each namespace's in turn: none fills the list."""
    found: defaultdict[str, list[tuple[str, tuple[str, ...], str, str]]] = defaultdict(list)
    for entrance in entrances:
        if not _is_served(entrance, place):
            continue
        author = entrance.subject.namespace
        beside = place.namespace if entrance.is_istios else author
        for listener in entrance.listeners:
            text = f"{shorten(listener.name, _LONGEST)} of {entrance.subject}"
            for name, said in listener.secrets:
                if (namespace := said or beside) in (place.namespace, author):
                    found[author].append((text, listener.hosts, namespace, name))
    yield from found.pop(place.namespace, ())
    for turn in zip_longest(*(found[author] for author in sorted(found))):
        yield from (each for each in turn if each is not None)


def _is_served(entrance: Entrance, place: Place) -> bool:
    """Whether a gateway's pods have the labels that a Gateway of its mesh selects, or whether one of Gateway
    API names the gateway's Service."""
    if not place.inside(entrance.subject.namespace):
        return False
    if not entrance.is_istios:
        names = {address.removesuffix(".svc.cluster.local") for address in entrance.addresses}
        return f"{place.name}.{place.namespace}" in names
    selector = entrance.selector
    return bool(selector) and all(place.labels.get(key) == value for key, value in selector.items())


def read_labels(workload: Manifest | None) -> Mapping[str, str]:
    """The labels of the pods that a workload makes."""
    template = ((workload or {}).get("spec") or {}).get("template") or {}
    labels: Mapping[str, str] = (template.get("metadata") or {}).get("labels") or {}
    return labels
