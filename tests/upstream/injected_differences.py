"""Where what istiod makes with our templates differs from what it makes with upstream's, and why: one table.

test_injected_pods.py and test_gateways.py fail for a difference without a row, and for a row without a
difference.
"""

from __future__ import annotations

from tests.upstream.object_comparison import Row

_NO_FILE = (
    "Applications find the bootstrap in GRPC_XDS_BOOTSTRAP_CONFIG: no file has to be written by an init "
    "container from an image of another registry, and the address is that of the mesh's own revision, where "
    "upstream's names an istiod without one, which no revision of ours is."
)
_SIMPLE = "grpc-simple*"
_LABEL = (
    "Upstream's template takes the name of a Deployment as it is, and where that has more than 63 characters "
    "every pod is refused; ours cuts it, as both do for sidecars."
)

INJECTED: tuple[Row, ...] = (
    Row(
        "metadata.annotations.mesh.navarch.io/proxy",
        "only ours",
        "By this stamp the operator knows which proxies were injected before a change that only a restart of "
        "their pod can bring.",
    ),
    Row(
        "refused",
        "only upstream's",
        "A quotation mark in proxyMetadata breaks upstream's template, and the pod cannot be created; ours "
        "prints every value as JSON.",
        "quotes in metadata",
    ),
    Row(
        "spec.containers[istio-proxy].lifecycle.postStart.exec.command",
        "only ours",
        "A preStop hook of the mesh's own leaves the hook as it is that waits for the proxy; upstream's "
        "template takes either the mesh's hooks or its own, so that applications start before their proxy.",
        "hello-probes-proxyHoldApplication*",
    ),
    Row("metadata.labels.service.istio.io/canonical-name", "another value", _LABEL, "long name, g*"),
    Row("metadata.annotations.sidecar.istio.io/status.initContainers", "only upstream's", _NO_FILE, _SIMPLE),
    Row("metadata.annotations.sidecar.istio.io/status.volumes", "only upstream's", _NO_FILE, _SIMPLE),
    Row("spec.initContainers", "only upstream's", _NO_FILE, _SIMPLE),
    Row("spec.volumes[grpc-io-proxyless-bootstrap]", "only upstream's", _NO_FILE, _SIMPLE),
    Row("spec.containers[*].volumeMounts[/var/lib/grpc/data/]", "only upstream's", _NO_FILE, _SIMPLE),
    Row("spec.containers[*].env[GRPC_XDS_BOOTSTRAP]", "only upstream's", _NO_FILE, _SIMPLE),
    Row("spec.containers[*].env[GRPC_XDS_BOOTSTRAP_CONFIG]", "only ours", _NO_FILE, _SIMPLE),
    Row("spec.containers[*].env[GRPC_XDS_POD_IP]", "only ours", _NO_FILE, _SIMPLE),
    Row("spec.containers[*].env[GRPC_XDS_POD_NAME]", "only ours", _NO_FILE, _SIMPLE),
    Row("spec.containers[*].env[GRPC_XDS_POD_NAMESPACE]", "only ours", _NO_FILE, _SIMPLE),
    Row(
        "spec.containers[*].env[GRPC_GO_LOG_SEVERITY_LEVEL]",
        "only upstream's",
        "What an application logs is its own affair.",
        _SIMPLE,
    ),
    Row(
        "spec.containers[*].env[GRPC_GO_LOG_VERBOSITY_LEVEL]",
        "only upstream's",
        "What an application logs is its own affair.",
        _SIMPLE,
    ),
)


DEPLOYED: tuple[Row, ...] = (
    Row(
        "spec.template.metadata.annotations.mesh.navarch.io/proxy",
        "only ours",
        "By this stamp the operator tells current pods of Gateways from outdated ones, and istiod rolls them "
        "when it changes.",
        "deployment *",
    ),
    Row(
        "spec.template.spec.volumes[go-proxy-data]",
        "only upstream's",
        "Nothing mounts it.",
        "deployment *",
    ),
    Row(
        "spec.template.spec.volumes[go-proxy-envoy]",
        "only upstream's",
        "Nothing mounts it.",
        "deployment *",
    ),
)


def rows() -> tuple[Row, ...]:
    """Every difference of injected pods and of what istiod deploys for Gateways."""
    return INJECTED + DEPLOYED
