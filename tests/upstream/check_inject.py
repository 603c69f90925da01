"""`istioctl experimental check-inject`: what Istio's own command says of a pod, by the webhooks of a cluster.

Owns the API server that it asks, which has nothing but namespaces and webhooks. Must never evaluate a
selector itself.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from lab.builds import IstioLine, ensure

Object = dict[str, Any]
INJECTS = "✔"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
_NAMESPACE = "/api/v1/namespaces/"
ALWAYS = {"app": "web"}
"""Labels that every pod has: the command takes no pod without any."""
PATIENCE = 120
"""Seconds; a call takes a fraction of one, and more where many other programs run."""


@dataclass(frozen=True, slots=True)
class CheckInject:
    """The command of a minor, against an API server with some webhooks."""

    program: Path
    kubeconfig: Path

    def ask(self, namespace: str, pod: Mapping[str, str]) -> frozenset[str]:
        """The names of the webhook configurations that would inject a pod with these labels."""
        labels = ",".join(f"{key}={value}" for key, value in {**ALWAYS, **pod}.items())
        words = ("experimental", "check-inject", "--kubeconfig", self.kubeconfig, "-n", namespace)
        done = subprocess.run(
            [self.program, *words, "--labels", labels],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        header, *rows = (_ANSI.sub("", line).split() for line in done.stdout.splitlines())
        assert header[:3] == ["WEBHOOK", "REVISION", "INJECTED"], done.stdout
        return frozenset(row[0] for row in rows if INJECTS in row[:3])


@contextmanager
def run_check_inject(
    line: IstioLine,
    *,
    namespaces: Mapping[str, Mapping[str, str]],
    webhooks: Sequence[Object],
    folder: Path,
) -> Iterator[CheckInject]:
    """The command, in a cluster with these namespaces and their labels, and these webhooks."""
    kinds = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfigurationList"}
    found = {_WEBHOOKS: {**kinds, "metadata": {}, "items": [*webhooks]}}
    for name, labels in namespaces.items():
        metadata = {"name": name, "labels": {"kubernetes.io/metadata.name": name, **labels}}
        found[_NAMESPACE + name] = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = found.get(self.path.partition("?")[0])
            text = json.dumps(body or {"apiVersion": "v1", "kind": "Status", "code": 404}).encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Nothing: what the command says counts."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(json.dumps(_build_kubeconfig(server.server_port)))
        try:
            yield CheckInject(ensure("node", only=[line.istioctl])[line.istioctl], kubeconfig)
        finally:
            server.shutdown()


def _build_kubeconfig(port: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "only",
        "clusters": [{"name": "only", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "contexts": [{"name": "only", "context": {"cluster": "only", "user": "nobody"}}],
        "users": [{"name": "nobody", "user": {}}],
    }
