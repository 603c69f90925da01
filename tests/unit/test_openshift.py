"""What OpenShift admits: pods of Navarch's under `restricted-v2`, and pods with a sidecar under our own.

The rules are those of SecurityContextConstraints (OpenShift: Managing security context constraints), as far
as such pods are concerned. No OpenShift was at hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from navarch.api.install import PROBE_NAMESPACE, build_install
from navarch.api.openshift import NAME, build_openshift
from navarch.core.grants import build_grants, list_roles
from navarch.core.render.components.trial import build_objects as build_trial
from navarch.core.revision.source import build_revision_input

from lab.light.injection import build_injector, inject
from tests.golden.rendering import (
    ASSETS,
    ENVIRONMENT,
    NAMESPACE,
    REVISION,
    find_one,
    render_gateway,
    render_mesh,
)

ROOT = Path(__file__).parents[2]
RANGE = range(1337, 1338)
"""Users of a namespace. On OpenShift istiod takes a proxy's from that range; the stand-in knows but one."""
RESTRICTED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "allowPrivilegedContainer": False,
    "allowedCapabilities": ["NET_BIND_SERVICE"],
    "requiredDropCapabilities": ["ALL"],
    "runAsUser": {"type": "MustRunAsRange"},
    "seccompProfiles": ["runtime/default"],
    "volumes": [
        *("configMap", "csi", "downwardAPI", "emptyDir"),
        *("ephemeral", "persistentVolumeClaim", "projected", "secret"),
    ],
}
"""restricted-v2 (openshift/cluster-kube-apiserver-operator, bindata/bootkube/scc-manifests)."""
SAFE_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start"}
"""Of those that Kubernetes counts among the safe ones, which every constraint allows, what our pods set."""
REQUIRED = (
    *("allowHostDirVolumePlugin", "allowHostIPC", "allowHostNetwork", "allowHostPID", "allowHostPorts"),
    *("allowPrivilegedContainer", "readOnlyRootFilesystem"),
)
"""Fields without which the API refuses a SecurityContextConstraints."""


def find_misfits(spec: Mapping[str, Any], constraints: Mapping[str, Any]) -> Iterator[str]:
    """Why a pod is not admitted under some constraints."""
    yield from (field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field))
    for volume in spec.get("volumes") or ():
        (kind,) = volume.keys() - {"name"}
        if kind not in constraints["volumes"]:
            yield f"volume {kind}"
    pod = spec.get("securityContext") or {}
    names = {each["name"] for each in pod.get("sysctls") or ()}
    yield from sorted(f"sysctl {name}" for name in names - SAFE_SYSCTLS)
    for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        for misfit in _find_misfits_of(pod | (container.get("securityContext") or {}), constraints):
            yield f"{container['name']}: {misfit}"


def _find_misfits_of(context: Mapping[str, Any], constraints: Mapping[str, Any]) -> Iterator[str]:
    capabilities = context.get("capabilities") or {}
    added = set(capabilities.get("add") or ()) - set(constraints["allowedCapabilities"])
    yield from (f"capability {name}" for name in sorted(added))
    if "ALL" not in capabilities.get("drop", ["ALL"]):
        yield "keeps capabilities"
    if context.get("privileged") and not constraints["allowPrivilegedContainer"]:
        yield "privileged"
    if context.get("allowPrivilegeEscalation") and not constraints["allowPrivilegeEscalation"]:
        yield "escalates"
    user = context.get("runAsUser")
    if constraints["runAsUser"]["type"] == "MustRunAsRange" and user is not None and user not in RANGE:
        yield f"user {user}"
    profile = (context.get("seccompProfile") or {}).get("type", "RuntimeDefault")
    if profile != "RuntimeDefault":
        yield f"seccomp {profile}"


def template_of(objects: list[Any], kind: str = "Deployment") -> dict[str, Any]:
    template: dict[str, Any] = find_one(objects, kind)["spec"]["template"]
    return template


def inject_into(template: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """What the injector of a mesh makes of a pod."""
    config = find_one(render_mesh(spec), "ConfigMap", f"istio-sidecar-injector-{REVISION}")["data"]
    pod = {"metadata": {"name": "pod", **template["metadata"]}, "spec": template["spec"]}
    injected = inject(
        pod,
        injector=build_injector(revision=REVISION, namespace=NAMESPACE, config_map=config, mesh={}),
    )
    made: dict[str, Any] = injected["spec"]
    return made


def list_pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod of Navarch's, by what it is."""
    install = build_install(grants=build_grants(ASSETS), roles=list_roles(ASSETS))
    yield "the operator", template_of(install)["spec"]
    yield "istiod", template_of(render_mesh())["spec"]
    yield "istiod of a hosted mesh", template_of(render_mesh({"hosting": "Hosted"}))["spec"]
    source = build_revision_input(find_one(render_mesh(), "MeshRevision"), ASSETS, ENVIRONMENT)
    trial = [*build_trial(source, ASSETS, attempt="0")]
    yield "the proxy by which a revision is tried", inject_into(template_of(trial))
    for kind, spec in (("Deployment", {}), ("DaemonSet", {"workload": "DaemonSet"})):
        yield f"a gateway ({kind})", inject_into(template_of(render_gateway(spec), kind))


PODS = dict(list_pods())
APPLICATION = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "w"}]},
}
CONSTRAINTS, ROLE, BINDING = build_openshift()


