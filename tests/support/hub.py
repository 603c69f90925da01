"""Releases of Navarch in a catalog of a lab's OLM, and their installation as a person asks for it there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from navarch.api.olm.catalog import extend_catalog
from navarch.api.olm.release import CHANNEL, PACKAGE, Release

from lab.cluster import Cluster, service_account_kubeconfig
from lab.light.olm import CATALOG, NAMESPACE, OLM
from scripts import olm
from scripts.files import dump_for_olm
from tests.polling import eventually
from tests.support.api import Api, Object, Refused
from tests.support.operator import SYSTEM, Operator

COREOS = "operators.coreos.com"
VERSIONS = {
    "subscription": "v1alpha1",
    "installplan": "v1alpha1",
    "clusterserviceversion": "v1alpha1",
    "operatorcondition": "v2",
}
Edit = Callable[[Object], None]
"""What a test changes in the ClusterServiceVersion of a release."""


def build_release(version: str = "") -> Release:
    """A release with the bundle of this checkout, in a catalog that holds its objects."""
    release = replace(olm.build_release(), bundle_image="")
    return replace(release, version=version) if version else release


def build_catalog(*releases: Release, edits: Mapping[str, Edit] | None = None) -> list[Any]:
    """A file-based catalog of these releases; `edits` by their versions."""
    blobs: list[Any] = []
    for release in releases:
        objects = json.loads(json.dumps([*olm.build_objects(release).values()]))
        csv = next(each for each in objects if each["kind"] == "ClusterServiceVersion")
        (edits or {}).get(release.version, lambda csv: None)(csv)
        blobs = extend_catalog(blobs, release, objects)
    return blobs


@dataclass(frozen=True, slots=True)
class Hub:
    """OLM on a lab, and the catalog that it reads."""

    cluster: Cluster
    api: Api
    olm: OLM

    def publish(self, *releases: Release, edits: Mapping[str, Edit] | None = None) -> None:
        """Offer these releases, each of which replaces the one before it."""
        self.publish_blobs(build_catalog(*releases, edits=edits))

    def publish_blobs(self, blobs: list[Any]) -> None:
        """Offer what these blobs of a file-based catalog say."""
        self.olm.publish(dump_for_olm(*blobs), package=PACKAGE)

    def subscribe(self, namespace: str = SYSTEM, *, group: Object | None = None, **spec: Any) -> None:
        """Ask for Navarch in a namespace: that, an OperatorGroup (of all namespaces unless said otherwise),
        and a Subscription."""
        enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
        place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": enforce}}
        source = {"source": CATALOG, "sourceNamespace": NAMESPACE}
        wanted = (
            place,
            _build("OperatorGroup", "v1", namespace, spec=group or {}),
            _build(
                "Subscription",
                "v1alpha1",
                namespace,
                spec={"name": PACKAGE, "channel": CHANNEL, **source, **spec},
            ),
        )
        self.cluster.run("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, wanted)))

    def read(self, kind: str, name: str, namespace: str = SYSTEM) -> Object:
        """An object of OLM's; empty when it is not there. Without kubectl, which computes longer than what it
        asks for takes: this is asked again and again."""
        try:
            found: Object = self.api.request("GET", f"{_build_path(kind, namespace)}/{name}")
        except Refused as refused:
            if refused.code != HTTPStatus.NOT_FOUND:
                raise
            return {}
        return found

    def list_objects(self, kind: str, namespace: str = SYSTEM) -> list[Object]:
        """The objects of OLM's of a kind in a namespace."""
        found: list[Object] = self.api.request("GET", _build_path(kind, namespace))["items"]
        return found

    def list_versions(self, namespace: str = SYSTEM) -> list[str]:
        """Names of the ClusterServiceVersions of a namespace, sorted."""
        return sorted(
            each["metadata"]["name"] for each in self.list_objects("clusterserviceversion", namespace)
        )

    def read_status(self, release: Release, namespace: str = SYSTEM) -> Object:
        """What OLM says of a release's ClusterServiceVersion."""
        return dict(self.read("clusterserviceversion", release.name, namespace).get("status") or {})

    async def see(
        self, release: Release, phase: str = "Succeeded", *, reason: str = "", namespace: str = SYSTEM
    ) -> Object:
        """The status of a release's ClusterServiceVersion, once OLM says this phase (and reason) of it."""

        def look() -> Object | None:
            status = self.read_status(release, namespace)
            right = status.get("phase") == phase and reason in ("", status.get("reason"))
            return status if right else None

        found = await eventually(look, seconds=120, every=0.2, what=f"{release.name} is {phase} {reason}")
        return found or {}

    async def install(self, release: Release, **subscription: Any) -> None:
        """Publish a release alone and subscribe to it; returns when OLM says that it succeeded."""
        self.publish(release)
        self.subscribe(**subscription)
        await self.see(release)

    async def uninstall(self, namespace: str = SYSTEM) -> None:
        """Remove Subscription and ClusterServiceVersion, as the guide says; returns when both and the
        operator's Deployment are gone. OLM makes a ClusterServiceVersion again from an InstallPlan that it
        has not finished: that is removed as well, and what it made meanwhile once more."""
        for kind in ("subscription", "installplan"):
            self._delete_all(kind, namespace)

        def is_gone() -> bool:
            if self.list_versions(namespace):
                self._delete_all("clusterserviceversion", namespace)
                return False
            return self.api.get("deployment", namespace, "navarch") is None

        await eventually(is_gone, seconds=90, every=0.2, what="the operator's Deployment is gone")

    def _delete_all(self, kind: str, namespace: str) -> None:
        self.api.request("DELETE", _build_path(kind, namespace), {"propagationPolicy": "Background"})

    def build_replica(self, name: str, **settings: str) -> Operator:
        """The operator as a process, with a token of the account that OLM made and the environment of the
        Deployment that OLM made. It is not started yet."""
        env = {each["name"]: each.get("value") for each in self.read_container()["env"]}
        env["NAVARCH_NAMESPACE"] = SYSTEM
        kubeconfig = service_account_kubeconfig(self.cluster, SYSTEM, "navarch", holder=name)
        return Operator(
            kubeconfig,
            self.cluster.state / f"{name}.log",
            settings={"orphan_seconds": "3", **settings},
            environment={key: value for key, value in env.items() if value is not None},
        )

    def read_container(self) -> Object:
        """The operator's container, as OLM wrote it."""
        deployment = self.api.get("deployment", SYSTEM, "navarch") or {}
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        found: Object = container
        return found


def _build_path(kind: str, namespace: str) -> str:
    """Where a kind of OLM's is served."""
    return f"/apis/{COREOS}/{VERSIONS[kind]}/namespaces/{namespace}/{kind}s"


def _build(kind: str, version: str, namespace: str, *, spec: Object) -> Object:
    metadata = {"name": PACKAGE, "namespace": namespace}
    return {"apiVersion": f"{COREOS}/{version}", "kind": kind, "metadata": metadata, "spec": spec}
