"""Injectors that the API server goes by an older state of than it serves.

Seen with kube-apiserver 1.37.2: a change of a webhook that arrives while the list of all webhooks is compiled
may never be taken over, and every pod is refused for good. Any further change is read: the injector gets one.
Must never give it where something else may be the cause. Invariant: at most one in REREAD_PACE.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.actions import Wave
from navarch.core.model.labels import REREAD
from navarch.core.model.refs import Manifest, ref_of
from navarch.core.world.probe import ProbeVerdict

UNTRUSTED = "failed to verify certificate"
"""How Go's TLS says that it does not trust a server."""

UNREAD_SECONDS = 15.0
"""How long the API server may take to learn of a webhook's new root; mostly it is milliseconds."""

REREAD_PACE = 300.0
"""Seconds between two changes for this: where the first does not help, something else is wrong."""


def is_unread(observed: ObservedMesh) -> bool:
    """Whether the API server says that it does not trust what stands behind the injector, long after the
    injector carries the root."""
    probe = observed.probe
    return (
        probe is not None
        and probe.verdict is ProbeVerdict.WEBHOOK_FAILED
        and UNTRUSTED in probe.message
        and probe.failing >= UNREAD_SECONDS
    )


def mark_unread(waves: Iterable[Wave], observed: ObservedMesh) -> tuple[Wave, ...]:
    """The waves, with the moment of the last such change as an annotation on each injector that had one. It
    stays there, for taking it off would be one more change to be missed."""
    there = {ref_of(o): (o["metadata"].get("annotations") or {}).get(REREAD, "") for o in observed.owned}

    def mark(manifest: Manifest) -> Manifest:
        if manifest["kind"] != "MutatingWebhookConfiguration":
            return manifest
        moment = there.get(ref_of(manifest), "")
        if is_unread(observed) and _is_past(moment, REREAD_PACE, now=observed.now):
            moment = observed.now
        if not moment:
            return manifest
        metadata = manifest["metadata"]
        annotations = {**(metadata.get("annotations") or {}), REREAD: moment}
        return {**manifest, "metadata": {**metadata, "annotations": annotations}}

    return tuple(replace(wave, objects=tuple(map(mark, wave.objects))) for wave in waves)


def _is_past(moment: str, seconds: float, *, now: str) -> bool:
    """Whether a moment (RFC 3339; anything else is long ago) lies at least so long before `now`."""
    try:
        return datetime.fromisoformat(now) - datetime.fromisoformat(moment) >= timedelta(seconds=seconds)
    except (ValueError, TypeError):
        return True
