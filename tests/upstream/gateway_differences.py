"""What a MeshGateway renders differently from the public gateway chart on purpose: one table, with reasons.

Owns the reasons; `make generate` writes them into docs/reference/differences.md. Must never hold a row that
hides more than its reason says. Invariant (test_gateway_charts.py): every gap between the two renderings has
exactly one row, and every row has a gap with each minor.
"""

from __future__ import annotations

from tests.upstream.differences import ANY, OBJECT, Difference

_LABELS = "*metadata.labels."
_POD = "spec.template.spec"
_CONTAINER = f"{_POD}.containers[istio-proxy]"
_DEPLOYMENT, _SERVICE, _POLICY = "Deployment public", "Service public", "NetworkPolicy public"
_HELM = "says which release of a chart the object comes from; there is none"
_FOUND = (
    "a label of a domain that a policy guards: the chart's `app` and `istio` may be on any pod of the "
    "namespace, which then gets the gateway's traffic; the chart's own are free for spec.labels"
)
_OURS = "by these labels Navarch finds the objects of a gateway"
_PODS_ONLY = "decides about pods only, which have it"
_NETWORK_RULES = "metrics are collected from within the cluster only"

GATEWAY_DIFFERENCES: tuple[Difference, ...] = (
    Difference("*", "metadata.annotations", "{}", None, "nothing is said"),
    *(
        Difference("*", f"{_LABELS}{label}", ANY, None, _HELM)
        for label in ("app.kubernetes.io/instance", "app.kubernetes.io/version", "helm.sh/chart")
    ),
    *(
        Difference(_POLICY, f"metadata.labels.{label}", ANY, None, _HELM)
        for label in (
            "install.operator.istio.io/owning-resource",
            "operator.istio.io/component",
            "release",
            "istio.io/rev",
        )
    ),
    Difference(_POLICY, "metadata.name", "public-blue-inplace", "public", "one name for all of a gateway"),
    Difference(_POLICY, "metadata.labels.app.kubernetes.io/part-of", None, "istio", "as on other objects"),
    Difference(
        "*", f"{_LABELS}app.kubernetes.io/managed-by", ANY, "navarch", "says who would put a change back"
    ),
    Difference("*", f"{_LABELS}app.kubernetes.io/name", "public", None, "each object has this name"),
    Difference(
        "*",
        f"{_LABELS}app",
        "public",
        None,
        "the selector needs none; pods get one from spec.labels, and without it Istio calls the workload by "
        "its own name, which is the same",
    ),
    *(
        Difference("*", f"{_LABELS}mesh.navarch.io/{label}", None, ANY, _OURS)
        for label in ("component", "gateway-name", "gateway-namespace", "mesh-name", "mesh-namespace")
    ),
    Difference("*", "metadata.labels.mesh.navarch.io/gateway-uid", None, "uid-gateway", _OURS),
    Difference("*", "metadata.labels.istio.io/dataplane-mode", "none", None, _PODS_ONLY),
    Difference("*", "metadata.labels.team", "web", None, f"spec.labels are those of pods; {_PODS_ONLY}"),
    *(
        Difference(
            f"{kind} public",
            "metadata.labels.topology.istio.io/network",
            None,
            "net-1",
            "all objects of the gateway have the network's label",
        )
        for kind in ("Deployment", "ServiceAccount")
    ),
    # The workload and its pods
    *(
        Difference("*", f"spec.{selector}[{label} In public]", upstream, ours, _FOUND)
        for selector in ("selector", "podSelector")
        for label, upstream, ours in (
            ("app", "true", None),
            ("istio", "true", None),
            ("mesh.navarch.io/gateway-name", None, "true"),
        )
    ),
    Difference(
        _DEPLOYMENT,
        "spec.strategy.rollingUpdate.maxUnavailable",
        None,
        "0",
        "no pod goes before its successor is ready; upstream's default lets a quarter of them go",
    ),
    Difference(
        _DEPLOYMENT, "spec.strategy.rollingUpdate.maxSurge", None, "25%", "Kubernetes' default, spelt out"
    ),
    Difference(
        _DEPLOYMENT,
        "spec.template.metadata.labels.istio.io/rev",
        "blue-inplace",
        "blue",
        "the mesh's tag, which stays the same when the mesh is upgraded",
    ),
    Difference(
        _DEPLOYMENT,
        "spec.template.metadata.labels.mesh.navarch.io/template",
        None,
        ANY,
        "by it pods of the present template are told from older ones",
    ),
    Difference(
        _DEPLOYMENT,
        "spec.template.metadata.annotations.mesh.navarch.io/restart",
        None,
        ANY,
        "pods roll when the mesh's version or proxy configuration changes; with the chart they stay old",
    ),
    Difference(
        _DEPLOYMENT,
        "spec.template.metadata.annotations.proxy.istio.io/config",
        None,
        "terminationDrainDuration: *",
        "a pod that ends drains for 30 s or spec.terminationDrainSeconds; Istio's default is 5 s",
    ),
    Difference(
        _DEPLOYMENT,
        "spec.template.metadata.annotations.sidecar.istio.io/inject",
        "true",
        None,
        "the label of this name says it; the annotation is deprecated",
    ),
    Difference(
        _DEPLOYMENT,
        f"{_POD}.terminationGracePeriodSeconds",
        "30",
        "40",
        "longer than the drain, which would be cut off",
    ),
    Difference(
        _DEPLOYMENT,
        f"{_POD}.securityContext.sysctls[net.ipv4.ip_unprivileged_port_start].*",
        ANY,
        None,
        "the injection template brings this sysctl, by which the proxy may listen on ports below 1024",
    ),
    Difference(
        _DEPLOYMENT,
        f"{_POD}.securityContext.seccompProfile.type",
        None,
        "RuntimeDefault",
        "without it no pod is admitted where PodSecurity enforces `restricted`",
    ),
    *(
        Difference(
            _DEPLOYMENT,
            f"{_POD}.topologySpreadConstraints[{place}].*",
            None,
            ANY,
            "spread over nodes and zones where nothing is said",
        )
        for place in (0, 1)
    ),
    Difference(
        _DEPLOYMENT,
        f"{_CONTAINER}.imagePullPolicy",
        None,
        "IfNotPresent",
        "that of the mesh's images: left out, the API server takes `image: auto` for one that is always "
        "pulled, and the injector keeps that",
    ),
    Difference(
        _DEPLOYMENT, f"{_CONTAINER}.ports[15090/TCP].*", ANY, None, "the injection template brings it"
    ),
    *(
        Difference(
            _DEPLOYMENT,
            f"{_CONTAINER}.ports[{port}].*",
            None,
            ANY,
            "the ports that pods listen on are said, for people; nothing depends on it",
        )
        for port in (
            *("80/TCP", "443/TCP", "8080/TCP", "8443/UDP"),
            *("15012/TCP", "15017/TCP", "15021/TCP", "15443/TCP"),
        )
    ),
    *(
        Difference(
            _DEPLOYMENT,
            f"{_CONTAINER}.resources.limits.{resource}",
            ANY,
            None,
            "no limit where none is said: it would throttle a gateway, or kill it, while it is busiest",
        )
        for resource in ("cpu", "memory")
    ),
    Difference(
        "HorizontalPodAutoscaler public",
        "",
        OBJECT,
        None,
        "there is one where spec.autoscaling asks for it; a single pod by default is what Kubernetes has too",
        when="without spec.autoscaling",
    ),
    Difference(
        "PodDisruptionBudget public",
        "spec.unhealthyPodEvictionPolicy",
        None,
        "AlwaysAllow",
        "a pod that is not ready keeps no node from being drained",
    ),
    Difference(
        "PodDisruptionBudget public",
        "spec.selector[pod-template-hash Exists]",
        None,
        ANY,
        "pods of a Deployment only: with those of a DaemonSet among them, while one workload takes over from "
        "the other, Kubernetes could not work the budget out and would let none go",
    ),
    # The Service
    *(
        Difference(
            _SERVICE,
            f"spec.ports[15021/TCP].{field}",
            ANY,
            None,
            "health is asked of the pods; clients do not see it unless spec.service.ports has it",
        )
        for field in ("name", "port", "protocol", "targetPort")
    ),
    Difference(
        _SERVICE,
        "spec.ports[80/TCP].name",
        "http2",
        "http",
        "clients speak HTTP/1.1 there as well; Istio detects HTTP/2 on either",
    ),
    Difference(_SERVICE, "spec.selector.app", "public", None, _FOUND),
    Difference(_SERVICE, "spec.selector.istio", "public", None, _FOUND),
    Difference(_SERVICE, "spec.selector.mesh.navarch.io/gateway-name", None, "public", _FOUND),
    # The NetworkPolicy
    *(
        Difference(_POLICY, f"spec.ingress[{port}/TCP]", "true", None, _NETWORK_RULES)
        for port in (15020, 15090)
    ),
    *(
        Difference(
            _POLICY,
            f'spec.ingress[{port}/TCP from [{{"namespaceSelector": {{}}}}]]',
            None,
            "true",
            _NETWORK_RULES,
        )
        for port in (15020, 15090)
    ),
    Difference(_POLICY, "spec.policyTypes[1]", "Egress", None, "the policy says nothing of what goes out"),
    Difference(_POLICY, "spec.egress[everything]", "true", None, "the policy says nothing of what goes out"),
)
