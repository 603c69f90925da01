"""Overlays of a gateway, and what else takes `host` there: what reaches its objects, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from navarch.api.power.overlays import GATEWAY_FREE_PATCH, is_free_patch
from navarch.api.spec import Overlay
from navarch.core.gateway.checks import run_checks
from navarch.core.gateway.plan import build_gateway
from navarch.core.mesh.checks.inline import check_overlays_of_gateways
from navarch.core.mesh.layering import merge_settings
from navarch.core.model.findings import Finding
from navarch.core.model.labels import TEMPLATE
from navarch.core.model.reasons import Reason
from navarch.core.render.overlays import apply_overlays

from tests.golden.rendering import render_mesh, walk
from tests.unit.gateways import a_gateway, find
from tests.unit.observations import a_spec, an_observed_mesh, ask

BUDGET = "PodDisruptionBudget"


def overlay(kind: str, patch: dict[str, Any], name: str = "ingress") -> dict[str, Any]:
    return {"target": {"kind": kind, "name": name}, "patch": patch}


def findings(*overlays: dict[str, Any], **spec: Any) -> list[Finding]:
    return list(run_checks(a_gateway({"overlays": list(overlays), **spec})))


def render(*overlays: dict[str, Any], **spec: Any) -> list[Any]:
    return build_gateway(a_gateway({"overlays": list(overlays), **spec}))


def test_overlays_are_merged_into_the_objects_that_they_name_in_order_and_into_no_other() -> None:
    one = overlay("Service", {"spec": {"trafficDistribution": "PreferClose"}})
    two = overlay("Service", {"spec": {"trafficDistribution": "PreferSameNode"}})
    plain, patched = render(), render(one, two)
    assert find(patched, "Service")["spec"]["trafficDistribution"] == "PreferSameNode"
    assert [o for o in patched if o["kind"] != "Service"] == [o for o in plain if o["kind"] != "Service"]


def test_null_in_an_overlay_removes_a_limit_and_is_never_written_as_a_word() -> None:
    limits = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}
    budget = overlay(BUDGET, {"spec": {"maxUnavailable": None, "minAvailable": 1}})
    objects = render(budget, replicas=3, resources=limits)
    assert find(objects, BUDGET)["spec"]["minAvailable"] == 1
    assert "maxUnavailable" not in find(objects, BUDGET)["spec"]
    leaves = [value for _, value in walk(objects)]
    assert None not in leaves
    assert "null" not in leaves


def test_a_patch_of_the_pods_template_marks_it_anew_so_that_pods_are_told_from_older_ones() -> None:
    def mark(objects: list[Any]) -> str:
        template = find(objects, "Deployment")["spec"]["template"]
        return str(template["metadata"]["labels"][TEMPLATE])

    patch = {"spec": {"template": {"spec": {"dnsPolicy": "Default"}}}}
    assert mark(render(overlay("Deployment", patch))) != mark(render())


@pytest.mark.parametrize(
    ("bad", "field", "word"),
    [
        (overlay("ClusterRole", {}), "spec.overlays[0].target.kind", "cluster-scoped"),
        (overlay("Secret", {}), "spec.overlays[0].target.kind", "grants rights"),
        (overlay("Service", {}, name="other"), "spec.overlays[0].target", "no Service other is rendered"),
        (
            overlay("HorizontalPodAutoscaler", {}),
            "spec.overlays[0].target",
            "no HorizontalPodAutoscaler ingress is rendered",
        ),
        (
            overlay("Service", {"spec": {"selector": {"a": "b"}}}),
            "spec.overlays[0].patch.spec.selector",
            "find",
        ),
        (overlay("Service", {"metadata": None}), "spec.overlays[0].patch.metadata", "replace the whole map"),
        (
            overlay("Deployment", {"spec": {"template": {"spec": {"containers": []}}}}),
            "spec.overlays[0].patch.spec.template.spec.containers",
            "list",
        ),
        (
            overlay("Deployment", {"spec": {"template": {"spec": {"serviceAccountName": "default"}}}}),
            "spec.overlays[0].patch.spec.template.spec.serviceAccountName",
            "identity",
        ),
        (
            overlay("Deployment", {"metadata": {"labels": {"istio": "other"}}}),
            "spec.overlays[0].patch",
            "metadata.labels[istio]",
        ),
        *(
            (
                overlay("Deployment", {"spec": {"template": {"metadata": {"labels": {key: "other"}}}}}),
                "spec.overlays[0].patch",
                f"spec.template.metadata.labels[{key}]",
            )
            for key in ("istio.io/rev", "mesh.navarch.io/gateway-name", "sidecar.istio.io/inject")
        ),
        (
            overlay(
                "Deployment",
                {
                    "spec": {
                        "template": {"metadata": {"annotations": {"inject.istio.io/templates": "sidecar"}}}
                    }
                },
            ),
            "spec.overlays[0].patch",
            "inject.istio.io/templates",
        ),
    ],
    ids=str,
)
def test_an_overlay_reaches_nothing_that_is_guarded_and_says_where_it_tries(
    bad: dict[str, Any], field: str, word: str
) -> None:
    (finding,) = findings(bad)
    assert finding.reason in (Reason.OVERLAY_REFUSED, Reason.OVERLAY_UNMATCHED)
    assert finding.field == field
    assert word in f"{finding.message} {finding.value}"
    assert finding.remedy


@pytest.mark.parametrize(
    ("patch", "least", "field"),
    [
        ({"maxUnavailable": 0}, 2, "maxUnavailable"),
        ({"maxUnavailable": "0%"}, 9, "maxUnavailable"),
        ({"maxUnavailable": None, "minAvailable": 2}, 2, "minAvailable"),
        ({"maxUnavailable": None, "minAvailable": 5}, 2, "minAvailable"),
        ({"maxUnavailable": None, "minAvailable": "100%"}, 7, "minAvailable"),
        ({"maxUnavailable": None, "minAvailable": "51%"}, 2, "minAvailable"),
        ({"maxUnavailable": "1%"}, 2, ""),
        ({"maxUnavailable": None, "minAvailable": "50%"}, 2, ""),
        ({"maxUnavailable": None, "minAvailable": 1}, 2, ""),
    ],
    ids=str,
)
@pytest.mark.parametrize("scaled", [False, True])
def test_a_budget_that_could_never_be_met_is_refused_with_the_fewest_pods(
    patch: dict[str, Any], least: int, field: str, scaled: bool
) -> None:
    number = {"autoscaling": {"minReplicas": least, "maxReplicas": 20}} if scaled else {"replicas": least}
    found = findings(overlay("Service", {}), overlay(BUDGET, {"spec": patch}), **number)
    assert [f.field for f in found] == ([f"spec.overlays[1].patch.spec.{field}"] if field else [])
    assert all(str(least) in f.message for f in found)


def test_pods_that_could_not_be_injected_are_refused() -> None:
    def told(network: Any) -> list[str]:
        pods = {"spec": {"template": {"spec": {"hostNetwork": network}}}}
        return [finding.field for finding in findings(overlay("Deployment", pods))]

    assert told(True) == ["spec.overlays[0].patch.spec.template.spec.hostNetwork"]
    assert told(False) == []


def test_what_an_overlay_may_hold_without_host_is_a_list_of_fields_and_nothing_beside_them() -> None:
    for kind, tree in GATEWAY_FREE_PATCH.items():
        (fields,) = tree.values()
        assert is_free_patch(kind, {})
        assert is_free_patch(kind, {"spec": {field: {"any": "thing"} for field in fields}})
        assert is_free_patch(kind, {"spec": dict.fromkeys(fields)})
        for more in ({"metadata": {}}, {"spec": None}, {"spec": {"other": 1}}, {"spec": {"template": {}}}):
            assert not is_free_patch(kind, {"spec": {}, **more})
    assert not is_free_patch("ServiceAccount", {})
    assert not is_free_patch("NetworkPolicy", {})


def test_hooks_of_the_user_stand_in_the_proxy_beside_deregistration() -> None:
    hook = {"exec": {"command": ["sleep", "3"]}}

    def hooks(**spec: Any) -> Any:
        (container,) = find(build_gateway(a_gateway(spec)), "Deployment")["spec"]["template"]["spec"][
            "containers"
        ]
        return container.get("lifecycle")

    assert hooks() is None
    assert hooks(lifecycle={"preStop": hook}) == {"preStop": hook}
    both = hooks(lifecycle={"postStart": hook}, deregistrationSeconds=7)
    assert both == {"postStart": hook, "preStop": {"sleep": {"seconds": 7}}}


def test_external_addresses_reach_the_service() -> None:
    objects = build_gateway(a_gateway({"service": {"externalIPs": ["192.0.2.1", "2001:db8::1"]}}))
    assert find(objects, "Service")["spec"]["externalIPs"] == ["192.0.2.1", "2001:db8::1"]


def test_overlays_of_a_mesh_s_own_gateways_are_judged_by_the_mesh_with_their_place() -> None:
    bad = overlay("Service", {"spec": {"selector": {}}})
    gateways = {
        "defaults": {"overlays": [bad]},
        "eastWest": [
            {"name": "a", "networkGateway": "n"},
            {"name": "b", "networkGateway": "n", "overlays": [bad]},
        ],
    }
    found = ask(check_overlays_of_gateways, an_observed_mesh(spec=a_spec(gateways=gateways)))
    assert [f.field for f in found] == [
        "spec.gateways.defaults.overlays[0].patch.spec.selector",
        "spec.gateways.eastWest[1].overlays[0].patch.spec.selector",
    ]


def test_overlays_of_defaults_and_of_a_gateway_add_up_and_the_gateways_own_come_last() -> None:
    lower, upper = overlay("Service", {"spec": {"a": 1}}), overlay("Service", {"spec": {"b": 1}})
    merged = merge_settings({"overlays": [lower], "replicas": 2}, {"name": "x", "overlays": [upper]})
    assert merged == {"name": "x", "replicas": 2, "overlays": [lower, upper]}
    assert "overlays" not in merge_settings({"replicas": 2}, {"name": "x"})


def test_an_overlay_of_a_mesh_leaves_the_labels_by_which_its_pods_are_found_too() -> None:
    patch = {"spec": {"template": {"metadata": {"labels": {"istio.io/rev": "other"}}}}}
    objects = render_mesh()
    name = find(objects, "Deployment")["metadata"]["name"]
    said = Overlay.model_validate(overlay("Deployment", patch, name=name))
    _, (problem,) = apply_overlays(objects, [said])
    assert problem.reason is Reason.OVERLAY_REFUSED
    assert "spec.template.metadata.labels[istio.io/rev]" in problem.message
