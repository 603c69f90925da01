"""What others put where everything is ours: the parts of an object that decide what is injected, what
istiod runs, and whom it may reach.

Owns the list of these parts. Elsewhere (annotations, labels, further ports, where pods are placed) what
others add stays theirs. Must never name a field that the API server fills in, that istiod writes, or that is
wanted. Pure. Invariant: without what it names, the parts say what is wanted and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from navarch.core.model.labels import GATEWAY_CLASS_DEFAULTS
from navarch.core.model.refs import Manifest
from navarch.kube.values import DIGESTS, Difference, is_empty, is_list, keys_of, read_key

_Place: TypeAlias = tuple[str, str]
"""Where something is: its JSON pointer, and its path as people write it."""

_WHOLE: Mapping[str, tuple[str, ...]] = {
    "ClusterRole": ("rules", "aggregationRule"),
    "Role": ("rules",),
    "ClusterRoleBinding": ("subjects",),
    "RoleBinding": ("subjects",),
    "NetworkPolicy": ("spec",),
    "PeerAuthentication": ("spec",),
    "Service": ("spec.selector", "spec.externalIPs", "spec.publishNotReadyAddresses"),
    "PodDisruptionBudget": ("spec.selector",),
    "HorizontalPodAutoscaler": ("spec.scaleTargetRef",),
    "Deployment": ("spec.paused", "spec.selector"),
    "DaemonSet": ("spec.selector",),
}
"""By kind, fields below which all that is not wanted is an intruder."""
_DEFAULTED = frozenset({"scope", "apiGroup", "protocol", "port", "matchPolicy", "timeoutSeconds"})
"""Fields that the API server fills in below those."""

_OF_WEBHOOK = ("rules", "namespaceSelector", "objectSelector")
_OF_POD = (
    *("containers", "initContainers", "volumes", "hostAliases", "dnsConfig", "resourceClaims"),
    *("hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace", "runtimeClassName"),
)
_OF_CONTAINER = (
    *("command", "args", "env", "envFrom", "volumeMounts", "volumeDevices", "workingDir"),
    *("lifecycle", "livenessProbe", "startupProbe", "restartPolicy", "stdin", "tty"),
)
_CONTAINERS = ("containers", "initContainers")


def find_intruders(manifest: Manifest, live: Mapping[str, Any]) -> Iterator[Difference]:
    """What is to be removed from `live`, the last item of a list first, so that one after the other can be
    removed by its JSON pointer."""
    kind = manifest["kind"]
    for path in _WHOLE.get(kind, ()):
        yield from _find_below(manifest, live, path.split("."))
    if kind == "ConfigMap" and GATEWAY_CLASS_DEFAULTS in (manifest["metadata"].get("labels") or {}):
        # istiod merges every key of these into what it deploys; of the others it reads the keys that we set.
        there = live.get(DIGESTS, live.get("data"))
        yield from _surplus(manifest.get("data"), there, "/data", "data")
    elif kind.endswith("WebhookConfiguration"):
        yield from _in_items(manifest, live, "webhooks", ("", ""), _of_webhook)
    elif kind in ("Deployment", "DaemonSet"):
        wanted, there = _pod_of(manifest), _pod_of(live)
        yield from _of_pod(wanted, there, ("/spec/template/spec", "spec.template.spec"))


def _find_below(manifest: Manifest, live: Mapping[str, Any], steps: Sequence[str]) -> Iterator[Difference]:
    desired: Any = manifest
    there: Any = live
    for step in steps:
        desired = desired.get(step) if isinstance(desired, Mapping) else None
        there = there.get(step) if isinstance(there, Mapping) else None
    yield from _compare(desired, there, "/" + "/".join(steps), ".".join(steps))


def _compare(desired: Any, live: Any, pointer: str, path: str) -> Iterator[Difference]:
    """Everything in `live` that `desired` does not have. Where it has another value, applying puts it
    right."""
    if desired is None:
        if not is_empty(live):
            yield Difference(path, live, pointer)
    elif isinstance(desired, Mapping):
        yield from _surplus(desired, live, pointer, path)
        for name, value in desired.items():
            below = live.get(name) if isinstance(live, Mapping) else None
            if isinstance(value, Mapping) or is_list(value):
                yield from _compare(value, below, f"{pointer}/{_escape(name)}", f"{path}.{name}")
    elif is_list(desired) and is_list(live) and len(desired) == len(live):
        for index, (item, other) in enumerate(zip(desired, live, strict=True)):
            if isinstance(item, Mapping):
                yield from _compare(item, other, f"{pointer}/{index}", f"{path}[{index}]")


def _surplus(desired: Any, live: Any, pointer: str, path: str) -> Iterator[Difference]:
    """Keys of a map that are not wanted."""
    if isinstance(live, Mapping):
        for name, value in live.items():
            if name not in (desired or {}) and name not in _DEFAULTED and not is_empty(value):
                yield Difference(f"{path}.{name}", value, f"{pointer}/{_escape(name)}")


def _in_items(
    desired: Mapping[str, Any],
    live: Mapping[str, Any],
    name: str,
    at: _Place,
    look: Callable[[Mapping[str, Any], Mapping[str, Any], _Place], Iterator[Difference]] | None = None,
) -> Iterator[Difference]:
    """Items of the keyed list `name` that are not wanted, or there twice; and what `look` finds in the
    others."""
    items, keys = live.get(name) or (), keys_of(name, [{}])
    wanted = {read_key(item, keys): item for item in desired.get(name) or () if isinstance(item, Mapping)}
    seen: dict[Any, int] = {}
    for index, item in enumerate(items):
        seen.setdefault(read_key(item, keys), index)
    for index in reversed(range(len(items))):
        key, place = read_key(items[index], keys), _below(_below(at, name), index)
        if key not in wanted or seen[key] != index:
            yield Difference(place[1], items[index], place[0])
        elif look is not None:
            yield from look(wanted[key], items[index], place)


def _of_webhook(desired: Mapping[str, Any], live: Mapping[str, Any], at: _Place) -> Iterator[Difference]:
    for name in _OF_WEBHOOK:
        yield from _compare(desired.get(name), live.get(name), *_below(at, name))
    yield from _in_items(desired, live, "matchConditions", at)  # by name, so others can add to ours


def _of_pod(desired: Mapping[str, Any], live: Mapping[str, Any], at: _Place) -> Iterator[Difference]:
    context = "securityContext"
    yield from _compare(desired.get(context), live.get(context), *_below(at, context))
    yield from _of_fields(desired, live, at, _OF_POD)


def _of_fields(
    desired: Mapping[str, Any], live: Mapping[str, Any], at: _Place, fields: Sequence[str]
) -> Iterator[Difference]:
    for name in fields:
        if name in desired and keys_of(name, [{}]):
            yield from _in_items(desired, live, name, at, _of_container if name in _CONTAINERS else None)
        elif name not in desired and not is_empty(live.get(name)) and live[name] is not False:
            pointer, path = _below(at, name)
            yield Difference(path, live[name], pointer)


def _of_container(desired: Mapping[str, Any], live: Mapping[str, Any], at: _Place) -> Iterator[Difference]:
    context = "securityContext"
    yield from _compare(desired.get(context), live.get(context), *_below(at, context))
    yield from _of_fields(desired, live, at, _OF_CONTAINER)


def _below(at: _Place, step: str | int) -> _Place:
    pointer, path = at
    if isinstance(step, int):
        return f"{pointer}/{step}", f"{path}[{step}]"
    return f"{pointer}/{_escape(step)}", f"{path}.{step}" if path else step


def _pod_of(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    return ((manifest.get("spec") or {}).get("template") or {}).get("spec") or {}


def _escape(step: Any) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")
