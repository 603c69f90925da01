"""istiod: its account and rights, its mesh configuration, its workload.

Owns the control plane's own objects. Must never name an image that is neither the catalog's nor the user's.
Invariant: a Deployment that an autoscaler scales has no replicas of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.api.spec import Autoscaling, ControlPlane
from navarch.core.istio.assets import Assets
from navarch.core.istio.catalog import Features
from navarch.core.istio.roles import ROLE_LABELS, Role, Rule, build_roles, build_webhook_rules
from navarch.core.model.hashing import stable_hash
from navarch.core.model.labels import MESH_UID, RESTART
from navarch.core.model.naming import DEFAULT_TAG, DEFAULT_VALIDATOR
from navarch.core.model.refs import Manifest
from navarch.core.render.engine import dump_yaml, render_data
from navarch.core.render.source import RevisionInput
from navarch.core.render.values import (
    GATEWAY_CONTROLLER,
    build_isolation,
    build_mesh_config,
    build_values,
    environment_of,
    has_managed_authority,
    runs_gateway_controller,
    trust_domain_of,
)

COMPONENT = "istiod"

LABELS = {"app": "istiod", "istio": "pilot"}

POD_LABELS = {
    "app": "istiod",
    "istio": "istiod",
    "istio.io/dataplane-mode": "none",
    "sidecar.istio.io/inject": "false",
}

ISOLATION_FOLDER = "/etc/istio/isolation"
"""Folder of the part of the mesh configuration that keeps the mesh to itself: it is mounted, so it stays when
the ConfigMap goes, and a pod without it does not start."""
NO_FOLDER = "/no/mesh/configuration"
"""A folder that does not exist. istiod looks there for its configuration, and ends, unless its mesh
configuration names the cluster as a source: an istiod without its mesh configuration never serves."""
NOT_READY = {"key": "cni.istio.io/not-ready", "operator": "Exists"}
"""Taint that Istio's CNI puts on nodes it has not reached yet; istiod must come up there all the same."""


DRAIN_SECONDS = 10
"""How long istiod goes on serving after its pod was told to end: until no kube-proxy leads to it and the API
server has left its connections (core/revision/route.py). Without it a roll refuses pods for up to a second
(seen with istiods of 1.30 and 1.31)."""

HOSTED_ENVIRONMENT = {
    "ENABLE_DEBUG_ON_HTTP": "false",
    "PILOT_IGNORE_RESOURCES": "proxyconfigs.networking.istio.io",
}
"""What keeps a hosted istiod's power from those who write in the mesh's root namespace. To workloads there it
would show all that it knows, Secrets of members among it, and a ProxyConfig there decides the environment
of every member's proxies, past all that is refused of a mesh. A holder of `host` may set both otherwise."""


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
        isolation=dump_yaml(build_isolation(revision)),
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
    roles = build_roles(assets, revision.minor)
    confined = not runs_gateway_controller(revision.config)
    role = roles.confined if confined else roles.full
    bound = {names.cluster_binding(role.name): role.name}
    if confined:
        rules = _build_own_webhook_rules(revision)
        yield _render(revision, assets, "cluster-role", name=names.webhook_role, rules=rules)
        bound[names.webhook_role] = names.webhook_role
    for name, target in bound.items():
        yield _render(revision, assets, "cluster-role-binding", name=name, role=target)
    name = names.binding(roles.namespace.name)
    yield _render(revision, assets, "role-binding", name=name, role=roles.namespace.name)


def build_role(role: Role, assets: Assets) -> Manifest:
    """A role of the installation as it is installed."""
    labels, rules = dict(ROLE_LABELS), list(role.rules)
    return render_data(assets, "istiod/cluster-role.yaml", name=role.name, labels=labels, rules=rules)


