"""What one tenant does, by malice or mistake, reaches no other mesh: neither as an error nor as a long wait.

The operator of these tests has a bug on demand (tests/support/faulty.py), and is otherwise as it is.
"""

from __future__ import annotations

import base64
import statistics
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from navarch.controllers.pace import PERIOD

from lab.cluster import Cluster
from tests.cluster.conftest import ROOT, a_lab, build_operator, install
from tests.polling import eventually
from tests.support.activity import is_leading, read_metric, read_metrics, wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.growth import read_waited
from tests.support.logs import find_end, read_events
from tests.support.meshes import build_mesh, edit, list_owned, read_condition, read_versions, wait_for
from tests.support.operator import SYSTEM, USER, Operator
from tests.support.reaction import WORKERS, Reaction, assert_fair, edit_one, show

BUG = "test/bug"
VICTIM = "victim"


@pytest.fixture(scope="module")
def lab() -> Iterator[Cluster]:
    """A lab of its own: what is made here would slow down the tests of others."""
    with a_lab("poison") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def api(lab: Cluster) -> Api:
    return Api(lab.kubeconfig)


@pytest.fixture(scope="module")
def audit(lab: Cluster) -> Audit:
    assert lab.audit_log is not None
    return Audit(lab.audit_log, USER)


@pytest.fixture(scope="module")
async def faulty(lab: Cluster, api: Api) -> AsyncIterator[Operator]:
    """The operator with a bug on demand, leading and at rest, and a mesh that is well: victim/demo."""
    await install(api)
    process = build_operator(lab, "faulty", program=(str(ROOT / "tests" / "support" / "faulty.py"),))
    process.start()
    try:
        await eventually(process.is_ready, seconds=60, every=0.1, what=f"ready, see {process.log}")
        await eventually(lambda: is_leading(process), seconds=30, every=0.1, what="leading")
        make_namespace(api, VICTIM)
        api.create(build_mesh(VICTIM))
        await wait_for(api, VICTIM)
        await wait_for_rest(process)
        yield process
    finally:
        process.stop()


def make_namespace(api: Api, name: str) -> None:
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def annotate(api: Api, namespace: str, **annotations: str | None) -> None:
    api.patch("mesh", namespace, "demo", {"metadata": {"annotations": annotations}})


def list_events(api: Api, namespace: str, reason: str) -> list[Object]:
    return [event for event in api.list("event", namespace) if event.get("reason") == reason]


# --- an unexpected exception -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mesh", "revision"])
async def test_an_unexpected_exception_stays_with_its_object_and_is_counted_and_shown(
    api: Api, audit: Audit, faulty: Operator, kind: str
) -> None:
    namespace = f"bug-{kind}"
    make_namespace(api, namespace)
    api.create(build_mesh(namespace))
    await wait_for(api, namespace)
    await wait_for_rest(faulty)
    crashes, begin = read_metric(faulty, "reconcile_panics_total"), find_end(faulty.log)
    annotate(api, namespace, **{BUG: kind})
    edit(api, namespace, meshConfig={"accessLogFile": "/dev/stdout"})
    name = "demo" if kind == "mesh" else f"{namespace}-demo-inplace"

    def is_shown() -> Object | None:
        found = api.get(kind, namespace, name) or {}
        return found if read_condition(found, "Ready").get("reason") == "InternalError" else None

    shown = await eventually(is_shown, seconds=30, every=0.1, what=f"the crash in the status of the {kind}")
    for condition in ("Ready", "Reconciled"):
        told = read_condition(shown, condition)  # type: ignore[arg-type]
        assert (told["status"], told["reason"]) == ("Unknown", "InternalError")
        assert f"UnknownBug: planning of {kind} {name}" in told["message"]
        assert "navarch/controllers/" in told["message"]
        assert "traceback in the operator's log" in told["message"]
    assert read_condition(shown, "Available")["status"] == "True"  # type: ignore[arg-type]
    if kind == "revision":
        await wait_for(api, namespace, status="Unknown", reason="InternalError")
    await eventually(lambda: list_events(api, namespace, "InternalError"), what="an Event tells it")
    await eventually(
        lambda: read_metric(faulty, "reconcile_panics_total") >= crashes + 2, seconds=20, what="tried again"
    )
    await edit_one(api, audit, VICTIM)
    lines = [line for line in read_events(faulty.log, begin) if line["event"] == "crashed"]
    assert {line["namespace"] for line in lines} == {namespace}
    assert len([line for line in lines if "Traceback" in line.get("exception", "")]) == 1
    annotate(api, namespace, **{BUG: None})
    await wait_for(api, namespace)
    assert faulty.fetch("/livez")[0] == 200


