"""Two objects of Kubernetes compared by what they mean.

Owns what counts as the same: order, where Kubernetes reads a list by key; JSON inside a text; a flag in one
argument or two. Must never forgive more than that: what is forgiven for a reason is a row of a table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

Object = dict[str, Any]
What = Literal["only upstream's", "only ours", "another value"]

KEYS = {
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "items": "path",
    "metrics": "type",
    "ownerReferences": "uid",
    "ports": "name",
    "sources": "",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists that are read by a key of their entries; without a key, as a set."""
SETS = frozenset({"add", "drop"})
ORDERED = frozenset({"containers", "initContainers"})
"""Lists read by key whose order means something too."""
STATUS_SETS = frozenset({"volumes", "imagePullSecrets"})


@dataclass(frozen=True, slots=True)
class Row:
    """A difference that stays: `where` is a path, in which `*` stands for one name and whose end may be cut
    off; `what` is the kind of the difference; `among` a pattern of the names of what is compared."""

    where: str
    what: What
    reason: str
    among: str = "*"

    def explains(self, difference: Difference, name: str) -> bool:
        """Whether a difference between the two forms of what is called `name` is this one."""
        pattern = re.escape(self.where).replace(r"\*", r"[^\[\]]*")
        return (
            self.what == difference.what
            and fnmatchcase(name, self.among)
            and re.match(rf"{pattern}(?=$|[.\[])", difference.where) is not None
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs at a path."""

    where: str
    what: What
    theirs: Any = None
    ours: Any = None


def compare(theirs: Any, ours: Any) -> list[Difference]:
    """Everything in which two objects differ, by path."""
    left, right = dict(_walk(theirs)), dict(_walk(ours))
    return [
        Difference(path, _judge(path, left, right), left.get(path), right.get(path))
        for path in sorted(left.keys() | right.keys())
        if path not in left or path not in right or left[path] != right[path]
    ]


def _judge(path: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> What:
    if path not in right:
        return "only upstream's"
    return "another value" if path in left else "only ours"


def _walk(value: Any, path: str = "", key: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf by its path; empty values are as good as absent."""
    if isinstance(value, str):
        value = _parse(value)
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _walk(item, f"{path}.{name}" if path else name, name)
    elif isinstance(value, list):
        yield from _walk_list(value, path, key)
    elif value not in (None, ""):
        yield path, value


def _walk_list(items: list[Any], path: str, key: str) -> Iterator[tuple[str, Any]]:
    named = all(isinstance(item, Mapping) for item in items)
    if key in KEYS and named:
        names = [str(item.get(KEYS[key]) or json.dumps(item, sort_keys=True)) for item in items]
        for name, item in zip(names, items, strict=True):
            there = {"emptyDir": "yes"} if key == "volumes" and _is_bare(item) else {}
            yield from _walk({**item, **there}, f"{path}[{name}]")
        if key in ORDERED and names:
            yield f"{path}.order", names
    elif items:
        flat = join_flags(items) if key in {"args", "command"} else items
        is_set = key in SETS or (key in STATUS_SETS and not named)
        yield path, sorted(flat) if is_set else flat


def _is_bare(volume: Mapping[str, Any]) -> bool:
    """Whether a volume is an empty directory without settings, which is also what no source means."""
    return not any(value for name, value in volume.items() if name != "name")


def join_flags(arguments: Sequence[Any]) -> list[str]:
    """Arguments with each long flag and its value in one, whichever way it was written."""
    joined: list[str] = []
    for argument in map(str, arguments):
        before = joined[-1] if joined else ""
        if before.startswith("--") and "=" not in before and not argument.startswith("-"):
            joined[-1] = f"{before}={argument}"
        else:
            joined.append(argument)
    return joined


def _parse(text: str) -> Any:
    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text.rstrip("\n")
