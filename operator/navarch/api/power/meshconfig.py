"""Decisions about spec.meshConfig: Istio's MeshConfig, and in it ProxyConfig as defaultConfig.

Owns one row for each field. Sources: Istio's mesh/v1alpha1/{config,proxy}.proto, how pilot-agent reads
ProxyConfig (pilot/cmd/pilot-agent, pkg/bootstrap) and what istiod makes of MeshConfig (pilot/pkg/networking).
"""

from __future__ import annotations

from navarch.api.power.reasons import CA, DOMAIN, MEMBERSHIP, ROOTS, SWITCH
from navarch.api.power.rules import Path, Table, build_table, free, guard, refuse
from navarch.api.power.variables import PROXY_FREE, PROXY_REFUSED

METADATA: Path = ("defaultConfig", "proxyMetadata")
"""Where variables of every proxy are set; which ones is decided in variables.py."""

_TIMES = "times, limits and numbers of connections, within what Istio's validation takes"
_LOCALITIES = "names of regions and zones"
_LOGGED = "the container's own log, or none"
_ELSEWHERE = "it sends what workloads say, or who talks to whom, to an address of the writer's choice"
_FORMAT = "a format can quote environment variables, files and request headers, tokens among them"
_CAPTURE = "traffic that passes by the proxy passes by authentication and authorization"
_CRYPTO = "it can weaken how workloads authenticate and encrypt"
_FILES = "it names a file that proxies read or write"
_NORMAL = "how paths and headers are normalised decides which authorization policies match"
_VISIBLE = "it decides whose services and configuration workloads of other namespaces see"
_INGRESS = "it decides which Ingresses are served, and writes their status"
_NAMES = "it renames the mesh or its proxies towards others"
_PROBE = "the proxy's agent runs the probe in every member's pods, as a command or to any host"

