"""`python -m lab`: the lab's command line.

Must never hold more than arguments and output: what starts, ends or knows a lab is in the other modules.
Answers go to stdout, progress and errors to stderr; an error the user can act on is one line and exit code 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from lab import cluster as clusters
from lab import processes, slots
from lab.cluster import Cluster
from lab.processes import Process
from lab.progress import LabError, say
from lab.slots import Kind

app = typer.Typer(
    help="Kubernetes clusters made of real processes on this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

KindArgument = Annotated[Kind | None, typer.Argument(help="light or node")]
Name = Annotated[str | None, typer.Option("--name", help="the lab's name; default: its kind")]


@app.command()
def up(
    kind: Annotated[Kind, typer.Argument(help="light or node")],
    name: Name = None,
    kubernetes: Annotated[
        str, typer.Option(help="minor of Kubernetes, such as 1.32; light labs only; default: the newest")
    ] = "",
    extra: Annotated[Literal["olm"] | None, typer.Option("--with", help="what else runs in it")] = None,
) -> None:
    """Start a lab, and print the path of its kubeconfig."""
    if clusters.is_current():
        raise LabError("CLUSTER=current: the current context is used, there is no lab to start")
    name = name or kind
    if (there := slots.kind_of(name)) not in {None, kind}:
        raise LabError(f"the lab {name!r} is a {there} lab: choose another --name")
    if kubernetes and kind == "node":
        raise LabError("a node lab has the newest Kubernetes: --kubernetes is for light labs")
    cluster = _start(name, kind, kubernetes=kubernetes)
    if extra == "olm":
        _add_olm(cluster)
    print(clusters.published(name) / "kubeconfig")


@app.command()
def down(
    kind: KindArgument = None,
    name: Name = None,
    everything: Annotated[bool, typer.Option("--all", help="every lab of this user")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="keep a node lab's state for its next start")] = False,
) -> None:
    """End a lab and remove what is left of it, also of one that crashed. Default: the labs light and node."""
    wanted = slots.names() if everything else [name or kind] if name or kind else ["light", "node"]
    there = [lab for lab in wanted if lab and slots.kind_of(lab)]
    for lab in there:
        stop(lab, keep=keep)
        say(f"{lab}: down")
    if not there:
        say("there is no such lab")


@app.command()
def status() -> None:
    """Show every lab, its processes, ports and memory."""
    for name in slots.names():
        state = slots.state_of(name)
        daemons = processes.recorded(state)
        complete = (state / "cluster.json").exists() and all(p.is_alive() for p in daemons)
        total = sum(p.memory() for p in daemons)
        print(f"{name}: {slots.kind_of(name)} lab, {'up' if complete else 'broken or starting'}, {total} MiB")
        for daemon in daemons:
            print(_describe(daemon))
        print(f"  state {state}")


@app.command()
def kubeconfig(kind: KindArgument = None, name: Name = None) -> None:
    """Print the path of a lab's kubeconfig."""
    found = clusters.find(name or kind)
    print(found.kubeconfig if found.kind == "current" else clusters.published(found.name) / "kubeconfig")


@app.command()
def images() -> None:
    """Build the node lab's images, and print their archives."""
    from lab.images.base import ensure_base_archive
    from lab.images.operator import ensure_operator_archive

    print(ensure_base_archive())
    print(ensure_operator_archive(clusters.CHECKOUT))


def stop(name: str, *, keep: bool = False) -> None:
    """Ends a lab of either kind."""
    # Each kind is imported only when it is meant: a light lab works where the node lab's parts do not.
    if slots.kind_of(name) == "node":
        from lab.node import cluster as node

        node.down(name, keep=keep)
    else:
        from lab.light import cluster as light

        light.down(name)


def _start(name: str, kind: Kind, *, kubernetes: str) -> Cluster:
    if kind == "node":
        from lab.node import cluster as node

        return node.up(name)
    from lab.light import cluster as light

    return light.up(name, kubernetes=kubernetes)


def _add_olm(cluster: Cluster) -> None:
    if cluster.kind == "node":
        from lab.node import olm as node_olm

        node_olm.add(cluster)
    else:
        from lab.light import olm as light_olm

        light_olm.add(cluster)


def _describe(daemon: Process) -> str:
    port = f"127.0.0.1:{daemon.port}" if daemon.port else "-"
    alive = f"{daemon.memory()} MiB" if daemon.is_alive() else "ended"
    return f"  {daemon.name:<24} pid {daemon.pid:<8} {port:<16} {alive}"


def main() -> None:
    """Runs the command line."""
    try:
        app()
    except LabError as error:
        say(f"lab: {error}")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
