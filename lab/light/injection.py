"""What the stand-in's /inject makes of a pod.

Pure. It follows Istio's engine where a test or the operator can see it: who is injected, the names of
containers, volumes, labels and annotations, the image, and what the status annotation says. It must never
evaluate the Go templates: the proxy's inside (arguments, probes) is only hinted at, since nothing runs here.
Of a template it reads how long names are cut.
Facts: Istio's pkg/kube/inject (inject.go, webhook.go) and its testdata.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from lab.light.selectors import is_selected

IGNORED_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})
STATUS = "sidecar.istio.io/status"
CANONICAL_NAME = "service.istio.io/canonical-name"
PROXY = "istio-proxy"
PROMETHEUS = {"port": "15020", "path": "/stats/prometheus", "scrape": "true"}

MOUNTS = {
    "workload-socket": "/var/run/secrets/workload-spiffe-uds",
    "credential-socket": "/var/run/secrets/credential-uds",
    "workload-certs": "/var/run/secrets/workload-spiffe-credentials",
    "istiod-ca-cert": "/var/run/secrets/istio",
    "istio-ca-crl": "/var/run/secrets/istio/crl",
    "istio-data": "/var/lib/istio/data",
    "istio-envoy": "/etc/istio/proxy",
    "istio-token": "/var/run/secrets/tokens",
    "istio-podinfo": "/etc/istio/pod",
}

UNPRIVILEGED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsGroup": 1337,
    "runAsNonRoot": True,
    "runAsUser": 1337,
}
NETWORK_ADMIN = {
    **UNPRIVILEGED,
    "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
    "readOnlyRootFilesystem": False,
    "runAsGroup": 0,
    "runAsNonRoot": False,
    "runAsUser": 0,
}

_CUT = re.compile(r'trunc (?P<length>[0-9]+) *\| *(?P<how>trimAll|trimSuffix) "(?P<characters>[^"]*)"')
"""How templates shorten the canonical name."""

Pod: TypeAlias = dict[str, Any]


class InjectionError(Exception):
    """Why istiod cannot inject; the API server shows it to whoever creates the pod."""


@dataclass(frozen=True, slots=True)
class Injector:
    """What one istiod injects by: its injector ConfigMap, its mesh configuration and its revision."""

    revision: str
    namespace: str
    config: Mapping[str, Any]
    values: Mapping[str, Any]
    mesh: Mapping[str, Any]

    @property
    def proxy_values(self) -> Mapping[str, Any]:
        """`global.proxy` of the values."""
        return self.values["global"].get("proxy") or {}


def build_injector(
    *, revision: str, namespace: str, config_map: Mapping[str, str], mesh: Mapping[str, Any]
) -> Injector:
    """Reads `config` and `values` of the injector ConfigMap. InjectionError when they are unreadable."""
    try:
        config = yaml.load(config_map["config"], yaml.CSafeLoader) or {}
        values = json.loads(config_map["values"])
        values["global"]["hub"], values["global"]["tag"]
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise InjectionError(f"the injector's configuration is unusable: {error!r}") from error
    return Injector(revision, namespace, config, values, mesh)


def is_required(pod: Pod, *, namespace: str, config: Mapping[str, Any]) -> bool:
    """Whether istiod injects a pod that its webhook was asked about (injectRequired in inject.go)."""
    metadata = pod["metadata"]
    if pod["spec"].get("hostNetwork") or namespace in IGNORED_NAMESPACES:
        return False
    labels = metadata.get("labels") or {}
    key = "sidecar.istio.io/inject"
    wish = labels.get(key, (metadata.get("annotations") or {}).get(key, ""))
    if wish in ("true", "false"):
        return bool(wish == "true")
    for name, answer in (("neverInjectSelector", False), ("alwaysInjectSelector", True)):
        if any(selector and is_selected(selector, labels) for selector in config.get(name) or ()):
            return answer
    return bool(config.get("policy") == "enabled")


def inject(original: Pod, *, injector: Injector) -> Pod:
    """The injected pod. One that was injected before loses its old proxy first, and gets a new one."""
    pod = _strip(original)
    templates = _templates(pod, injector.config)
    injected: Pod = _gateway(pod, injector) if "gateway" in templates else _sidecar(pod, injector)
    _merge(pod, injected)
    metadata = pod["metadata"]
    metadata["labels"] = {**injected["metadata"]["labels"], **(metadata.get("labels") or {})}
    annotations = {
        **injected["metadata"]["annotations"],
        **_prometheus(metadata.get("annotations") or {}, injector.mesh),
        STATUS: build_status(injected["spec"], revision=injector.revision),
        **(injector.config.get("injectedAnnotations") or {}),
    }
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations}
    return pod


def build_status(spec: Mapping[str, Any], *, revision: str) -> str:
    """The JSON of the status annotation: the names of all that was added; null where there is nothing."""
    kinds = ("initContainers", "containers", "volumes", "imagePullSecrets")
    names = {kind: [item["name"] for item in spec.get(kind) or ()] or None for kind in kinds}
    return json.dumps({**names, "revision": revision}, separators=(",", ":"))


def choose_image(injector: Injector, annotations: Mapping[str, str]) -> str:
    """The proxy's image (ProxyImage in inject.go). An annotation counts only when it names a whole image."""
    settings = injector.values["global"]
    image = injector.proxy_values.get("image") or "proxyv2"
    whole = annotations.get("sidecar.istio.io/proxyImage") or image
    if "/" in whole:
        return str(whole)
    mesh_type = ((injector.mesh.get("defaultConfig") or {}).get("image") or {}).get("imageType")
    kind = annotations.get("sidecar.istio.io/proxyImageType") or mesh_type or settings.get("variant")
    suffix = f"-{kind}" if kind and kind != "default" else ""
    return f"{settings['hub']}/{image}:{settings['tag']}{suffix}"


