"""Objects of a store by what they say, so that a look costs what it finds and not what is there.

Owns names by value. Must never hold an object: the shelf does. Pure. Invariant: `find` gives exactly the
objects of the shelf for which `read` gives one of the values, each once, in order of first sight.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, KeysView
from typing import Any, TypeAlias

Object: TypeAlias = dict[str, Any]
Name: TypeAlias = tuple[str, str]
Read: TypeAlias = Callable[[Object], Iterable[Hashable]]
"""The values by which an object is found. One function is one index, so it belongs to a module."""


class Index:
    """Names by the values that `read` gives. `on_error` is told of an object that `read` cannot cope with,
    which then has no value."""

    def __init__(self, read: Read, *, on_error: Callable[[Object, Exception], None]) -> None:
        self._read, self._on_error = read, on_error
        self._values: dict[Name, tuple[Hashable, ...]] = {}
        # Most values have one object, and a dictionary takes 200 bytes.
        self._names: dict[Hashable, Name | dict[Name, None]] = {}

    def put(self, name: Name, obj: Object) -> None:
        """Take in an object, or its new state."""
        values = self._read_values(obj)
        before = self._values.get(name, ())
        if values == before:
            return
        for value in before:
            if value not in values:
                self._part(name, value)
        for value in values:
            if value not in before:
                self._join(name, value)
        if values:
            self._values[name] = values
        else:
            self._values.pop(name, None)

    def drop(self, name: Name) -> None:
        """Let go of an object."""
        for value in self._values.pop(name, ()):
            self._part(name, value)

    def find(self, values: Iterable[Hashable]) -> Iterator[Name]:
        """Names of the objects that have one of the values, each once."""
        seen: set[Name] = set()
        for value in dict.fromkeys(values):
            names = self._names.get(value, {})
            for name in [names] if isinstance(names, tuple) else names:
                if name not in seen:
                    seen.add(name)
                    yield name

    def values(self) -> KeysView[Hashable]:
        """All values that objects have."""
        return self._names.keys()

    def _read_values(self, obj: Object) -> tuple[Hashable, ...]:
        try:
            return tuple(dict.fromkeys(self._read(obj)))
        except Exception as exc:
            self._on_error(obj, exc)
            return ()

    def _join(self, name: Name, value: Hashable) -> None:
        there = self._names.get(value)
        if there is None:
            self._names[value] = name
        elif isinstance(there, dict):
            there[name] = None
        else:
            self._names[value] = {there: None, name: None}

    def _part(self, name: Name, value: Hashable) -> None:
        there = self._names[value]
        if isinstance(there, dict):
            del there[name]
        if not isinstance(there, dict) or not there:
            del self._names[value]