@pytest.mark.parametrize("what", PODS)
def test_a_pod_of_navarchs_fits_what_every_account_has(what: str) -> None:
    assert [*find_misfits(PODS[what], RESTRICTED)] == []


def test_a_pod_with_a_sidecar_fits_our_constraints_and_not_those_that_every_account_has() -> None:
    pod = inject_into(APPLICATION)
    assert [*find_misfits(pod, CONSTRAINTS)] == []
    assert [*find_misfits(pod, RESTRICTED)] == [
        "istio-init: capability NET_ADMIN",
        "istio-init: capability NET_RAW",
        "istio-init: user 0",
    ]


def test_what_the_templates_of_sidecars_may_add_is_allowed_and_nothing_else() -> None:
    config = find_one(render_mesh(), "ConfigMap", f"istio-sidecar-injector-{REVISION}")["data"]["config"]
    template = yaml.safe_load(config)["templates"]["sidecar"]
    added = {name for each in re.findall(r"add: \[([A-Z_, ]+)\]", template) for name in each.split(", ")}
    added |= set(re.findall(r'append \$added "([A-Z_]+)"', template))
    assert added == set(CONSTRAINTS["allowedCapabilities"])


@pytest.mark.parametrize(
    ("context", "misfit"),
    [
        ({"privileged": True}, "privileged"),
        ({"allowPrivilegeEscalation": True}, "escalates"),
        ({"capabilities": {"add": ["SYS_ADMIN"]}}, "capability SYS_ADMIN"),
        ({"capabilities": {"drop": ["KILL"]}}, "keeps capabilities"),
        ({"seccompProfile": {"type": "Unconfined"}}, "seccomp Unconfined"),
    ],
)
def test_our_constraints_let_a_pod_do_nothing_more(context: dict[str, Any], misfit: str) -> None:
    spec = {"containers": [{"name": "web", "image": "w", "securityContext": context}]}
    assert [*find_misfits(spec, CONSTRAINTS)] == [f"web: {misfit}"]
    assert [
        *find_misfits({**spec, "hostNetwork": True, "volumes": [{"name": "a", "hostPath": {}}]}, CONSTRAINTS)
    ][:2] == ["hostNetwork", "volume hostPath"]


def test_the_manifest_is_of_its_kind_and_names_the_account_of_the_probe_alone() -> None:
    stored = list(yaml.safe_load_all((ROOT / "deploy" / "openshift" / "sidecars.yaml").read_text()))
    assert stored == build_openshift()
    beside = {path.name for path in (ROOT / "deploy").glob("*.yaml")}
    assert beside == {"install.yaml"}, "what other clusters lack the kinds of is in folders of its own"
    assert (CONSTRAINTS["apiVersion"], CONSTRAINTS["kind"]) == (
        "security.openshift.io/v1",
        "SecurityContextConstraints",
    )
    assert all(isinstance(CONSTRAINTS[field], bool) for field in REQUIRED)
    assert not any(CONSTRAINTS[field] for field in REQUIRED)
    assert (CONSTRAINTS["users"], CONSTRAINTS["groups"]) == ([], [])
    (rule,) = ROLE["rules"]
    assert (rule["resources"], rule["resourceNames"], rule["verbs"]) == (
        ["securitycontextconstraints"],
        [NAME],
        ["use"],
    )
    assert BINDING["metadata"]["namespace"] == PROBE_NAMESPACE
    assert BINDING["roleRef"]["name"] == ROLE["metadata"]["name"] == NAME
    assert BINDING["subjects"] == [
        {"kind": "ServiceAccount", "name": "default", "namespace": PROBE_NAMESPACE}
    ], "the dry run names no account, so its pod has the one of every pod"


def test_the_guide_binds_the_role_that_the_manifest_makes() -> None:
    guide = (ROOT / "docs" / "how-to" / "openshift.md").read_text()
    assert f"kubectl create rolebinding {NAME} -n shop --clusterrole={NAME}" in guide
    assert "--group=system:serviceaccounts:shop" in guide
