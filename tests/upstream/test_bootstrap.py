"""What may stand in a proxy's configuration leaves Envoy's bootstrap whole: the real agent and Envoy decide.

The agent writes the bootstrap and starts Envoy, which here reads it and ends (`--mode init_only`).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from navarch.core.istio.validation.bootstrap import find_in_bootstrap

from lab.builds import ISTIO_LINES, NEWEST_ISTIO, IstioLine, ensure, ensure_envoy
from lab.certificates import build_authority
from tests.support.istiod import find_free_ports

Object = dict[str, Any]
INJECTION = (
    'x"}]}}}, "stats_flush_interval": "1s", "stats_sinks": [], '
    '"stats_config": {"stats_matcher": {"inclusion_list": {"patterns": [{"prefix": "e'
)
PIECES = (*"aZ0_.- |<&=/$%`;é", "{pod_ip}", "{{.x}}")
PATTERNS = (
    ".*",
    "it's",
    r"\.",
    "[a-z]+",
    "(?:a|b)",
    r"\d{2,5}",
    "a?",
    "^x$",
    "(b)",
    "[^*+]{3}",
    "=",
    "<",
    "é",
)
OK = "Envoy exited normally"

INITIALISE = """#!/bin/sh
cp "$2" "{copy}"
exec "{envoy}" --mode init_only "$@"
"""


@dataclass(frozen=True, slots=True)
class Result:
    """The bootstrap that the agent wrote, and whether Envoy takes it, with what it says."""

    bootstrap: str
    is_accepted: bool
    said: str


def make_bootstrap(line: IstioLine, config: Mapping[str, Any], folder: Path) -> Result:
    """Run the agent with this ProxyConfig, and an Envoy that reads its configuration and ends."""
    names = (f"pilot-agent-{line.versions[-1]}", line.bootstrap)
    agent, bootstrap = (ensure("node", only=names)[name] for name in names)
    for place in ("var/run/secrets/istio", "var/run/secrets/tokens", "etc/istio/proxy"):
        (folder / place).mkdir(parents=True)
    (folder / "var/run/secrets/tokens/istio-token").write_text("token")
    (folder / "var/run/secrets/istio/root-cert.pem").write_bytes(
        build_authority(common_name="root").certificate
    )
    copy, binary = folder / "bootstrap.json", folder / "envoy"
    binary.write_text(INITIALISE.format(copy=copy, envoy=ensure_envoy()))
    binary.chmod(0o755)
    status, admin, health, metrics = find_free_ports(4)
    own = {"binaryPath": str(binary), "discoveryAddress": "127.0.0.1:1"}
    environment = {
        "PATH": os.environ["PATH"],
        "POD_NAME": "pod",
        "POD_NAMESPACE": "app",
        "INSTANCE_IP": "127.0.0.1",
        "ISTIO_META_CLUSTER_ID": "Kubernetes",
        "CA_ADDR": "127.0.0.1:1",
        "ISTIO_BOOTSTRAP": str(bootstrap),
        "ENVOY_STATUS_PORT": str(health),
        "ENVOY_PROMETHEUS_PORT": str(metrics),
        "PROXY_CONFIG": json.dumps({**config, **own, "statusPort": status, "proxyAdminPort": admin}),
    }
    ended = subprocess.run(
        [agent, "proxy", "sidecar", "--domain", "app.svc.cluster.local"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert copy.exists(), ended.stdout[-2000:]
    return Result(copy.read_text(), OK in ended.stdout, ended.stdout)


def a_matcher(**lists: list[str]) -> Object:
    return {"proxyStatsMatcher": lists}


def draw_good(seed: int) -> Object:
    """Random texts and patterns that pass."""
    chance = random.Random(seed)
    texts = ["".join(chance.choices(PIECES, k=chance.randint(1, 8))) for _ in range(200)]
    patterns = ["".join(chance.choices(PATTERNS, k=chance.randint(1, 4))) for _ in range(200)]
    config = {
        **a_matcher(inclusionPrefixes=texts[:100], inclusionSuffixes=texts[100:], inclusionRegexps=patterns),
        "extraStatTags": ["request_protocol", "a.b-c"],
        "serviceCluster": "a b/c.é",
    }
    refused = {violation.path for violation in find_in_bootstrap(config, "")}
    matcher = config["proxyStatsMatcher"]
    for name, values in matcher.items():
        matcher[name] = [t for n, t in enumerate(values) if f"proxyStatsMatcher.{name}[{n}]" not in refused]
        assert len(matcher[name]) > len(values) / 2, "most of what is drawn is good"
    return config


def shape(tree: Any) -> Any:
    """The keys of a tree, with lists as the set of shapes in them."""
    if isinstance(tree, dict):
        return {key: shape(value) for key, value in sorted(tree.items())}
    if isinstance(tree, list):
        return sorted({json.dumps(shape(item)) for item in tree})
    return None


@pytest.mark.parametrize("line", ISTIO_LINES, ids=lambda line: line.minor)
def test_what_passes_makes_a_bootstrap_that_envoy_takes_and_that_has_no_other_keys(
    line: IstioLine, tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "full").mkdir()
    base = a_matcher(inclusionPrefixes=["a"], inclusionSuffixes=["b"], inclusionRegexps=["c"])
    plain = make_bootstrap(line, {**base, "extraStatTags": ["d"]}, tmp_path / "plain")
    full = make_bootstrap(line, draw_good(seed=1), tmp_path / "full")
    assert (plain.is_accepted, full.is_accepted) == (True, True), full.said[-3000:]
    # The agent escapes single quotes too: Envoy reads that, Python does not.
    before, after = (json.loads(result.bootstrap.replace("\\'", "'")) for result in (plain, full))
    for bootstrap in (before, after):
        # The node's metadata repeats the whole configuration.
        del bootstrap["node"]["metadata"]
    assert shape(after) == shape(before)


BAD: Mapping[str, Object] = {
    "a quote": a_matcher(inclusionPrefixes=['x"']),
    "more configuration": a_matcher(inclusionPrefixes=[INJECTION]),
    "a backslash": a_matcher(inclusionSuffixes=["x\\"]),
    "an open class": a_matcher(inclusionRegexps=["["]),
    "lookaround": a_matcher(inclusionRegexps=["(?=a)"]),
    "too many repetitions": a_matcher(inclusionRegexps=["(a{40}){40}"]),
    "a class by a name that RE2 has not": a_matcher(inclusionRegexps=["[[:nothing:]]"]),
}


@pytest.mark.parametrize("config", BAD.values(), ids=BAD)
def test_what_is_refused_would_break_the_bootstrap_or_add_to_it(config: Object, tmp_path: Path) -> None:
    assert list(find_in_bootstrap(config, "defaultConfig"))
    result = make_bootstrap(NEWEST_ISTIO, config, tmp_path)
    assert not result.is_accepted or "stats_sinks" in json.loads(result.bootstrap)
