"""Rotations of a root in random worlds: no step, no kill and no change of mind leaves a certificate in use
untrusted by somebody who has to trust it, and every rotation ends."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from navarch.core.trust.rotation import (
    Clock,
    Party,
    Position,
    Role,
    Roots,
    Strategy,
    find_next,
    list_held,
    settle,
)

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LIVES, SYNC = timedelta(hours=24), timedelta(minutes=3)
CAREFUL = (Strategy.CROSS_SIGNED, Strategy.MULTI_ROOT)


@dataclass
class Proxy:
    """A proxy: what its certificate is accepted by, what it trusts, and by what it trusts istiod: a file that
    the kubelet renews later. A `silent` one shows nothing."""

    reached: Roots
    trusts: Roots
    mounted: Roots
    renewed: datetime
    changed: datetime
    silent: bool = False


@dataclass
class World:
    """A mesh whose `cacerts` is at a position. istiods sign from what they loaded: they take another signer
    while they run, and another trust only when they start."""

    rng: random.Random
    at: Position = field(default_factory=lambda: settle(1))
    now: datetime = BEGIN
    since: datetime = BEGIN

    def __post_init__(self) -> None:
        self.istiods = [self.at] * self.rng.randint(1, 3)
        self.bundle = self.at.trusted
        self.bundle_changed = self.now
        self.proxies = [
            Proxy(self.at.reached, self.at.trusted, self.bundle, self.now, self.now, self.rng.random() < 0.2)
            for _ in range(self.rng.randint(1, 5))
        ]

    def write(self, to: Position) -> None:
        self.at, self.since = to, self.now

    def reload(self, index: int) -> None:
        """The kubelet brings the file: istiod refuses another trust while it runs."""
        if self.istiods[index].trusted == self.at.trusted:
            self._load(index)

    def restart(self, index: int) -> None:
        self._load(index)

    def _load(self, index: int) -> None:
        if self.istiods[index] != self.at:
            self.istiods[index], self.since = self.at, self.now
        self.distribute()

    def distribute(self) -> None:
        """The istiod that leads writes what it trusts."""
        trusted = self.rng.choice(self.istiods).trusted
        if trusted != self.bundle:
            self.bundle, self.bundle_changed = trusted, self.now
            self.since = self.now

    def renew(self, proxy: Proxy) -> None:
        source = self.rng.choice(self.istiods)
        proxy.reached, proxy.trusts, proxy.renewed = source.reached, source.trusted, self.now

    def pass_time(self, by: timedelta) -> None:
        self.now += by
        for proxy in self.proxies:
            if self.now - proxy.renewed >= LIVES:
                self.renew(proxy)
            if self.now - self.bundle_changed >= SYNC:
                proxy.mounted = self.bundle

    def join(self) -> None:
        source = self.rng.choice(self.istiods)
        self.proxies.append(Proxy(source.reached, source.trusted, self.bundle, self.now, self.now))

    def show(self) -> list[Party]:
        parties = [
            Party(Role.PROXY, f"proxy {n}", *((None, None) if p.silent else (p.reached, p.trusts)))
            for n, p in enumerate(self.proxies)
        ]
        parties += [
            Party(Role.ISTIOD, f"istiod {n}", i.reached, i.trusted) for n, i in enumerate(self.istiods)
        ]
        return [*parties, Party(Role.BUNDLE, "bundle", None, self.bundle)]

    def take_step(self, target: int, strategy: Strategy) -> bool:
        """What the operator does in one look: nothing of it is kept from the look before."""
        to = find_next(self.at, target, strategy)
        clock = Clock(self.since, LIVES, SYNC, self.now)
        if to is None or [*list_held(self.show(), self.at, to, clock)]:
            return False
        self.write(to)
        return True

    def find_broken(self) -> list[str]:
        certificates = {f"proxy {n}": p.reached for n, p in enumerate(self.proxies)}
        broken = [
            f"{name} is refused by proxy {n}"
            for name, reached in certificates.items()
            for n, proxy in enumerate(self.proxies)
            if not reached & proxy.trusts
        ]
        for name, position in enumerate(self.istiods):
            broken += [
                f"istiod {name} is refused by proxy {n}"
                for n, proxy in enumerate(self.proxies)
                if not position.reached & proxy.mounted
            ]
            if not position.reached & self.bundle:
                broken.append(f"istiod {name} is refused by the bundle")
        return broken


def do_anything(world: World) -> str:
    rng = world.rng
    kind = rng.choice(["reload", "restart", "renew", "distribute", "time", "long", "join"])
    index = rng.randrange(len(world.istiods))
    if kind == "reload":
        world.reload(index)
    elif kind == "restart":
        world.restart(index)
    elif kind == "renew":
        world.renew(rng.choice(world.proxies))
    elif kind == "distribute":
        world.distribute()
    elif kind == "join" and len(world.proxies) < 8:
        world.join()
    else:
        world.pass_time(timedelta(hours=rng.randint(1, 30)) if kind == "long" else timedelta(minutes=1))
    return kind


@pytest.mark.parametrize("seed", range(300))
def test_no_step_breaks_anybody_and_every_rotation_ends(seed: int) -> None:
    rng = random.Random(seed)
    world, target, strategy, told = World(rng), 2, rng.choice(CAREFUL), ["begin"]
    for _ in range(rng.randint(20, 300)):
        if rng.random() < 0.02:  # another mind, back included, and other strategies
            target, strategy = rng.choice((1, 2, 3)), rng.choice(CAREFUL)
        if rng.random() < 0.4 and world.take_step(target, strategy):
            told.append(f"step to {world.at}")
        else:
            told.append(do_anything(world))
        assert world.find_broken() == [], told[-20:]
    for _ in range(40):
        world.take_step(target, strategy)
        for index in range(len(world.istiods)):
            world.restart(index)
        world.distribute()
        world.pass_time(LIVES)
        world.pass_time(SYNC * 2)
        assert world.find_broken() == [], told[-20:]
    assert world.at == settle(target)


def build_proxy(root: int, now: datetime) -> Proxy:
    """A proxy that knows one root."""
    only = frozenset({root})
    return Proxy(only, only, only, now, now)


@pytest.mark.parametrize("seed", range(60))
def test_a_naive_swap_breaks_somebody(seed: int) -> None:
    """So that the test above can fail."""
    world = World(random.Random(seed))
    world.write(settle(2))
    world.restart(0)
    world.proxies.append(build_proxy(1, world.now))
    world.renew(world.proxies[0])
    assert world.find_broken()


@pytest.mark.parametrize("strategy", CAREFUL)
@pytest.mark.parametrize("target", [1, 2])
def test_from_every_position_there_is_a_way_to_either_root(strategy: Strategy, target: int) -> None:
    bundles = (frozenset({1}), frozenset({2}), frozenset({1, 2}))
    everywhere = [
        Position(signer, trusted, voucher)
        for signer, voucher in ((1, 0), (2, 0), (1, 2), (2, 1))
        for trusted in bundles
        if trusted & {signer, voucher}
    ]
    for at in everywhere:
        way = [at]
        while (following := find_next(way[-1], target, strategy)) is not None:
            way.append(following)
            assert len(way) < 6, way
        assert way[-1] == settle(target)


def test_the_shortest_ways() -> None:
    one, two, both = frozenset({1}), frozenset({2}), frozenset({1, 2})
    ways = {
        Strategy.MULTI_ROOT: [Position(1, both), Position(2, both), Position(2, two)],
        Strategy.CROSS_SIGNED: [Position(2, one, 1), Position(2, two, 1), Position(2, two)],
        Strategy.EMERGENCY: [Position(2, two)],
    }
    for strategy, way in ways.items():
        at, found = settle(1), []
        while (following := find_next(at, 2, strategy)) is not None:
            found.append(at := following)
        assert found == way


def test_a_rotation_between_other_roots_is_finished_first() -> None:
    at = Position(2, frozenset({1}), 1)
    assert find_next(at, 3, Strategy.CROSS_SIGNED) == Position(2, frozenset({2}), 1)
