"""ServiceMeshControlPlane of OpenShift Service Mesh 2 (v2): where each field of its spec goes.

Owns the table, but for gateways (gateways.py). Pure. Source of the fields and their meaning: Maistra's types
of release 2.5; of the targets: api/ and Istio's MeshConfig and values.
"""

from __future__ import annotations

from typing import Any

from navarch.core.conversion.rules import (
    Rule,
    Rules,
    Unexpected,
    Value,
    by_hand,
    changed,
    choose,
    dropped,
    join_items,
    one_of,
    same,
    take_flag,
    take_list,
    take_map,
    take_number,
    take_text,
)

_MIXER = "Mixer was removed from Istio; istiod does what is left of it"
_ADDON = "Navarch installs no addons; install it by its own operator, and point it at the mesh"
_KIALI = (
    "install it by its own operator, and have it see the mesh's namespace and its members: "
    "deployment.discovery_selectors with mesh.navarch.io/member-of "
    "(docs/how-to/move-from-openshift-service-mesh.md)"
)
IMAGES = (
    "images of Service Mesh hold Red Hat's fork of Istio, which Navarch does not run; for a mirror of "
    "Istio's images set spec.images"
)
_CA = (
    "Navarch does not connect to this authority yet; keep the old mesh until it does, or move to "
    "certificates of istiod's own"
)
_NEW_ROOT = (
    "the new mesh has a root of its own; for calls between both while you move, copy Secret cacerts, or the "
    "certificates of istio-ca-secret as cacerts, into the new mesh's namespace before you make it"
)
_CNI = (
    "Navarch installs no CNI plugin yet: pods get an init container as root with NET_ADMIN and NET_RAW; "
    "apply `navarch manifests --openshift`, and bind ClusterRole navarch-sidecars to the accounts of each "
    "member"
)
_SNIFFING = (
    "istiod recognises HTTP by itself, and cannot be told not to; where a port must not be looked at, name "
    "it tcp-... or set appProtocol: tcp"
)
_VALUES = (
    "techPreview went into the values of the old charts as it stood; look for the same key in spec.values"
)
_COMPONENT = "this component is no part of Istio as Navarch installs it"


def _level(value: Value) -> str:
    """Levels by component, as Istio's flag has them."""
    levels = take_map(value)
    return ",".join(f"{scope}:{take_text(level)}" for scope, level in sorted(levels.items()))


def _percent(value: Value) -> float:
    """Tracing's sampling, from hundredths of a percent."""
    number = take_number(value)
    if not 0 <= number <= 10_000:
        raise Unexpected("is not between 0 and 10000")
    return number / 100


def take_amounts(value: Value) -> dict[str, Any]:
    """Resources of a container: processor and memory, which is all that Navarch's have."""
    found = {}
    for side in ("requests", "limits"):
        amounts = take_map(take_map(value).get(side) or {})
        if kept := {key: str(amounts[key]) for key in ("cpu", "memory") if key in amounts}:
            found[side] = kept
    return found


def take_environment(value: Value) -> list[dict[str, str]]:
    """Variables as a list, from a map. Raises Unexpected."""
    return [{"name": name, "value": take_text(text)} for name, text in sorted(take_map(value).items())]


def _search_namespaces(value: Value) -> list[str]:
    return [take_text(item) for item in take_list(value)]


