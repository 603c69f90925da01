"""Decisions about the fields of a mesh's own spec.

Owns one row for each field; free-form fields in it have tables of their own. Sources: what core/ makes of
each.
"""

from __future__ import annotations

from navarch.api.power.rules import Path, Table, build_table, free, guard

FREE_FORM: tuple[Path, ...] = (("meshConfig",), ("values",))
"""Fields with a table of their own."""

_RUNS = "it decides what the mesh's istiod runs, or what istiod takes from the cluster"
_CAPTURE = "traffic that passes by the proxy passes by authentication and authorization"

SPEC: Table = build_table(
    (guard(_RUNS), "version profiles images.** overlays.** controlPlane.**"),
    (guard("it decides which pods the mesh reaches"), "tag defaultTag"),
    (
        guard("it decides which namespaces the mesh reaches; Cluster takes the verb in all namespaces"),
        "scope",
    ),
    (
        free("it puts namespaces out, as taking them off a roll does, and takes in none that may not join"),
        "excludedNamespaces",
    ),
    (guard("beside the mesh, istiod's account can be had by whoever may make pods there"), "hosting"),
    (guard("it decides whose identities the mesh believes"), "trust.**"),
    (
        free("the authority is the mesh's own, within bounds, and its root's key is where no editor reads"),
        "certificateAuthority.type certificateAuthority.managed.**",
    ),
    (
        free(
            "while true, what others do to the mesh's objects stands; to resume needs nothing",
            allowed=(None, False),
        ),
        "paused",
    ),
    (
        free(
            "what a gateway may be is as narrow as a MeshGateway's own spec; the policy `gateways` says who "
            "may have one made, in which namespace, and with what"
        ),
        "gateways.**",
    ),
    (
        guard("policies add up: what one lets in reaches a member also where its owner's own refuse it"),
        "networkPolicies.**",
    ),
    (free("a change waits, or does not"), "upgrade.approval.**"),
    (free("a new revision is tried by a proxy in the mesh's own namespace, or is not"), "upgrade.trialProxy"),
    (
        free(
            "while true the mesh runs with an earlier configuration, which may have had fields that are "
            "guarded; to end it needs nothing",
            allowed=(None, False),
        ),
        "upgrade.rollback",
    ),
    (
        guard("it has workloads of others restarted, by rights that their owners did not give the editor"),
        "upgrade.dataPlane.mode upgrade.dataPlane.canaryNamespaces.** upgrade.dataPlane.waves "
        "upgrade.dataPlane.maxUnavailable upgrade.dataPlane.perNamespaceParallelism "
        "upgrade.dataPlane.soakSeconds upgrade.dataPlane.workloadDeadlineSeconds "
        "upgrade.dataPlane.windows.** upgrade.dataPlane.onFailure",
    ),
    (
        guard("the operator sends requests to addresses of the editor's choice, from where it runs"),
        "upgrade.dataPlane.gates.**",
    ),
    (free("no restart begins, or those that a host has asked for do"), "upgrade.dataPlane.pause"),
    (
        free("a mesh has at most four revisions, and its tag points to none that is not proved"),
        "upgrade.strategy upgrade.canaryConfig upgrade.progressDeadlineSeconds "
        "upgrade.inactiveRevisionGracePeriodSeconds",
    ),
    (free("it refuses plaintext; anything else weakens authentication", allowed=("Strict",)), "mtls.mode"),
    (free("either is safe between proxies"), "mtls.minimumProtocolVersion"),
    (guard("it can weaken how workloads encrypt"), "mtls.cipherSuites"),
    (
        free(
            "what Envoy logs, without what requests carry",
            allowed=(None, "info", "warning", "error", "critical", "off"),
        ),
        "proxy.logLevel",
    ),
    (guard("debugging logs hold what requests carry, tokens among it"), "proxy.componentLogLevel"),
    (
        free("how much of the pod a proxy takes"),
        "proxy.resources.**",
    ),
    (
        free("when a proxy starts, and how often its readiness is asked for"),
        "proxy.holdApplicationUntilProxyStarts proxy.readinessPeriodSeconds proxy.nativeSidecars",
    ),
    (guard("it runs commands in every member's pods"), "proxy.lifecycle.**"),
    (guard(_CAPTURE), "proxy.trafficCapture.**"),
    (
        free("the container's own log, or none", allowed=(None, "", "/dev/stdout", "/dev/stderr")),
        "proxy.accessLog.file",
    ),
    (free("the form of log lines"), "proxy.accessLog.encoding"),
    (
        guard("a format can quote environment variables, files and request headers, tokens among them"),
        "proxy.accessLog.format",
    ),
)
