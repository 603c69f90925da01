"""istiod: its account and rights, its mesh configuration, its workload.

Owns the control plane's own objects. Must never name an image that is neither the catalog's nor the user's.
Invariant: a Deployment that an autoscaler scales has no replicas of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.api.spec import Autoscaling, ControlPlane
from navarch.core.istio.assets import Assets
from navarch.core.istio.roles import gateway_controller_rules, istiod_cluster_rules, istiod_namespace_rules
from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import MESH_UID, RESTART
from navarch.core.model.refs import Manifest
from navarch.core.render.engine import dump_yaml, render_data
from navarch.core.render.source import RevisionInput
from navarch.core.render.values import build_mesh_config, build_values, environment_of, trust_domain_of

COMPONENT = "istiod"

LABELS = {"app": "istiod", "istio": "pilot"}

POD_LABELS = {
    "app": "istiod",
    "istio": "istiod",
    "istio.io/dataplane-mode": "none",
    "sidecar.istio.io/inject": "false",
}

NOT_READY = {"key": "cni.istio.io/not-ready", "operator": "Exists"}
"""Taint that Istio's CNI puts on nodes it has not reached yet; istiod must come up there all the same."""


DRAIN_SECONDS = 5
"""How long istiod goes on serving after its pod was told to end, while kube-proxy and the API server's open
connections still lead to it. Without it a roll refuses pods for up to a second (seen with istiods of 1.30 and
1.31)."""


def build_objects(revision: RevisionInput, assets: Assets) -> Iterator[Manifest]:
    """All objects of istiod."""
    values = build_values(revision, assets)
    yield from _build_rights(revision, assets)
    yield _render(
        revision,
        assets,
        "mesh-config-map",
        mesh=dump_yaml(build_mesh_config(revision, values)),
        networks=dump_yaml({"networks": values["global"]["meshNetworks"]}),
    )
    yield from _build_workload(revision, assets, values)


def _render(revision: RevisionInput, assets: Assets, template: str, **context: Any) -> Manifest:
    return render_data(
        assets,
        f"istiod/{template}.yaml",
        revision=revision,
        names=revision.names,
        labels=revision.labels(COMPONENT, LABELS),
        **context,
    )


def _build_rights(revision: RevisionInput, assets: Assets) -> Iterator[Manifest]:
    names, images = revision.names, revision.config.images
    secrets = [secret.to_json() for secret in (images and images.pull_secrets) or ()]
    yield _render(revision, assets, "service-account", pull_secrets=secrets)
    roles: dict[str, Any] = {
        names.cluster_role: istiod_cluster_rules(revision.features, assets.crds[revision.minor])
    }
    if environment_of(revision.config).get("PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER") != "false":
        roles[names.gateway_role] = gateway_controller_rules()
    for name, rules in roles.items():
        yield _render(revision, assets, "cluster-role", name=name, rules=rules)
        yield _render(revision, assets, "cluster-role-binding", name=name)
    yield _render(revision, assets, "role", rules=istiod_namespace_rules())
    yield _render(revision, assets, "role-binding")


def _build_workload(revision: RevisionInput, assets: Assets, values: Mapping[str, Any]) -> Iterator[Manifest]:
    control_plane = _control_plane(revision)
    autoscaling, budget = _autoscaling(control_plane), control_plane.pod_disruption_budget
    yield _render(revision, assets, "service", name=revision.names.istiod)
    yield _build_deployment(revision, assets, values)
    if autoscaling is not None:
        yield _render(revision, assets, "autoscaler", autoscaling=autoscaling)
    replicas = autoscaling.min_replicas if autoscaling else control_plane.replicas
    if budget is not None and budget.enabled and (replicas or 1) > 1:
        yield _render(revision, assets, "disruption-budget", min_available=budget.min_available)
    if control_plane.network_policy:
        yield _render(revision, assets, "network-policy")