def _build_proxy_rules() -> dict[str, Rule]:
    config = "meshConfig.defaultConfig"
    metrics = {
        f"proxy.envoyMetricsService.{key}": same(f"{config}.envoyMetricsService.{key}")
        for key in ("address", "tcpKeepalive", "tlsSettings")
    }
    logs = {
        f"proxy.accessLogging.envoyService.{key}": same(f"{config}.envoyAccessLogService.{key}")
        for key in ("address", "tcpKeepalive", "tlsSettings")
    }
    outbound = "proxy.networking.trafficControl.outbound"
    inbound = "proxy.networking.trafficControl.inbound"
    return {
        "proxy.logging.level": same("proxy.logLevel", take_text),
        "proxy.logging.componentLevels": same("proxy.componentLogLevel", _level),
        "proxy.adminPort": same(f"{config}.proxyAdminPort", take_number),
        "proxy.concurrency": same(f"{config}.concurrency", take_number),
        "proxy.accessLogging.file.name": same("proxy.accessLog.file", take_text),
        "proxy.accessLogging.file.encoding": same("proxy.accessLog.encoding", one_of("TEXT", "JSON")),
        "proxy.accessLogging.file.format": same("proxy.accessLog.format", take_text),
        "proxy.accessLogging.envoyService.enabled": same("meshConfig.enableEnvoyAccessLogService", take_flag),
        **logs,
        "proxy.envoyMetricsService.enabled": dropped("an address turns the service on"),
        **metrics,
        "proxy.injection.autoInject": by_hand(
            "pods of members get proxies without asking for them, unless they have the label "
            'sidecar.istio.io/inject: "false", which those that did not ask so far need in their template; '
            "with injection: Disabled in their MeshMember none gets one"
        ),
        "proxy.injection.alwaysInjectSelector": by_hand(
            "pods of members get proxies without asking for them, unless their MeshMember says "
            "injection: Disabled"
        ),
        "proxy.injection.neverInjectSelector": by_hand('label the pods sidecar.istio.io/inject: "false"'),
        "proxy.injection.injectedAnnotations": by_hand("annotate the pods' templates"),
        "proxy.networking.clusterDomain": same("values.global.proxy.clusterDomain", take_text),
        "proxy.networking.connectionTimeout": same("meshConfig.connectTimeout", take_text),
        "proxy.networking.maxConnectionAge": same("values.pilot.keepaliveMaxServerConnectionAge", take_text),
        "proxy.networking.initialization.type": by_hand(_CNI),
        "proxy.networking.initialization.*": dropped("Istio has no setting for it any more"),
        f"{inbound}.interceptionMode": same(
            "proxy.trafficCapture.mode", choose(REDIRECT="Redirect", TPROXY="TProxy")
        ),
        f"{inbound}.includedPorts": same("proxy.trafficCapture.includeInboundPorts", join_items),
        f"{inbound}.excludedPorts": same("proxy.trafficCapture.excludeInboundPorts", join_items),
        f"{outbound}.includedIPRanges": same("proxy.trafficCapture.includeOutboundIPRanges", join_items),
        f"{outbound}.excludedIPRanges": same("proxy.trafficCapture.excludeOutboundIPRanges", join_items),
        f"{outbound}.excludedPorts": same("proxy.trafficCapture.excludeOutboundPorts", join_items),
        f"{outbound}.policy": same(
            "meshConfig.outboundTrafficPolicy.mode",
            one_of("ALLOW_ANY", "REGISTRY_ONLY"),
        ),
        "proxy.networking.protocol.autoDetect.timeout": same(
            "meshConfig.protocolDetectionTimeout", take_text
        ),
        "proxy.networking.protocol.autoDetect.inbound": by_hand(_SNIFFING),
        "proxy.networking.protocol.autoDetect.outbound": by_hand(_SNIFFING),
        "proxy.networking.dns.searchSuffixes": same(
            "values.global.podDNSSearchNamespaces", _search_namespaces
        ),
        "proxy.networking.dns.refreshRate": same("meshConfig.dnsRefreshRate", take_text),
        "proxy.runtime.readiness.initialDelaySeconds": same(
            "values.global.proxy.readinessInitialDelaySeconds", take_number
        ),
        "proxy.runtime.readiness.periodSeconds": same("proxy.readinessPeriodSeconds", take_number),
        "proxy.runtime.readiness.failureThreshold": same(
            "values.global.proxy.readinessFailureThreshold", take_number
        ),
        "proxy.runtime.readiness.rewriteApplicationProbes": same(
            "values.sidecarInjectorWebhook.rewriteAppHTTPProbe", take_flag
        ),
        "proxy.runtime.container.resources": same("proxy.resources", take_amounts),
        "proxy.runtime.container.*": by_hand(IMAGES),
    }


