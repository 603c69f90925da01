"""All rules together: their list is whole, a good mesh passes, and every reason can be reached."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import replace
from typing import Any

import pytest
from navarch.core.mesh import checks
from navarch.core.mesh.checks import run_checks
from navarch.core.mesh.observed import ObservedMesh
from navarch.core.model.findings import Severity
from navarch.core.model.reasons import Reason

from tests.unit.observations import PARENT, a_mesh, a_revision, a_spec, a_webhook, an_observed_mesh, assets

RICH = a_spec(
    version="1.31",
    profiles=["production"],
    tag="blue",
    defaultTag=True,
    trust={"domain": "shop.example", "additionalDomains": ["old.example"]},
    mtls={"mode": "Strict", "minimumProtocolVersion": "TLSv1_3"},
    proxy={
        "logLevel": "info",
        "resources": {"requests": {"cpu": "50m"}},
        "accessLog": {"file": "/dev/stdout"},
    },
    controlPlane={"environment": [{"name": "PILOT_TRACE_SAMPLING", "value": "10"}], "networkPolicy": True},
    images={"hub": "registry.example/istio", "pullSecrets": [{"name": "pull"}]},
    meshConfig={"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}},
    values={"global": {"network": "west"}},
    overlays=[
        {
            "target": {"kind": "Service", "name": "istiod-blue-inplace"},
            "patch": {"spec": {"ipFamilyPolicy": "PreferDualStack"}},
        }
    ],
)
SPECS = {"the least": a_spec(), "the older minor": a_spec(version="1.30"), "everything": RICH}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_a_good_mesh_gives_no_findings(spec: dict[str, Any]) -> None:
    neighbours = (a_mesh("bank"), a_mesh("farm", tag="green", created="2026-09-01T00:00:00Z"))
    foreign = (a_webhook("istio-sidecar-injector-legacy", revision="legacy"),)
    assert run_checks(an_observed_mesh(spec=spec, neighbours=neighbours, webhooks=foreign)) == ()


def bad(**fields: Any) -> ObservedMesh:
    return an_observed_mesh(spec=a_spec(**fields))


MISSING_TARGET = {"target": {"kind": "Service", "name": "none"}, "patch": {}}
CLUSTER_SCOPED = {"target": {"kind": "ClusterRole", "name": "x"}, "patch": {}}
LOOP = {"a": {"profiles": ["a"]}}
BAD_INPUT: dict[Reason, ObservedMesh] = {
    Reason.INVALID_SPEC: an_observed_mesh(spec={"version": "newest"}, spec_error="broken"),
    Reason.UNKNOWN_VERSION: bad(version="9.9"),
    Reason.KUBERNETES_TOO_OLD: an_observed_mesh(kubernetes=(1, 29)),
    Reason.DOWNGRADE: replace(bad(version="1.30"), revisions=(a_revision("1.31.0", serving="1.31.0"),)),
    Reason.SKIPPED_MINOR: replace(bad(version="1.31"), revisions=(a_revision("1.29.0", serving="1.29.0"),)),
    Reason.NOT_THE_OLDEST: an_observed_mesh(neighbours=(a_mesh("shop", "first"),)),
    Reason.NAMESPACE_REFUSED: an_observed_mesh(parent=replace(PARENT, namespace="kube-system")),
    Reason.TAG_CONFLICT: an_observed_mesh(spec=a_spec(tag="blue"), neighbours=(a_mesh("bank", tag="blue"),)),
    Reason.DEFAULT_TAG_CONFLICT: an_observed_mesh(
        spec=a_spec(defaultTag=True), neighbours=(a_mesh("bank", default_tag=True),)
    ),
    Reason.SCOPE_CONFLICT: an_observed_mesh(spec=a_spec(scope="Cluster"), neighbours=(a_mesh("bank"),)),
    Reason.NAME_TOO_LONG: an_observed_mesh(parent=replace(PARENT, name="m" * 64)),
    Reason.PROFILE_NOT_FOUND: bad(profiles=["none"]),
    Reason.PROFILE_CYCLE: an_observed_mesh(spec=a_spec(profiles=["a"]), profiles=LOOP),
    Reason.PROFILE_INVALID: an_observed_mesh(spec=a_spec(profiles=["a"]), profiles={"a": {"zzz": 1}}),
    Reason.OVERLAY_UNMATCHED: bad(overlays=[MISSING_TARGET]),
    Reason.OVERLAY_REFUSED: bad(overlays=[CLUSTER_SCOPED]),
    Reason.FIELD_REFUSED: bad(meshConfig={"rootNamespace": "kube-system"}),
    Reason.MESH_CONFIG_INVALID: bad(meshConfig={"defaultConfig": []}),
    Reason.VALUES_INVALID: bad(values={"global": {"proxy": []}}),
    Reason.FOREIGN_ISTIO: an_observed_mesh(webhooks=(a_webhook("x", revision="1-31", tag="shop-mesh"),)),
}
NOTICES: dict[Reason, tuple[Severity, ObservedMesh]] = {
    Reason.UNKNOWN_FIELD: (Severity.WARNING, bad(meshConfig={"accesLogFile": "x"})),
    Reason.FIELD_WITHOUT_EFFECT: (
        Severity.WARNING,
        bad(proxy={"accessLog": {"file": "/dev/stdout"}}, meshConfig={"accessLogFile": "/dev/stderr"}),
    ),
    Reason.VALUE_UNREAD: (Severity.WARNING, bad(values={"pilot": {"replicaCount": 3}})),
    Reason.UNTESTED_KUBERNETES: (Severity.INFO, an_observed_mesh(kubernetes=(1, 99))),
}


@pytest.mark.parametrize(("reason", "observed"), BAD_INPUT.items(), ids=[str(reason) for reason in BAD_INPUT])
def test_bad_input_is_one_error_of_its_own_reason(reason: Reason, observed: ObservedMesh) -> None:
    (finding,) = run_checks(observed)
    assert (finding.reason, finding.severity) == (reason, Severity.ERROR)


@pytest.mark.parametrize("reason", NOTICES, ids=str)
def test_what_is_only_worth_a_word_stops_nothing(reason: Reason) -> None:
    severity, observed = NOTICES[reason]
    (finding,) = run_checks(observed)
    assert (finding.reason, finding.severity) == (reason, severity)


def test_every_rule_in_the_package_is_asked() -> None:
    modules = [
        importlib.import_module(f"{checks.__name__}.{m.name}") for m in pkgutil.iter_modules(checks.__path__)
    ]
    written = {
        function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isgeneratorfunction)
        if name.startswith("check_") and function.__module__ == module.__name__
    }
    assert written == {*checks.CHECKS_OF_PLACE, *checks.CHECKS_OF_SPEC}
    assert all(inspect.getdoc(function) for function in written)


def test_an_unreadable_spec_still_tells_of_the_place() -> None:
    observed = an_observed_mesh(
        parent=replace(PARENT, namespace="kube-system"), spec={"version": "newest"}, spec_error="broken"
    )
    assert [finding.reason for finding in run_checks(observed)] == [
        Reason.NAMESPACE_REFUSED,
        Reason.INVALID_SPEC,
    ]


def test_many_mistakes_are_all_told_errors_first_and_always_in_the_same_order() -> None:
    observed = an_observed_mesh(
        spec=a_spec(
            profiles=["production"],
            meshConfig={"rootNamespace": "x", "accesLogFile": "x"},
            values={"zzz": 1},
            overlays=[MISSING_TARGET, CLUSTER_SCOPED],
        ),
        neighbours=(a_mesh("shop", "first"),),
        kubernetes=(1, 99),
    )
    findings = run_checks(observed)
    assert len(findings) == 7
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities, key=[*Severity].index)
    assert findings == run_checks(observed)


def test_rules_do_not_depend_on_the_order_of_what_was_observed() -> None:
    others = (a_mesh("bank", tag="blue"), a_mesh("shop", "first"), a_mesh("farm", tag="blue"))
    webhooks = (a_webhook("a", revision="blue"), a_webhook("b", tag="blue", revision="x"))
    observed = an_observed_mesh(spec=a_spec(tag="blue"), neighbours=others, webhooks=webhooks)
    turned = replace(observed, meshes=observed.meshes[::-1])
    assert run_checks(turned) == run_checks(observed)


def test_no_rule_fails_on_a_version_that_the_catalog_has_lost() -> None:
    observed = replace(
        bad(version="9.9", overlays=[MISSING_TARGET], values={"a": 1}),
        revisions=(a_revision("9.8.7", serving="9.8.7"),),
    )
    assert {finding.reason for finding in run_checks(observed)} == {Reason.UNKNOWN_VERSION}
    assert assets().catalog.find("9.8.7") is None
