"""Carrying out claims: labels of ours on objects of others.

Owns the field manager of claims, and what becomes of a claim. Must never ask for force, nor write to another
object than the one that was seen. Invariants: what another field manager says stands, and is named;
a claim that is repeated, however often another client undoes it, is written no more often than the contests
allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from navarch.core.model.actions import Action, ObjectOutcome
from navarch.core.model.claims import CLAIMER, Claim, find_copied, find_strays
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Ref
from navarch.kube.client import Client, Object
from navarch.kube.contest import LONGEST, Contests
from navarch.kube.errors import Conflict, Forbidden, KubeError, NotFound
from navarch.kube.fate import FOREIGN_RETRY, Fate, contested, failed

_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class _Last:
    """How a claim was carried out last; `version` is the object's resourceVersion since, empty where it was
    not written."""

    claim: Claim
    fate: Fate
    version: str

    def is_of(self, claim: Claim) -> bool:
        return (self.claim.uid, self.claim.labels) == (claim.uid, claim.labels)


class Claims:
    """Carries out claims. An object whose labels another client takes off or overwrites again and again is
    written at the pace of `contests`; what is remembered for that may be lost."""

    def __init__(self, client: Client, contests: Contests) -> None:
        self._client, self._contests = client, contests
        self._last: dict[Ref, _Last] = {}

    async def settle(self, claim: Claim) -> tuple[Fate, Object | None]:
        """Have the claim stand. The object as it is then, None where it is gone or was not written."""
        if claim.stands:
            return self._tell_rest(claim), None
        last = self._last.pop(claim.ref, None)
        if last is not None and not last.is_of(claim):
            last = None
        if last is not None and (wait := self._contests.find_wait(claim.ref)) > 0:
            self._last[claim.ref] = last
            return self._wait(claim, last.fate, wait), None
        fate, written = await carry_out(self._client, claim)
        version = written["metadata"]["resourceVersion"] if written is not None else ""
        was_undone = last is not None and last.version not in ("", version)
        if was_undone or fate.outcome.reason == Reason.LABEL_CONFLICT:
            fate = self._note(claim, fate)
        self._last[claim.ref] = _Last(claim, fate, version)
        while len(self._last) > _REMEMBERED:
            self._last.pop(next(iter(self._last)))
        return fate, written

    def _note(self, claim: Claim, fate: Fate) -> Fate:
        """Count that another client has undone the claim."""
        if fate.outcome.action is Action.CONFIGURED:
            self._contests.note(claim.ref)
            if rest := self._contests.find_rest(claim.ref):
                told = tell_claim_contest(claim)
                return contested(claim.ref, told, after=rest, drift=True, uid=claim.uid)
            return replace(fate, outcome=replace(fate.outcome, drift=True))
        if fate.outcome.reason == Reason.LABEL_CONFLICT:
            self._contests.note(claim.ref)
        return fate

    def _tell_rest(self, claim: Claim) -> Fate:
        """Of a claim that stands: that it was contested a moment ago, or that all is well."""
        if rest := self._contests.find_rest(claim.ref):
            return contested(claim.ref, tell_claim_contest(claim), after=rest, uid=claim.uid)
        return Fate(ObjectOutcome(claim.ref, Action.UNCHANGED), uid=claim.uid)

    def _wait(self, claim: Claim, fate: Fate, wait: float) -> Fate:
        """What is said while nothing is written: which client holds the label, where that is known."""
        if fate.outcome.reason == Reason.LABEL_CONFLICT:
            return replace(fate, retry_after=wait)
        return contested(claim.ref, tell_claim_contest(claim), after=wait)


def tell_claim_contest(claim: Claim) -> str:
    """What is said of a contested claim: a label that was taken off leaves no trace of who did it."""
    return (
        f"{claim.ref}: label {' or '.join(sorted(claim.labels))} is removed or changed again and again by "
        f"another client; it is put back at intervals of up to {LONGEST:.0f} s: stop that client"
    )


async def carry_out(client: Client, claim: Claim) -> tuple[Fate, Object | None]:
    """Put the labels of a claim on its object, and take those of earlier claims off. The object as it is
    then, None where it is gone or was not written."""
    ref = claim.ref
    try:
        written = await _take_off(client, claim, await _apply(client, claim))
    except Conflict as conflict:
        if not conflict.fields:
            return failed(ref, conflict), None
        told = "; ".join(conflict.fields)
        remedy = "it was left as it is: remove that label, or have what wrote it do so"
        message = f"{ref}: {told}; {remedy}"
        return Fate(ObjectOutcome(ref, Action.FOREIGN, Reason.LABEL_CONFLICT, message), FOREIGN_RETRY), None
    except NotFound:
        return Fate(ObjectOutcome(ref, Action.UNCHANGED)), None
    except KubeError as error:
        return failed(ref, error), None
    return Fate(ObjectOutcome(ref, Action.CONFIGURED), uid=claim.uid), written


async def _apply(client: Client, claim: Claim) -> Object:
    """Have the claim's entry say what the claim says. What another client wrote into that entry stays, since
    to take it away is refused to the operator; exclusive labels that another client holds with another value
    go first."""
    try:
        return await client.apply(_build(claim, {}), manager=CLAIMER)
    except Forbidden:
        strays = find_strays(await client.get(claim.ref))
        if not strays:
            raise
        return await client.apply(_build(claim, strays), manager=CLAIMER)
    except Conflict as conflict:
        seen = await client.get(claim.ref) if conflict.fields else None
        if seen is None or await _take_off(client, claim, seen) is seen:
            raise
        return await client.apply(_build(claim, {}), manager=CLAIMER)


def _build(claim: Claim, strays: Mapping[str, Mapping[str, str]]) -> Object:
    labels = {**strays.get("labels", {}), **claim.labels}
    metadata: dict[str, Any] = {"name": claim.ref.name, "uid": claim.uid, **strays, "labels": labels}
    if not labels:
        del metadata["labels"]
    return {"apiVersion": claim.ref.api_version, "kind": claim.ref.kind, "metadata": metadata}


async def _take_off(client: Client, claim: Claim, seen: Object) -> Object:
    """Take exclusive labels off an object that the claim does not want so, whoever holds them, and what was
    copied with them: giving ours up leaves what another field manager holds as well. The object as it is
    then."""
    labels, keys = seen["metadata"].get("labels") or {}, claim.exclusive | {*find_copied(seen)}
    wrong = sorted(key for key in keys if key in labels and labels[key] != claim.labels.get(key))
    if not wrong:
        return seen
    operations: list[dict[str, Any]] = []
    for key in wrong:
        pointer = "/metadata/labels/" + key.replace("~", "~0").replace("/", "~1")
        operations += [
            {"op": "test", "path": pointer, "value": labels[key]},
            {"op": "remove", "path": pointer},
        ]
    return await client.patch(claim.ref, operations)