def _build_security_rules() -> dict[str, Rule]:
    authority = "security.certificateAuthority"
    return {
        "security.trust.domain": same("trust.domain", take_text),
        "security.trust.additionalDomains": same("trust.additionalDomains", take_list),
        f"{authority}.type": by_hand(_NEW_ROOT),
        f"{authority}.istiod.type": by_hand(_NEW_ROOT),
        f"{authority}.istiod.selfSigned.ttl": same(
            "controlPlane.environment[CITADEL_SELF_SIGNED_CA_CERT_TTL]", take_text
        ),
        f"{authority}.istiod.selfSigned.gracePeriod": changed(
            "controlPlane.environment[CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE]",
            "Istio takes a share of the lifetime in percent",
            _share,
        ),
        f"{authority}.istiod.selfSigned.checkPeriod": same(
            "controlPlane.environment[CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL]", take_text
        ),
        f"{authority}.istiod.selfSigned.enableJitter": same(
            "controlPlane.environment[CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR]",
            choose(true="true", false="false"),
        ),
        f"{authority}.istiod.privateKey.rootCADir": by_hand(
            "istiod reads Secret cacerts of the mesh's namespace: put ca-cert.pem, ca-key.pem, "
            "root-cert.pem and cert-chain.pem there"
        ),
        f"{authority}.istiod.workloadCertTTLDefault": same(
            "controlPlane.environment[DEFAULT_WORKLOAD_CERT_TTL]", take_text
        ),
        f"{authority}.istiod.workloadCertTTLMax": same(
            "controlPlane.environment[MAX_WORKLOAD_CERT_TTL]", take_text
        ),
        f"{authority}.custom.address": by_hand(_CA),
        f"{authority}.cert-manager.*": by_hand(_CA),
        "security.identity.type": by_hand(
            "proxies identify themselves by tokens that Kubernetes bounds to istio-ca; another "
            "issuer cannot be named"
        ),
        "security.identity.thirdParty.*": by_hand(
            "proxies identify themselves by tokens that Kubernetes bounds to istio-ca; another "
            "issuer cannot be named"
        ),
        "security.controlPlane.mtls": dropped("proxies talk to istiod by TLS always"),
        "security.controlPlane.certProvider": by_hand(
            "istiod makes its own certificate; another provider cannot be named"
        ),
        "security.controlPlane.tls.minProtocolVersion": same(
            "mtls.minimumProtocolVersion", one_of("TLSv1_2", "TLSv1_3")
        ),
        "security.controlPlane.tls.cipherSuites": same("mtls.cipherSuites", take_list),
        "security.controlPlane.tls.*": by_hand(
            "Istio has no setting for it; proxies offer what Envoy has by default"
        ),
        "security.dataPlane.mtls": changed(
            "mtls.mode",
            (
                "the mesh-wide DestinationRules that Service Mesh made beside it are not needed: "
                "proxies find out by themselves"
            ),
            choose(true="Strict", false="Permissive"),
        ),
        "security.dataPlane.automtls": same("meshConfig.enableAutoMtls", take_flag),
        "security.manageNetworkPolicy": changed(
            "networkPolicies",
            "policies follow members and are repaired; egress stays open, as before",
            choose(true={"manage": True, "isolateMembers": True}, false={"manage": False}),
        ),
        "security.jwksResolverCA": same("values.pilot.jwksResolverExtraRootCA", take_text),
    }


def _share(value: Value) -> str:
    """A share such as `20%`, as Istio takes it."""
    text = take_text(value).removesuffix("%")
    if not text.isdecimal() or not 0 < int(text) < 100:
        raise Unexpected("is no share such as 20%")
    return text


