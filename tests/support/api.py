"""A plain client of the tests: what the official synchronous one reads of a kubeconfig, with dictionaries.

Must never share code with what it tests, but for the table of where kinds are served.
"""

from __future__ import annotations

import json
from copy import copy
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml
from kubernetes import config
from navarch.kube.resources import resource_of
from urllib3 import connection_from_url

Object = dict[str, Any]
TRIES = 5
"""How often a request is sent that the server did not get to."""
GVK = {
    "mesh": ("mesh.navarch.io/v1beta1", "MeshControlPlane"),
    "revision": ("mesh.navarch.io/v1beta1", "MeshRevision"),
    "gateway": ("mesh.navarch.io/v1beta1", "MeshGateway"),
    "member": ("mesh.navarch.io/v1beta1", "MeshMember"),
    "roll": ("mesh.navarch.io/v1beta1", "MeshMemberRoll"),
    "deployment": ("apps/v1", "Deployment"),
    "daemonset": ("apps/v1", "DaemonSet"),
    "replicaset": ("apps/v1", "ReplicaSet"),
    "rollout": ("argoproj.io/v1alpha1", "Rollout"),
    "service": ("v1", "Service"),
    "serviceaccount": ("v1", "ServiceAccount"),
    "configmap": ("v1", "ConfigMap"),
    "secret": ("v1", "Secret"),
    "namespace": ("v1", "Namespace"),
    "pod": ("v1", "Pod"),
    "hpa": ("autoscaling/v2", "HorizontalPodAutoscaler"),
    "pdb": ("policy/v1", "PodDisruptionBudget"),
    "networkpolicy": ("networking.k8s.io/v1", "NetworkPolicy"),
    "role": ("rbac.authorization.k8s.io/v1", "Role"),
    "rolebinding": ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    "clusterrole": ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    "clusterrolebinding": ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    "mwc": ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
    "vwc": ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    "crd": ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    "peerauthentication": ("security.istio.io/v1", "PeerAuthentication"),
    "destinationrule": ("networking.istio.io/v1", "DestinationRule"),
    "envoyfilter": ("networking.istio.io/v1alpha3", "EnvoyFilter"),
    "event": ("events.k8s.io/v1", "Event"),
    "lease": ("coordination.k8s.io/v1", "Lease"),
    "quota": ("v1", "ResourceQuota"),
    "node": ("v1", "Node"),
    "route": ("route.openshift.io/v1", "Route"),
}