async def test_an_object_that_crashes_is_tried_with_growing_pauses(
    api: Api, audit: Audit, faulty: Operator
) -> None:
    namespace = "bug-pauses"
    make_namespace(api, namespace)
    mesh = build_mesh(namespace)
    api.create({**mesh, "metadata": {**mesh["metadata"], "annotations": {BUG: "mesh"}}})
    await wait_for(api, namespace, status="Unknown", reason="InternalError")
    found = api.get("mesh", namespace, "demo")
    assert found is not None
    assert {c["status"] for c in found["status"]["conditions"]} == {"Unknown"}
    await eventually(
        lambda: len(list_pauses(faulty, namespace)) >= 4, seconds=60, every=0.2, what="four tries"
    )
    pauses = list_pauses(faulty, namespace)
    assert pauses[-1] > 2 * pauses[1], pauses
    writes = [str(w) for w in audit.writes(0) if w.namespace == namespace]
    assert writes == [f"patch meshcontrolplanes/status {namespace}/demo -> 200"]
    annotate(api, namespace, **{BUG: None})
    await wait_for(api, namespace)


async def test_an_error_that_reads_differently_each_time_is_told_at_a_pace(
    api: Api, audit: Audit, faulty: Operator
) -> None:
    namespace = "bug-varying"
    mesh = build_mesh(namespace)
    make_namespace(api, namespace)
    api.create({**mesh, "metadata": {**mesh["metadata"], "annotations": {BUG: "mesh-varying"}}})

    def find_told() -> list[float]:
        return sorted(w.received.timestamp() for w in audit.writes(0) if w.namespace == namespace)

    await eventually(lambda: len(find_told()) >= 3, seconds=90, every=0.2, what="three statuses")
    told = find_told()
    assert min(later - earlier for earlier, later in pairwise(told)) > PERIOD - 1, told
    annotate(api, namespace, **{BUG: None})
    await wait_for(api, namespace)


async def test_a_mesh_that_crashes_every_second_time_comes_to_rest(
    api: Api, audit: Audit, faulty: Operator
) -> None:
    namespace = "bug-flaky"
    make_namespace(api, namespace)
    api.create(build_mesh(namespace))
    await wait_for(api, namespace)
    await wait_for_rest(faulty)
    crashes, mark = read_metric(faulty, "reconcile_panics_total"), audit.mark()
    annotate(api, namespace, **{BUG: "mesh-flaky"})
    await eventually(
        lambda: read_metric(faulty, "reconcile_panics_total") > crashes, seconds=30, every=0.1, what="a crash"
    )
    await wait_for_rest(faulty, seconds=60)
    await wait_for(api, namespace)
    told = [w for w in audit.writes(mark) if w.namespace == namespace and "/status" in str(w)]
    assert 2 <= len(told) <= 6, told
    annotate(api, namespace, **{BUG: None})
    await wait_for_rest(faulty, seconds=60)
    await wait_for(api, namespace)


def list_pauses(operator: Operator, namespace: str) -> list[float]:
    crashes = (line for line in read_events(operator.log) if line["event"] == "crashed")
    return [line["seconds"] for line in crashes if line["namespace"] == namespace]