MESH_CONFIG: Table = build_table(
    (
        free(_TIMES),
        "connectTimeout hboneIdleTimeout protocolDetectionTimeout dnsRefreshRate tcpKeepalive.** "
        "defaultTrafficPolicy.** defaultHttpRetryPolicy.attempts defaultHttpRetryPolicy.perTryTimeout "
        "defaultHttpRetryPolicy.retryRemoteLocalities defaultHttpRetryPolicy.retryIgnorePreviousHosts "
        "defaultHttpRetryPolicy.backoff defaultInboundHttpRetryPolicy.attempts "
        "defaultInboundHttpRetryPolicy.perTryTimeout defaultInboundHttpRetryPolicy.retryRemoteLocalities "
        "defaultInboundHttpRetryPolicy.retryIgnorePreviousHosts defaultInboundHttpRetryPolicy.backoff "
        "h2UpgradePolicy localityLbSetting.enabled zoneAwareLbSetting.enabled "
        "zoneAwareLbSetting.minClusterSize defaultConfig.drainDuration "
        "defaultConfig.terminationDrainDuration defaultConfig.discoveryRefreshDelay "
        "defaultConfig.concurrency "
        "defaultConfig.holdApplicationUntilProxyStarts",
    ),
    (
        free("names of conditions under which a request is tried again"),
        "defaultHttpRetryPolicy.retryOn defaultInboundHttpRetryPolicy.retryOn",
    ),
    (
        free(_TIMES),
        " ".join(
            f"defaultConfig.connectionSettings.{name}"
            for name in (
                "listenerPerConnectionBufferLimitBytes",
                "clusterPerConnectionBufferLimitBytes",
                "httpIdleTimeout",
                "httpMaxConnectionDuration",
                "httpDrainTimeout",
                "httpRequestTimeout",
                "httpRequestHeadersTimeout",
                "httpStreamIdleTimeout",
                "httpMaxStreamDuration",
                "httpMaxConcurrentStreams",
                "http2InitialStreamWindowSize",
                "http2InitialConnectionWindowSize",
                "listenerConnectionLimit",
                "globalDownstreamConnectionLimit",
            )
        ),
    ),
    (
        free("which of equal endpoints is preferred, by where they run", texts=_LOCALITIES),
        "localityLbSetting.distribute.** localityLbSetting.failover.** localityLbSetting.failoverPriority "
        "zoneAwareLbSetting.failover.** zoneAwareLbSetting.failoverPriority",
    ),
    (
        free("how much is recorded; where it goes is decided elsewhere"),
        "enableTracing disableEnvoyListenerLog accessLogEncoding enablePrometheusMerge "
        "defaultConfig.tracing.sampling defaultConfig.tracing.maxPathTagLength "
        "defaultConfig.tracing.enableIstioTags "
        "defaultConfig.statNameLength defaultConfig.statsCompression defaultConfig.fileFlushInterval "
        "defaultConfig.fileFlushMinSizeKb",
    ),
    (
        free("which statistics a proxy keeps", texts="patterns for names of statistics"),
        "defaultConfig.proxyStatsMatcher.**",
    ),
    (free(_LOGGED, allowed=(None, "", "/dev/stdout", "/dev/stderr")), "accessLogFile"),
    (free("Istio's own metrics, or none", allowed=(None, [], ["prometheus"])), "defaultProviders.metrics"),
    (free(_LOGGED, allowed=(None, [], ["envoy"])), "defaultProviders.accessLogging"),
    (free("no tracing", allowed=(None, [])), "defaultProviders.tracing"),
    (
        guard(_ELSEWHERE),
        "enableEnvoyAccessLogService extensionProviders.** defaultConfig.zipkinAddress "
        "defaultConfig.statsdUdpAddress defaultConfig.envoyMetricsServiceAddress "
        "defaultConfig.envoyAccessLogService.** defaultConfig.envoyMetricsService.** "
        "defaultConfig.tracing.zipkin.** defaultConfig.tracing.lightstep.** defaultConfig.tracing.datadog.** "
        "defaultConfig.tracing.stackdriver.** defaultConfig.tracing.openCensusAgent.** "
        "defaultConfig.tracing.tlsSettings.**",
    ),
    (guard(_FORMAT), "accessLogFormat defaultConfig.tracing.customTags.** defaultConfig.extraStatTags"),
    (
        guard(_CAPTURE),
        "proxyListenPort proxyInboundListenPort proxyHttpPort inboundTrafficPolicy.** "
        "outboundTrafficPolicy.** defaultConfig.interceptionMode",
    ),
    (
        guard(_CRYPTO),
        "enableAutoMtls verifyCertificateAtClient meshMTLS.** tlsDefaults.** certificates.** "
        "defaultConfig.privateKeyProvider.** defaultConfig.runtimeValues.**",
    ),
    (
        guard("it decides whose word on a client's address or certificate is taken"),
        "defaultConfig.gatewayTopology.** defaultConfig.proxyHeaders.**",
    ),
    (guard(_FILES), "defaultConfig.configPath defaultConfig.sds.**"),
    (guard("it decides the image of every proxy"), "defaultConfig.image.**"),
    (guard(_PROBE), "defaultConfig.readinessProbe.**"),
    (
        guard(_NORMAL),
        "pathNormalization.** defaultConfig.connectionSettings.profile "
        "defaultConfig.connectionSettings.httpHeadersWithUnderscoresAction "
        "defaultConfig.connectionSettings.httpMergeSlashes "
        "defaultConfig.connectionSettings.httpPathWithEscapedSlashesAction",
    ),
    (
        guard(_VISIBLE),
        "defaultServiceExportTo defaultVirtualServiceExportTo defaultDestinationRuleExportTo "
        "serviceSettings.** serviceScopeConfigs.** serviceEntryVisibility.**",
    ),
    (guard(_INGRESS), "ingressClass ingressService ingressControllerMode ingressSelector"),
    (
        guard(_NAMES),
        "inboundClusterStatName outboundClusterStatName defaultConfig.serviceCluster "
        "defaultConfig.tracingServiceName defaultConfig.availabilityZone defaultConfig.meshId",
    ),
    (
        guard("it opens the proxy's status or administration on another port"),
        "defaultConfig.statusPort defaultConfig.proxyAdminPort",
    ),
    (
        guard("the agent, Envoy and the dynamic loader read it from the environment of every proxy"),
        "defaultConfig.proxyMetadata.**",
    ),
    (
        refuse(f"it would make istiod look at other namespaces than it injects; {MEMBERSHIP}"),
        "discoverySelectors",
    ),
    (
        refuse(
            "it would give another namespace's configuration power over the whole mesh; leave it out, it is "
            "the mesh's own namespace"
        ),
        "rootNamespace",
    ),
    (refuse(DOMAIN), "trustDomain"),
    (
        refuse("it would accept identities past spec.trust; use spec.trust.additionalDomains"),
        "trustDomainAliases",
    ),
    (refuse(ROOTS), "caCertificates defaultConfig.caCertificatesPem"),
    (refuse(CA), "ca"),
    (
        refuse(
            "it would have istiod obey configuration from outside the cluster's API; apply the configuration "
            "to the cluster instead"
        ),
        "configSources",
    ),
    (
        refuse(
            "it would connect proxies to another control plane; leave it out, it is the mesh's own istiod"
        ),
        "defaultConfig.discoveryAddress",
    ),
    (
        refuse("it would let proxies talk to istiod without TLS; leave it out"),
        "defaultConfig.controlPlaneAuthPolicy",
    ),
    (
        refuse(SWITCH),
        "defaultConfig.binaryPath defaultConfig.customConfigFile defaultConfig.proxyBootstrapTemplatePath",
    ),
) | {(*METADATA, name): rule for table in (PROXY_FREE, PROXY_REFUSED) for name, rule in table.items()}
