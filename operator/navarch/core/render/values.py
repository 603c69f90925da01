"""What injection templates and proxies read: Istio's values and MeshConfig, complete.

Owns how typed fields, the user's own `values` and `meshConfig`, and what is Navarch's alone become one tree
each. Must never leave a map out that an injection template looks into: there a missing map fails every
injection. Invariant: no key named in OWN_VALUES or OWN_MESH_CONFIG comes from the user, and no value is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from navarch.api.authority import MANAGED
from navarch.api.spec import RevisionConfig
from navarch.core.istio.assets import Assets
from navarch.core.istio.catalog import Features
from navarch.core.membership.selectors import build_discovery_selectors
from navarch.core.model.hashing import stable_hash
from navarch.core.model.memo import Last
from navarch.core.model.merging import merge
from navarch.core.render.engine import render_data, render_text
from navarch.core.render.source import RevisionInput

OWN_MESH_CONFIG = (
    "caCertificates",
    "configSources",
    "defaultConfig.discoveryAddress",
    "discoverySelectors",
    "rootNamespace",
    "trustDomain",
)
"""Paths in meshConfig that are Navarch's own: they move namespaces, trust or the control plane."""

OWN_VALUES = (
    "gateways.securityContext",
    "global.caAddress",
    "global.hub",
    "global.istioNamespace",
    "global.pilotCertProvider",
    "global.proxy.privileged",
    "global.tag",
    "global.trustBundleName",
    "pilot.env",
    "revision",
    "sidecarInjectorWebhook.enableNamespacesByDefault",
)
"""Paths in values that are Navarch's own: they move namespaces or images, or widen what an injected pod may
do."""

OWN_ENVIRONMENT = frozenset(
    {
        "CA_TRUSTED_NODE_ACCOUNTS",
        "CLUSTER_ID",
        "ENABLE_CLUSTER_TRUST_BUNDLE_API",
        "EXTERNAL_CA",
        "EXTERNAL_ISTIOD",
        "INJECTION_WEBHOOK_CONFIG_NAME",
        "KUBECONFIG",
        "MCS_API_GROUP",
        "PILOT_CA_CERT_CONFIGMAP",
        "PILOT_CERT_PROVIDER",
        "POD_NAME",
        "POD_NAMESPACE",
        "REVISION",
        "SERVICE_ACCOUNT",
        "SHARED_MESH_CONFIG",
        "VALIDATION_WEBHOOK_CONFIG_NAME",
    }
)
"""Variables of istiod that are Navarch's own: they say who istiod is, or need rights that it is not given."""

POD_TEMPLATES = ("gateway", "grpc-agent", "grpc-simple", "sidecar")
"""Templates that istiod merges into pods as they are created."""

_GATEWAY_TEMPLATES = ("kube-gateway", "waypoint")

_STAMP = "\0"
"""Stands for a mesh's stamp, where a template is rendered for all meshes."""
_TEMPLATES = 32
"""Rendered templates that are remembered: those of four minors, 70 KiB each minor."""
PROXY_NAME = "proxyv2"
"""Name of the image of proxies, unless the values name another."""

GATEWAY_CLASSES = "gatewayClasses"
"""Key of values with changes to what istiod deploys for Gateways, by class; not for injection templates."""

PROVIDERS = ["prometheus"]

_STACKDRIVER_LIMITS = ("maxNumberOfAttributes", "maxNumberOfAnnotations", "maxNumberOfMessageEvents")

_BAKED_IN = (
    "defaultConfig",
    "enablePrometheusMerge",
    "inboundTrafficPolicy",
    "proxyInboundListenPort",
    "proxyListenPort",
    "trustDomain",
)
"""Keys of MeshConfig that injection writes into the pod (pkg/kube/inject: template inputs); all others are
live."""

_LIVE_VALUES = (
    "alwaysInjectSelector",
    "enableNamespacesByDefault",
    "injectedAnnotations",
    "neverInjectSelector",
    "reinvocationPolicy",
)
"""Keys of values.sidecarInjectorWebhook that decide whether a pod is injected, not how."""

_GATEWAY_VALUES = ("agentgateway", "waypoint")
"""Keys of values.global that only templates of Gateways read."""


def without_paths(tree: Mapping[str, Any], paths: tuple[str, ...]) -> dict[str, Any]:
    """A copy of a tree that lacks what the dotted paths name."""
    copy = dict(tree)
    for path in paths:
        head, _, rest = path.partition(".")
        if rest and isinstance(copy.get(head), Mapping):
            copy[head] = without_paths(copy[head], (rest,))
        elif not rest:
            copy.pop(head, None)
    return copy


def environment_of(config: RevisionConfig) -> dict[str, str]:
    """The user's environment variables of istiod that are not Navarch's own."""
    variables = (config.control_plane and config.control_plane.environment) or ()
    return {variable.name: variable.value for variable in variables if variable.name not in OWN_ENVIRONMENT}