# --- what every mesh reads -------------------------------------------------------------------------------


def build_certificate(*, version: int) -> bytes:
    """A certificate in PEM that says it is of this X.509 version, less one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stranger")])
    day = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(day).not_valid_after(day + timedelta(days=3650))
    der = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    marker = b"\xa0\x03\x02\x01"  # [0] { INTEGER, one byte: the version }
    at = der.index(marker) + len(marker)
    body = base64.encodebytes(der[:at] + bytes([version]) + der[at + 1 :])
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


def build_stranger(name: str, client: Object, **entry: Any) -> Object:
    """A webhook configuration that says it is an Istio's."""
    webhook = {
        "name": f"{name}.sidecar-injector.istio.io",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "clientConfig": client,
        "objectSelector": {"matchLabels": {"never": "matched"}},
        "rules": [
            {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
        ],
        **entry,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": f"poison-{name}", "labels": {"istio.io/rev": name}},
        "webhooks": [webhook],
    }


URL = "https://stranger.example/inject"
BROKEN_CERTIFICATE = build_certificate(version=7)
STRANGERS = [
    build_stranger("url", {"url": URL}),
    build_stranger("certificate", {"url": URL, "caBundle": base64.b64encode(BROKEN_CERTIFICATE).decode()}),
    build_stranger("no-pem", {"url": URL, "caBundle": base64.b64encode(b"\xff\x00 none").decode()}),
    build_stranger(
        "selects", {"url": URL}, namespaceSelector={"matchExpressions": [{"key": "a", "operator": "Exists"}]}
    ),
    {**build_stranger("empty", {"url": URL}), "webhooks": None},
]
PROFILES = {
    "no-such-bool": ("controlPlane: { replicas: !!bool perhaps }", "it is not YAML"),
    "empty-number": ("controlPlane: { replicas: !!int '' }", "it is not YAML"),
    "no-such-time": ("trust: !!timestamp never", "it is not YAML"),
    "not-finite": ("values: { x: .nan }", "is a float, which JSON has not"),
    "a-date": ("values: { x: 2026-01-01 }", "is a date, which JSON has not"),
    "bytes": ("values: { x: !!binary /w== }", "is a bytes, which JSON has not"),
    "numbers-for-keys": ("values: { x: { 1: a } }", "the key 1 is not a text"),
    "itself": ("values: &a { x: *a }", "nested more than"),
    "laughs": (
        "values:\n  a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"  {k}: &{k} [{', '.join(['*' + p] * 9)}]\n" for p, k in pairwise("abcdefghij")),
        "it has more than",
    ),
    "large": ("values: { x: '" + "y" * 900_000 + "' }", "characters, and"),
    "nothing-below": ("controlPlane: null", "take away what no mesh can be without"),
}


def build_profile(name: str, text: str) -> Object:
    labels = {"mesh.navarch.io/profile": "true"}
    metadata = {"name": name, "namespace": SYSTEM, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"profile.yaml": text}}


async def test_odd_webhooks_and_profiles_reach_only_the_mesh_that_names_them(
    api: Api, audit: Audit, faulty: Operator
) -> None:
    crashes, begin = read_metric(faulty, "reconcile_panics_total"), find_end(faulty.log)
    for stranger in STRANGERS:
        api.create(stranger)
    environment = {"controlPlane": {"environment": [{"name": "A", "value": "b"}]}}
    api.create(build_profile("with-environment", yaml.safe_dump(environment)))
    for name, (text, _) in PROFILES.items():
        api.create(build_profile(name, text))
    for name, (_, told) in PROFILES.items():
        namespace = f"names-{name}"
        make_namespace(api, namespace)
        api.create(build_mesh(namespace, profiles=["with-environment", name]))
        refused = await wait_for(
            api, namespace, condition="SpecAccepted", status="False", reason="ProfileInvalid"
        )
        assert told in read_condition(refused, "SpecAccepted")["message"]
    await edit_one(api, audit, VICTIM)
    await wait_for(api, VICTIM)
    assert read_metric(faulty, "reconcile_panics_total") == crashes
    assert [line for line in read_events(faulty.log, begin) if line["level"] == "error"] == []
    for stranger in STRANGERS:
        api.delete("mwc", "", stranger["metadata"]["name"])
    for name in (*PROFILES, "with-environment"):
        api.delete("configmap", SYSTEM, name)


