"""A rotation with real certificates: what is issued at each position, that OpenSSL accepts it by whom it is
for, what is decided from it, and what is held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from navarch.controllers.authority import _issue, _make
from navarch.core.model.reasons import Reason
from navarch.core.trust.managed import plan_authority, read_seen
from navarch.core.trust.observed import SeenAuthority, SeenCacerts
from navarch.core.trust.position import fingerprint_of, read_position
from navarch.core.trust.reading import read_authority
from navarch.core.trust.rotation import Party, Position, Role, Strategy, settle
from navarch.core.trust.steps import Await, Evidence, Hold, Issue, MakeRoot, Standing, Step
from navarch.pki.authority import Pair
from OpenSSL import crypto

from tests.unit.test_managed_authorities import NOW, WANTED, see_root

ONE, TWO, BOTH = frozenset({1}), frozenset({2}), frozenset({1, 2})
DAY = timedelta(1)


class World:
    """The Secrets of a mesh, and its keys; everybody shows what `cacerts` says, unless said otherwise."""

    def __init__(self, *, strategy: Strategy = Strategy.CROSS_SIGNED, kept: timedelta = DAY) -> None:
        self.now = NOW
        self.wanted = replace(WANTED, strategy=strategy, kept=kept)
        self.pairs: dict[int, Pair] = {}
        self.data: dict[str, bytes] = {}
        self.seen = SeenAuthority("shop")
        self.standing = Standing()
        self.since = NOW
        self.parties: tuple[Party, ...] = ()
        self.run()
        self.standing = Standing(self.in_use, installed=True, managed=True)

    @property
    def in_use(self) -> str:
        at = self.at
        return fingerprint_of(at.trusted, self.seen.certificates) if at else ""

    @property
    def at(self) -> Position | None:
        return read_seen(self.seen)

    def ask(self, generation: int, strategy: Strategy | None = None) -> None:
        self.wanted = replace(self.wanted, generation=generation, strategy=strategy or self.wanted.strategy)

    def plan(self) -> Step:
        evidence = Evidence(self.parties, self.since, DAY)
        return plan_authority(self.seen, self.standing, self.wanted, evidence=evidence, now=self.now)

    def take(self, step: Step) -> None:
        if isinstance(step, MakeRoot):
            self.pairs[step.generation] = pair = _make(step, self.now.isoformat())
            root = replace(see_root(pair), name=f"shop-root-{step.generation}", generation=step.generation)
            self.seen = replace(self.seen, roots=(*self.seen.roots, root))
        elif isinstance(step, Issue):
            roots = {generation: self.pairs[generation] for generation in step.roots}
            self.data = _issue(roots, step, self.now.isoformat())
            self.seen = replace(self.seen, cacerts=SeenCacerts("1", read_authority(self.data), ours=True))
            assert self.at == step.to, "what is written says where it is"
            self.since = self.now
            self.standing = replace(self.standing, in_use=self.in_use)

    def run(self, *, most: int = 12) -> list[Position]:
        """Steps until nothing is left to do, and time where that is all that is waited for."""
        way = []
        for _ in range(most):
            step = self.plan()
            if step is None:
                return way
            if isinstance(step, Await):
                assert step.until is not None, str(step)
                self.now = step.until
                continue
            assert not isinstance(step, Hold), str(step)
            before = self.at
            self.take(step)
            if isinstance(step, Issue) and self.at is not None and self.at != before:
                way.append(self.at)
        raise AssertionError(f"no end: {way}")

    def go(self, steps: int) -> None:
        """So many steps of `cacerts`."""
        for _ in range(4 * steps):
            step = self.plan()
            if isinstance(step, Await):
                assert step.until is not None, str(step)
                self.now = step.until
            else:
                self.take(step)
                steps -= isinstance(step, Issue)
            if not steps:
                return
        raise AssertionError("no end")


def is_accepted(leaf: bytes, chain: Mapping[str, bytes], roots: list[bytes], now: datetime) -> bool:
    """Whether OpenSSL, which knows nothing of ours, accepts a leaf with what istiod sends behind it."""
    store = crypto.X509Store()
    store.set_time(now.replace(tzinfo=None))
    for root in roots:
        store.add_cert(crypto.load_certificate(crypto.FILETYPE_PEM, root))
    behind = [
        crypto.X509.from_cryptography(each)
        for each in x509.load_pem_x509_certificates(chain["cert-chain.pem"])
    ]
    own = crypto.load_certificate(crypto.FILETYPE_PEM, leaf)
    try:
        crypto.X509StoreContext(store, own, behind).verify_certificate()
    except crypto.X509StoreContextError:
        return False
    return True


WAYS = {
    Strategy.CROSS_SIGNED: [Position(2, ONE, 1), Position(2, TWO, 1), settle(2)],
    Strategy.MULTI_ROOT: [Position(1, BOTH), Position(2, BOTH), settle(2)],
    Strategy.EMERGENCY: [settle(2)],
}


@pytest.mark.parametrize("strategy", WAYS)
def test_each_strategy_goes_its_way_and_the_same_way_back(strategy: Strategy) -> None:
    world = World(strategy=strategy)
    assert world.at == settle(1)
    world.ask(2)
    assert world.run() == WAYS[strategy]
    world.ask(1)
    assert world.run()[-1] == settle(1)
    assert {*world.pairs} == {1, 2}, "the way back makes no root"


@pytest.mark.parametrize("strategy", [Strategy.CROSS_SIGNED, Strategy.MULTI_ROOT])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_back_from_every_position(strategy: Strategy, steps: int) -> None:
    world = World(strategy=strategy)
    world.ask(2)
    world.go(steps)
    world.ask(1)
    assert world.run()[-1] == settle(1)


@pytest.mark.parametrize("strategy", WAYS)
def test_openssl_accepts_what_is_issued_by_each_root_that_it_is_for(strategy: Strategy) -> None:
    world = World(strategy=strategy)
    world.ask(2)
    for _ in range(12):
        at = world.at
        assert at is not None
        intermediate = world.data["ca-cert.pem"]
        for generation, pair in world.pairs.items():
            accepted = is_accepted(intermediate, world.data, [pair.certificate], world.now)
            assert accepted == (generation in at.reached), (at, generation)
        step = world.plan()
        if isinstance(step, Await):
            assert step.until
            world.now = step.until
        else:
            world.take(step)
    assert world.at == settle(2)


def test_the_same_trust_is_the_same_bytes() -> None:
    """A running istiod takes another signer only with the very roots that it has (shared facts: istio)."""
    world = World(strategy=Strategy.MULTI_ROOT)
    world.ask(2)
    seen: dict[Any, set[bytes]] = {}
    for _ in range(12):
        if world.at is not None:
            seen.setdefault(world.at.trusted, set()).add(world.data["root-cert.pem"])
        step = world.plan()
        if isinstance(step, Await):
            assert step.until
            world.now = step.until
        else:
            world.take(step)
    assert {*seen} == {ONE, BOTH, TWO}
    assert all(len(texts) == 1 for texts in seen.values())


def test_without_a_wish_a_rotation_ends_with_the_root_that_signs() -> None:
    world = World(strategy=Strategy.MULTI_ROOT)
    world.ask(2)
    world.go(1)
    assert world.at == Position(1, BOTH)
    world.ask(0)
    assert world.run() == [settle(1)]


def test_a_root_is_replaced_by_itself_when_a_fifth_of_its_life_is_left() -> None:
    world = World()
    days = WANTED.root_days * 4 / 5
    world.now = NOW + timedelta(days=days - 10)
    assert {type(step) for step in [world.plan()]} <= {Issue, type(None)}
    world.run()
    assert world.at == settle(1)
    world.now = NOW + timedelta(days=days + 1)
    world.run()
    assert world.at == settle(2)
    world.now += timedelta(days=days - 10)
    world.run()
    assert world.at == settle(2)


def test_a_root_that_has_ended_is_replaced_at_once() -> None:
    world = World()
    world.now = NOW + timedelta(days=WANTED.root_days + 5)
    world.parties = (Party(Role.PROXY, "pod shop/cart", ONE, ONE),)
    assert world.run() == [settle(2)]


def test_a_root_that_may_not_sign_for_another_is_left_by_way_of_both() -> None:
    world = World()
    world.pairs[1] = short = limit(world.pairs[1])
    root = replace(world.seen.roots[0], authority=see_root(short).authority)
    world.seen = replace(world.seen, roots=(root,), cacerts=None)
    world.standing = Standing()
    world.run()
    world.standing = Standing(world.in_use, installed=True, managed=True)
    world.ask(2)
    assert world.run() == WAYS[Strategy.MULTI_ROOT]


def limit(root: Pair) -> Pair:
    """The same root for one certificate authority below it, as others make theirs."""
    parsed = x509.load_pem_x509_certificate(root.certificate)
    key = load_pem_private_key(root.key, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(parsed.subject)
        .issuer_name(parsed.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(parsed.not_valid_before_utc)
        .not_valid_after(parsed.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
    )
    return Pair(builder.sign(key, SHA256()).public_bytes(Encoding.PEM), root.key)


# --- what is refused, and what is held ---------------------------------------------------------------------


def test_only_the_next_root_is_made() -> None:
    world = World()
    world.ask(7)
    step = world.plan()
    assert isinstance(step, Hold)
    assert step.reason is Reason.ROOT_MISSING
    assert "2" in step.message


LAGGING = {
    "a proxy under the old root": Party(Role.PROXY, "pod shop/cart", ONE, ONE),
    "an istiod that has not heard": Party(Role.ISTIOD, "istiod shop/istiod-1", ONE, ONE),
}


@pytest.mark.parametrize("party", LAGGING.values(), ids=LAGGING)
def test_who_lags_is_named_and_holds_the_next_step(party: Party) -> None:
    world = World(kept=timedelta(0))
    world.ask(2)
    world.go(1)
    assert world.at == Position(2, ONE, 1)
    world.now += timedelta(minutes=10)
    world.parties = (party,)
    step = world.plan()
    assert isinstance(step, Await)
    assert party.name in str(step)
    world.parties = (replace(party, reached=BOTH, trusts=ONE),)
    assert isinstance(world.plan(), Issue)


def test_the_old_root_stays_for_a_while() -> None:
    world = World(kept=7 * DAY)
    world.ask(2)
    way = world.run()
    assert way == WAYS[Strategy.CROSS_SIGNED]
    assert world.since >= NOW + 7 * DAY


def test_an_upgrade_comes_first_and_is_named() -> None:
    world = World()
    world.ask(2)
    world.standing = replace(world.standing, busy="the mesh goes to Istio 1.31 first")
    step = world.plan()
    assert isinstance(step, Await)
    assert "1.31" in str(step)
    assert len(world.seen.roots) == 1


def test_without_evidence_nothing_goes_on() -> None:
    world = World()
    world.ask(2)
    world.take(world.plan())
    for evidence in (Evidence(), Evidence(gap="nobody was asked yet")):
        step = plan_authority(world.seen, world.standing, world.wanted, evidence=evidence, now=world.now)
        assert isinstance(step, Await)


# --- cacerts is taken away in the middle -------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [Strategy.CROSS_SIGNED, Strategy.MULTI_ROOT])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_deleted_cacerts_comes_back_with_the_trust_that_is_in_use(strategy: Strategy, steps: int) -> None:
    world = World(strategy=strategy)
    world.ask(2)
    world.go(steps)
    before = world.at
    assert before is not None
    world.seen = replace(world.seen, cacerts=None)
    step = world.plan()
    assert isinstance(step, Issue)
    assert step.to.trusted == before.trusted
    assert step.to.reached >= before.trusted, "whoever is on the way accepts it"
    world.take(step)
    assert world.run()[-1:] in ([settle(2)], [])
    assert world.at == settle(2)


def test_of_several_roots_none_is_chosen_while_it_is_not_known_which_one_is_trusted() -> None:
    world = World()
    world.ask(2)
    world.run()
    world.seen = replace(world.seen, cacerts=None)
    world.standing = replace(world.standing, in_use="")
    step = world.plan()
    assert isinstance(step, Hold)
    assert step.reason is Reason.ANOTHER_ROOT_IN_USE


def test_what_is_written_is_read_for_no_other_roots() -> None:
    world = World()
    world.ask(2)
    world.go(1)
    assert world.seen.cacerts
    certificates = world.seen.certificates
    authority = world.seen.cacerts.authority
    assert read_position(authority, certificates) == Position(2, ONE, 1)
    assert read_position(authority, {1: certificates[1]}) is None
    assert read_position(authority, {2: certificates[2]}) is None


# --- another hand in the middle ----------------------------------------------------------------------------

OLDER = Party(Role.PROXY, "pod shop/cart", BOTH, ONE)
"""A proxy that trusts the old root alone."""


@pytest.mark.parametrize("broken", [True, False])
def test_the_last_step_is_not_taken_because_the_old_root_s_secret_is_gone(*, broken: bool) -> None:
    world = World()
    world.ask(2)
    world.go(2)
    assert world.at == Position(2, TWO, 1)
    world.parties = (OLDER,)
    assert isinstance(world.plan(), Await)
    first, second = world.seen.roots
    rest = replace(first, authority=replace(first.authority, parts=()))
    world.seen = replace(world.seen, roots=(rest, second) if broken else (second,))
    step = world.plan()
    assert isinstance(step, Hold)
    assert step.reason is Reason.ROOT_MISSING
    world.ask(2, Strategy.EMERGENCY)
    assert isinstance(world.plan(), Issue), "who cannot restore it goes on without it"


@pytest.mark.parametrize(("back", "asked"), [(False, 0), (False, 2), (True, 1)])
def test_a_backup_of_cacerts_leads_to_no_other_root(*, back: bool, asked: int) -> None:
    """Neither to the older root nor, where the mesh went back, to the newer one."""
    world = World()
    ways = (2, 1) if back else (2,)
    for generation in ways:
        before = world.seen.cacerts
        world.ask(generation)
        world.run()
    world.ask(asked)
    world.seen = replace(world.seen, cacerts=before)
    world.standing = replace(world.standing, marked=world.standing.in_use)
    step = world.plan()
    assert isinstance(step, Issue)
    assert (step.to.signer, step.to.trusted) == (ways[-1], {ways[-1]})


def test_a_config_map_alone_leads_to_no_other_root() -> None:
    world = World()
    before = world.seen.cacerts
    world.ask(2)
    world.run()
    world.seen = replace(world.seen, cacerts=before)
    assert not isinstance(world.plan(), Issue)


def test_three_roots_are_nothing_that_navarch_wrote() -> None:
    world = World()
    for generation in (2, 3):
        world.ask(generation)
        world.run()
    roots = b"".join(world.pairs[generation].certificate for generation in (1, 2, 3))
    authority = read_authority({**world.data, "root-cert.pem": roots})
    world.seen = replace(world.seen, cacerts=SeenCacerts("1", authority, ours=True))
    step = world.plan()
    assert isinstance(step, Issue)
    assert step.to.trusted == {3}


# --- emergencies, and the schedule -------------------------------------------------------------------------


@pytest.mark.parametrize("ended", [True, False])
def test_an_emergency_waits_for_no_upgrade(*, ended: bool) -> None:
    """Of an upgrade nothing is proved while nobody trusts anybody."""
    world = World()
    world.standing = replace(world.standing, busy="the mesh goes to Istio 1.31 first")
    if ended:
        world.now = NOW + timedelta(days=WANTED.root_days + 5)
    else:
        world.ask(2, Strategy.EMERGENCY)
    assert world.run() == [settle(2)]


def test_a_word_that_was_left_there_makes_no_emergency_of_the_schedule() -> None:
    world = World(strategy=Strategy.EMERGENCY)
    world.now = NOW + timedelta(days=WANTED.root_days * 0.81)
    assert world.run() == WAYS[Strategy.CROSS_SIGNED]


def test_the_schedule_takes_the_newest_root_and_no_number_that_is_gone() -> None:
    world = World()
    for generation in (2, 3, 1):
        world.ask(generation)
        world.run()
    world.ask(0)
    world.seen = replace(world.seen, roots=tuple(r for r in world.seen.roots if r.generation != 2))
    world.now = NOW + timedelta(days=WANTED.root_days * 0.799)
    world.run()
    assert world.at == settle(1)
    world.now = NOW + timedelta(days=WANTED.root_days * 0.81)
    world.run()
    assert world.at == settle(4), "the third is as old as the first"


def test_a_foreign_root_in_use_is_told_also_while_another_one_is_asked_for() -> None:
    world = World()
    world.ask(2)
    world.now = NOW + timedelta(days=300)
    world.standing = replace(world.standing, in_use="0" * 16)
    step = world.plan()
    assert isinstance(step, Hold)
    assert step.reason is Reason.ANOTHER_ROOT_IN_USE
