"""ServiceMonitor and PrometheusRule, held against the Prometheus Operator's own definitions of these kinds by
a real API server. The operator itself does not run here."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from navarch.api.monitoring.rules import build_monitoring

from lab import builds
from lab.cluster import Cluster, KubectlError
from tests.cluster.conftest import a_lab
from tests.support.command import navarch
from tests.support.guides import read_section
from tests.support.operator import SYSTEM

CRDS = "prometheus-operator-crds"
NAMES = "servicemonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com"
Object = dict[str, Any]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A lab that serves both kinds, and has the operator's namespace."""
    definitions = builds.ensure("prometheus", only=[CRDS])[CRDS]
    with a_lab("monitors") as cluster:
        cluster.run("apply", "--server-side", "-f", str(definitions))
        names = (f"crd/{name}" for name in NAMES)
        cluster.run("wait", "--for=condition=Established", "--timeout=240s", *names)
        cluster.run("create", "namespace", SYSTEM)
        yield cluster


def try_out(cluster: Cluster, manifest: Object) -> str:
    """What the API server would store; its reason where it refuses. An unknown field is an error."""
    how = ("--dry-run=server", "--validate=strict", "-o", "json")
    try:
        return cluster.run("apply", *how, "-f", "-", stdin=json.dumps(manifest))
    except KubectlError as error:
        return f"refused: {error}"


def test_what_the_command_prints_is_accepted_and_stored_as_it_is(cluster: Cluster) -> None:
    printed = navarch("manifests", "--monitoring").out
    cluster.run("apply", "--validate=strict", "-f", "-", stdin=printed)
    for wanted in yaml.safe_load_all(printed):
        kind = f"{wanted['kind'].lower()}.monitoring.coreos.com"
        found = json.loads(cluster.run("get", kind, "navarch", "-n", SYSTEM, "-o", "json"))
        assert found["spec"] == wanted["spec"]


def test_the_changes_that_the_guide_offers_are_accepted(cluster: Cluster) -> None:
    text = read_section("monitor.md", "Alerts")
    (ca,) = re.findall(r"`(ca: \{secret.*?\}\})`", text)
    (authorization,) = re.findall(r"`(authorization: \{credentials: \{name.*?\}\})`", text)
    monitor = copy.deepcopy(build_monitoring()[0])
    (endpoint,) = monitor["spec"]["endpoints"]
    del endpoint["tlsConfig"]["insecureSkipVerify"], endpoint["bearerTokenFile"]
    endpoint["tlsConfig"] |= yaml.safe_load(ca)
    endpoint |= json.loads(json.dumps(yaml.safe_load(authorization)).replace("SECRET", "reader"))
    assert json.loads(try_out(cluster, monitor))["spec"] == monitor["spec"]


def endpoint_of(monitor: Object) -> Object:
    found: Object = monitor["spec"]["endpoints"][0]
    return found


def rule_of(rule: Object) -> Object:
    found: Object = rule["spec"]["groups"][0]["rules"][0]
    return found


BROKEN: list[tuple[int, Callable[[Object], object], str]] = [
    (0, lambda m: endpoint_of(m).update(honorLabel=True), 'unknown field "spec.endpoints[0].honorLabel"'),
    (0, lambda m: endpoint_of(m).update(interval="often"), "spec.endpoints[0].interval"),
    (0, lambda m: endpoint_of(m).update(scheme="tls"), "spec.endpoints[0].scheme"),
    (0, lambda m: m["spec"].pop("selector"), "spec.selector"),
    (1, lambda r: rule_of(r).update({"for": "long"}), "spec.groups[0].rules[0].for"),
    (1, lambda r: rule_of(r).pop("expr"), "spec.groups[0].rules[0].expr"),
]


@pytest.mark.parametrize(("number", "breaking", "expected"), BROKEN, ids=[said for *_, said in BROKEN])
def test_the_definitions_refuse_what_is_wrong(
    cluster: Cluster, number: int, breaking: Callable[[Object], object], expected: str
) -> None:
    manifest = copy.deepcopy(build_monitoring()[number])
    breaking(manifest)
    said = try_out(cluster, manifest)
    assert said.startswith("refused:")
    assert expected in said
