"""Which client wrote what is not as wanted, by managedFields.

Owns the reading of the others' entries, and the words for an object that is contested. Must never be taken as
proof: any client may write under any field manager's name. Pure. Invariant: our own entries are never named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from navarch.core.model.ownership import is_own_entry
from navarch.core.model.refs import Ref
from navarch.kube.contest import LONGEST
from navarch.kube.values import Difference

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def find_writers(live: Mapping[str, Any], deviations: Sequence[Difference]) -> tuple[str, ...]:
    """The field managers that own what deviates, each once and sorted."""
    found: set[str] = set()
    for entry in live["metadata"].get("managedFields") or ():
        manager = str(entry.get("manager") or "")
        if manager and not is_own_entry(entry) and not entry.get("subresource"):
            fields = entry.get("fieldsV1") or {}
            if any(_owns(fields, _STEP.findall(d.path)) for d in deviations):
                found.add(manager)
    return tuple(sorted(found))


def _owns(fields: Mapping[str, Any], steps: Sequence[tuple[str, str]]) -> bool:
    """Whether fieldsV1 lead to a path, or to something that holds it as a whole. Of an item's place in a list
    nothing is known there: any item will do."""
    if not steps or not fields:
        return True
    (name, _), *rest = steps
    below = [fields.get("f:" + name)] if name else [f for key, f in fields.items() if key[:2] in ("k:", "v:")]
    return any(child is not None and _owns(child, rest) for child in below)


def tell_contest(ref: Ref, deviations: Sequence[Difference], writers: Sequence[str]) -> str:
    """What is said of a contested object: the same as long as the same fields are changed by the same
    clients."""
    fields = ", ".join(_list(d.path for d in deviations)) or "a field"
    who = f"field manager {', '.join(writers)}" if writers else "a client that left no trace in managedFields"
    return (
        f"{ref}: {fields} is changed again and again by {who}; it is put back at intervals of up to "
        f"{LONGEST:.0f} s: stop that client, or have it leave this object alone"
    )


def _list(paths: Iterator[str]) -> list[str]:
    names = list(dict.fromkeys(paths))
    return names[:3] + (["…"] if len(names) > 3 else [])