async def test_patches_of_odd_shape_are_told_in_the_api_servers_words(api: Api, faulty: Operator) -> None:
    crashes = read_metric(faulty, "reconcile_panics_total")
    odd = {
        "Service": {"spec": {"ports": [1]}},
        "Deployment": {"spec": {"minReadySeconds": "soon"}},
        "ConfigMap": {"data": {"x": {"y": 1}}},
    }
    for kind, patch in odd.items():
        namespace = f"odd-{kind.lower()}"
        make_namespace(api, namespace)
        api.create(build_mesh(namespace))
        await wait_for(api, namespace)
        name = f"{'istio' if kind == 'ConfigMap' else 'istiod'}-{namespace}-demo-inplace"
        edit(api, namespace, overlays=[{"target": {"kind": kind, "name": name}, "patch": patch}])
        told = await wait_for(api, namespace, condition="Reconciled", status="False", reason="ApplyFailed")
        assert f"{kind} {namespace}/{name}" in read_condition(told, "Reconciled")["message"]
        assert read_condition(told, "Available")["status"] == "True"
        edit(api, namespace, overlays=None)
        await wait_for(api, namespace)
    assert read_metric(faulty, "reconcile_panics_total") == crashes


# --- many who are broken, and one who is large -----------------------------------------------------------

BROKEN: list[Object] = [
    {"version": "1.99"},
    {"profiles": ["no-such-profile"]},
    {
        "overlays": [
            {"target": {"kind": "Deployment", "name": "no-such"}, "patch": {"spec": {"paused": True}}}
        ]
    },
    {"meshConfig": {"enableTracing": "yes", "acessLogFile": "x"}},
    {"values": {"global": {"proxy": "big"}}},
]


@pytest.fixture(scope="module")
async def victims(api: Api, faulty: Operator) -> list[str]:
    """Meshes that are well, whose owners edit them now and then."""
    names = [f"victim-{number}" for number in range(4)]
    for name in names:
        make_namespace(api, name)
        api.create(build_mesh(name))
    for name in names:
        await wait_for(api, name)
    await wait_for_rest(faulty)
    return names


@pytest.fixture(scope="module")
async def broken(api: Api, faulty: Operator, full: bool) -> list[str]:
    """Namespaces with a broken mesh each, all told so."""
    names = [f"broken-{number}" for number in range(500 if full else 30)]
    for number, name in enumerate(names):
        make_namespace(api, name)
        api.create(build_mesh(name, **BROKEN[number % len(BROKEN)]))

    def are_told() -> bool:
        meshes = [mesh for mesh in api.list("mesh") if mesh["metadata"]["namespace"] in names]
        told = [mesh for mesh in meshes if read_condition(mesh, "SpecAccepted").get("status") == "False"]
        return len(told) == len(names)

    await eventually(are_told, seconds=240, every=1, what="all broken meshes are told so")
    await wait_for_rest(faulty, seconds=120)
    return names


@contextmanager
def edits_without_pause(lab: Cluster, names: list[str]) -> Iterator[list[int]]:
    """A client edits the specs of these meshes, one after the other, as fast as the API server takes it."""
    api, stop, done = Api(lab.kubeconfig), threading.Event(), [0]

    def work() -> None:
        for number in count():
            for name in names:
                if stop.is_set():
                    return
                edit(api, name, trust={"domain": f"edit-{number}"})
                done[0] += 1

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join(30)


