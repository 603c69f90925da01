"""What is said of an upgrade from one revision to the next.

Owns `status.upgrade` and the verdict on an upgrade that is under way. Must never decide anything:
core/mesh/succession.py does. Invariant: an upgrade that is held says what is missing.
"""

from __future__ import annotations

from typing import Any

from navarch.api.upgrade import PROGRESS_DEADLINE
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.mesh.succession import Succession, is_overdue, read_since, read_upgrade
from navarch.core.model.conditions import Verdict
from navarch.core.model.messages import join
from navarch.core.model.reasons import Reason

LONGEST = 4096
"""Characters of status.upgrade.waitingFor."""


def _is_told(observed: ObservedMesh, succession: Succession | None) -> bool:
    return not observed.in_place and succession is not None and succession.is_upgrading


def _tell_missing(succession: Succession) -> str:
    return join(waiting.message for waiting in succession.missing) or "the tag is being moved"


def tell_upgrade(observed: ObservedMesh, succession: Succession | None) -> Verdict | None:
    """The verdict Progressing of an upgrade that is under way; None where there is none."""
    if succession is None or not _is_told(observed, succession):
        return None
    asked, missing = f"Istio {succession.version} ({succession.asked})", _tell_missing(succession)
    if succession.missing and is_overdue(observed, succession):
        seconds = read_upgrade(observed).progress_deadline_seconds or PROGRESS_DEADLINE
        message = f"{asked} was not proved in {seconds} s, and {succession.active} serves on: {missing}"
        return Verdict("True", Reason.UPGRADE_HELD, message)
    message = f"{asked} is not proved yet, and {succession.active} serves: {missing}"
    return Verdict("True", Reason.UPGRADING, message)


def summarise_upgrade(observed: ObservedMesh, succession: Succession | None) -> dict[str, Any]:
    """status.upgrade; empty where none is under way."""
    if succession is None or not _is_told(observed, succession):
        return {}
    held = bool(succession.missing) and is_overdue(observed, succession)
    return {
        "from": succession.active,
        "to": succession.asked,
        "phase": "Held" if held else "Proving",
        "since": read_since(observed, succession),
        "waitingFor": _tell_missing(succession)[:LONGEST],
    }


def tell_phase(observed: ObservedMesh, succession: Succession | None, name: str) -> dict[str, str]:
    """The phase of one of the mesh's revisions, as a field of its entry in status."""
    if observed.in_place or succession is None:
        return {}
    if name == observed.active:
        return {"phase": "Active"}
    return {"phase": "Proving" if name == succession.asked else "Retiring"}
