"""OLM for a cluster of the lab: its two operators and a catalog server, as processes.

Owns these processes and the namespace `olm`. Must never listen anywhere but on 127.0.0.1: the builds are
edited to that end (lab/builds.py). On a light cluster a catalog's bundles must hold their objects: pods are
pretended there, and so is the one that would unpack an image. Invariant: `down` of the lab ends them like all
others.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import builds, processes, slots
from lab.cluster import Cluster, KubectlError
from lab.progress import LabError, say

NAMESPACE = "olm"
CATALOG = "lab"
_OPM = "opm"


@dataclass(frozen=True, slots=True)
class OLM:
    """A cluster's OLM. `catalogs` is the folder that its catalog server reads when it starts."""

    cluster: Cluster
    catalogs: Path
    port: int

    def publish(self, catalog: str, *, package: str) -> None:
        """Serve a package by the text of its file-based catalog, in place of what was served before."""
        folder = self.catalogs / package
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "catalog.yaml").write_text(catalog)
        self._validate()
        state = self.cluster.state
        if any(p.name == _OPM and p.is_alive() for p in processes.recorded(state)):
            processes.halt(state, _OPM)
        argv: list[str | Path] = [builds.ensure("olm")[_OPM], "serve", self.catalogs, "-p", str(self.port)]
        argv += ["-t", state / "log" / "opm.termination", "--pprof-addr", ""]
        log, env = state / "log" / "opm.log", _environment(self.cluster)
        processes.start(state, _OPM, argv, log=log, port=self.port, env=env)
        self.cluster.run("apply", "-f", "-", stdin=json.dumps(self._build_source()))
        self._wait_until_read()

    def _validate(self) -> None:
        """Refuse a catalog that opm would, in its words."""
        argv: list[str | Path] = [builds.ensure("olm")[_OPM], "validate", self.catalogs]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise LabError(f"opm validate: {done.stderr.strip()}")

    def _build_source(self) -> dict[str, object]:
        return {
            "apiVersion": "operators.coreos.com/v1alpha1",
            "kind": "CatalogSource",
            "metadata": {"name": CATALOG, "namespace": NAMESPACE},
            "spec": {"sourceType": "grpc", "address": f"127.0.0.1:{self.port}", "displayName": "The lab's"},
        }

    def _wait_until_read(self) -> None:
        state = "{.status.connectionState.lastObservedState}"
        # One that waits, not one that asks again and again: each kubectl takes a tenth of a second of CPU.
        waiting = ("wait", f"--for=jsonpath={state}=READY", f"catalogsource/{CATALOG}", "-n", NAMESPACE)
        try:
            self.cluster.run(*waiting, "--timeout=240s", timeout=250)
        except KubectlError as error:
            raise LabError(f"{self.cluster.name}: OLM does not read the catalog: {error}") from error


def add(cluster: Cluster, *, unpacking: Sequence[str] = ()) -> OLM:
    """Start OLM for a cluster, or find the one that runs there. It has no catalog yet. `unpacking` are flags
    that say with which images bundles are unpacked."""
    port = slots.claim(cluster.name, "node" if cluster.kind == "node" else "light").port(_OPM)
    found = OLM(cluster, cluster.state / "catalogs", port)
    alive = {process.name for process in processes.recorded(cluster.state) if process.is_alive()}
    if {"olm", "catalog"} <= alive:
        return found
    binaries = builds.ensure("olm")
    cluster.run("apply", "--server-side", "-f", str(binaries["olm-crds"]))
    cluster.run("wait", "--for=condition=Established", "--timeout=240s", "-f", str(binaries["olm-crds"]))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    cluster.run("apply", "-f", "-", stdin=json.dumps(namespace))
    env = _environment(cluster)
    for name in ("olm", "catalog"):
        log = cluster.state / "log" / f"{name}.log"
        argv: list[str | Path] = [binaries[name], "--namespace", NAMESPACE]
        argv += unpacking if name == "catalog" else ()
        processes.start(cluster.state, name, argv, log=log, env=env)
    say(f"{cluster.name}: OLM runs")
    return found


def _environment(cluster: Cluster) -> dict[str, str]:
    """What these programs are told beside flags, and nothing of the caller's: the cluster, and a place for
    their caches."""
    temporary = cluster.state / "tmp"
    temporary.mkdir(exist_ok=True)
    return {"KUBECONFIG": str(cluster.kubeconfig), "HOME": str(cluster.state), "TMPDIR": str(temporary)}
