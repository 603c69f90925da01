"""The bundle: every object that OLM installs, and the metadata around them.

Owns which objects of an installation go into a bundle. Must never put in what OLM refuses, nor leave out an
object without a reason: `CARRIED` and `NOT_CARRIED` name every kind of an installation, and another one is an
error. Invariant: objects lose their namespace, which OLM chooses, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

from navarch.api.export import RESOURCES, build_crd
from navarch.api.install import NAME
from navarch.api.meta import JSONObject
from navarch.api.olm.csv import Manifests, build_csv
from navarch.api.olm.release import CHANNEL, PACKAGE, Release

CARRIED = frozenset({"ClusterRole", "PodDisruptionBudget", "Service"})
IN_CSV = frozenset({"ClusterRoleBinding", "Deployment", "Role", "RoleBinding", "ServiceAccount"})
"""What OLM makes from the ClusterServiceVersion; the operator's ClusterRole is there as well."""
NOT_CARRIED: Mapping[str, str] = {
    "Namespace": "OLM makes the operator's, the operator makes the probe's",
    "ResourceQuota": "the bundle format does not have the kind",
    "ValidatingAdmissionPolicy": "the operator applies it",
    "ValidatingAdmissionPolicyBinding": "the operator applies it",
}
OPENSHIFT = "v4.19"
"""The first OpenShift with Kubernetes 1.32."""
_SCORECARD_IMAGE = "quay.io/operator-framework/scorecard-test:v1.42.0"
_SCORECARD_TESTS = {
    "basic": ("basic-check-spec",),
    "olm": (
        "olm-bundle-validation",
        "olm-crds-have-validation",
        "olm-crds-have-resources",
        "olm-spec-descriptors",
        "olm-status-descriptors",
    ),
}


def build_manifests(release: Release, install: Manifests, examples: Manifests) -> dict[str, JSONObject]:
    """The objects of bundle/manifests/, by file name."""
    files = {f"{PACKAGE}.clusterserviceversion.yaml": build_csv(release, install, examples)}
    files |= {
        f"{resource.plural}.crd.yaml": build_crd(resource, release=release.version) for resource in RESOURCES
    }
    for each in install:
        kind, name = each["kind"], each["metadata"]["name"]
        if kind in IN_CSV | NOT_CARRIED.keys() or (kind, name) == ("ClusterRole", NAME):
            continue
        if kind not in CARRIED:
            raise ValueError(f"{kind} {name}: decide whether a bundle carries it")
        metadata = {key: value for key, value in each["metadata"].items() if key != "namespace"}
        files[f"{name}.{kind.lower()}.yaml"] = {**each, "metadata": metadata}
    return dict(sorted(files.items()))


def build_annotations(release: Release) -> dict[str, str]:
    """What metadata/annotations.yaml and the labels of the bundle's image say alike."""
    prefix = "operators.operatorframework.io"
    return {
        f"{prefix}.bundle.mediatype.v1": "registry+v1",
        f"{prefix}.bundle.manifests.v1": "manifests/",
        f"{prefix}.bundle.metadata.v1": "metadata/",
        f"{prefix}.bundle.package.v1": PACKAGE,
        f"{prefix}.bundle.channels.v1": ",".join(release.channels),
        f"{prefix}.bundle.channel.default.v1": CHANNEL,
        f"{prefix}.test.config.v1": "tests/scorecard/",
        f"{prefix}.test.mediatype.v1": "scorecard+v1",
        "com.redhat.openshift.versions": OPENSHIFT,
    }


def build_scorecard() -> JSONObject:
    """The configuration of operator-sdk's scorecard: its six standard tests."""
    tests = [
        {
            "image": _SCORECARD_IMAGE,
            "entrypoint": ["scorecard-test", test],
            "labels": {"suite": suite, "test": f"{test}-test"},
        }
        for suite, names in _SCORECARD_TESTS.items()
        for test in names
    ]
    return {
        "apiVersion": "scorecard.operatorframework.io/v1alpha3",
        "kind": "Configuration",
        "metadata": {"name": "config"},
        "stages": [{"parallel": True, "tests": tests}],
    }


def build_containerfile(release: Release) -> str:
    """The image of the bundle: the files, and the annotations as labels."""
    labels = (f"LABEL {key}={value}" for key, value in build_annotations(release).items())
    copies = (f"COPY bundle/{folder} /{folder}/" for folder in ("manifests", "metadata", "tests/scorecard"))
    return "\n".join(["FROM scratch", *labels, *copies, ""])