GATEWAY_CONTROLLER = "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER"
"""The variable by which istiod runs the gateway controller or not (pilot/pkg/features)."""
_FALSE = frozenset({"0", "f", "F", "false", "False", "FALSE"})
"""What istiod reads as false (Go's strconv.ParseBool)."""


TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})
"""What istiod reads as true."""


def runs_gateway_controller(config: RevisionConfig) -> bool:
    """Whether istiod deploys what Gateway API's Gateways ask for; the field counts before the variable."""
    wanted = config.control_plane and config.control_plane.gateway_controller
    return environment_of(config).get(GATEWAY_CONTROLLER) not in _FALSE if wanted is None else bool(wanted)


@Last
def build_values(revision: RevisionInput, assets: Assets) -> dict[str, Any]:
    """The tree that injection templates read as .Values: Istio's defaults, typed fields, the user's
    values."""
    config = revision.config
    base = render_data(
        assets, "injection/values.yaml", revision=revision, config=config, proxy=_proxy_json(config)
    )
    merged: dict[str, Any] = merge(base, without_paths(config.values or {}, OWN_VALUES))
    _pin_images(revision, merged["global"])
    return merged


def _pin_images(revision: RevisionInput, shared: dict[str, Any]) -> None:
    """Images of proxies by digest, or from where the catalog says: templates take a name with a `/` in it as
    it stands. What the user's values name is left alone."""
    if not revision.images:
        return
    variant = _find_variant(revision, shared)
    places = (("proxy", PROXY_NAME, variant), ("proxy_init", PROXY_NAME, shared["variant"]))
    for place, image, wanted in (*places, ("agentgateway", "agentgateway", variant)):
        reference = revision.image(image, wanted)
        is_plain = reference == f"{revision.hub}/{image}:{revision.image_tag}" + (
            f"-{wanted}" if wanted else ""
        )
        if shared[place].get("image") == image and not is_plain:
            shared[place] = {**shared[place], "image": reference}


def _find_variant(revision: RevisionInput, shared: Mapping[str, Any]) -> str:
    """The variant of the image of proxies. What has another shape than Istio's is refused elsewhere."""
    proxies = (revision.config.mesh_config or {}).get("defaultConfig")
    image = proxies.get("image") if isinstance(proxies, Mapping) else None
    wanted = image.get("imageType") if isinstance(image, Mapping) else None
    return str(wanted or shared["variant"])


def refer_proxy(revision: RevisionInput, values: Mapping[str, Any]) -> str:
    """The reference of the image that the injector gives to proxies."""
    shared = values["global"]
    name = str(shared["proxy"].get("image") or PROXY_NAME)
    return name if "/" in name else revision.image(name, _find_variant(revision, shared))


def _proxy_json(config: RevisionConfig) -> dict[str, Any]:
    return config.proxy.to_json() if config.proxy else {}


def _typed_mesh_config(config: RevisionConfig) -> dict[str, Any]:
    """Fields of the spec that are MeshConfig by another name; what equals Istio's own default is left out."""
    proxy, log = config.proxy, config.proxy.access_log if config.proxy else None
    capture, mtls, trust = proxy.traffic_capture if proxy else None, config.mtls, config.trust
    version = mtls.minimum_protocol_version if mtls else None
    tree = {
        "accessLogFile": log.file if log else None,
        "accessLogEncoding": log.encoding if log else None,
        "accessLogFormat": log.format if log else None,
        "trustDomainAliases": trust.additional_domains if trust else None,
        "meshMTLS": {
            "minProtocolVersion": version.upper() if version else None,
            "cipherSuites": mtls.cipher_suites if mtls else None,
        },
        "defaultConfig": {
            "interceptionMode": capture.mode.upper()
            if capture and capture.mode not in (None, "Redirect")
            else None,
            "holdApplicationUntilProxyStarts": (proxy and proxy.hold_application_until_proxy_starts) or None,
        },
    }
    stripped: dict[str, Any] = merge({}, tree)
    return {key: value for key, value in stripped.items() if value != {}}


def has_managed_authority(config: RevisionConfig) -> bool:
    """Whether Navarch makes the Secret from which istiod signs."""
    return config.certificate_authority is not None and config.certificate_authority.type == MANAGED


def trust_domain_of(config: RevisionConfig) -> str:
    """The trust domain of the mesh's identities."""
    return (config.trust and config.trust.domain) or "cluster.local"