def _build_runtime_rules() -> dict[str, Rule]:
    pilot, defaults = "runtime.components.pilot", "runtime.defaults"
    placement = "controlPlane.placement"
    of_pods = {
        f"{root}.pod.{key}": same(f"{placement}.{key}")
        for root in (pilot, defaults)
        for key in ("nodeSelector", "tolerations", "priorityClassName")
    }
    return {
        f"{pilot}.deployment.replicas": same("controlPlane.replicas", take_number),
        f"{pilot}.deployment.autoScaling.enabled": same("controlPlane.autoscaling.enabled", take_flag),
        f"{pilot}.deployment.autoScaling.minReplicas": same(
            "controlPlane.autoscaling.minReplicas", take_number
        ),
        f"{pilot}.deployment.autoScaling.maxReplicas": same(
            "controlPlane.autoscaling.maxReplicas", take_number
        ),
        f"{pilot}.deployment.autoScaling.targetCPUUtilizationPercentage": same(
            "controlPlane.autoscaling.targetCPUUtilization", take_number
        ),
        f"{pilot}.deployment.strategy": dropped("istiod is rolled by a surge, so that one is always ready"),
        f"{pilot}.pod.affinity": by_hand(
            "affinity of Service Mesh has a form of its own; write a pod's affinity into "
            "spec.controlPlane.placement.affinity"
        ),
        f"{pilot}.pod.metadata": by_hand("labels and annotations of istiod's pods are set by spec.overlays"),
        f"{pilot}.container.resources": same("controlPlane.resources", take_amounts),
        f"{pilot}.container.env": same("controlPlane.environment", take_environment),
        f"{pilot}.container.*": by_hand(IMAGES),
        **of_pods,
        f"{defaults}.deployment.podDisruption.enabled": same(
            "controlPlane.podDisruptionBudget.enabled", take_flag
        ),
        f"{defaults}.deployment.podDisruption.minAvailable": same(
            "controlPlane.podDisruptionBudget.minAvailable", take_number
        ),
        f"{defaults}.deployment.podDisruption.*": by_hand(
            "Navarch's budget names the pods that stay: spec.controlPlane.podDisruptionBudget.minAvailable"
        ),
        f"{defaults}.container.imagePullPolicy": same(
            "images.pullPolicy", one_of("Always", "IfNotPresent", "Never")
        ),
        f"{defaults}.container.imagePullSecrets": same("images.pullSecrets", take_list),
        f"{defaults}.container.resources": by_hand(
            "set resources where they are meant: spec.controlPlane, spec.proxy, spec.gateways"
        ),
        f"{defaults}.container.*": by_hand(IMAGES),
        f"{defaults}.*": by_hand("set it where it is meant: spec.controlPlane, spec.proxy, spec.gateways"),
        "runtime.components.*": by_hand(_COMPONENT),
    }


RULES: Rules = {
    "cluster.name": same("values.global.multiCluster.clusterName", take_text),
    "cluster.network": same("values.global.network", take_text),
    "cluster.multiCluster.enabled": dropped("istiod looks for other clusters wherever their Secrets are"),
    "cluster.multiCluster.meshNetworks": same("values.global.meshNetworks", take_map),
    "cluster.multiCluster.*": by_hand("join the clusters as Istio's guide to many clusters says"),
    "cluster.meshExpansion.*": by_hand(
        "let virtual machines in through an east-west gateway (spec.gateways.eastWest)"
    ),
    "meshConfig.extensionProviders": same("meshConfig.extensionProviders", take_list),
    "meshConfig.discoverySelectors": by_hand(
        "which namespaces belong to a mesh follows from its members: write the selectors into "
        "memberSelectors of a MeshMemberRoll"
    ),
    "general.logging.componentLevels": same("controlPlane.logging.level", _level),
    "general.logging.logAsJSON": same("controlPlane.logging.json", take_flag),
    "general.validationMessages": by_hand(
        "istiod writes no results of its analysis; run `istioctl analyze` and `navarch check`"
    ),
    "policy.type": dropped(_MIXER),
    "policy.*": dropped(_MIXER),
    "telemetry.type": dropped("istiod configures telemetry in proxies, by objects of kind Telemetry"),
    "telemetry.*": dropped(_MIXER),
    "tracing.type": by_hand(
        "name a provider in spec.meshConfig.extensionProviders (opentelemetry or zipkin), and "
        "make an object of kind Telemetry that uses it"
    ),
    "tracing.sampling": same("meshConfig.defaultConfig.tracing.sampling", _percent),
    **_build_proxy_rules(),
    **_build_security_rules(),
    **_build_runtime_rules(),
    "addons.kiali": by_hand(_KIALI),
    "addons.*": by_hand(_ADDON),
    "techPreview.gatewayAPI": dropped("istiod serves Gateway API wherever its CRDs are"),
    "techPreview.rateLimiting": by_hand(
        "Navarch runs no rate limit service; run one, and configure it by EnvoyFilters"
    ),
    "techPreview.*": by_hand(_VALUES),
}
"""Rules of all fields but gateways, and but version, profiles and mode, which are the converter's."""
