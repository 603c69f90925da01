"""Carrying out the next step for a managed certificate authority: a root made, or an intermediate issued.

Owns the form of both Secrets. Must never decide which step is next (core/trust/managed.py), overwrite a root,
keep a key for longer than a step, nor let one into a log, an error or a store. Invariants: a root's Secret is
created, so of two processes one makes it; `cacerts` is written only in the state that the decision was made
from.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from navarch.api.authority import CACERTS, SELF_SIGNED_SECRET
from navarch.core.model.actions import Action, ObjectOutcome, Outcome
from navarch.core.model.labels import (
    AUTHORITY,
    GENERATION,
    HOME,
    MANAGED_BY,
    MESH_NAME,
    MESH_NAMESPACE,
    ORIGIN,
)
from navarch.core.model.ownership import MANAGER
from navarch.core.model.parent import Parent
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.trust.managed import find_end, find_obstacle
from navarch.core.trust.observed import ADOPTED, CACERTS_PART, MADE, ROOT_PART, SeenRoot
from navarch.core.trust.reading import read_authority, read_bundle
from navarch.core.trust.steps import FIRST, Issue, MakeRoot, RootRef, Step
from navarch.gather.authority import CACERTS_WATCH, ROOTS_WATCH
from navarch.gather.world import World
from navarch.kube.client import Client
from navarch.kube.contest import LONGEST, Contests
from navarch.kube.errors import Conflict, KubeError, NotFound
from navarch.kube.fate import DEFAULT_RETRY, SOON_RETRY, contested, failed
from navarch.pki.authority import (
    KeyUnreadable,
    Pair,
    check_pair,
    issue_intermediate,
    make_root,
    sign_across,
)

log = structlog.get_logger(__name__)


def name_root(home: str, generation: int) -> str:
    """The name of the Secret with a root of a control plane's namespace."""
    return f"{home}-root-{generation}"


@dataclass(frozen=True, slots=True)
class AuthorityKeeper:
    """Writes the Secrets of managed authorities."""

    client: Client
    world: World
    contests: Contests

    async def carry_out(self, step: Step, parent: Parent) -> Outcome:
        """Take one step, and look again: what it came to is seen, and the next one decided from that."""
        if not isinstance(step, MakeRoot | Issue):
            return Outcome()
        try:
            if isinstance(step, MakeRoot):
                return await self._make_root(step, parent)
            return await self._issue(step, parent)
        except KubeError as error:
            fate = failed(self._ref(step), error)
            return Outcome((fate.outcome,), retry_after=fate.retry_after)
        except KeyUnreadable as error:
            told = "the root cannot sign" if isinstance(step, Issue) else "no root is made"
            return _fail(self._ref(step), f"{told}: {error}")

    def _ref(self, step: MakeRoot | Issue) -> Ref:
        if isinstance(step, Issue):
            return Ref("v1", "Secret", step.home, CACERTS)
        return Ref("v1", "Secret", self._namespace, name_root(step.home, step.generation))

    @property
    def _namespace(self) -> str:
        return self.world.environment.operator_namespace

    async def _make_root(self, step: MakeRoot, parent: Parent) -> Outcome:
        pair = await self._find_own(step) if step.generation == FIRST else None
        if pair is None and step.adopts:
            told = f"Secret {step.home}/{SELF_SIGNED_SECRET}, with the root that proxies trust, is not there"
            return _fail(self._ref(step), told)
        origin = MADE if pair is None else ADOPTED
        if pair is None:
            pair = await asyncio.to_thread(_make, step, self.world.now())
        manifest = _build_root(self._ref(step), step, parent, pair, origin)
        try:
            written = await self.client.create(manifest)
        except Conflict:
            return await self._take_up(manifest)
        self.world.stores[ROOTS_WATCH.name].observe(written)
        log.info("root made", secret=str(self._ref(step)), origin=origin)
        return Outcome((ObjectOutcome(self._ref(step), Action.CREATED),), retry_after=SOON_RETRY)

    async def _take_up(self, manifest: Manifest) -> Outcome:
        """The Secret that was there first: another process made it, and its root counts; or it is restored
        without the labels by which a root is seen, which nobody but its owner puts there."""
        ref = ref_of(manifest)
        there = await self.client.get(ref)
        labels = there["metadata"].get("labels") or {}
        wanted = {name: manifest["metadata"]["labels"][name] for name in (AUTHORITY, HOME, GENERATION)}
        if {name: labels.get(name) for name in wanted} == wanted:
            self.world.stores[ROOTS_WATCH.name].observe(there)
            return Outcome(retry_after=SOON_RETRY)
        said = " ".join(f"{name}={value}" for name, value in wanted.items())
        command = f"kubectl label secret {ref.name} -n {ref.namespace} --overwrite {said}"
        return _fail(ref, f"it is there without its labels; where it is the root of this mesh: {command}")

    async def _find_own(self, step: MakeRoot) -> Pair | None:
        """The root that an istiod made itself; None where there is none. Raises KeyUnreadable where it cannot
        become the managed one."""
        ref = Ref("v1", "Secret", step.home, SELF_SIGNED_SECRET)
        try:
            secret = await self.client.get(ref)
        except NotFound:
            return None
        pair = _read_pair(secret, "ca-cert.pem", "ca-key.pem")
        root = SeenRoot(ref.name, FIRST, read_authority(_lay_out(pair)))
        if obstacle := find_obstacle(root, step, now=datetime.fromisoformat(self.world.now())):
            raise KeyUnreadable(f"that in Secret {step.home}/{ref.name} was left as it is: {obstacle}")
        return pair

    async def _issue(self, step: Issue, parent: Parent) -> Outcome:
        ref = self._ref(step)
        if (wait := self.contests.find_wait(ref)) > 0:
            told = f"{ref} is changed or removed again and again by another client; it is made anew at "
            told += f"intervals of up to {LONGEST:.0f} s: stop that client"
            return Outcome((contested(ref, told, after=wait).outcome,), retry_after=wait)
        found = {generation: await self._read_root(root) for generation, root in step.roots.items()}
        roots = {generation: pair for generation, pair in found.items() if pair is not None}
        if len(roots) < len(found):
            return Outcome(retry_after=SOON_RETRY)  # not the roots that the decision was made from
        data = await asyncio.to_thread(_issue, roots, step, self.world.now())
        manifest = _build_cacerts(ref, parent, data, replaces=step.replaces)
        try:
            written = await self.client.apply(manifest, manager=MANAGER, force=bool(step.replaces))
        except Conflict:
            self.contests.note(ref)
            raise
        self.world.stores[CACERTS_WATCH.name].observe(written)
        self.contests.note(ref)
        log.info("intermediate issued", secret=str(ref), at=str(step.to), why=step.why)
        action = Action.CONFIGURED if step.replaces else Action.CREATED
        return Outcome((ObjectOutcome(ref, action),), retry_after=SOON_RETRY)

    async def _read_root(self, root: RootRef) -> Pair | None:
        """A root and its key; None where another one has taken its place."""
        secret = await self.client.get(Ref("v1", "Secret", self._namespace, root.name))
        pair = _read_pair(secret, "tls.crt", "tls.key")
        bundle = read_bundle(pair.certificate)
        return pair if bundle is not None and bundle.fingerprints == {root.fingerprint} else None


