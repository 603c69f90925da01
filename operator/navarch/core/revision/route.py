"""By which connections the API server reaches istiod's webhooks, and when it has to leave them.

Owns the path of every webhook of a mesh. The API server keeps its connections to a webhook open, also to a
pod that is terminating, and istiod ends at SIGTERM with all requests that it has: those pods and that
configuration are refused (seen: 9 of 2,117 dry-run pods in 8 rolls, with a preStop hook). The API server
keeps a client, with connections of its own, for each `clientConfig`; so another path makes it connect anew,
by then only to an istiod that stays. Must never use a path that istiod reads as something else. Invariants:
connections of a path are used again only when the API server has closed those from before; a route changes
only while pods leave, and once after that; a moment that is yet to come is nothing that this clock wrote, and
holds nothing up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from navarch.core.model.actions import Wave
from navarch.core.model.labels import REDIRECTED, REREAD, component_of, revision_of
from navarch.core.model.ordering import WEBHOOK_KINDS
from navarch.core.model.refs import Manifest
from navarch.core.world.workload import WorkloadPod

AWAY = timedelta(seconds=3)
"""How long after a pod was told to end, or its successor became ready, new connections may still lead to the
former: until every kube-proxy knows."""
IDLE = timedelta(seconds=95)
"""After this long without use the API server has closed a connection: it does so after 90 s (client-go,
SetTransportDefaults)."""

PLAIN = ("", "/")
"""Suffixes of a path that make a client of its own and are not sent: client-go joins the path anew."""
_SUFFIX = re.compile(r"/(?:[0-9]{9,})?$")
_NEVER, _EVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Route:
    """The suffix of the paths `/inject` and `/validate`, and since when (RFC 3339; empty: from the start). A
    number as suffix is one that was never used; istiod ignores it and says so in its log."""

    suffix: str = ""
    since: str = ""


def read_route(owned: Iterable[Manifest], revision: str) -> Route:
    """The route that a revision's injector has in the cluster."""
    injector = next((o for o in owned if _is_injector(o) and revision_of(o) == revision), None)
    if injector is None or not injector.get("webhooks"):
        return Route()
    since = (injector["metadata"].get("annotations") or {}).get(REDIRECTED, "")
    return Route(_suffix_of(injector["webhooks"][0]), since if _read(since) != _NEVER else "")


def _is_webhook(manifest: Manifest) -> bool:
    return manifest["kind"] in WEBHOOK_KINDS


def _is_injector(manifest: Manifest) -> bool:
    """Whether this is a revision's own injector, and no tag's."""
    return manifest["kind"] == "MutatingWebhookConfiguration" and component_of(manifest) == "injection"


def determine_route(there: Route, pods: Iterable[WorkloadPod], *, now: str) -> tuple[Route, float | None]:
    """The route as it should be now, and in how many seconds it may have to be another one. One that was
    changed by a clock that is ahead of ours counts as changed now."""
    moment = _read(now)
    if _read(there.since) > moment:
        there = replace(there, since=now)
    changed = _read(there.since)
    moments = list(_find_moments(pods))
    ahead = [at - moment for at in moments if at > moment]
    rested = moment - changed >= IDLE
    route = there
    if any(changed < at <= moment for at in moments):
        unused = "" if there.suffix else "/"
        route = Route(unused if rested else f"/{int(moment.timestamp())}", now)
    elif there.suffix not in PLAIN and rested:
        route = replace(there, suffix="")
    if route.suffix not in PLAIN:
        ahead.append(_read(route.since) + IDLE - moment)
    return route, min((wait.total_seconds() for wait in ahead), default=None)


def _find_moments(pods: Iterable[WorkloadPod]) -> Iterator[datetime]:
    """For each pod that leaves, from when on new connections lead to another: one that stays, or that was
    told to end only after that moment, and has one of its own."""
    found = list(pods)
    ready = [(_read(p.ready), _read(p.leaving) if p.leaving else _EVER) for p in found if p.ready]
    for pod in found:
        if pod.leaving:
            moments = [(max(_read(pod.leaving), since) + AWAY, end) for since, end in ready]
            yield from sorted(moment for moment, end in moments if moment <= end)[:1]


def redirect(waves: Iterable[Wave], route: Route) -> tuple[Wave, ...]:
    """The waves with all webhooks on a route."""
    if route == Route():
        return tuple(waves)
    return tuple(replace(w, objects=tuple(_redirect(o, route) for o in w.objects)) for w in waves)


def restate_tags(owned: Iterable[Manifest], route: Route) -> tuple[Wave, ...]:
    """The tags' webhooks that are on another route, as they are in the cluster but for the path: for a plan
    in which tags wait, since their form follows an istiod that is not there yet."""
    tags = [o for o in owned if _is_webhook(o) and component_of(o) == "tags"]
    stray = [o for o in tags if any(_suffix_of(entry) != route.suffix for entry in o.get("webhooks") or ())]
    return (Wave("route", tuple(_redirect(_strip(o), route) for o in stray)),) if stray else ()


def _strip(manifest: Manifest) -> Manifest:
    """A webhook configuration without a suffix, without what istiod writes, and what the API server keeps."""
    metadata = manifest["metadata"]
    kept = {k: v for k, v in (metadata.get("annotations") or {}).items() if k == REREAD}
    own = {"name": metadata["name"], "labels": metadata["labels"], **({"annotations": kept} if kept else {})}
    validating = manifest["kind"] == "ValidatingWebhookConfiguration"
    theirs = {"failurePolicy"} if validating else set()
    entries = [_strip_entry({k: v for k, v in e.items() if k not in theirs}) for e in manifest["webhooks"]]
    head = {key: manifest[key] for key in ("apiVersion", "kind")}
    return {**head, "metadata": own, "webhooks": entries}


def _strip_entry(entry: Manifest) -> Manifest:
    client = {k: v for k, v in entry["clientConfig"].items() if k != "caBundle"}
    if "service" in client:
        path = _SUFFIX.sub("", client["service"].get("path") or "")
        client["service"] = {**client["service"], "path": path}
    return {**entry, "clientConfig": client}


def _suffix_of(entry: Manifest) -> str:
    found = _SUFFIX.search((entry["clientConfig"].get("service") or {}).get("path") or "")
    return found[0] if found else ""


def _redirect(manifest: Manifest, route: Route) -> Manifest:
    if not _is_webhook(manifest):
        return manifest
    entries = [_redirect_entry(entry, route) for entry in manifest["webhooks"]]
    redirected = {**manifest, "webhooks": entries}
    if route.since and _is_injector(manifest):
        metadata = manifest["metadata"]
        annotations = {**(metadata.get("annotations") or {}), REDIRECTED: route.since}
        redirected["metadata"] = {**metadata, "annotations": annotations}
    return redirected


def _redirect_entry(entry: Manifest, route: Route) -> Manifest:
    client = entry["clientConfig"]
    if "service" not in client:
        return entry
    service = {**client["service"], "path": client["service"]["path"] + route.suffix}
    return {**entry, "clientConfig": {**client, "service": service}}


def _read(moment: str) -> datetime:
    """A moment in RFC 3339; what is none, or leaves no room for what is added to it, is long ago."""
    try:
        read = datetime.fromisoformat(moment).astimezone(UTC)
    except (ValueError, OverflowError):
        return _NEVER
    return read if read.year < datetime.max.year else _NEVER
