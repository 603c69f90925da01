"""What an object means, apart from how it is written: objects as flat maps from paths to leaves.

Owns everything that is the same to a cluster: the order of lists whose items have a name, spellings of
quantities, what the API server fills in, texts that hold YAML or JSON, rules as single permissions, selectors
as sets of requirements. Must never drop a field that changes what happens. Invariant: two objects with equal
maps do the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

import yaml

Meaning: TypeAlias = dict[str, Any]
"""Every leaf, and every empty collection, by its path."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SUFFIXES = {"m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9)}
_SUFFIXES |= {f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGT", 1)}


def canonical_quantity(value: Any) -> str:
    """A quantity as a plain number: `2000m` and `2` are equal, and so are `1024Mi` and `1Gi`."""
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(value))
    if found is None or found[2] not in ("", *_SUFFIXES):
        return str(value)
    number = Decimal(found[1]) * _SUFFIXES.get(found[2], Decimal(1))
    return format(number.normalize(), "f")


class Sentences(list[str]):
    """A list that is a set, of things that are said in one text each."""


def _is_selector(value: Mapping[str, Any]) -> bool:
    return bool(value) and value.keys() <= {"matchLabels", "matchExpressions"}


def list_requirements(selector: Mapping[str, Any]) -> list[str]:
    """A label selector as sentences; `a: b` in matchLabels is `a In b`."""
    equal = [f"{key} In {value}" for key, value in (selector.get("matchLabels") or {}).items()]
    rules = selector.get("matchExpressions") or ()
    return sorted(
        equal + [" ".join([r["key"], r["operator"], *sorted(r.get("values") or ())]) for r in rules]
    )


def _key_of(item: Any) -> str | None:
    """By what an item of a list is told from the others."""
    if isinstance(item, Mapping):
        if "mountPath" in item:
            return str(item["mountPath"])
        if "containerPort" in item or ("port" in item and "targetPort" in item):
            return f"{item.get('containerPort', item.get('port'))}/{item.get('protocol', 'TCP')}"
        if isinstance(item.get("name"), str):
            return str(item["name"])
    return None


def _spread(items: list[Any]) -> Mapping[str, Any]:
    """A list as a map: by its items' keys where all have one of their own, else by their place."""
    keys = [_key_of(item) for item in items]
    named = all(keys) and len(set(keys)) == len(keys)
    return {str(keys[place] if named else place): item for place, item in enumerate(items)}


