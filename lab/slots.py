"""What a lab takes for itself on this machine: a number, and from it its ports and its Service addresses.

Owns the state root and the `slot.json` of each lab in it. Must never hand out what another lab has recorded,
or a port somebody listens on. Invariant: two slots with different numbers share no port and no address.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from lab.progress import LabError

Kind: TypeAlias = Literal["light", "node"]

PORTS = ("apiserver", "etcd", "etcd-peer", "controller-manager", "scheduler", "kwok", "opm")
FIRST_PORT = 21000  # below every usual ephemeral range, so that no outgoing connection sits on one
FIRST_NETWORK = 96
SLOTS = 100


@dataclass(frozen=True, slots=True)
class Slot:
    """A lab's number, 0 to 99."""

    number: int

    def port(self, name: str) -> int:
        """The port on 127.0.0.1 of one of PORTS."""
        return FIRST_PORT + self.number * 20 + PORTS.index(name)

    @property
    def service_network(self) -> str:
        """The /16 for ClusterIPs of a light lab: loopback, so nothing sent there leaves the machine."""
        return f"127.{FIRST_NETWORK + self.number}.0.0/16"

    @property
    def service_prefix(self) -> str:
        """The first two numbers of the Service addresses and a dot."""
        return f"127.{FIRST_NETWORK + self.number}."


def state_root() -> Path:
    """Where labs keep their state: `$NAVARCH_LAB_STATE`, else `~/.local/state/navarch-lab`."""
    fallback = Path.home() / ".local" / "state" / "navarch-lab"
    return Path(os.environ.get("NAVARCH_LAB_STATE") or fallback).absolute()


def state_of(name: str) -> Path:
    """The state directory of a lab. LabError when the name is not a DNS label of at most 40 characters."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", name):
        raise LabError(f"{name!r} cannot be a lab's name: use up to 40 of a-z, 0-9 and -")
    return state_root() / name


def names() -> list[str]:
    """The labs that have a state, whether they run or not."""
    return sorted(path.parent.name for path in state_root().glob("*/slot.json"))


def kind_of(name: str) -> Kind | None:
    """What kind of lab this name stands for; None when there is none."""
    content = _read(name)
    return None if content is None else "node" if content["kind"] == "node" else "light"


def claim(name: str, kind: Kind) -> Slot:
    """Makes the state directory of a lab and gives it a slot of its own. A lab that has one keeps it."""
    state = state_of(name)
    state.mkdir(parents=True, exist_ok=True)
    with (state_root() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (own := _read(name)) is not None:
            return Slot(int(own["number"]))
        # One that another process ends at this moment is gone between its listing and its reading.
        taken = {content["number"] for other in names() if (content := _read(other))}
        slot = pick(taken, is_free=_is_free)
        beside = state / "slot.json.new"
        beside.write_text(json.dumps({"kind": kind, "number": slot.number}))
        beside.rename(state / "slot.json")
    return slot


def pick(taken: Container[int], *, is_free: Callable[[int], bool]) -> Slot:
    """The first slot that no lab has taken and of which every port is free."""
    for slot in map(Slot, range(SLOTS)):
        if slot.number not in taken and all(is_free(slot.port(name)) for name in PORTS):
            return slot
    raise LabError(f"all {SLOTS} lab slots are taken: python -m lab down --all")


def _read(name: str) -> dict[str, Any] | None:
    """What a lab has recorded; None when it has nothing, or is being ended."""
    try:
        content: dict[str, Any] = json.loads((state_of(name) / "slot.json").read_text())
    except FileNotFoundError:
        return None
    return content


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As Go's listeners do: a connection in TIME_WAIT does not occupy a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