class Refused(Exception):
    """The API server said no; `code` is the HTTP status, the text its message."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


def build_trust(configuration: Any) -> dict[str, Any]:
    """Whom to trust, and by what to be known, over TLS; nothing for a server without it."""
    if not configuration.host.startswith("https:"):
        return {}
    return {
        "cert_reqs": "CERT_REQUIRED" if configuration.verify_ssl else "CERT_NONE",
        "ca_certs": configuration.ssl_ca_cert,
        "cert_file": configuration.cert_file,
        "key_file": configuration.key_file,
    }


class Api:
    """Requests as the kubeconfig's user."""

    def __init__(self, kubeconfig: Path) -> None:
        self._configuration = config.new_client_from_config(config_file=str(kubeconfig)).configuration
        self._user = ""
        # Below the official client's own requests: those compute four times as long, and a run makes them by
        # the hundred thousand.
        self._pool = connection_from_url(
            self._configuration.host, maxsize=4, **build_trust(self._configuration)
        )

    def impersonating(self, user: str) -> Api:
        """The same API server, asked in the name of a user."""
        other = copy(self)
        other._user = user
        return other

    def request(self, method: str, path: str, body: Any = None, *, media: str = "application/json") -> Any:
        data = self._send(method, path, body, media)
        return json.loads(data) if data[:1] in (b"{", b"[") else data.decode()

    def _send(self, method: str, path: str, body: Any, media: str) -> bytes:
        headers = {"Accept": "application/json", "Content-Type": media}
        token = self._configuration.api_key.get("authorization")
        prefix = self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token or prefix:
            headers["Authorization"] = prefix or token
        if self._user:
            headers["Impersonate-User"] = self._user
        data = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        # A server that waited for a core for a minute says so; what changes nothing the second time is asked
        # for again.
        for _ in range(TRIES):
            response = self._pool.urlopen(method, path, body=data, headers=headers)
            if response.status != HTTPStatus.GATEWAY_TIMEOUT or method == "POST":
                break
        if response.status >= 400:
            raise Refused(response.status, _message(response.data))
        return bytes(response.data)

    def path(self, kind: str, namespace: str = "", name: str = "", sub: str = "") -> str:
        return resource_of(*GVK[kind]).path(namespace=namespace, name=name, subresource=sub)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        try:
            return dict(self.request("GET", self.path(kind, namespace, name)))
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def replay(self, kind: str, namespace: str, name: str, *, since: str) -> list[Object]:
        """Every state of one object after resourceVersion `since`, in order, as a watch gives them; when it
        is gone, its last one too."""
        query = f"watch=1&resourceVersion={since}&timeoutSeconds=1&fieldSelector=metadata.name%3D{name}"
        events = map(
            json.loads,
            self._send("GET", f"{self.path(kind, namespace)}?{query}", None, "application/json").splitlines(),
        )
        return [event["object"] for event in events if event["type"] != "BOOKMARK"]

    def replay_all(self, kind: str, namespace: str, *, since: str, labels: str) -> list[tuple[str, Object]]:
        """Every change of a namespace's objects with these labels after resourceVersion `since`, in order."""
        from urllib.parse import quote

        query = f"watch=1&resourceVersion={since}&timeoutSeconds=1&labelSelector={quote(labels)}"
        told = self._send("GET", f"{self.path(kind, namespace)}?{query}", None, "application/json")
        events = map(json.loads, told.splitlines())
        return [(event["type"], event["object"]) for event in events if event["type"] != "BOOKMARK"]

    def list(self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "") -> list[Object]:
        from urllib.parse import urlencode

        query = urlencode({k: v for k, v in (("labelSelector", labels), ("fieldSelector", fields)) if v})
        try:
            found = self.request("GET", self.path(kind, namespace) + (f"?{query}" if query else ""))
        except Refused as refused:
            if refused.code == 404:
                return []
            raise
        api_version, name = GVK[kind]
        return [{"apiVersion": api_version, "kind": name, **item} for item in found["items"]]

    def create(self, manifest: Object, *, dry_run: bool = False) -> Object:
        resource = resource_of(manifest["apiVersion"], manifest["kind"])
        path = resource.path(namespace=manifest["metadata"].get("namespace", ""))
        return dict(self.request("POST", path + ("?dryRun=All" if dry_run else ""), manifest))

    def apply(self, manifest: Object, *, manager: str = "test") -> Object:
        resource = resource_of(manifest["apiVersion"], manifest["kind"])
        metadata = manifest["metadata"]
        path = resource.path(namespace=metadata.get("namespace", ""), name=metadata["name"])
        query = f"?fieldManager={manager}&force=true"
        media = "application/apply-patch+yaml"
        return dict(self.request("PATCH", path + query, manifest, media=media))

    def apply_all(self, text: str) -> None:
        for manifest in yaml.load_all(text, yaml.CSafeLoader):
            if manifest:
                self.apply(manifest)

    def patch(self, kind: str, namespace: str, name: str, patch: Any, *, sub: str = "") -> Object:
        media = "application/json-patch+json" if isinstance(patch, list) else "application/merge-patch+json"
        return dict(self.request("PATCH", self.path(kind, namespace, name, sub), patch, media=media))

    def delete(self, kind: str, namespace: str, name: str, *, propagation: str = "Background") -> None:
        try:
            self.request("DELETE", self.path(kind, namespace, name), {"propagationPolicy": propagation})
        except Refused as refused:
            if refused.code != 404:
                raise


def _message(body: Any) -> str:
    try:
        return str(json.loads(body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(body)
