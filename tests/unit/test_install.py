"""The install manifests: they fit together, and they fit PodSecurity's strictest level."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from navarch.api.install import GRACE_SECONDS, METRICS_PORT, PORT, build_install
from navarch.api.meta import IMAGE
from navarch.assets import load_assets
from navarch.core.grants import list_roles
from navarch.settings import Settings
from navarch.telemetry.certificates import USUAL
from navarch.telemetry.exposition import PATH

Manifest = dict[str, Any]


def install(**settings: Any) -> list[Manifest]:
    return build_install(grants=[], roles=list_roles(load_assets()), **settings)


def only(manifests: list[Manifest], kind: str, name: str = "navarch", namespace: str = "") -> Manifest:
    found = [
        m
        for m in manifests
        if (m["kind"], m["metadata"]["name"]) == (kind, name)
        and namespace in ("", m["metadata"].get("namespace"))
    ]
    assert len(found) == 1
    return found[0]


def test_what_others_refer_to_comes_before_them() -> None:
    manifests = install()
    kinds = [m["kind"] for m in manifests]
    namespaces = [m["metadata"]["name"] for m in manifests if m["kind"] == "Namespace"]
    assert kinds[:4] == ["Namespace", "Namespace", "ResourceQuota", "ServiceAccount"]
    assert kinds[-1] == "Deployment"
    assert all(m["metadata"].get("namespace", namespaces[0]) in namespaces for m in manifests)


def test_no_object_is_there_twice() -> None:
    names = [(m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) for m in install()]
    assert len(names) == len(set(names))


def test_the_pod_satisfies_the_restricted_level_with_a_read_only_root() -> None:
    pod = only(install(), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert pod["volumes"][0].keys() == {"name", "emptyDir"}
    assert pod["terminationGracePeriodSeconds"] == GRACE_SECONDS


def test_two_replicas_survive_a_drain_and_an_update() -> None:
    manifests = install()
    deployment = only(manifests, "Deployment")["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert only(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert [s["topologyKey"] for s in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert {s["whenUnsatisfiable"] for s in spread} == {"ScheduleAnyway"}


def test_the_quota_leaves_room_for_the_priority_of_the_pods_amid_an_update() -> None:
    manifests = install()
    deployment = only(manifests, "Deployment")["spec"]
    quota = only(manifests, "ResourceQuota", "navarch-critical-pods")["spec"]
    (selector,) = quota["scopeSelector"]["matchExpressions"]
    assert selector["values"] == [deployment["template"]["spec"]["priorityClassName"]]
    surge = deployment["strategy"]["rollingUpdate"]["maxSurge"]
    assert int(quota["hard"]["pods"]) > deployment["replicas"] + surge


def test_selectors_find_the_pod() -> None:
    manifests = install()
    labels = only(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        only(manifests, "Deployment")["spec"]["selector"]["matchLabels"],
        only(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only(manifests, "Service", "navarch-metrics")["spec"]["selector"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)


def test_the_service_and_the_probes_reach_the_port_that_the_settings_open() -> None:
    manifests = install()
    (container,) = only(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["ports"][0]["containerPort"] == PORT == Settings.model_fields["listen_port"].default
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": container["ports"][0]["name"]}
    assert container["startupProbe"]["httpGet"] == container["livenessProbe"]["httpGet"]
    assert container["readinessProbe"]["httpGet"] == {
        "path": "/readyz",
        "port": container["ports"][0]["name"],
    }
    served = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert served["metrics"] == METRICS_PORT == Settings.model_fields["metrics_port"].default
    (port,) = only(manifests, "Service", "navarch-metrics")["spec"]["ports"]
    assert (port["targetPort"], port["port"]) == ("metrics", METRICS_PORT)


def test_a_certificate_of_the_metrics_may_come_later_and_is_mounted_where_it_is_looked_for_first() -> None:
    pod = only(install(), "Deployment")["spec"]["template"]["spec"]
    (mount,) = (each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "metrics-tls")
    (volume,) = (each for each in pod["volumes"] if each["name"] == "metrics-tls")
    assert volume["secret"] == {"secretName": "navarch-metrics-tls", "optional": True}
    folder, files = USUAL[0]
    assert (mount["mountPath"], files) == (str(folder), ("tls.crt", "tls.key"))


def test_the_right_to_read_metrics_is_a_role_that_nobody_is_bound_to() -> None:
    manifests = install()
    role = only(manifests, "ClusterRole", "navarch-metrics-reader")
    assert role["rules"] == [{"nonResourceURLs": [PATH], "verbs": ["get"]}]
    assert not any("aggregate-to-" in label for label in role["metadata"]["labels"])
    assert "navarch-metrics-reader" not in {m.get("roleRef", {}).get("name") for m in manifests}


def test_every_variable_is_a_setting() -> None:
    (container,) = only(install(), "Deployment")["spec"]["template"]["spec"]["containers"]
    names = {variable["name"].removeprefix("NAVARCH_").lower() for variable in container["env"]}
    assert names <= set(Settings.model_fields)


def test_other_namespaces_and_another_image_reach_everything() -> None:
    text = str(install(image="example/navarch:2", namespace="ops", probe_namespace="ops-probe"))
    assert "navarch-system" not in text
    assert "navarch-probe" not in text
    assert IMAGE not in text
    assert "system:serviceaccount:ops:navarch" in text


def test_the_default_image_is_this_release() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert f"{project['name']}:{project['version']}" == IMAGE


def test_policies_name_the_service_account_that_the_pods_run_as() -> None:
    manifests = install()
    account = only(manifests, "ServiceAccount")["metadata"]
    assert only(manifests, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == account["name"]
    policy = only(manifests, "ValidatingAdmissionPolicy", "revisions.mesh.navarch.io")
    assert f"system:serviceaccount:{account['namespace']}:{account['name']}" in str(policy)
    for binding in (m for m in manifests if m["kind"] in ("RoleBinding", "ClusterRoleBinding")):
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", **{k: account[k] for k in ("name", "namespace")}}
        ]


def test_pods_are_created_in_the_probe_namespace_and_nowhere_else() -> None:
    manifests = install()
    creating = [
        m["metadata"]["name"]
        for m in manifests
        for rule in m.get("rules") or ()
        if "create" in rule["verbs"] and "pods" in rule.get("resources", ())
    ]
    assert creating == ["navarch-dry-run"]
    bound = [
        (m["kind"], m["metadata"].get("namespace"))
        for m in manifests
        if m.get("roleRef", {}).get("name") == "navarch-dry-run"
    ]
    assert bound == [("RoleBinding", "navarch-probe")]


def test_the_probe_namespace_is_open_to_pods_and_in_no_mesh() -> None:
    labels = only(install(), "Namespace", "navarch-probe")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
    assert not {"istio-injection", "istio.io/rev"} & labels.keys()
    system = only(install(), "Namespace", "navarch-system")["metadata"]["labels"]
    assert system["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("name", ["navarch-mesh-view", "navarch-mesh-admin"])
def test_hosting_is_in_no_role_that_namespace_admins_get_by_themselves(name: str) -> None:
    manifests = install()
    role = only(manifests, "ClusterRole", name)
    assert any("aggregate-to-" in label for label in role["metadata"]["labels"])
    assert not any("host" in rule["verbs"] or "*" in rule["verbs"] for rule in role["rules"])
    host = only(manifests, "ClusterRole", "navarch-mesh-host")
    (rule,) = host["rules"]
    # OLM gives a namespace's administrators every verb on our kinds, and none on their subresources.
    assert (rule["resources"], rule["verbs"]) == (["meshcontrolplanes/host"], ["host"])
    assert not any("aggregate-to-" in label for label in host["metadata"]["labels"])


def test_no_service_of_the_namespace_reaches_the_settings_of_the_operator() -> None:
    """Of a Service `navarch-metrics` Kubernetes makes the variable NAVARCH_METRICS_PORT, tcp://…:8443, with
    which the operator does not start."""
    assert only(install(), "Deployment")["spec"]["template"]["spec"]["enableServiceLinks"] is False
