"""A cluster in memory: what the API server would keep of many meshes, and stores that have seen all of it.

For tests and measurements of what a look costs among others, where starting an API server would measure
that. It answers the requests that the operator makes for meshes, as far as these need it: an apply is taken
in whole, pods run as soon as a Deployment exists, and each mesh's istiod has written its root.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any, TypeAlias, cast

from navarch.controllers.authority import AuthorityKeeper
from navarch.controllers.controlplane import MeshController
from navarch.controllers.kinds import KINDS
from navarch.controllers.report import Reporter
from navarch.controllers.revision import RevisionController
from navarch.core.istio.assets import Assets
from navarch.core.istio.roles import ROLE_LABELS, build_roles
from navarch.core.model.labels import (
    ISTIO_INJECTION,
    ISTIO_REV,
    NAMESPACE_NAME,
    SIDECAR_INJECT,
    SIDECAR_STATUS,
)
from navarch.core.model.naming import effective_tag, revision_name
from navarch.core.model.parent import parent_of
from navarch.core.model.refs import Manifest, Ref, ref_of
from navarch.core.world.cluster import Environment
from navarch.engine.key import Key
from navarch.gather.authority import OF_AUTHORITIES
from navarch.gather.watches import WATCHES, Watch, stores_of_owned
from navarch.gather.world import World
from navarch.kube.apply import Applier
from navarch.kube.client import Client, Listing
from navarch.kube.contest import Contests
from navarch.kube.errors import Conflict, Denial, Forbidden, NotFound
from navarch.kube.events import Recorder
from navarch.kube.index import Read
from navarch.kube.resources import Resource, resource_of
from navarch.kube.restarts import Restarter
from navarch.kube.shelf import Pool
from navarch.kube.store import Object, Store
from navarch.kube.values import keys_of

from lab.certificates import build_authority
from tests.support.meshes import build_mesh
from tests.unit.observations import NOW, assets

SYSTEM, PROBE = "navarch-system", "navarch-probe"
MESH, REVISION = "MeshControlPlane", "MeshRevision"
_GENERATION_KINDS = frozenset({MESH, REVISION, "Deployment"})
_ROUNDS = 12


Heed: TypeAlias = Callable[[Watch, Object | None, Object | None], None]


class CountingStore(Store):
    """A store that counts the objects that are taken out of it."""

    visited = 0

    def get(self, ref: Ref) -> Object | None:
        found = super().get(ref)
        self.visited += found is not None
        return found

    def list(self, namespace: str | None = None) -> tuple[Object, ...]:
        found = super().list(namespace)
        self.visited += len(found)
        return found

    def find(self, read: Read, *values: Hashable) -> tuple[Object, ...]:
        found = super().find(read, *values)
        self.visited += len(found)
        return found


EVERY = (*WATCHES, *OF_AUTHORITIES)


class Memory:
    """The objects, the requests that were made, and the controllers that make them; `heed` is told of each
    change that a watch would tell of."""

    def __init__(
        self, *, pool: Pool | None = None, data: Assets | None = None, heed: Heed | None = None
    ) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.requests: list[str] = []
        self.now = NOW
        self.stores = {watch.name: _build_store(watch, pool or Pool(), heed) for watch in EVERY}
        self._versions = itertools.count(1)
        environment = Environment((1, 35), SYSTEM, PROBE)
        client = cast(Client, self)
        self.world = World(
            client, self.stores, data or assets(), environment=environment, now=lambda: self.now
        )
        contests = Contests()
        self.applier = Applier(
            client, stores_of_owned(self.stores), inventories=self.world.inventories, contests=contests
        )
        moment, ids = datetime.fromisoformat(NOW), map(str, itertools.count())
        recorder = Recorder(client, instance="memory", now=lambda: moment, ids=lambda: next(ids))
        reporter = Reporter(client, recorder, self.stores, kinds=KINDS)
        restarter = Restarter(client, self.world.rolled, self.world.refusals)
        keeper = AuthorityKeeper(client, self.world, Contests())
        self.meshes = MeshController(self.world, self.applier, client, reporter, restarter, keeper)
        self.revisions = RevisionController(self.world, self.applier, reporter)
        for namespace in (SYSTEM, PROBE):
            self.put(build_namespace(namespace))
        for minor in assets().catalog.minors:
            for role in build_roles(assets(), minor.name):
                self.put(_build_role(role.name, role.rules))

    @property
    def visited(self) -> int:
        """Objects that were taken out of the stores so far."""
        return sum(store.visited for store in self.stores.values())

    # --- the cluster ---------------------------------------------------------------------------------------

    def put(self, manifest: Manifest) -> Object:
        """Create or replace an object, as the API server would, and tell the stores."""
        key = _key_of(manifest)
        metadata, old = manifest["metadata"], self.objects.get(key)
        version = next(self._versions)
        made = old["metadata"] if old else {"uid": f"00000000-0000-4000-8000-{version:012d}"}
        stamped = {
            **metadata,
            "uid": made["uid"],
            "resourceVersion": str(version),
            "creationTimestamp": made.get(
                "creationTimestamp", f"2026-01-01T{version // 3600 % 24:02}:00:00Z"
            ),
        }
        if manifest["kind"] in _GENERATION_KINDS:
            changed = old is None or old.get("spec") != manifest.get("spec")
            stamped["generation"] = made.get("generation", 0) + changed
        kept = json.loads(json.dumps({**manifest, "metadata": stamped}))
        self.objects[key] = kept
        self._tell(kept)
        return cast(Object, json.loads(json.dumps(kept)))

    def remove(self, ref: Ref) -> None:
        """Take an object out, and tell the stores."""
        gone = self.objects.pop((ref.kind, ref.namespace, ref.name))
        gone["metadata"]["resourceVersion"] = str(next(self._versions))
        for watch in EVERY:
            if _is_watched(watch, gone):
                self.stores[watch.name].remove(gone)

    def _tell(self, manifest: Object) -> None:
        for watch in EVERY:
            if _is_watched(watch, manifest):
                self.stores[watch.name].change(json.loads(json.dumps(manifest)))

    async def add_mesh(self, namespace: str, **spec: Any) -> None:
        """A namespace with a mesh that is looked at until a look changes nothing."""
        self.put(build_namespace(namespace))
        self.put(build_root_config(namespace))
        mesh = build_mesh(namespace, **spec)
        tag = str(spec.get("tag") or effective_tag(namespace, mesh["metadata"]["name"]))
        self.put(mesh)
        for _ in range(_ROUNDS):
            version = next(self._versions)
            await self.look(namespace, revision_name(tag))
            if next(self._versions) == version + 1:
                return
        raise AssertionError(f"mesh {namespace} did not settle")

    async def look(self, namespace: str, revision: str, name: str = "demo") -> None:
        """One look at a mesh and one at its revision."""
        await self.meshes.reconcile(Key(MESH, namespace, name))
        await self.revisions.reconcile(Key(REVISION, namespace, revision))

    # --- the client ----------------------------------------------------------------------------------------

    def guarded(self, guard: object, *, requests: int | None = None) -> Memory:
        """The same: it has neither a guard nor slots."""
        return self

    async def get(self, ref: Ref, *, metadata_only: bool = False) -> Object:
        self.requests.append(f"get {ref}")
        found = self.objects.get((ref.kind, ref.namespace, ref.name))
        if found is None:
            raise NotFound("no such object", status=404)
        return cast(Object, json.loads(json.dumps(found)))

    async def list(self, resource: Resource, *, label_selector: str = "", **_: Any) -> Listing:
        assert resource.kind == REVISION, f"no look lists {resource.plural}"
        self.requests.append(f"list {resource.plural} {label_selector}")
        found = [o for o in self.objects.values() if o["kind"] == REVISION]
        items = (o for o in found if _is_selected(label_selector, o["metadata"].get("labels") or {}))
        return Listing(tuple(cast(Object, json.loads(json.dumps(o))) for o in items), "")

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Object:
        self.requests.append(f"create {manifest['kind']}")
        if manifest["kind"] == "Pod" and dry_run:
            return _inject(manifest)
        if manifest["kind"] == "VirtualService" and dry_run:
            return validate(manifest)
        if _key_of(manifest) in self.objects:
            raise Conflict("there is one", status=409, reason="AlreadyExists")
        return self.put(manifest)

    async def apply(
        self, manifest: Manifest, *, manager: str, force: bool = False, subresource: str = "", **_: Any
    ) -> Object:
        self.requests.append(f"apply {ref_of(manifest)} {subresource}")
        old = self.objects.get(_key_of(manifest))
        wanted = manifest["metadata"].get("resourceVersion")
        if old is not None and wanted not in (None, old["metadata"]["resourceVersion"]):
            raise Conflict("the object has been modified", status=409)
        if subresource:
            assert old is not None
            return self.put({**old, "status": manifest["status"]})
        if old is not None and manager != "navarch":
            return self.put(_merge(old, manifest))
        entry = {"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1"}
        entry |= {"apiVersion": manifest["apiVersion"], "time": NOW, "fieldsV1": _own(manifest)}
        metadata = {**manifest["metadata"], "managedFields": [entry]}
        kept = {key: value for key, value in (old or {}).items() if key == "status"}
        written = self.put(self._live({**kept, **manifest, "metadata": metadata}))
        if manifest["kind"] == "Deployment":
            for pod in _build_pods(manifest):
                self.put(pod)
        return written

    def _live(self, manifest: Object) -> Object:
        """What controllers and istiod add at once."""
        if manifest["kind"] == "Deployment":
            counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), 1)
            return {**manifest, "status": {"observedGeneration": 9, "conditions": [], **counts}}
        if manifest["kind"] == "CustomResourceDefinition":
            return {**manifest, "status": {"conditions": [{"type": "Established", "status": "True"}]}}
        if not manifest["kind"].endswith("WebhookConfiguration"):
            return manifest
        parent = parent_of(manifest)
        bundle = base64.b64encode(build_root(parent.namespace if parent else "").encode()).decode()
        hooks = [
            {**hook, "clientConfig": {**hook["clientConfig"], "caBundle": bundle}}
            for hook in manifest["webhooks"]
        ]
        return {**manifest, "webhooks": hooks}

    async def patch(self, ref: Ref, operations: Sequence[Mapping[str, Any]]) -> Object:
        """The operations by which additions of others are taken out: `test` and `remove`."""
        self.requests.append(f"patch {ref}")
        changed = await self.get(ref)
        for operation in operations:
            *path, last = (
                part.replace("~1", "/").replace("~0", "~") for part in operation["path"][1:].split("/")
            )
            node: Any = changed
            for step in path:
                node = node[int(step) if isinstance(node, list) else step]
            at: Any = int(last) if isinstance(node, list) else last
            if operation["op"] == "remove":
                del node[at]
            elif node[at] != operation["value"]:
                raise Conflict("a test of the patch failed", status=409)
        return self.put(changed)

    async def delete(self, ref: Ref, **_: Any) -> Object:
        self.remove(ref)
        return {}


@cache
def build_root(namespace: str) -> str:
    """The root certificate of the mesh in a namespace."""
    return build_authority(organisation=namespace or "cluster.local").certificate.decode()


def build_namespace(name: str, **labels: str) -> Object:
    """A namespace with these labels of Istio's: `rev` and `injection`."""
    keys = {"rev": ISTIO_REV, "injection": ISTIO_INJECTION}
    given = {keys[key]: value for key, value in labels.items()}
    metadata = {"name": name, "labels": {NAMESPACE_NAME: name, **given}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def build_root_config(namespace: str) -> Object:
    """The ConfigMap with a mesh's root."""
    metadata = {
        "name": "istio-ca-root-cert",
        "namespace": namespace,
        "labels": {"istio.io/config": "true"},
    }
    data = {"root-cert.pem": build_root(namespace)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _build_role(name: str, rules: Any) -> Object:
    metadata = {"name": name, "labels": dict(ROLE_LABELS)}
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    return {**kind, "metadata": metadata, "rules": [dict(rule) for rule in rules]}


def _build_pods(deployment: Manifest) -> Iterator[Object]:
    template, name = deployment["spec"]["template"], deployment["metadata"]["name"]
    namespace = deployment["metadata"]["namespace"]
    metadata = {**template["metadata"], "name": f"{name}-5d8f9c7b6d-abcde", "namespace": namespace}
    if template["metadata"]["labels"].get(SIDECAR_INJECT) == "true":
        revision = template["metadata"]["labels"][ISTIO_REV]
        status = {SIDECAR_STATUS: json.dumps({"revision": revision})}
        metadata["annotations"] = {**metadata.get("annotations", {}), **status}
        metadata["labels"] = {**metadata["labels"], "service.istio.io/canonical-name": name}
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": ready}


def _inject(pod: Manifest) -> Object:
    """A dry-run pod as the mesh's injector gives it back."""
    revision = revision_name(pod["metadata"]["labels"]["istio.io/rev"])
    annotations = {"sidecar.istio.io/status": json.dumps({"revision": revision})}
    spec = {"containers": [*pod["spec"]["containers"], {"name": "istio-proxy"}]}
    return {**pod, "metadata": {**pod["metadata"], "annotations": annotations}, "spec": spec}


def validate(manifest: Manifest) -> Object:
    """A VirtualService that came through the validator of the revision that it names."""
    weights = [r["weight"] for http in manifest["spec"]["http"] for r in http["route"]]
    if not sum(weights):
        denied = (
            'admission webhook "rev.validation.istio.io" denied the request: total destination weight = 0'
        )
        raise Forbidden(denied, denial=Denial.ADMISSION, status=400)
    return dict(manifest)


def _build_store(watch: Watch, pool: Pool, heed: Heed | None) -> CountingStore:
    store = CountingStore(
        resource_of(watch.api_version, watch.kind),
        metadata_only=watch.metadata_only,
        transform=watch.transform,
        bound=watch.bound,
        pool=pool,
        on_change=partial(heed, watch) if heed else None,
    )
    store.served = True
    return store


def _is_watched(watch: Watch, manifest: Manifest) -> bool:
    metadata = manifest["metadata"]
    labels = metadata.get("labels") or {}
    if manifest["kind"] != watch.kind or manifest["apiVersion"] != watch.api_version:
        return False
    if watch.in_operator_namespace and metadata.get("namespace") != SYSTEM:
        return False
    if not _is_selected(watch.label_selector, labels):
        return False
    return watch.name != "roots" or metadata["name"] == "istio-ca-root-cert"


def _is_selected(selector: str, labels: Mapping[str, str]) -> bool:
    parts = (part.partition("=") for part in filter(None, selector.split(",")))
    return all(key in labels and value in ("", labels[key]) for key, _, value in parts)


def _key_of(manifest: Manifest) -> tuple[str, str, str]:
    ref = ref_of(manifest)
    return ref.kind, ref.namespace, ref.name


def _merge(old: Any, new: Any) -> Any:
    """What a partial apply leaves: maps are merged, everything else is replaced."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return new
    return {**old, **{key: _merge(old.get(key), value) for key, value in new.items()}}


def _own(manifest: Manifest) -> Object:
    """fieldsV1 of an apply."""
    identity = ("name", "namespace", "uid", "resourceVersion")
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in identity}
    parts = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind", "metadata")}
    return _own_fields({"metadata": metadata, **parts}, "")


def _own_fields(value: Any, path: str) -> Object:
    if isinstance(value, Mapping):
        return {f"f:{key}": _own_fields(item, f"{path}.{key}") for key, item in value.items()}
    if not isinstance(value, list) or not (keys := keys_of(path.removeprefix("."), value)):
        return {}
    fields: Object = {}
    for item in value:
        name = json.dumps({key: item[key] for key in keys if key in item}, separators=(",", ":"))
        fields[f"k:{name}"] = {".": {}, **_own_fields(item, f"{path}[0]")}
    return fields
