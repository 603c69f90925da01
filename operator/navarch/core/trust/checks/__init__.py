"""What is wrong with a certificate authority, before istiod is given it.

Owns the order of the checks, and the choice among several ways to a root. Must never read bytes. Invariants:
a check never depends on what another one found; equal authorities give equal findings at the same time; no
finding quotes a private key.
"""

from __future__ import annotations

from navarch.core.model.findings import Finding, is_accepted
from navarch.core.trust.checks import chain, form, path, roots
from navarch.core.trust.checks.observed import ObservedAuthority, Path, find_partial_path, find_paths

__all__ = ["ObservedAuthority", "choose_path", "judge_authority"]


def judge_authority(observed: ObservedAuthority) -> tuple[Finding, ...]:
    """Everything that is worth saying about an authority: nothing if it is in order."""
    found = [finding for check in form.CHECKS for finding in check(observed)]
    if not observed.authority.too_large:
        found += [finding for check in (*chain.CHECKS, *roots.CHECKS) for finding in check(observed)]
        found += _judge_path(observed, choose_path(observed))
    return tuple(dict.fromkeys(found))


def choose_path(observed: ObservedAuthority) -> Path:
    """The way from the signer to a root that is best: with the fewest errors, then the shortest. Where none
    leads to a root, as far as one leads."""
    paths = find_paths(observed.authority) or (find_partial_path(observed.authority),)
    return min(paths, key=lambda each: (not is_accepted(_judge_path(observed, each)), len(each)))


def _judge_path(observed: ObservedAuthority, chosen: Path) -> list[Finding]:
    return [finding for check in path.CHECKS for finding in check(observed, chosen)]
