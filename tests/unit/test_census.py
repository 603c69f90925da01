"""Reading pods, workloads and certificates."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from navarch.core.istio.crds import find_missing
from navarch.core.trust.reading import fingerprint_bundle
from navarch.core.world.proxies import read_proxy_pod
from navarch.core.world.workload import determine_rollout
from navarch.gather.workload import LONGEST, read_problem


def a_pod(**annotations: str) -> dict[str, Any]:
    named = {key.replace("__", "/").replace("_", "."): value for key, value in annotations.items()}
    return {"metadata": {"name": "p", "namespace": "n", "annotations": named}}


def test_the_injecting_revision_is_read_from_the_status_annotation_first() -> None:
    pod = a_pod(
        sidecar_istio_io__status='{"revision": "a"}', istio_io__rev="b", mesh_navarch_io__proxy="1.31.1-x"
    )
    proxy = read_proxy_pod(pod)
    assert proxy is not None
    assert (proxy.revision, proxy.proxy) == ("a", "1.31.1-x")


@pytest.mark.parametrize("status", ["", "[]", "{}", "null", '{"revision": null}', "[" * 200_000])
def test_a_pod_without_a_readable_status_falls_back_on_its_revision(status: str) -> None:
    proxy = read_proxy_pod(a_pod(sidecar_istio_io__status=status, istio_io__rev="b"))
    assert proxy is not None
    assert proxy.revision == "b"


@pytest.mark.parametrize("revision", [7, True, ["a"], {"a": 1}, "a\n"])
def test_a_revision_that_is_no_name_is_none(revision: Any) -> None:
    assert read_proxy_pod(a_pod(sidecar_istio_io__status=json.dumps({"revision": revision}))) is None


def test_a_pod_without_a_sidecar_is_not_counted() -> None:
    assert read_proxy_pod(a_pod()) is None


@pytest.mark.parametrize("revision", [r"\ud800", r"\u001b[2J", "a b", "-a", "a" * 64, "ä"])
def test_what_can_be_no_revision_is_none(revision: str) -> None:
    """A status that quotes a lone surrogate is refused by the API server, and would never be written."""
    status = f'{{"revision": "{revision}"}}'
    assert read_proxy_pod(a_pod(sidecar_istio_io__status=status)) is None
    assert read_proxy_pod(a_pod(istio_io__rev=json.loads(f'"{revision}"'))) is None
    fallen_back = read_proxy_pod(a_pod(sidecar_istio_io__status=status, istio_io__rev="b"))
    assert fallen_back is not None
    assert fallen_back.revision == "b"


def a_deployment(generation: int = 2, observed: int = 2, replicas: int = 2, **status: int) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": "istiod", "namespace": "n", "generation": generation},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": observed, **status},
    }


@pytest.mark.parametrize(
    ("deployment", "complete"),
    [
        (a_deployment(replicas=2, updatedReplicas=2, availableReplicas=2), False),
        (a_deployment(updatedReplicas=2, availableReplicas=2) | {"status": {}}, False),
        (
            {
                **a_deployment(),
                "status": {
                    "observedGeneration": 2,
                    "replicas": 2,
                    "updatedReplicas": 2,
                    "availableReplicas": 2,
                },
            },
            True,
        ),
        (
            {
                **a_deployment(),
                "status": {
                    "observedGeneration": 1,
                    "replicas": 2,
                    "updatedReplicas": 2,
                    "availableReplicas": 2,
                },
            },
            False,
        ),
        (
            {
                **a_deployment(),
                "status": {
                    "observedGeneration": 2,
                    "replicas": 3,
                    "updatedReplicas": 2,
                    "availableReplicas": 3,
                },
            },
            False,
        ),
    ],
)
def test_a_rollout_is_complete_when_only_current_pods_run_and_serve(
    deployment: dict[str, Any], complete: bool
) -> None:
    if deployment["status"].get("replicas") is None and complete is False:
        deployment = {**deployment, "status": {**deployment["status"], "replicas": 3}}
    assert determine_rollout(deployment).complete is complete


def test_a_rollout_has_replaced_the_old_pods_before_it_is_complete() -> None:
    counts = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}
    rollout = determine_rollout({**a_deployment(), "status": counts})
    assert (rollout.replaced, rollout.complete) == (True, False)
    surge = {**counts, "replicas": 3}
    assert not determine_rollout({**a_deployment(), "status": surge}).replaced


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (
            {"observedGeneration": 2, "replicas": 3},
            "2 of 2 pods updated, 2 available, 1 old ones still there",
        ),
        (
            {"observedGeneration": 1, "replicas": 2},
            "2 of 2 pods updated, 2 available, before the last change",
        ),
        ({"observedGeneration": 2, "replicas": 2}, ""),
    ],
)
def test_a_rollout_that_is_under_way_says_what_is_missing(counts: dict[str, int], words: str) -> None:
    done = {"updatedReplicas": 2, "availableReplicas": 2}
    deployment = {**a_deployment(), "spec": {"replicas": 2}, "status": {**done, **counts}}
    assert determine_rollout(deployment).message == words


def _certificate() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM)


def test_a_fingerprint_is_of_the_set_of_certificates() -> None:
    one, two = _certificate(), _certificate()
    assert fingerprint_bundle(one + two) == fingerprint_bundle(two + b"\n" + one + two)
    assert fingerprint_bundle(one) != fingerprint_bundle(two)
    assert fingerprint_bundle(b"# root\r\n" + one.replace(b"\n", b"\r\n")) == fingerprint_bundle(one) != ""


def test_a_bundle_of_which_any_part_is_broken_has_no_fingerprint() -> None:
    one = _certificate()
    der = base64.b64decode(b"".join(one.splitlines()[1:-1]))
    broken = [b"", b"no certificate", one[:200], one.replace(b"\nM", b"\n*", 1), _wrap(b""), _wrap(der[:-3])]
    for pem in (*broken, one + _wrap(b"abc"), _wrap(der + b"x"), _wrap(der + der)):
        assert fingerprint_bundle(pem) == "", pem


def _wrap(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


def a_crd(**versions: dict[str, Any]) -> dict[str, Any]:
    return {
        "spec": {
            "versions": [
                {"name": name, "served": True, "schema": {"openAPIV3Schema": schema}}
                for name, schema in versions.items()
            ]
        }
    }


def test_a_foreign_crd_lacks_a_version_or_a_field_by_its_path() -> None:
    wanted = a_crd(
        v1={"properties": {"spec": {"properties": {"hosts": {"items": {"properties": {"a": {}}}}}}}}
    )
    assert find_missing(wanted, wanted) == ""
    assert find_missing(wanted, a_crd(v2={})) == "version v1"
    older = a_crd(v1={"properties": {"spec": {"properties": {"hosts": {"items": {"properties": {}}}}}}})
    assert find_missing(wanted, older) == "field v1.spec.hosts.a"
    loose = a_crd(v1={"properties": {"spec": {"x-kubernetes-preserve-unknown-fields": True}}})
    assert find_missing(wanted, loose) == ""
    newer = a_crd(
        v1={
            "properties": {
                **wanted["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"],
                "x": {},
            }
        }
    )
    assert find_missing(wanted, newer) == ""


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, None),
        ({"containerStatuses": [{"state": {"running": {}}}]}, None),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}, "ImagePullBackOff"),
        (
            {"initContainerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
            "CrashLoopBackOff",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
            "Unschedulable",
        ),
    ],
)
def test_a_pod_has_a_problem_only_when_it_does_more_than_start(
    status: dict[str, Any], reason: str | None
) -> None:
    problem = read_problem({"metadata": {"name": "istiod-1"}, "status": status})
    assert (problem.reason if problem else None) == reason


def waiting(reason: str, message: str, **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    container = {"name": "d", "state": state, **more}
    return {"metadata": {"name": "p"}, "status": {"containerStatuses": [container]}}


PULL = 'failed to pull and unpack image "hub/pilot:no": not found'
ENDED = {"terminated": {"exitCode": 255, "reason": "Error"}}


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        (
            waiting("ErrImagePull", PULL),
            waiting("ImagePullBackOff", f'Back-off pulling image "hub/pilot:no": ErrImagePull: {PULL}'),
            ("ErrImagePull", PULL),
        ),
        (
            waiting("CrashLoopBackOff", "back-off 10s restarting failed container", lastState=ENDED),
            waiting("CrashLoopBackOff", "back-off 40s restarting failed container", lastState=ENDED),
            ("CrashLoopBackOff", "container d ended with code 255: Error"),
        ),
    ],
    ids=["an image that is not there", "a container that ends"],
)
def test_what_is_said_of_a_pod_does_not_change_with_the_kubelet_s_attempts(
    first: dict[str, Any], then: dict[str, Any], told: tuple[str, str]
) -> None:
    for pod in (first, then):
        problem = read_problem(pod)
        assert problem is not None
        assert (problem.reason, problem.message) == told


def test_a_pod_s_words_are_quoted_in_one_line_of_bounded_length() -> None:
    problem = read_problem(waiting("CreateContainerError", "a\n\x1b[2J" + "x" * 10_000))
    assert problem is not None
    assert problem.message.isprintable()
    assert len(problem.message) == LONGEST + 1


def test_a_pod_that_is_going_has_no_problem() -> None:
    status = {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}
    pod = {"metadata": {"name": "istiod-1", "deletionTimestamp": "now"}, "status": status}
    assert read_problem(pod) is None
