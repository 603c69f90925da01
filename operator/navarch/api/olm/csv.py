"""The ClusterServiceVersion: what OLM runs, with which rights, and what the console shows.

Owns how an installation's Deployment and roles are said in OLM's words. Must never add a right or change the
pod. Invariant: every field that is not text for people is derived from the installation, the models or the
release.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from navarch.api import revision
from navarch.api.export import RESOURCES
from navarch.api.install import NAME, NAMESPACE
from navarch.api.meta import GROUP, VERSION, JSONObject, Resource
from navarch.api.olm import listing
from navarch.api.olm.descriptors import build_spec_descriptors, build_status_descriptors
from navarch.api.olm.release import Release
from navarch.api.related import name_variable

Manifests = Sequence[Mapping[str, Any]]

MIN_KUBERNETES = "1.32.0"
_MODES = {"OwnNamespace": False, "SingleNamespace": False, "MultiNamespace": False, "AllNamespaces": True}
_MADE = (
    ("ConfigMap", "v1"),
    ("Deployment", "apps/v1"),
    ("HorizontalPodAutoscaler", "autoscaling/v2"),
    ("MutatingWebhookConfiguration", "admissionregistration.k8s.io/v1"),
    ("PodDisruptionBudget", "policy/v1"),
    ("Service", "v1"),
    ("ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1"),
)
"""Kinds of objects that the console lists on a mesh's page."""


def build_csv(release: Release, install: Manifests, examples: Manifests) -> JSONObject:
    """The ClusterServiceVersion of a release. `install` is what build_install gives for its image; `examples`
    are objects of our kinds, one of each at least."""
    return {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "ClusterServiceVersion",
        "metadata": {
            "name": release.name,
            "labels": {
                "operatorframework.io/arch.amd64": "supported",
                "operatorframework.io/os.linux": "supported",
            },
            "annotations": _build_annotations(release, examples),
        },
        "spec": {
            "displayName": listing.DISPLAY_NAME,
            "description": listing.DESCRIPTION,
            "version": release.version,
            "maturity": "beta",
            "minKubeVersion": MIN_KUBERNETES,
            "provider": listing.PROVIDER,
            "maintainers": listing.MAINTAINERS,
            "links": listing.LINKS,
            "keywords": listing.KEYWORDS,
            "icon": [listing.build_icon()],
            "installModes": [{"type": mode, "supported": supported} for mode, supported in _MODES.items()],
            "customresourcedefinitions": {"owned": [_build_owned(resource) for resource in RESOURCES]},
            "install": {"strategy": "deployment", "spec": _build_strategy(release, install)},
            "relatedImages": [
                {"name": name, "image": image}
                for name, image in [(NAME, release.image), *sorted(release.related.items())]
            ],
            "cleanup": {"enabled": False},
        },
    }


def _build_annotations(release: Release, examples: Manifests) -> JSONObject:
    features = {f"features.operators.openshift.io/{name}": "false" for name in listing.FEATURES}
    return {
        "alm-examples": json.dumps(list(examples), indent=2),
        "capabilities": listing.CAPABILITIES,
        "categories": listing.CATEGORIES,
        "containerImage": release.image,
        "createdAt": release.created,
        "description": listing.SUMMARY,
        **features,
        "operatorframework.io/suggested-namespace": NAMESPACE,
        "operators.openshift.io/must-gather-image": release.image,
        "operators.operatorframework.io/internal-objects": json.dumps([f"{revision.PLURAL}.{GROUP}"]),
        "repository": listing.SITE,
        "support": listing.PROVIDER["name"],
    }


def _build_owned(resource: Resource) -> JSONObject:
    made = [(other.kind, VERSION) for other in RESOURCES if other is not resource]
    return {
        "name": f"{resource.plural}.{GROUP}",
        "kind": resource.kind,
        "version": VERSION,
        "displayName": _split_words(resource.kind),
        "description": resource.description,
        "resources": [{"kind": kind, "name": "", "version": version} for kind, version in [*made, *_MADE]],
        "specDescriptors": build_spec_descriptors(resource),
        "statusDescriptors": build_status_descriptors(resource),
    }


def _split_words(kind: str) -> str:
    return "".join(f" {letter}" if letter.isupper() else letter for letter in kind).strip()


def _build_strategy(release: Release, install: Manifests) -> JSONObject:
    """Deployment and rights. OLM makes the account, and binds it; where the operator is installed for all
    namespaces it gives `permissions`, too, in all of them."""
    deployment = copy.deepcopy(find_only(install, "Deployment", NAME))
    deployment["spec"]["template"]["spec"]["containers"][0]["env"] += build_related(release)
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]

    def grant(rules: Iterable[Any]) -> list[JSONObject]:
        return [{"serviceAccountName": account, "rules": list(rules)}]

    return {
        "deployments": [
            {"name": NAME, "label": deployment["metadata"]["labels"], "spec": deployment["spec"]},
        ],
        "clusterPermissions": grant(find_only(install, "ClusterRole", NAME)["rules"]),
        "permissions": grant(find_only(install, "Role", NAME, namespace=NAMESPACE)["rules"]),
    }


def build_related(release: Release) -> list[JSONObject]:
    """The environment that names the images of `relatedImages` but the operator's own: what copies a bundle
    to a mirror rewrites both alike."""
    return [{"name": name_variable(name), "value": image} for name, image in sorted(release.related.items())]


def find_only(install: Manifests, kind: str, name: str, *, namespace: str = "") -> Mapping[str, Any]:
    """The one object of this kind and name; of several namespaces, that in `namespace`. ValueError where it
    is missing."""
    found = [
        each
        for each in install
        if each["kind"] == kind
        and each["metadata"]["name"] == name
        and (not namespace or each["metadata"].get("namespace") == namespace)
    ]
    if len(found) != 1:
        raise ValueError(f"an installation has {len(found)} objects {kind} {name}, not one")
    return found[0]
