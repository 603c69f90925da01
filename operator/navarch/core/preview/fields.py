"""Two states of one object, field by field.

Owns what counts as a change to a reader, and how one is shown: texts of several lines by the lines that
differ, secrets masked. Pure. Must never tell what the API server alone writes. Invariant: equal states have
no change, and different ones have at least one, also where all that differs is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any, Final

from navarch.core.diagnosis.masking import MASK, mask_object
from navarch.core.model.labels import APPLIED
from navarch.core.model.refs import Manifest

MOST_LINES = 60
"""Lines of one text's difference that are shown; the rest is counted."""
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that changes. `before` and `after` are plain data, None where the field is not there; of texts
    with several lines both are None, and `lines` are those that differ, marked by `-` and `+`."""

    path: str
    before: Any = None
    after: Any = None
    lines: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As a part of the plan."""
        if self.lines:
            return {"path": self.path, "lines": list(self.lines)}
        return {"path": self.path, "before": self.before, "after": self.after}


def find_changes(before: Manifest, after: Manifest) -> tuple[FieldChange, ...]:
    """The fields in which two states of an object differ, in the order of their paths."""
    old, new = _strip(before), _strip(after)
    shown = [_mask(after["kind"], state) for state in (old, new)]
    changes = _walk("", _State(old, shown[0]), _State(new, shown[1]))
    return tuple(sorted(changes, key=lambda change: change.path))


def _mask(kind: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """A state without its secrets; which fields hold some depends on the object's kind."""
    masked = mask_object({"kind": kind, **state})
    return {key: value for key, value in masked.items() if key != "kind"}


def _strip(manifest: Manifest) -> dict[str, Any]:
    """What users and Navarch write of an object."""
    kept = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind", "status")}
    maps = {key: dict(manifest["metadata"].get(key) or {}) for key in ("labels", "annotations")}
    maps["annotations"].pop(APPLIED, None)
    return {**kept, "metadata": {key: value for key, value in maps.items() if value}}


@dataclass(frozen=True, slots=True)
class _State:
    """A value as it is, and as it is shown."""

    value: Any
    shown: Any

    def below(self, key: Any) -> _State:
        """The value of a key; nothing has nothing below it."""
        if self.value is _ABSENT:
            return self
        return _State(self.value.get(key, _ABSENT), self.shown.get(key, _ABSENT))


def _walk(path: str, old: _State, new: _State) -> Iterator[FieldChange]:
    if old.value == new.value:
        return
    if _is_inner(Mapping, old, new):
        yield from _walk_keys(path, old, new, _join)
    elif _is_inner(list, old, new) and (keyed := _key_both(old, new)):
        yield from _walk_keys(path, *keyed, _place)
    elif isinstance(old.shown, str) and isinstance(new.shown, str) and "\n" in old.shown + new.shown:
        yield FieldChange(path, lines=tuple(_compare_lines(old.shown, new.shown)))
    else:
        yield FieldChange(path, _say(old.shown), _say(new.shown))


def _walk_keys(
    path: str, old: _State, new: _State, extend: Callable[[str, Any], str]
) -> Iterator[FieldChange]:
    keys = dict.fromkeys(key for state in (old, new) if state.value is not _ABSENT for key in state.value)
    for key in keys:
        yield from _walk(extend(path, key), old.below(key), new.below(key))


def _is_inner(kind: type, old: _State, new: _State) -> bool:
    """Whether what differs is below: both are of a kind, and shown as such; or one has something below it,
    and the other is not there."""
    for state, other in ((old, new), (new, old)):
        if state.value is _ABSENT:
            if not other.value:
                return False
        elif not isinstance(state.value, kind) or not isinstance(state.shown, kind):
            return False
    return True


def _join(path: str, key: Any) -> str:
    plain = isinstance(key, str) and "." not in key and "/" not in key
    if not path:
        return str(key)
    return f"{path}.{key}" if plain else _place(path, key)


def _place(path: str, key: Any) -> str:
    return f"{path}[{key}]"


def _key_both(old: _State, new: _State) -> tuple[_State, _State] | None:
    """Lists as maps: of objects by their names, or, of the same number of objects, by their places; None
    where neither can be."""
    states = [state for state in (old, new) if state.value is not _ABSENT]
    names = [[_read_name(item) for item in state.value] for state in states]
    if not all(all(each) and len(set(each)) == len(each) for each in names):
        objects = all(isinstance(item, Mapping) for state in states for item in state.value)
        if len(states) < 2 or not objects or len(old.value) != len(new.value):
            return None
        names = [[str(place) for place in range(len(old.value))]] * 2
    keyed = iter(names)
    left, right = (state if state.value is _ABSENT else _by(state, next(keyed)) for state in (old, new))
    return left, right


def _by(state: _State, keys: Sequence[str]) -> _State:
    return _State(dict(zip(keys, state.value, strict=True)), dict(zip(keys, state.shown, strict=True)))


def _read_name(item: Any) -> str:
    name = item.get("name") if isinstance(item, Mapping) else None
    return name if isinstance(name, str) else ""


def _say(value: Any) -> Any:
    return None if value is _ABSENT else value


def _compare_lines(old: str, new: str) -> Iterator[str]:
    """The lines that differ; one line says that all that differs is masked."""
    compared = unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    lines = [line for line in compared if line[:2] not in ("--", "++", "@@")] or [f"-{MASK}", f"+{MASK}"]
    yield from lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        yield f"… {len(lines) - MOST_LINES} lines more"