def _fail(ref: Ref, message: str) -> Outcome:
    outcome = ObjectOutcome(ref, Action.FAILED, Reason.APPLY_FAILED, f"{ref}: {message}")
    return Outcome((outcome,), retry_after=DEFAULT_RETRY)


def _make(step: MakeRoot, now: str) -> Pair:
    return make_root(
        algorithm=step.wanted.algorithm,
        organization=step.wanted.organization,
        unit=step.home,
        generation=step.generation,
        days=step.wanted.root_days,
        now=datetime.fromisoformat(now),
    )


def _issue(roots: Mapping[int, Pair], step: Issue, now: str) -> dict[str, bytes]:
    """What `cacerts` holds at a position. Raises KeyUnreadable."""
    to, wanted, at = step.to, step.wanted, datetime.fromisoformat(now)
    signer, signing = roots[to.signer], [roots[generation] for generation in sorted(to.reached)]
    for pair in signing:
        check_pair(pair)
    issued = issue_intermediate(
        signer,
        algorithm=wanted.algorithm,
        organization=wanted.organization,
        unit=step.home,
        ends=find_end(min(pair.read_end() for pair in signing), wanted.intermediate_days, now=at),
        now=at,
    )
    crossed = sign_across(signer.certificate, roots[to.voucher], now=at) if to.voucher else b""
    return {
        "ca-cert.pem": issued.certificate,
        "ca-key.pem": issued.key,
        "cert-chain.pem": issued.certificate + crossed,
        "root-cert.pem": _join([roots[generation].certificate for generation in sorted(to.trusted)]),
    }


def _join(roots: Sequence[bytes]) -> bytes:
    """Roots as one text. One alone stays as it is to the byte: a running istiod refuses any other."""
    return roots[0] if len(roots) == 1 else b"".join(root.rstrip() + b"\n" for root in roots)


def _read_pair(secret: Mapping[str, Any], certificate: str, key: str) -> Pair:
    data = secret.get("data") or {}
    try:
        texts = [base64.b64decode(str(data[name]), validate=True) for name in (certificate, key)]
    except (KeyError, ValueError):
        raise KeyUnreadable(f"its Secret lacks {certificate} or {key}") from None
    return Pair(*texts)


def _build_root(ref: Ref, step: MakeRoot, parent: Parent, pair: Pair, origin: str) -> Manifest:
    labels = {HOME: step.home, GENERATION: str(step.generation), ORIGIN: origin}
    return _build(ref, parent, ROOT_PART, labels, _lay_out(pair), kind="kubernetes.io/tls")


def _lay_out(root: Pair) -> dict[str, bytes]:
    """What the Secret with a root holds."""
    return {"tls.crt": root.certificate, "tls.key": root.key, "ca.crt": root.certificate}


def _build_cacerts(ref: Ref, parent: Parent, data: Mapping[str, bytes], *, replaces: str) -> Manifest:
    """With the resourceVersion that it replaces: who has written meanwhile is not overwritten."""
    manifest = _build(ref, parent, CACERTS_PART, {}, data, kind="Opaque")
    if replaces:
        manifest["metadata"]["resourceVersion"] = replaces
    return manifest


def _build(
    ref: Ref, parent: Parent, part: str, more: Mapping[str, str], data: Mapping[str, bytes], *, kind: str
) -> dict[str, Any]:
    labels = {
        MANAGED_BY: "navarch",
        MESH_NAMESPACE: parent.namespace,
        MESH_NAME: parent.name,
        AUTHORITY: part,
        **more,
    }
    return {
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "metadata": {"namespace": ref.namespace, "name": ref.name, "labels": labels},
        "type": kind,
        "data": {name: base64.b64encode(text).decode() for name, text in data.items()},
    }