def _build_own_webhook_rules(revision: RevisionInput) -> list[Rule]:
    """Rules on the mesh's own webhook configurations by name. That of tag `default` has a name by the minor,
    and stands under the older one until a newer istiod serves: both may be written."""
    names = revision.names
    tags = (revision.tag, *([DEFAULT_TAG] if revision.membership.default else []))
    pointing = {names.tag_webhook(tag, default_suffixed=s) for tag in tags for s in (False, True)}
    validators = {names.validator, *([DEFAULT_VALIDATOR] if revision.membership.default else [])}
    validators |= {names.tag_validator(revision.tag)} if revision.beside_others else set()
    return build_webhook_rules({names.injector, *pointing}, validators)


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
    managed = revision.config.network_policies and revision.config.network_policies.manage
    if control_plane.network_policy and not managed:
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
        restart=_build_restart(revision),
        image=image_of(revision, values),
        pull_policy=images and images.pull_policy,
        args=_build_arguments(control_plane, values),
        environment=_build_environment(revision, values),
        tolerations=[NOT_READY, *placement.pop("tolerations", [])],
        isolation_folder=ISOLATION_FOLDER,
        # An istiod without the Secret would make a root of its own, which no proxy trusts.
        has_cacerts=has_managed_authority(revision.config),
        placement=placement,
        resources=control_plane.resources.to_json() if control_plane.resources else {},
    )


def _build_restart(revision: RevisionInput) -> str:
    """Changes with what istiod reads only when it starts, or would see late: the kubelet renews the file with
    the isolation within about 90 s. Excluded namespaces may come that late: they are never injected."""
    membership = revision.membership
    members = [membership.namespace, membership.values, membership.default, membership.probe]
    members += [membership.member_of] if membership.member_of else []
    members += [True] if membership.cluster else []
    trust = {"roots": revision.trust} if revision.trust else {}
    return stable_hash({"trustDomain": trust_domain_of(revision.config), "members": members, **trust})


def _build_pod_labels(revision: RevisionInput) -> dict[str, str]:
    """The labels of istiod's pods: without the mesh's uid, for a mesh that was restored from a backup has
    another, and that is no reason to restart its istiod."""
    labels = revision.labels(COMPONENT, POD_LABELS)
    return {key: value for key, value in labels.items() if key != MESH_UID}


def image_of(revision: RevisionInput, values: Mapping[str, Any]) -> str:
    """istiod's image, of the variant that the values ask for (distroless, debug)."""
    return revision.image("pilot", values["global"]["variant"])


def _build_arguments(control_plane: ControlPlane, values: Mapping[str, Any]) -> list[str]:
    logging = control_plane.logging
    level = logging.level if logging and logging.level else "default:info"
    return [
        "discovery",
        "--monitoringAddr=:15014",
        f"--log_output_level={level}",
        *(["--log_as_json"] if logging and logging.json_ else []),
        f"--meshConfig={ISOLATION_FOLDER}/mesh",
        f"--configDir={NO_FOLDER}",
        "--domain",
        values["global"]["proxy"]["clusterDomain"],
        "--keepaliveMaxServerConnectionAge",
        "30m",
    ]


def _field(path: str) -> dict[str, Any]:
    return {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}


def _limit_go(features: Features) -> dict[str, Any]:
    if features.go_reads_cpu_limit:
        return {}
    return {"GOMAXPROCS": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}}}


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
        "SHARED_MESH_CONFIG": revision.names.mesh_config,
        "KUBECONFIG": "/var/run/secrets/remote/config",
        "PILOT_TRACE_SAMPLING": "1",
        "PILOT_ENABLE_ANALYSIS": "false",
        "CLUSTER_ID": shared["multiCluster"]["clusterName"] or "Kubernetes",
        **_limit_go(revision.features),
        "PLATFORM": shared["platform"],
        **(HOSTED_ENVIRONMENT if revision.hosted else {}),
    }
    if native is not None:
        own["ENABLE_NATIVE_SIDECARS"] = "true" if native else "false"
    if _control_plane(revision).gateway_controller is not None:
        own[GATEWAY_CONTROLLER] = "" if runs_gateway_controller(revision.config) else "false"
        user.pop(GATEWAY_CONTROLLER, None)
    if revision.features.fips_godebug and user.get("COMPLIANCE_POLICY") == "fips-140-3":
        own["GODEBUG"] = "fips140=only"
    return [
        {"name": name, "valueFrom": value} if isinstance(value, dict) else {"name": name, "value": value}
        for name, value in (own | user).items()
        if value != "" or name in user
    ]