def _control_plane(revision: RevisionInput) -> ControlPlane:
    return revision.config.control_plane or ControlPlane.model_validate({})


def _autoscaling(control_plane: ControlPlane) -> Autoscaling | None:
    """The autoscaler's bounds, None where there is none."""
    autoscaling = control_plane.autoscaling
    return autoscaling if autoscaling is not None and autoscaling.enabled else None


def _build_deployment(revision: RevisionInput, assets: Assets, values: Mapping[str, Any]) -> Manifest:
    control_plane, images = _control_plane(revision), revision.config.images
    placement = control_plane.placement.to_json() if control_plane.placement else {}
    return _render(
        revision,
        assets,
        "deployment",
        pod_labels=_build_pod_labels(revision),
        replicas=None if _autoscaling(control_plane) else control_plane.replicas,
        drain_seconds=DRAIN_SECONDS,
        restart_annotation=RESTART,
        restart=stable_hash({"trustDomain": trust_domain_of(revision.config)}),
        image=image_of(revision, values),
        pull_policy=images and images.pull_policy,
        args=_build_arguments(control_plane, values),
        environment=_build_environment(revision, values),
        tolerations=[NOT_READY, *placement.pop("tolerations", [])],
        placement=placement,
        resources=control_plane.resources.to_json() if control_plane.resources else {},
    )


def _build_pod_labels(revision: RevisionInput) -> dict[str, str]:
    """The labels of istiod's pods: without the mesh's uid, for a mesh that was restored from a backup has
    another, and that is no reason to restart its istiod."""
    labels = revision.labels(COMPONENT, POD_LABELS)
    return {key: value for key, value in labels.items() if key != MESH_UID}


def image_of(revision: RevisionInput, values: Mapping[str, Any]) -> str:
    """istiod's image, of the variant that the values ask for (distroless, debug)."""
    variant = values["global"]["variant"]
    return f"{revision.hub}/pilot:{revision.image_tag}" + (f"-{variant}" if variant else "")


def _build_arguments(control_plane: ControlPlane, values: Mapping[str, Any]) -> list[str]:
    logging = control_plane.logging
    level = logging.level if logging and logging.level else "default:info"
    return [
        "discovery",
        "--monitoringAddr=:15014",
        f"--log_output_level={level}",
        *(["--log_as_json"] if logging and logging.json_ else []),
        "--domain",
        values["global"]["proxy"]["clusterDomain"],
        "--keepaliveMaxServerConnectionAge",
        "30m",
    ]


def _field(path: str) -> dict[str, Any]:
    return {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}


def _build_environment(revision: RevisionInput, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """istiod's variables: Navarch's own, then the user's, which replace those that are only defaults."""
    proxy, shared = revision.config.proxy, values["global"]
    user = environment_of(revision.config)
    native = proxy.native_sidecars if proxy else None
    own: dict[str, Any] = {
        "REVISION": revision.name,
        "PILOT_CERT_PROVIDER": "istiod",
        "POD_NAME": _field("metadata.name"),
        "POD_NAMESPACE": _field("metadata.namespace"),
        "SERVICE_ACCOUNT": _field("spec.serviceAccountName"),
        "KUBECONFIG": "/var/run/secrets/remote/config",
        "PILOT_TRACE_SAMPLING": "1",
        "PILOT_ENABLE_ANALYSIS": "false",
        "CLUSTER_ID": shared["multiCluster"]["clusterName"] or "Kubernetes",
        "GOMAXPROCS": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}},
        "PLATFORM": shared["platform"],
    }
    if native is not None:
        own["ENABLE_NATIVE_SIDECARS"] = "true" if native else "false"
    if revision.features.fips_godebug and user.get("COMPLIANCE_POLICY") == "fips-140-3":
        own["GODEBUG"] = "fips140=only"
    return [
        {"name": name, "valueFrom": value} if isinstance(value, dict) else {"name": name, "value": value}
        for name, value in (own | user).items()
        if value != "" or name in user
    ]
