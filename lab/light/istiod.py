"""One pretended istiod: what the real one of a revision does to its cluster, as its own ServiceAccount.

Owns the certificate authority of its namespace (Secret `istio-ca-secret`), caBundle and failurePolicy of its
revision's webhooks, the ConfigMaps `istio-ca-root-cert` and `istio-ca-crl`, and the two webhook endpoints.
Must never do what its ServiceAccount may not: every write is made in that account's name.
Invariant: when everything is as it should be, `reconcile` writes nothing.
Facts: Istio's security/pkg/pki, pkg/webhooks (webhookpatch.go, validation/controller), NamespaceController.
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from aiohttp import web

from lab import certificates
from lab.certificates import KeyPair
from lab.light.api import Account, Api, ApiError, Object, Store
from lab.light.injection import IGNORED_NAMESPACES, InjectionError, build_injector, inject, is_required
from lab.light.selectors import is_selected_by_any
from lab.light.validation import ALWAYS_REJECT, validate

_log = logging.getLogger(__name__)
CA_SECRET, PLUGGED_IN = "istio-ca-secret", "cacerts"
ROOT_CONFIG_MAP, ROOT_KEY = "istio-ca-root-cert", "root-cert.pem"
CRL_CONFIG_MAP, CRL_KEY = "istio-ca-crl", "ca-crl.pem"
DISTRIBUTED_LABELS = {"istio.io/config": "true"}
NOT_DISTRIBUTED_TO = IGNORED_NAMESPACES - {"kube-system"}
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Stores:
    """What the stand-in sees of the cluster."""

    pods: Store
    services: Store
    namespaces: Store
    config_maps: Store
    injectors: Store
    validators: Store


class Istiod:
    """The istiod of one revision in one namespace, for as long as a pod of it is ready."""

    def __init__(self, namespace: str, revision: str, *, api: Api, stores: Stores) -> None:
        self.namespace = namespace
        self.revision = revision
        self.pods: frozenset[str] = frozenset()
        self._account = Account(namespace, "default")
        self._api = api
        self._stores = stores
        self._root = b""
        self._injects = False
        self._rejects_invalid = False
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._runner: web.AppRunner | None = None
        self.socket: Path | None = None

    @property
    def _suffix(self) -> str:
        return "" if self.revision == "default" else f"-{self.revision}"

    async def start(self, pods: frozenset[str], *, account: Account) -> None:
        """What each new pod does once: read its authority, and whether there is an injector to run."""
        self._account = account
        authority, chain, self._root = await self._load_authority()
        own = certificates.issue(authority, common_name="istiod", hosts=self._hosts())
        self._serve_with(KeyPair(own.certificate + chain, own.key))
        # A real istiod that starts without the injector's ConfigMap never injects, until it is restarted.
        self._injects = self._config(f"istio-sidecar-injector{self._suffix}") is not None
        self._rejects_invalid = False
        self.pods = pods

    async def serve(self, socket: Path) -> None:
        """Opens /inject and /validate on a unix socket."""
        application = web.Application(client_max_size=2**24)
        application.router.add_post("/inject{rest:(/.*)?}", self._answer_inject)
        application.router.add_post("/validate{rest:(/.*)?}", self._answer_validate)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(socket), ssl_context=self._tls).start()
        self.socket = socket

    async def stop(self) -> None:
        """Closes the endpoints and every connection to them."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def reconcile(self) -> None:
        """Puts webhooks and root ConfigMaps right. ApiError when something must be tried again."""
        faults: list[ApiError] = []
        for config in self._mine(self._stores.injectors):
            await self._collect(faults, self._update(config, self._patch_injector(config), "mutating"))
        for config in self._mine(self._stores.validators):
            await self._collect(faults, self._patch_validator(config))
        for namespace in self._selected_namespaces():
            for name, key, text in (
                (ROOT_CONFIG_MAP, ROOT_KEY, self._root.decode()),
                (CRL_CONFIG_MAP, CRL_KEY, ""),  # a self-signed authority revokes nothing
            ):
                await self._collect(faults, self._distribute(namespace, name, key=key, text=text))
        if faults:
            raise faults[0]

    @staticmethod
    async def _collect(faults: list[ApiError], work: Any) -> None:
        try:
            await work
        except ApiError as error:
            faults.append(error)

    def _config(self, name: str) -> Mapping[str, str] | None:
        found = self._stores.config_maps.get(name, self.namespace)
        return None if found is None else found.get("data") or {}

    def _mesh(self) -> Mapping[str, Any]:
        try:
            return (
                yaml.load((self._config(f"istio{self._suffix}") or {}).get("mesh", ""), yaml.CSafeLoader)
                or {}
            )
        except yaml.YAMLError:
            return {}

    def _hosts(self) -> list[str]:
        services = ["istiod", "istiod-remote", "istio-pilot"]
        if self._suffix:
            services.append(f"istiod{self._suffix}")
        hosts = [f"{service}.{self.namespace}.svc" for service in services]
        address = (self._mesh().get("defaultConfig") or {}).get("discoveryAddress", "")
        discovery = address.rpartition(":")[0]
        return hosts + ([discovery] if discovery and discovery not in hosts else [])

    async def _load_authority(self) -> tuple[KeyPair, bytes, bytes]:
        """What signs, the chain behind what it signs, and the root: decided once, when a pod starts. One that
        was plugged in comes before istiod's own."""
        secrets = f"/api/v1/namespaces/{self.namespace}/secrets"
        secret = await self._find(f"{secrets}/{PLUGGED_IN}")
        if secret is None or "ca-key.pem" not in secret.get("data", {}):
            secret = await self._find(f"{secrets}/{CA_SECRET}") or await self._create_authority(secrets)
        data = {key: base64.b64decode(value) for key, value in secret["data"].items()}
        pair = KeyPair(data["ca-cert.pem"], data["ca-key.pem"])
        return pair, data.get("cert-chain.pem", b""), data["root-cert.pem"]

    async def _find(self, path: str) -> Object | None:
        try:
            return await self._api.send("GET", path, account=self._account)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    async def _create_authority(self, secrets: str) -> Object:
        domain = self._mesh().get("trustDomain") or "cluster.local"
        pair = certificates.build_authority(organisation=domain)
        data = {
            "ca-cert.pem": pair.certificate,
            "ca-key.pem": pair.key,
            "root-cert.pem": pair.certificate,
            "cert-chain.pem": b"",
            "key.pem": b"",
        }
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": CA_SECRET, "namespace": self.namespace},
            "type": "istio.io/ca-root",
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
        try:
            return await self._api.send("POST", secrets, body=secret, account=self._account)
        except ApiError as error:
            if error.status != 409:
                raise
            # Another revision of this namespace was quicker; the authority is shared.
            return await self._api.send("GET", f"{secrets}/{CA_SECRET}", account=self._account)

    def _serve_with(self, pair: KeyPair) -> None:
        with NamedTemporaryFile(suffix=".pem") as file:
            file.write(pair.certificate + pair.key)
            file.flush()
            self._tls.load_cert_chain(file.name)

    def _mine(self, store: Store) -> Iterable[Object]:
        return [c for c in store if (c["metadata"].get("labels") or {}).get("istio.io/rev") == self.revision]

    def _bundle(self) -> str:
        return base64.b64encode(self._root).decode()

    def _patch_injector(self, config: Object) -> Object:
        wanted = copy.deepcopy(config)
        for webhook in wanted.get("webhooks") or ():
            if webhook["name"].endswith("sidecar-injector.istio.io"):
                webhook["clientConfig"]["caBundle"] = self._bundle()
        return wanted

    async def _patch_validator(self, config: Object) -> None:
        wanted = copy.deepcopy(config)
        webhooks = wanted.get("webhooks") or ()
        must_fail = any(webhook.get("failurePolicy") == "Ignore" for webhook in webhooks)
        may_fail = must_fail and await self._is_invalid_rejected()
        for webhook in webhooks:
            webhook["clientConfig"]["caBundle"] = self._bundle()
            if may_fail:
                webhook["failurePolicy"] = "Fail"
        await self._update(config, wanted, "validating")
        if must_fail and not may_fail:
            raise ApiError(0, f"{config['metadata']['name']}: an invalid Gateway is not refused yet")

    async def _is_invalid_rejected(self) -> bool:
        if not self._rejects_invalid:
            metadata = {
                "name": "invalid-gateway",
                "namespace": self.namespace,
                "labels": {"istio.io/rev": self.revision},
                "annotations": {ALWAYS_REJECT: "true"},
            }
            body = {
                "apiVersion": "networking.istio.io/v1",
                "kind": "Gateway",
                "metadata": metadata,
                "spec": {},
            }
            path = f"/apis/networking.istio.io/v1/namespaces/{self.namespace}/gateways"
            try:
                await self._api.send("POST", path, body=body, account=self._account, dry_run=True)
            except ApiError as error:
                # No such kind counts as ready: without the CRD there is nothing to validate.
                no_crd = error.status == 404 and "could not find the requested resource" in error.message
                self._rejects_invalid = no_crd or "denied the request" in error.message
        return self._rejects_invalid

    async def _update(self, seen: Object, wanted: Object, kind: str) -> None:
        if wanted != seen:
            path = f"{WEBHOOKS}/{kind}webhookconfigurations/{seen['metadata']['name']}"
            await self._api.send("PUT", path, body=wanted, account=self._account)

    def _selected_namespaces(self) -> list[str]:
        selectors = self._mesh().get("discoverySelectors") or ()
        return [
            namespace["metadata"]["name"]
            for namespace in self._stores.namespaces
            if namespace["metadata"]["name"] not in NOT_DISTRIBUTED_TO
            and (namespace.get("status") or {}).get("phase") != "Terminating"
            and is_selected_by_any(selectors, namespace["metadata"].get("labels") or {})
        ]

    async def _distribute(self, namespace: str, name: str, *, key: str, text: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        found = self._stores.config_maps.get(name, namespace)
        if found is None:
            metadata = {"name": name, "namespace": namespace, "labels": DISTRIBUTED_LABELS}
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {key: text}}
            try:
                await self._api.send("POST", path, body=body, account=self._account)
            except ApiError as error:
                # Forbidden, gone or there already: the real one lets these be, too.
                if error.status not in {403, 404, 409}:
                    raise
        elif (found.get("data") or {}).get(key) != text:
            body = {**found, "apiVersion": "v1", "kind": "ConfigMap"}
            body["data"] = {**(found.get("data") or {}), key: text}
            await self._api.send("PUT", f"{path}/{name}", body=body, account=self._account)

    async def _answer_inject(self, request: web.Request) -> web.Response:
        if not self._injects:
            raise web.HTTPNotFound
        review = await request.json()
        asked, pod = review["request"], review["request"]["object"]
        try:
            name = f"istio-sidecar-injector{self._suffix}"
            injector = build_injector(
                revision=self.revision,
                namespace=self.namespace,
                config_map=self._config(name) or {},
                mesh=self._mesh(),
            )
            if not is_required(pod, namespace=asked["namespace"], config=injector.config):
                return _review(asked["uid"], allowed=True)
            wanted = inject(pod, injector=injector)
        except InjectionError as error:
            return _review(asked["uid"], allowed=False, message=f"Pod injection failed: {error}")
        patch = [
            {"op": "replace", "path": f"/{part}", "value": wanted[part]} for part in ("metadata", "spec")
        ]
        encoded = base64.b64encode(json.dumps(patch).encode()).decode()
        return _review(asked["uid"], allowed=True, patchType="JSONPatch", patch=encoded)

    async def _answer_validate(self, request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        fault = validate(asked["object"]) if asked["operation"] in {"CREATE", "UPDATE"} else None
        return _review(asked["uid"], allowed=fault is None, message=fault)


def _review(uid: str, *, allowed: bool, message: str | None = None, **more: str) -> web.Response:
    answer: Object = {"uid": uid, "allowed": allowed, **more}
    if message is not None:
        answer["status"] = {"message": message}
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
    return web.json_response(body)
