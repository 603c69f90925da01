"""Carrying out claims: labels of ours on objects of others.

Owns the field manager of claims, and what becomes of a claim. Must never ask for force, nor write to another
object than the one that was seen. Invariant: what another field manager says stands, and is named.
"""

from __future__ import annotations

from typing import Any

from navarch.core.model.actions import Action, ObjectOutcome
from navarch.core.model.claims import CLAIMER, Claim
from navarch.core.model.reasons import Reason
from navarch.kube.client import Client, Object
from navarch.kube.errors import Conflict, KubeError, NotFound
from navarch.kube.fate import FOREIGN_RETRY, Fate, failed


async def carry_out(client: Client, claim: Claim) -> tuple[Fate, Object | None]:
    """Put the labels of a claim on its object, and take those of earlier claims off. The object as it is
    then, None where it is gone or was not written."""
    ref = claim.ref
    identity = {"apiVersion": ref.api_version, "kind": ref.kind}
    metadata: dict[str, Any] = {"name": ref.name, "uid": claim.uid}
    if claim.labels:
        metadata["labels"] = dict(claim.labels)
    try:
        written = await client.apply({**identity, "metadata": metadata}, manager=CLAIMER)
        written = await _remove_left(client, claim, written)
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


async def _remove_left(client: Client, claim: Claim, written: Object) -> Object:
    """Take off exclusive labels that another field manager holds as well: giving ours up left them there."""
    labels = written["metadata"].get("labels") or {}
    left = sorted(key for key in claim.exclusive if key in labels and key not in claim.labels)
    if not left:
        return written
    operations: list[dict[str, Any]] = []
    for key in left:
        pointer = "/metadata/labels/" + key.replace("~", "~0").replace("/", "~1")
        operations += [
            {"op": "test", "path": pointer, "value": labels[key]},
            {"op": "remove", "path": pointer},
        ]
    return await client.patch(claim.ref, operations)
