"""What is measured of each object of ours: its conditions, and numbers of it.

Owns how these are kept and written. A sample of prometheus_client takes 700 bytes, a mesh with its revision
and a gateway has eighty, and there may be thousands of members: here an object has one small table, and
samples are made when they are asked for, as text, which the library takes ten times as long for. Must never
keep anything of an object that was forgotten. Invariants (tests/unit): what is written is what the library
would write; who may write in one namespace adds a bounded number of samples.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Owner: TypeAlias = tuple[str, str, str]
"""Kind, namespace and name of an object of ours."""
_STATUSES = ("True", "False", "Unknown")


def name_owner(kind: str, namespace: str, name: str) -> Owner:
    """An object of ours. Each look reads these words anew, and each is kept once."""
    return sys.intern(kind), sys.intern(namespace), sys.intern(name)


def _write(number: float) -> str:
    return str(floatToGoString(number))  # type: ignore[no-untyped-call]


MOST = 128
"""Objects of one kind and namespace that are measured."""


class Measured:
    """Which objects are measured: of each kind in each namespace those that came first, `MOST` of them, since
    people may make any number there. The others are counted; one of them is measured once there is room."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], set[str]] = {}
        self._others: set[Owner] = set()

    def admit(self, owner: Owner) -> bool:
        """Whether an object is measured."""
        kind, namespace, name = owner
        place = self._places.setdefault((kind, namespace), set())
        if name not in place and len(place) >= MOST:
            self._others.add(owner)
            return False
        place.add(name)
        self._others.discard(owner)
        return True

    def forget(self, owner: Owner) -> None:
        """Make room where an object is gone."""
        kind, namespace, name = owner
        self._others.discard(owner)
        place = self._places.get((kind, namespace), set())
        place.discard(name)
        if not place:
            self._places.pop((kind, namespace), None)

    def count_others(self) -> int:
        """How many objects are not measured."""
        return len(self._others)


class Series(Collector):
    """A metric whose samples are numbers of objects. Its first labels name the object, with its kind where
    the first of them is `kind`; the others tell several numbers of an object apart."""

    def __init__(self, numbers: Numbers, name: str, documentation: str, labels: Sequence[str]) -> None:
        self.name, self._documentation, self._labelnames = name, documentation, tuple(labels)
        self._numbers = numbers
        self.by_kind = labels[0] == "kind"
        self._order = sorted(range(len(labels)), key=lambda place: labels[place])

    @property
    def _is_counter(self) -> bool:
        return self.name.endswith("_total")

    def describe(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """The metric without its samples."""
        family = CounterMetricFamily if self._is_counter else GaugeMetricFamily
        yield family(self.name, self._documentation, labels=self._labelnames)

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """The metric with its samples."""
        for family in self.describe():
            for values, number in self._numbers.list_samples(self):
                family.add_metric(values, number)
            yield family

    def render(self) -> str:
        """The same as text. No name of an object, state or Secret holds what would have to be escaped."""
        kind = "counter" if self._is_counter else "gauge"
        lines = [f"# HELP {self.name} {self._documentation}\n# TYPE {self.name} {kind}\n"]
        for values, number in self._numbers.list_samples(self):
            labels = ",".join(f'{self._labelnames[place]}="{values[place]}"' for place in self._order)
            lines.append(f"{self.name}{{{labels}}} {_write(number)}\n")
        return "".join(lines)


_Which: TypeAlias = tuple[Series, tuple[str, ...]]
"""A series, and the labels behind those that name the object."""


class Numbers(Collector):
    """All numbers of all objects."""

    def __init__(self) -> None:
        self._series: list[Series] = []
        self._told: dict[Owner, dict[_Which, float]] = {}
        self._which: dict[_Which, _Which] = {}
        """Each such pair once: most objects have the same ones."""

    def add_series(self, name: str, documentation: str, labels: Sequence[str]) -> Series:
        """A further metric: a counter if its name ends so, else a gauge."""
        self._series.append(series := Series(self, name, documentation, labels))
        return series

    def set(self, owner: Owner, series: Series, value: float, *labels: str) -> None:
        """Note a number of an object."""
        which = (series, labels)
        self._told.setdefault(owner, {})[self._which.setdefault(which, which)] = value

    def count(self, owner: Owner, series: Series, *labels: str) -> None:
        """Add one to a number of an object."""
        self.set(owner, series, self._told.get(owner, {}).get((series, labels), 0) + 1, *labels)

    def keep(self, owner: Owner, series: Series, labels: Mapping[str, float]) -> None:
        """Note the numbers of a series with one such label, and drop those of other values of it."""
        told = self._told.get(owner, {})
        for which in [each for each in told if each[0] is series and each[1][0] not in labels]:
            del told[which]
            self._which.pop(which, None)  # such labels name something that comes and goes
        for label, value in labels.items():
            self.set(owner, series, value, label)

    def drop(self, owner: Owner, series: Series) -> None:
        """There is no number of this series any more."""
        told = self._told.get(owner, {})
        for which in [each for each in told if each[0] is series]:
            del told[which]

    def forget(self, owner: Owner) -> None:
        """Drop those of an object that is gone."""
        self._told.pop(owner, None)

    def list_samples(self, series: Series) -> Iterator[tuple[tuple[str, ...], float]]:
        """The values of a series' labels, and the number. Metrics are rendered in a thread: what is looked at
        is a copy."""
        for owner, told in tuple(self._told.items()):
            about = owner if series.by_kind else owner[1:]
            for (of, labels), number in tuple(told.items()):
                if of is series:
                    yield (*about, *labels), number

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Every metric with its samples."""
        for series in self._series:
            yield from series.collect()

    def render(self) -> bytes:
        """The same as text."""
        return "".join(series.render() for series in self._series).encode()


class Conditions(Collector):
    """The conditions of all objects."""

    _labelnames = ("kind", "namespace", "name", "type", "status")

    def __init__(self) -> None:
        self._said: dict[Owner, tuple[tuple[str, str], ...]] = {}
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}
        """Each type with a status once."""

    def set(self, owner: Owner, conditions: Iterable[Mapping[str, Any]]) -> None:
        """Note the present conditions of an object."""
        pairs = ((str(item["type"]), str(item["status"])) for item in conditions)
        self._said[owner] = tuple(self._pairs.setdefault(pair, pair) for pair in pairs)

    def forget(self, owner: Owner) -> None:
        """Drop those of an object that is gone."""
        self._said.pop(owner, None)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metric without its samples."""
        text = "1 for the present status of a condition of a mesh, revision, gateway or member."
        yield GaugeMetricFamily("navarch_condition", text, labels=self._labelnames)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """A sample for each status that a condition may have."""
        for family in self.describe():
            for about, said in tuple(self._said.items()):  # metrics are rendered in a thread
                for kind, status in said:
                    for value in _STATUSES:
                        family.add_metric([*about, kind, value], float(status == value))
            yield family

    def render(self) -> bytes:
        """The same as text. No name of an object, kind or condition holds what would have to be escaped."""
        (family,) = self.describe()
        lines = [f"# HELP {family.name} {family.documentation}\n# TYPE {family.name} gauge\n"]
        for (kind, namespace, name), said in tuple(self._said.items()):
            about = f'{family.name}{{kind="{kind}",name="{name}",namespace="{namespace}",status="'
            for condition, status in said:
                lines += [
                    f'{about}{value}",type="{condition}"}} {1.0 if status == value else 0.0}\n'
                    for value in _STATUSES
                ]
        return "".join(lines).encode()