def choose_canonical_name(pod: Pod) -> str:
    """The service name that telemetry shows: from labels, else the owner's name, else the pod's own, which is
    not known yet where it is generated.
    """
    labels = pod["metadata"].get("labels") or {}
    for key in (CANONICAL_NAME, "app.kubernetes.io/name", "app"):
        if labels.get(key):
            return str(labels[key])
    return _owner_name(pod)


def cut_name(name: str, template: str) -> str:
    """A canonical name as a template cuts it to the length of a label: minors differ in what they take off
    its ends, and what they leave on may be no label; Istio's own for gateways cuts nothing."""
    found = _CUT.search(template)
    if found is None:
        return name
    cut, characters = name[: int(found["length"])], found["characters"]
    return cut.strip(characters) if found["how"] == "trimAll" else cut.removesuffix(characters)


def _owner_name(pod: Pod) -> str:
    metadata = pod["metadata"]
    if metadata.get("generateName"):  # only then istiod looks for an owner (GetDeployMetaFromPod in pkg/kube)
        for parent in metadata.get("ownerReferences") or ():
            if parent.get("controller"):
                suffix = f"-{(metadata.get('labels') or {}).get('pod-template-hash', '')}"
                return str(parent["name"]).removesuffix(suffix)
    return str(metadata.get("name") or "")


def _templates(pod: Pod, config: Mapping[str, Any]) -> list[str]:
    annotation = (pod["metadata"].get("annotations") or {}).get("inject.istio.io/templates")
    asked = annotation.split(",") if annotation else config.get("defaultTemplates") or ["sidecar"]
    names: list[str] = []
    for name in asked:
        names += (config.get("aliases") or {}).get(name) or [name]
    if unknown := [name for name in names if name not in (config.get("templates") or {})]:
        raise InjectionError(f"requested template {unknown[0]!r} is not in the injector's configuration")
    return names


def _strip(original: Pod) -> Pod:
    pod = copy.deepcopy(original)
    annotations = pod["metadata"].get("annotations") or {}
    try:
        before = json.loads(annotations.pop(STATUS, "{}"))
    except ValueError:
        before = {}
    for kind in ("containers", "initContainers"):
        gone = before.get(kind) or ()
        if kind in pod["spec"]:
            pod["spec"][kind] = [item for item in pod["spec"][kind] if item["name"] not in gone]
    return pod


def _sidecar(pod: Pod, injector: Injector) -> Pod:
    annotations = pod["metadata"].get("annotations") or {}
    image = choose_image(injector, annotations)
    proxy = _proxy(image, injector, role="sidecar", volumes=MOUNTS)
    with_cni = ((injector.values.get("pilot") or {}).get("cni") or {}).get("enabled")
    first = {
        "name": "istio-validation" if with_cni else "istio-init",
        "image": image,
        "args": ["istio-iptables"],
        "resources": proxy["resources"],
        "securityContext": UNPRIVILEGED if with_cni else NETWORK_ADMIN,
    }
    native = annotations.get("sidecar.istio.io/nativeSidecar") != "false"
    spec: Pod = {
        "initContainers": [first, {**proxy, "restartPolicy": "Always"}] if native else [first],
        "containers": [] if native else [proxy],
        "volumes": _volumes(MOUNTS),
        "imagePullSecrets": _pull_secrets(injector),
    }
    labels = {
        "security.istio.io/tlsMode": "istio",
        CANONICAL_NAME: cut_name(choose_canonical_name(pod), injector.config["templates"].get("sidecar", "")),
    }
    return {"metadata": _metadata(pod, injector, labels=labels), "spec": spec}