async def edit_in_turn(api: Api, audit: Audit, names: list[str], times: int) -> list[Reaction]:
    """Edits of several meshes, one after the other."""
    return [await edit_one(api, audit, names[number % len(names)]) for number in range(times)]


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_broken_meshes_that_are_edited_without_pause_delay_nobody_else(
    api: Api, audit: Audit, lab: Cluster, faulty: Operator, victims: list[str], broken: list[str], full: bool
) -> None:
    """The fairness bound of docs/explanation/fairness.md: an edit of a mesh that is well starts next after
    what is running, however many others wait.
    """
    times, crashes = 40 if full else 12, read_metric(faulty, "reconcile_panics_total")
    idle = await edit_in_turn(api, audit, victims, times)
    with edits_without_pause(lab, broken) as done:
        await eventually(
            lambda: done[0] > len(broken), seconds=120, every=0.1, what="all broken ones are edited"
        )
        loaded = await edit_in_turn(api, audit, victims, times)
        depth = read_metric(faulty, "workqueue_depth")
    show("idle", idle)
    show(f"{len(broken)} broken meshes, {done[0]} edits", loaded)
    assert depth > WORKERS, "there was a queue"
    assert_fair(loaded)
    ratio = statistics.median(r.seconds for r in loaded) / statistics.median(r.seconds for r in idle)
    # Not judged: on a machine of its own three; the editor's own requests and all else take their part.
    print(f"ratio of the medians: {ratio:.1f}")
    assert read_metric(faulty, "reconcile_panics_total") == crashes


STALL = 2.0
"""Seconds for which the event loop must not stand still, what it waited for a core left out."""
LARGE: dict[str, Object] = {
    "entries": {f"no-such-field-{number}": number for number in range(30_000)},
    "text": {"accessLogFormat": "x" * 900_000},
    "lines": {"accessLogFormat": "x\n" * 450_000},
    "providers": {"extensionProviders": [{"name": f"p{n}", "prometheus": {}} for n in range(20_000)]},
}


@pytest.mark.parametrize("shape", LARGE)
async def test_a_spec_that_is_too_large_is_reported_and_delays_no_other(
    api: Api, audit: Audit, faulty: Operator, shape: str
) -> None:
    namespace = f"large-{shape}"
    make_namespace(api, namespace)
    api.create(build_mesh(namespace))
    await wait_for(api, namespace)
    await wait_for_rest(faulty)
    before = read_versions(list_owned(api, namespace))
    stalls, waited = read_stalls(faulty), read_waited(faulty.pid)
    edit(api, namespace, meshConfig=LARGE[shape])
    told = await wait_for(api, namespace, condition="SpecAccepted", status="False", reason="TooLarge")
    message = read_condition(told, "SpecAccepted")["message"]
    assert message.startswith("spec.meshConfig: '"), message[:200]
    assert "KiB of JSON" in message
    assert "take out of spec.meshConfig" in message
    assert len(message) < 1000
    assert read_condition(told, "Available")["status"] == "True"
    await edit_one(api, audit, VICTIM)
    await wait_for_rest(faulty)
    assert read_versions(list_owned(api, namespace)) == before
    longest = {
        bound for bound, stalls_now in read_stalls(faulty).items() if stalls_now > stalls.get(bound, 0)
    }
    print(f"{shape}: stalls of the event loop by then: {sorted(longest)}")
    waited = read_waited(faulty.pid) - waited
    assert not {bound for bound in longest if bound > STALL + waited}, f"waited {waited:.1f} s for a core"
    edit(api, namespace, meshConfig=None)
    await wait_for(api, namespace)


def read_stalls(operator: Operator) -> dict[float, float]:
    """How often the event loop stood still longer than each bound, in seconds."""
    samples = [s for s in read_metrics(operator) if s.name == "navarch_event_loop_stall_seconds_bucket"]
    total = max(sample.value for sample in samples)
    return {float(s.labels["le"]): total - s.value for s in samples if s.labels["le"] != "+Inf"}