def _build_tracing(shared: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """ProxyConfig.tracing as the values global.proxy.tracer and global.tracer ask for it; empty for none."""
    defaults: Mapping[str, dict[str, Any]] = {
        "zipkin": {"address": f"zipkin.{namespace}:9411"},
        "datadog": {"address": "$(HOST_IP):8126"},
        "lightstep": {},
        "stackdriver": {"debug": False, **dict.fromkeys(_STACKDRIVER_LIMITS, 200)},
    }
    tracer, details = shared["proxy"]["tracer"], shared.get("tracer")
    if tracer not in defaults:
        return {}
    wanted = details.get(tracer) if isinstance(details, Mapping) else None
    return {tracer: defaults[tracer] | (dict(wanted) if isinstance(wanted, Mapping) else {})}


def build_mesh_config(revision: RevisionInput, values: Mapping[str, Any]) -> dict[str, Any]:
    """MeshConfig: Istio's defaults below typed fields below the user's meshConfig; what is Navarch's own on
    top."""
    config, shared = revision.config, values["global"]
    lower: dict[str, Any] = {
        "enablePrometheusMerge": True,
        "defaultProviders": {"metrics": PROVIDERS},
        "defaultConfig": {"meshId": shared["meshID"]} if shared["meshID"] else {},
    }
    if shared["variant"]:
        lower["defaultConfig"]["image"] = {"imageType": shared["variant"]}
    if tracing := _build_tracing(shared, revision.root):
        lower["defaultConfig"]["tracing"] = tracing
    user = without_paths(config.mesh_config or {}, OWN_MESH_CONFIG)
    if user.get("defaultProviders", {}) != {}:
        del lower["defaultProviders"]
    own = build_isolation(revision) | {"configSources": [{"address": "k8s://"}]}
    merged: dict[str, Any] = merge(merge(merge(lower, _typed_mesh_config(config)), user), own)
    return merged


def build_isolation(revision: RevisionInput) -> dict[str, Any]:
    """What of the MeshConfig keeps a mesh to its own namespaces, trust and istiod: istiod reads it a second
    time, over everything else, from a file that stays when the ConfigMap goes."""
    return {
        "trustDomain": trust_domain_of(revision.config),
        "rootNamespace": revision.root,
        "discoverySelectors": build_discovery_selectors(revision.membership),
        "defaultConfig": {"discoveryAddress": f"{revision.names.istiod}.{revision.namespace}.svc:15012"},
    }


def list_gateway_templates(features: Features) -> tuple[str, ...]:
    """Templates from which istiod deploys Gateways: whole manifests, which it rolls out by itself."""
    more = {"agentgateway": features.agentgateway, "agentgateway-waypoint": features.agentgateway_waypoint}
    return (*_GATEWAY_TEMPLATES, *(name for name, known in more.items() if known))


def build_injection_templates(
    revision: RevisionInput, assets: Assets, values: Mapping[str, Any], *, stamp: str = ""
) -> dict[str, str]:
    """Injection templates by name; the user's of the same name win. `stamp` is what pods of Gateways carry in
    mesh.navarch.io/proxy, so that istiod rolls them when it changes; injected pods get it from the injector's
    configuration."""
    own = {
        name: stamp.join(_render_template(assets, name, revision.features))
        for name in (*POD_TEMPLATES, *list_gateway_templates(revision.features))
    }
    return own | dict(values["sidecarInjectorWebhook"]["templates"])


@lru_cache(maxsize=_TEMPLATES)
def _render_template(assets: Assets, name: str, features: Features) -> tuple[str, ...]:
    """An injection template, cut where a mesh's stamp stands: nothing else differs between meshes of a
    minor."""
    text = render_text(assets, f"injection/{name}.tpl", features=features, stamp=_STAMP)
    return tuple(text.split(_STAMP))


def build_injection_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of the values, those that injection templates get to see."""
    return {key: value for key, value in values.items() if key != GATEWAY_CLASSES}


def read_gateway_classes(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Changes to what istiod deploys for Gateways: class -> kind -> patch, as far as they have that form."""
    classes = values.get(GATEWAY_CLASSES)
    return {
        name: {kind: patch for kind, patch in overlays.items() if isinstance(patch, Mapping)}
        for name, overlays in sorted(classes.items() if isinstance(classes, Mapping) else ())
        if isinstance(overlays, Mapping)
    }


@Last
def proxy_stamp(revision: RevisionInput, assets: Assets) -> str:
    """Value of mesh.navarch.io/proxy on pods injected now: the version, and a hash of everything that only a
    restart of the pod can change. A proxy with another value is outdated."""
    values = build_injection_values(build_values(revision, assets))
    mesh = build_mesh_config(revision, values)
    templates = build_injection_templates(revision, assets, values)
    rolled_by_istiod = list_gateway_templates(revision.features)
    shared = {key: value for key, value in values["global"].items() if key not in _GATEWAY_VALUES}
    apart = (*_LIVE_VALUES, "templates")
    webhook = {key: value for key, value in values["sidecarInjectorWebhook"].items() if key not in apart}
    environment = environment_of(revision.config)
    baked = {
        "values": {**values, "global": shared, "sidecarInjectorWebhook": webhook},
        "mesh": {key: mesh[key] for key in _BAKED_IN if key in mesh},
        "templates": {name: text for name, text in templates.items() if name not in rolled_by_istiod},
        "compliance": environment.get("COMPLIANCE_POLICY"),
        "native": [
            _proxy_json(revision.config).get("nativeSidecars"),
            environment.get("ENABLE_NATIVE_SIDECARS"),
        ],
    }
    return f"{revision.version}-{stable_hash(baked, length=10)}"