def _pull_secrets(injector: Injector) -> list[dict[str, str]]:
    return [{"name": name} for name in injector.values["global"].get("imagePullSecrets") or ()]


def _gateway(pod: Pod, injector: Injector) -> Pod:
    image = choose_image(injector, pod["metadata"].get("annotations") or {})
    volumes = [name for name in MOUNTS if name != "istio-ca-crl"]
    proxy = _proxy(image, injector, role="router", volumes=volumes)
    spec: Pod = {
        "containers": [proxy],
        "volumes": _volumes(volumes),
        "imagePullSecrets": _pull_secrets(injector),
    }
    template = injector.config["templates"].get("gateway", "")
    labels = {CANONICAL_NAME: cut_name(choose_canonical_name(pod), template)}
    return {"metadata": _metadata(pod, injector, labels=labels), "spec": spec}


def _metadata(pod: Pod, injector: Injector, *, labels: Mapping[str, str]) -> Pod:
    mine = pod["metadata"].get("labels") or {}
    version = mine.get("app.kubernetes.io/version") or mine.get("version") or "latest"
    annotations = {"istio.io/rev": injector.revision}
    if apps := [c["name"] for c in pod["spec"].get("containers") or () if c["name"] != PROXY]:
        annotations["kubectl.kubernetes.io/default-container"] = apps[0]
        annotations["kubectl.kubernetes.io/default-logs-container"] = apps[0]
    return {
        "labels": {
            **labels,
            "service.istio.io/canonical-revision": version,
        },
        "annotations": annotations,
    }


def _proxy(image: str, injector: Injector, *, role: str, volumes: Iterable[str]) -> Pod:
    settings = injector.values["global"]
    suffix = "" if injector.revision == "default" else f"-{injector.revision}"
    address = settings.get("caAddress") or f"istiod{suffix}.{injector.namespace}.svc:15012"
    return {
        "name": PROXY,
        "image": image,
        "args": ["proxy", role],
        "env": [{"name": "CA_ADDR", "value": address}],
        "ports": [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}],
        "resources": injector.proxy_values.get("resources") or {},
        "securityContext": UNPRIVILEGED,
        "volumeMounts": [{"name": name, "mountPath": MOUNTS[name]} for name in volumes],
    }


def _volumes(names: Iterable[str]) -> list[Pod]:
    token = {"audience": "istio-ca", "expirationSeconds": 43200, "path": "istio-token"}
    special: dict[str, Pod] = {
        "istio-envoy": {"emptyDir": {"medium": "Memory"}},
        "istio-token": {"projected": {"sources": [{"serviceAccountToken": token}]}},
        "istiod-ca-cert": {"configMap": {"name": "istio-ca-root-cert"}},
        "istio-ca-crl": {"configMap": {"name": "istio-ca-crl", "optional": True}},
        "istio-podinfo": {
            "downwardAPI": {
                "items": [
                    {"path": path, "fieldRef": {"fieldPath": f"metadata.{path}"}}
                    for path in ("labels", "annotations")
                ]
            }
        },
    }
    return [{"name": name, **special.get(name, {"emptyDir": {}})} for name in names]


def _merge(pod: Pod, injected: Pod) -> None:
    """Adds the injected lists; an item that the pod has under the same name is laid over the injected one."""
    spec = pod["spec"]
    for kind, added in injected["spec"].items():
        mine = {item["name"]: item for item in spec.get(kind) or ()}
        first = [_overlaid(item, mine.pop(item["name"], None)) for item in added]
        if kind == "containers":
            spec[kind] = [*mine.values(), *first]  # the proxy comes last, so that kubectl exec finds the app
        elif first or mine:
            spec[kind] = [*first, *mine.values()]


def _overlaid(injected: Pod, own: Pod | None) -> Pod:
    if own is None:
        return injected
    merged = {**injected, **{key: value for key, value in own.items() if value or key not in injected}}
    if own.get("image") == "auto":
        merged["image"] = injected["image"]
    for kind in ("env", "volumeMounts"):
        if kind in injected:
            named = {item["name"]: item for item in [*injected[kind], *(own.get(kind) or ())]}
            merged[kind] = list(named.values())
    return merged


def _prometheus(annotations: Mapping[str, str], mesh: Mapping[str, Any]) -> dict[str, str]:
    wanted = annotations.get("prometheus.istio.io/merge-metrics", mesh.get("enablePrometheusMerge", True))
    if wanted in (False, "false") or annotations.get("prometheus.io/scrape") == "false":
        return {}
    return {f"prometheus.io/{key}": value for key, value in PROMETHEUS.items()}
