"""Managed authorities in random worlds: whatever is taken away, changed or begun and not finished, no second
root comes to be, and nothing is issued that proxies would refuse."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from navarch.core.trust.managed import plan_authority
from navarch.core.trust.observed import SeenAuthority, SeenCacerts, SeenRoot
from navarch.core.trust.position import is_issued_by
from navarch.core.trust.steps import Hold, Issue, MakeRoot, Standing

from tests.unit.test_managed_authorities import (
    ISSUED,
    NOW,
    OTHER,
    ROOT,
    WANTED,
    an_intermediate,
    see_cacerts,
    see_root,
)

MADE, OWN = see_root(ROOT), replace(see_root(OTHER), adopted=True)
LATE = 300
"""Days after which an intermediate of the beginning is due."""
WHOLE = {
    (root.authority, days): see_cacerts(pair, an_intermediate(pair, NOW + timedelta(days)))
    for root, pair in ((MADE, ROOT), (OWN, OTHER))
    for days in (0, LATE)
}
BROKEN = see_cacerts(ROOT, ISSUED, ca_key=None)
FOREIGN = see_cacerts(ROOT, ISSUED, ca_cert=b"theirs", ours=False)
MISHAPS = (
    *(
        "work",
        "work",
        "work",
        "istiod",
        "time",
        "clock back",
        "lose cacerts",
        "break cacerts",
        "strip cacerts",
    ),
    *("lose root", "intrude"),
)


@dataclass
class World:
    """What there is, and every root that was ever made. `own` says that istiod began with a root of its
    own."""

    own: bool
    seen: SeenAuthority = field(default_factory=lambda: SeenAuthority("shop"))
    standing: Standing = field(default_factory=Standing)
    days: int = 0
    made: list[SeenRoot] = field(default_factory=list)

    def work(self) -> None:
        """One look, and its step carried out."""
        step = plan_authority(self.seen, self.standing, WANTED, now=NOW + timedelta(self.days))
        if isinstance(step, MakeRoot):
            assert not self.seen.roots
            assert step.adopts or not self.standing.installed
            root = OWN if self.own else MADE
            self.made.append(root)
            self.seen = replace(self.seen, roots=(root,))
        elif isinstance(step, Issue):
            root = self.seen.roots[-1]
            there = self.seen.cacerts
            known = there is None or there.ours or self.is_whole()
            assert known, "what is neither ours nor of our root is never replaced"
            assert step.replaces == (there.version if there else "")
            bundle = root.authority.roots.fingerprint
            assert not self.standing.installed or self.standing.in_use in ("", bundle)
            self.seen = replace(self.seen, cacerts=WHOLE[root.authority, self.days])
        elif step is None and self.seen.cacerts is not None:
            self.standing = replace(self.standing, installed=True, managed=True)

    def be(self, mishap: str) -> None:
        """What happens."""
        match mishap:
            case "work":
                self.work()
            case "istiod" if self.standing.managed and self.is_whole():
                bundle = self.seen.roots[-1].authority.roots.fingerprint
                self.standing = replace(self.standing, in_use=bundle)
            case "time":
                self.days = LATE
            case "clock back":
                self.days = 0
            case "strip cacerts" if self.seen.cacerts is not None:
                self.seen = replace(self.seen, cacerts=replace(self.seen.cacerts, ours=False))
            case "lose cacerts":
                self.seen = replace(self.seen, cacerts=None)
            case "break cacerts" if self.seen.cacerts is not None and self.seen.cacerts.ours:
                self.seen = replace(self.seen, cacerts=BROKEN)
            case "lose root":
                self.seen = replace(self.seen, roots=())
            case "intrude" if self.seen.cacerts is None:
                self.seen = replace(self.seen, cacerts=FOREIGN)

    def is_whole(self) -> bool:
        root = self.seen.roots[-1].certificate if self.seen.roots else None
        cacerts: SeenCacerts | None = self.seen.cacerts
        return root is not None and cacerts is not None and is_issued_by(cacerts.authority, root)


@given(own=st.booleans(), mishaps=st.lists(st.sampled_from(MISHAPS), max_size=24))
def test_whatever_happens_there_is_one_root_and_an_end(own: bool, mishaps: list[str]) -> None:
    world = World(own)
    if own:
        bundle = OWN.authority.roots.fingerprint
        world.standing = Standing(bundle, installed=True)
    before_use: set[str] = set()
    for mishap in mishaps:
        used = world.standing.in_use
        world.be(mishap)
        before_use |= {used} - {""}
        assert len(before_use | {world.standing.in_use} - {""}) <= 1, "proxies never meet another root"
        if world.standing.managed:
            assert world.made
    for _ in range(4):
        world.work()
    step = plan_authority(world.seen, world.standing, WANTED, now=NOW + timedelta(world.days))
    assert step is None or isinstance(step, Hold), "it ends settled, or says why not"
    if step is None:
        assert world.is_whole()
        signer = world.seen.cacerts and world.seen.cacerts.authority.signer
        assert signer
        assert signer.begins <= NOW + timedelta(world.days), "istiod would not start with it"