def _read_amounts(key: str, item: Any) -> Any:
    """Quantities in one spelling, where `key` says that there are some."""
    if key in ("requests", "limits") and isinstance(item, Mapping):
        return {name: canonical_quantity(amount) for name, amount in item.items()}
    return item


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf and every empty collection with its path; null is the same as nothing."""
    if isinstance(value, Mapping) and _is_selector(value):
        value = Sentences(list_requirements(value))
    if isinstance(value, Sentences):
        yield from ((f"{path}[{sentence}]", True) for sentence in value)
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from flatten(_read_amounts(key, item), f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for key, item in _spread(value).items():
            yield from flatten(item, f"{path}[{key}]")
    elif value is not None:
        yield path, value


def _permissions(rules: Iterable[Mapping[str, Any]]) -> Sentences:
    """Rules of a role, or of a webhook, as single permissions."""
    return Sentences(
        f"{group}/{resource}{_names(rule)}:{verb}"
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule.get("verbs") or rule["operations"]
    )


def _names(rule: Mapping[str, Any]) -> str:
    return f"({','.join(rule['resourceNames'])})" if rule.get("resourceNames") else ""


def _read_role(role: dict[str, Any]) -> None:
    role["rules"] = _permissions(role["rules"])


def _read_service(service: dict[str, Any]) -> None:
    spec = service["spec"]
    spec.setdefault("type", "ClusterIP")
    for port in spec["ports"]:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])


def _read_arguments(arguments: list[str]) -> Sentences:
    """Arguments of a command in no order; `--flag value` is `--flag=value`."""
    joined = Sentences()
    for argument in arguments:
        if joined and re.fullmatch(r"--[^=]+", joined[-1]) and not argument.startswith("-"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _read_deployment(deployment: dict[str, Any]) -> None:
    spec = deployment["spec"]
    spec.setdefault("strategy", {}).setdefault("type", "RollingUpdate")
    pod = spec["template"]["spec"]
    pod["tolerations"] = Sentences(json.dumps(item, sort_keys=True) for item in pod.get("tolerations") or ())
    for container in pod["containers"]:
        container["args"] = _read_arguments(container.get("args") or [])
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")
        for variable in container.get("env") or ():
            for source in (variable.get("valueFrom") or {}).values():
                source.setdefault("apiVersion", "v1") if "fieldPath" in source else None
    for volume in pod.get("volumes") or ():
        for kind in ("configMap", "secret", "projected"):
            if kind in volume:
                volume[kind].setdefault("defaultMode", 420)


def _read_webhooks(configuration: dict[str, Any]) -> None:
    for webhook in configuration["webhooks"]:
        filled = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 10}
        if configuration["kind"].startswith("Mutating"):
            filled["reinvocationPolicy"] = "Never"
        for field, value in filled.items():
            webhook.setdefault(field, value)
        webhook["clientConfig"].get("service", {}).setdefault("port", 443)
        for rule in webhook["rules"]:
            rule["resources"] = [
                f"{version}/{resource}" for version in rule["apiVersions"] for resource in rule["resources"]
            ]
        webhook["rules"] = _permissions(webhook["rules"])
        for side in ("namespaceSelector", "objectSelector"):
            webhook[side] = webhook.get(side) or None  # an empty one selects everything, as none does


def _read_network_policy(policy: dict[str, Any]) -> None:
    """Rules add up: what counts is the set of ports, each with the peers that it is open to."""
    spec = policy["spec"]
    for side, peers in (("ingress", "from"), ("egress", "to")):
        open_to, rules = Sentences(), spec.get(side) or ()
        if any(rule.keys() - {"ports", peers} for rule in rules):
            continue  # what this does not know stays as it is
        for rule in rules:
            who = f" {peers} {json.dumps(rule[peers], sort_keys=True)}" if rule.get(peers) else ""
            ports = [f"{p['port']}/{p.get('protocol', 'TCP')}" for p in rule.get("ports") or ()]
            open_to += [f"{what}{who}" for what in ports or ["everything"]]
        spec[side] = Sentences(["everything"] if "everything" in open_to else open_to)


def _read_autoscaler(autoscaler: dict[str, Any]) -> None:
    for metric in autoscaler["spec"]["metrics"]:
        metric["name"] = metric["resource"]["name"]


def _read_binding(binding: dict[str, Any]) -> None:
    for subject in binding["subjects"]:
        subject["name"] = f"{subject['kind']} {subject.pop('namespace', '')}/{subject['name']}"


def _read_config_map(config_map: dict[str, Any]) -> None:
    data = config_map["data"]
    for key in ("mesh", "meshNetworks", "config"):
        if key in data:
            data[key] = yaml.load(data[key], LOADER)
    for key in ("values", "original-values", "merged-values"):
        if key in data:
            data[key] = json.loads(data[key])
    if templates := (data.get("config") or {}).get("templates"):
        data["config"]["templates"] = dict.fromkeys(templates, "(judged by what it injects)")


_READERS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "ClusterRole": _read_role,
    "ClusterRoleBinding": _read_binding,
    "ConfigMap": _read_config_map,
    "Deployment": _read_deployment,
    "HorizontalPodAutoscaler": _read_autoscaler,
    "MutatingWebhookConfiguration": _read_webhooks,
    "NetworkPolicy": _read_network_policy,
    "Role": _read_role,
    "RoleBinding": _read_binding,
    "Service": _read_service,
    "ValidatingWebhookConfiguration": _read_webhooks,
}


def meaning_of(manifest: Mapping[str, Any]) -> Meaning:
    """The meaning of one object. The kind is not part of it."""
    copy = json.loads(json.dumps(manifest))
    if reader := _READERS.get(copy["kind"]):
        reader(copy)
    return dict(flatten({key: value for key, value in copy.items() if key not in ("kind", "status")}))
