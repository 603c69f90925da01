"""Carrying out the next step for a managed certificate authority: a root made, or an intermediate issued.

Owns the form of both Secrets. Must never decide which step is next (core/trust/managed.py), overwrite a root,
keep a key for longer than a step, nor let one into a log, an error or a store. Invariants: a root's Secret is
created, so of two processes one makes it; `cacerts` is written only in the state that the decision was made
from.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
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
from navarch.core.model.refs import Manifest, Ref
from navarch.core.trust.managed import Hold, Issue, MakeRoot, Step, Wanted, find_end
from navarch.core.trust.observed import ADOPTED, CACERTS_PART, MADE, ROOT_PART
from navarch.gather.authority import CACERTS_WATCH, ROOTS_WATCH
from navarch.gather.world import World
from navarch.kube.client import Client
from navarch.kube.contest import LONGEST, Contests
from navarch.kube.errors import Conflict, KubeError, NotFound
from navarch.kube.fate import DEFAULT_RETRY, SOON_RETRY, contested, failed
from navarch.pki.authority import KeyUnreadable, Pair, check_pair, issue_intermediate, make_root

log = structlog.get_logger(__name__)

FIRST = 1
"""The generation of a mesh's first root."""


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
        if step is None or isinstance(step, Hold):
            return Outcome()
        try:
            if isinstance(step, MakeRoot):
                return await self._make_root(step, parent)
            return await self._issue(step, parent)
        except KubeError as error:
            fate = failed(self._ref(step), error)
            return Outcome((fate.outcome,), retry_after=fate.retry_after)
        except KeyUnreadable as error:
            return _fail(self._ref(step), f"the root cannot sign: {error}")

    def _ref(self, step: MakeRoot | Issue) -> Ref:
        if isinstance(step, Issue):
            return Ref("v1", "Secret", step.home, CACERTS)
        return Ref("v1", "Secret", self._namespace, name_root(step.home, FIRST))

    @property
    def _namespace(self) -> str:
        return self.world.environment.operator_namespace

    async def _make_root(self, step: MakeRoot, parent: Parent) -> Outcome:
        pair = await self._find_own(step.home)
        if pair is None and step.adopts:
            told = f"Secret {step.home}/{SELF_SIGNED_SECRET}, with the root that proxies trust, is not there"
            return _fail(self._ref(step), told)
        origin = MADE if pair is None else ADOPTED
        if pair is None:
            pair = await asyncio.to_thread(_make, step.home, step.wanted, self.world.now())
        manifest = _build_root(self._ref(step), step.home, parent, pair, origin)
        try:
            written = await self.client.create(manifest)
        except Conflict:
            return Outcome(retry_after=SOON_RETRY)  # another process was first, and its root counts
        self.world.stores[ROOTS_WATCH.name].observe(written)
        log.info("root made", secret=str(self._ref(step)), origin=origin)
        return Outcome((ObjectOutcome(self._ref(step), Action.CREATED),), retry_after=SOON_RETRY)

    async def _find_own(self, home: str) -> Pair | None:
        """The root that an istiod made itself; None where there is none. Raises KeyUnreadable where it could
        not sign an intermediate."""
        try:
            secret = await self.client.get(Ref("v1", "Secret", home, SELF_SIGNED_SECRET))
        except NotFound:
            return None
        pair = _read_pair(secret, "ca-cert.pem", "ca-key.pem")
        check_pair(pair)
        return pair

    async def _issue(self, step: Issue, parent: Parent) -> Outcome:
        ref = self._ref(step)
        if (wait := self.contests.find_wait(ref)) > 0:
            told = f"{ref} is changed or removed again and again by another client; it is made anew at "
            told += f"intervals of up to {LONGEST:.0f} s: stop that client"
            return Outcome((contested(ref, told, after=wait).outcome,), retry_after=wait)
        secret = await self.client.get(Ref("v1", "Secret", self._namespace, step.root))
        root = _read_pair(secret, "tls.crt", "tls.key")
        issued = await asyncio.to_thread(_issue, root, step.home, step.wanted, self.world.now())
        manifest = _build_cacerts(ref, parent, root, issued, replaces=step.replaces)
        written = await self.client.apply(manifest, manager=MANAGER, force=bool(step.replaces))
        self.world.stores[CACERTS_WATCH.name].observe(written)
        self.contests.note(ref)
        log.info("intermediate issued", secret=str(ref), why=step.why)
        action = Action.CONFIGURED if step.replaces else Action.CREATED
        return Outcome((ObjectOutcome(ref, action),), retry_after=SOON_RETRY)


def _fail(ref: Ref, message: str) -> Outcome:
    outcome = ObjectOutcome(ref, Action.FAILED, Reason.APPLY_FAILED, f"{ref}: {message}")
    return Outcome((outcome,), retry_after=DEFAULT_RETRY)


def _make(home: str, wanted: Wanted, now: str) -> Pair:
    return make_root(
        algorithm=wanted.algorithm,
        organization=wanted.organization,
        unit=home,
        generation=FIRST,
        days=wanted.root_days,
        now=datetime.fromisoformat(now),
    )


def _issue(root: Pair, home: str, wanted: Wanted, now: str) -> Pair:
    at = datetime.fromisoformat(now)
    return issue_intermediate(
        root,
        algorithm=wanted.algorithm,
        organization=wanted.organization,
        unit=home,
        ends=find_end(root.read_end(), wanted.intermediate_days, now=at),
        now=at,
    )


def _read_pair(secret: Mapping[str, Any], certificate: str, key: str) -> Pair:
    data = secret.get("data") or {}
    try:
        texts = [base64.b64decode(str(data[name]), validate=True) for name in (certificate, key)]
    except (KeyError, ValueError):
        raise KeyUnreadable(f"its Secret lacks {certificate} or {key}") from None
    return Pair(*texts)


def _build_root(ref: Ref, home: str, parent: Parent, pair: Pair, origin: str) -> Manifest:
    labels = {HOME: home, GENERATION: str(FIRST), ORIGIN: origin}
    data = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": pair.certificate}
    return _build(ref, parent, ROOT_PART, labels, data, kind="kubernetes.io/tls")


def _build_cacerts(ref: Ref, parent: Parent, root: Pair, issued: Pair, *, replaces: str) -> Manifest:
    """With the resourceVersion that it replaces: who has written meanwhile is not overwritten."""
    data = {
        "ca-cert.pem": issued.certificate,
        "ca-key.pem": issued.key,
        "cert-chain.pem": issued.certificate,
        "root-cert.pem": root.certificate,
    }
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
