"""`navarch upgrade status`: draws how far an upgrade of a mesh is.

Owns its two forms, and what they are called again for. Must never decide how far it is: core/diagnosis does.
Invariant: what is no terminal gets each state once, as lines.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from navarch.cli.exits import Exit
from navarch.cli.meshes import find_mesh
from navarch.cli.terminal import escape, escape_tree
from navarch.core.diagnosis.progress import Pace, Progress, find_progress
from navarch.core.model.refs import Manifest, ref_of
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.survey.session import Target

Show = Callable[[AsyncIterator[Manifest]], Awaitable[Manifest]]
"""Shows each state of a mesh, and gives the last one."""
_STYLES = {Pace.DONE: "green", Pace.MOVING: "yellow", Pace.STANDING: "bold red"}
_EXITS = {Pace.DONE: Exit.OK, Pace.MOVING: Exit.ERRORS, Pace.STANDING: Exit.WARNINGS}
_WIDTH = 24
"""Characters of a bar."""
_APART = 2.0
"""Seconds between two looks."""
_KEPT = ("version", "activeRevision", "plan", "upgrade", "revisions", "dataPlane", "proxies")
"""Of status, what speaks of an upgrade."""


def determine_exit(mesh: Manifest) -> Exit:
    """0 where nothing is under way, 2 where something is, and 1 where it does not go on by itself."""
    return _EXITS[find_progress(mesh).pace]


async def wait(target: Target, name: str, *, namespace: str, seconds: float = 0) -> Manifest:
    """The mesh once nothing moves in it any more, or so many seconds have passed. Raises InputError where
    there is none of the name, or more than one."""
    return await _follow(target, name, namespace, seconds, _keep)


async def watch(target: Target, name: str, console: Console, *, namespace: str, seconds: float) -> Manifest:
    """The same, with each state drawn."""
    draw = _draw if console.is_terminal else _list
    return await _follow(target, name, namespace, seconds, partial(draw, console=console))


async def _follow(target: Target, name: str, namespace: str, seconds: float, show: Show) -> Manifest:
    credentials = await load_credentials(target.kubeconfig, context=target.context)
    async with Client(credentials, user_agent="navarch-cli") as client:
        return await show(_look_again(client, name, namespace, seconds))


async def _keep(meshes: AsyncIterator[Manifest]) -> Manifest:
    return [mesh async for mesh in meshes][-1]


async def _look_again(client: Client, name: str, namespace: str, seconds: float) -> AsyncIterator[Manifest]:
    until = time.monotonic() + seconds
    while True:
        mesh = await find_mesh(client, name, namespace)
        yield mesh
        if find_progress(mesh).pace is not Pace.MOVING or time.monotonic() + _APART > until:
            return
        await asyncio.sleep(_APART)


async def _draw(meshes: AsyncIterator[Manifest], *, console: Console) -> Manifest:
    last: Manifest = {}
    with Live(console=console, auto_refresh=False) as live:
        async for last in meshes:
            live.update(Group(*build_lines(last)), refresh=True)
    return last


async def _list(meshes: AsyncIterator[Manifest], *, console: Console) -> Manifest:
    last: Manifest = {}
    told: list[Text] = []
    async for last in meshes:
        lines = [*build_lines(last)]
        if lines != told:
            told = lines
            print_lines(lines, console)
    return last


def print_lines(lines: list[Text], console: Console) -> None:
    """The state for people."""
    for line in lines:
        console.print(line, soft_wrap=True)


def print_json(mesh: Manifest) -> None:
    """The state for programs."""
    progress, status = find_progress(mesh), mesh.get("status") or {}
    told = {
        "namespace": mesh["metadata"]["namespace"],
        "name": mesh["metadata"]["name"],
        "phase": progress.phase,
        "pace": progress.pace.value,
        "waitingFor": progress.waiting_for,
        "since": progress.since,
        **{key: status[key] for key in _KEPT if key in status},
    }
    print(json.dumps(escape_tree(told), indent=2))


def build_lines(mesh: Manifest) -> Iterator[Text]:
    """The state for people, line by line."""
    status, progress = mesh.get("status") or {}, find_progress(mesh)
    yield _build_head(mesh, status, progress)
    if progress.waiting_for:
        yield Text(f"  {escape(progress.waiting_for)}")
    for revision in status.get("revisions") or ():
        phase = escape(revision.get("phase") or "")
        ready = "ready" if revision["ready"] else "not ready"
        named = f"{escape(revision['name'])}  {escape(revision['version'])}"
        yield Text(
            f"revision   {named}  {phase}{'  ' if phase else ''}{ready}, {revision['proxies']} proxies"
        )
    if proxies := status.get("proxies"):
        yield _build_bar("proxies", proxies["current"], proxies["total"], "are current")
    if rollout := status.get("dataPlane"):
        yield _build_bar("workloads", rollout["updated"], rollout["total"], _tell_rollout(rollout))
        for gate in rollout.get("gates") or ():
            told = f": {escape(gate['message'])}" if gate.get("message") else ""
            yield Text(f"gate       {escape(gate['name'])}  {gate['state']}{told}")


def _build_head(mesh: Manifest, status: Mapping[str, Any], progress: Progress) -> Text:
    version = status.get("version") or {}
    active, desired = escape(version.get("active") or "none yet"), escape(version.get("desired") or "")
    told = f"Istio {active} -> {desired}" if desired and desired != active else f"Istio {active}"
    since = f" since {escape(progress.since)}" if progress.since else ""
    return Text.assemble(
        (f"{escape(str(ref_of(mesh)))}: ", "bold"),
        f"{told}: ",
        (escape(progress.phase), _STYLES[progress.pace]),
        since,
    )


def _build_bar(name: str, part: int, whole: int, told: str) -> Text:
    filled = _WIDTH * min(part, whole) // whole if whole else _WIDTH
    return Text.assemble(
        f"{name:<10} [", ("#" * filled, "green"), "-" * (_WIDTH - filled), f"] {part} of {whole} {told}"
    )


def _tell_rollout(rollout: Mapping[str, Any]) -> str:
    counts = {word: rollout[word] for word in ("rolling", "waiting", "manual") if rollout[word]}
    wave = f", wave {rollout['wave']} of {rollout['waves']}" if "wave" in rollout else ""
    return "".join(["are done", wave, *(f", {number} {word}" for word, number in counts.items())])
