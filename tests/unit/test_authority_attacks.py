"""What other hands, clocks and clients do to a managed certificate authority, and that it holds: no second
root, nothing signed that proxies would refuse, no storm, and nothing that stops the operator."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from navarch.controllers.watching import ALL_WATCHES
from navarch.core.model.labels import AUTHORITY, GENERATION, HOME, MESH_NAME, MESH_NAMESPACE, PROFILE
from navarch.core.model.parent import Parent
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Manifest, Ref
from navarch.core.trust.managed import find_obstacle
from navarch.core.trust.observed import SeenAuthority
from navarch.core.trust.steps import Issue, MakeRoot
from navarch.engine.key import Key
from navarch.gather.authority import CACERTS_WATCH, ROOTS_WATCH, SEEN, gather_authority, shrink_cacerts
from navarch.kube.contest import AT_ONCE, Contests
from navarch.kube.errors import Conflict, Unavailable
from navarch.kube.resources import resource_of
from navarch.kube.shelf import Bound, Pool
from navarch.kube.store import Object, Store
from navarch.kube.weight import weigh
from navarch.pki.authority import Pair, issue_intermediate
from navarch.triggers.keys import Dependents
from navarch.triggers.known import Known, asks_for_authority

from tests.support.managed import PARTS, build_managed, decode, read_certificate
from tests.support.memory import MESH, SYSTEM
from tests.support.meshes import build_mesh, read_condition
from tests.unit.test_certificates import an_rsa_key
from tests.unit.test_managed_authorities import (
    HEALTHY,
    IN_USE,
    ISSUED,
    NOW,
    OTHER,
    ROOT,
    RUNS,
    SETTLED,
    WANTED,
    Meshed,
    a_managed_mesh,
    a_root,
    an_intermediate,
    decide,
    is_whole,
    see_cacerts,
    see_root,
)
from tests.unit.test_successions import NS, fill

CACERTS = Ref("v1", "Secret", NS, "cacerts")
ROOT_REF = Ref("v1", "Secret", SYSTEM, f"{NS}-root-1")
AT = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")


def a_secret(ref: Ref, data: Mapping[str, bytes], **labels: str) -> Manifest:
    encoded = {name: base64.b64encode(text).decode() for name, text in data.items()}
    metadata = {"name": ref.name, "namespace": ref.namespace, "labels": labels, "uid": f"{ref}"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}


def lay_out(root: Pair) -> dict[str, bytes]:
    return {"tls.crt": root.certificate, "tls.key": root.key, "ca.crt": root.certificate}


def write_own(root: Pair) -> Manifest:
    """The Secret in which an istiod keeps a root that it made."""
    parts = {"ca-cert.pem": root.certificate, "ca-key.pem": root.key, "root-cert.pem": root.certificate}
    return a_secret(Ref("v1", "Secret", NS, "istio-ca-secret"), parts)


# --- restored, and not as it was ---------------------------------------------------------------------------


async def test_a_root_that_was_restored_without_its_labels_is_told_with_the_command_and_counts() -> None:
    cluster = Meshed()
    fill(cluster, **build_managed())
    there = cluster.put(a_secret(ROOT_REF, lay_out(ROOT)))
    await cluster.settle()
    told = read_condition(cluster.mesh, "Reconciled")["message"]
    assert f"kubectl label secret {ROOT_REF.name} -n {SYSTEM}" in told
    assert (cluster.roots, cluster.find("cacerts")) == ([there], None)
    said = dict(word.split("=") for word in told.split() if "=" in word)
    assert {*said} == {AUTHORITY, HOME, GENERATION}
    cluster.put({**there, "metadata": {**there["metadata"], "labels": said}})
    await cluster.settle()
    assert is_whole(cluster)
    assert read_condition(cluster.mesh, HEALTHY)["status"] == "True"


async def test_a_restored_cacerts_without_labels_is_no_one_else_s_and_gets_them_back() -> None:
    cluster = Meshed()
    fill(cluster, **build_managed())
    cluster.put(a_secret(ROOT_REF, lay_out(ROOT), **{AUTHORITY: "root", HOME: NS, GENERATION: "1"}))
    whole = (ISSUED.certificate, ISSUED.key, ISSUED.certificate, ROOT.certificate)
    cluster.put(a_secret(CACERTS, dict(zip(PARTS, whole, strict=True))))
    await cluster.settle()
    assert is_whole(cluster)
    assert read_condition(cluster.mesh, "SpecAccepted")["status"] == "True"
    labels = (cluster.find("cacerts") or {})["metadata"]["labels"]
    assert labels[MESH_NAME] == "demo", "without it, everybody who may write Secrets could change it"


async def test_a_label_that_anybody_may_write_makes_no_secret_navarch_s() -> None:
    cluster = Meshed()
    fill(cluster, **build_managed())
    theirs = cluster.put(a_secret(CACERTS, {"ca-cert.pem": b"x"}, **{AUTHORITY: "intermediate"}))
    await cluster.settle()
    assert read_condition(cluster.mesh, "SpecAccepted")["reason"] == "ForeignAuthority"
    assert (cluster.find("cacerts"), cluster.roots) == (theirs, [])


async def test_a_mesh_that_is_refused_for_another_s_secret_goes_on_asking_for_a_look_at_it() -> None:
    """Otherwise its watch would end, the Secret be forgotten, and the mesh be accepted, again and again."""
    cluster = Meshed()
    metadata = {"name": "kept", "namespace": SYSTEM, "labels": {PROFILE: ""}}
    content = {"profile.yaml": json.dumps(build_managed())}
    cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": content})
    fill(cluster, profiles=["kept"])
    theirs = cluster.put(a_secret(CACERTS, {"ca-cert.pem": b"x"}))
    await cluster.settle()
    assert read_condition(cluster.mesh, "SpecAccepted")["reason"] == "ForeignAuthority"
    assert asks_for_authority(cluster.mesh)
    assert cluster.find("cacerts") == theirs
    cluster.remove(CACERTS)
    await cluster.settle()
    assert is_whole(cluster)


async def test_a_mesh_of_a_release_that_is_no_longer_known_keeps_its_authority() -> None:
    cluster = await a_managed_mesh()
    (revision,) = cluster.list_kind("MeshRevision")
    cluster.put({**revision, "spec": {**revision["spec"], "version": "1.9.0"}})
    cluster.edit(version="1.9.0")
    cluster.remove(CACERTS)
    await cluster.settle()
    assert read_condition(cluster.mesh, "SpecAccepted")["status"] == "False"
    assert is_whole(cluster)


class Deaf(Meshed):
    """A cluster whose answer to the first root is lost, and whose watch of them has not told yet."""

    lost = False

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Object:
        if manifest["kind"] != "Secret" or self.lost:
            return await super().create(manifest, dry_run=dry_run)
        self.lost, tell = True, self._tell
        self._tell = lambda _: None  # type: ignore[method-assign]
        await super().create(manifest)
        self._tell = tell  # type: ignore[method-assign]
        raise Unavailable("no answer")


async def test_a_root_whose_making_was_never_answered_or_that_another_process_made_first_counts() -> None:
    cluster = Deaf()
    fill(cluster, **build_managed())
    await cluster.settle()
    assert cluster.lost
    assert is_whole(cluster)
    assert read_condition(cluster.mesh, HEALTHY)["status"] == "True"


# --- a root that is not the one ----------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [("tls.crt", "tls.key", "ca.crt"), ("tls.key",)], ids=["all", "key"])
async def test_nothing_is_issued_by_a_root_that_took_the_seen_one_s_place(parts: tuple[str, ...]) -> None:
    cluster = await a_managed_mesh()
    (root,) = cluster.roots
    made = a_secret(ROOT_REF, lay_out(OTHER))["data"]
    other = {**root["data"], **{name: made[name] for name in parts}}
    cluster.objects["Secret", ROOT_REF.namespace, ROOT_REF.name] = {**root, "data": other}
    cluster.remove(CACERTS)
    await cluster.settle()
    assert cluster.find("cacerts") is None, "the watch has not told yet, and the root is another one"


@cache
def adopted() -> dict[str, tuple[Pair, str]]:
    """Roots of istiod's own that must not become a mesh's, and what is told of each."""
    short = issue_intermediate(ROOT, algorithm="ECDSA-P256", organization="", unit="", ends=NOW, now=NOW)
    large = an_rsa_key((1 << 5000) + 1, (1 << 5000) + 3)
    key = load_pem_private_key(ROOT.key, password=None)
    text = large.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    name = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(99))
    builder = builder.public_key(large.public_key())
    slow = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    heavy = Pair(slow.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM), text)  # type: ignore[arg-type]
    return {
        "of no other key": (Pair(ROOT.certificate, OTHER.key), "not one certificate"),
        "two of them": (Pair(ROOT.certificate + OTHER.certificate, ROOT.key), "not one certificate"),
        "with trailing text": (Pair(ROOT.certificate + b"and more", ROOT.key), "not one certificate"),
        "with its key beside it": (Pair(ROOT.certificate + ROOT.key, ROOT.key), "not one certificate"),
        "of path length 0": (short, "may sign no intermediate"),
        "ended": (a_root(NOW - timedelta(4000)), "it ended at"),
        "of a clock that was ahead": (a_root(NOW + timedelta(2)), "not valid before"),
        "at whose primes OpenSSL looks for a minute": (heavy, "8192 bits"),
        "that proxies do not trust": (OTHER, "proxies trust another one"),
    }


@pytest.mark.parametrize("kind", adopted())
def test_why_a_root_of_istiod_s_does_not_become_the_managed_one(kind: str) -> None:
    pair, told = adopted()[kind]
    root = see_root(pair)
    trusted = IN_USE if pair is OTHER else root.authority.roots.fingerprint
    assert told in find_obstacle(root, MakeRoot("shop", True, WANTED, trusted), now=NOW)


@pytest.mark.parametrize("kind", ["with its key beside it", "that proxies do not trust"])
async def test_a_root_of_istiod_s_that_could_not_serve_is_not_taken_over(kind: str) -> None:
    """A root's Secret is never removed by Navarch: what became the root by mistake would stay."""
    cluster = Meshed()
    cluster.now = AT
    fill(cluster)
    await cluster.settle()
    cluster.put(write_own(ROOT))
    cluster.hand_out()
    await cluster.settle()
    cluster.edit(**build_managed())
    cluster.put(write_own(adopted()[kind][0]))
    cluster.hand_out = lambda: None  # type: ignore[method-assign]
    await cluster.settle()
    assert cluster.roots == []
    told = read_condition(cluster.mesh, "Reconciled")["message"]
    assert "istio-ca-secret was left as it is" in told
    assert "PRIVATE" not in told
    assert read_condition(cluster.mesh, "Available")["status"] == "True", "it runs as it ran"
    cluster.put(write_own(ROOT))
    await cluster.settle()
    assert [decode(root, "tls.crt") for root in cluster.roots] == [ROOT.certificate]


def test_where_it_is_not_known_what_proxies_trust_nothing_is_taken_over() -> None:
    step = MakeRoot("shop", True, WANTED)
    assert "not known" in find_obstacle(see_root(ROOT), step, now=NOW)
    assert find_obstacle(see_root(ROOT), replace(step, in_use=IN_USE), now=NOW) == ""


# --- clocks ------------------------------------------------------------------------------------------------


async def test_a_clock_that_was_ahead_leaves_nothing_behind_that_is_not_valid_yet() -> None:
    """An istiod with an intermediate that is not valid yet does not start."""
    cluster = await a_managed_mesh()
    cluster.remove(CACERTS)
    right, cluster.now = cluster.now, "2027-03-01T12:00:00Z"
    await cluster.settle()
    assert is_whole(cluster)
    cluster.now = right
    await cluster.settle()
    assert is_whole(cluster)
    begins = read_certificate(cluster.find("cacerts") or {}, "ca-cert.pem").not_valid_before_utc
    assert f"{begins:%Y-%m-%dT%H:%M:%SZ}" <= right
    requests = len(cluster.requests)
    await cluster.settle()
    assert not [r for r in cluster.requests[requests:] if r.startswith(("apply", "create"))]


async def test_a_root_of_a_clock_that_was_ahead_signs_nothing_before_it_is_valid() -> None:
    cluster, ahead = Meshed(), "2031-03-01T12:00:00Z"
    fill(cluster, **build_managed())
    right, cluster.now = cluster.now, ahead
    while not cluster.roots:
        await cluster.meshes.reconcile(Key(MESH, NS, "demo"))
    (root,) = cluster.roots
    cluster.now = right
    await cluster.settle()
    condition = read_condition(cluster.mesh, HEALTHY)
    assert condition["reason"] == "RootUnusable"
    assert "not valid before" in condition["message"]
    assert (cluster.roots, cluster.find("cacerts")) == ([root], None)
    cluster.now = ahead
    await cluster.settle()
    assert is_whole(cluster)


def test_a_clock_that_goes_back_and_forth_ends_in_a_decision() -> None:
    ahead = an_intermediate(ROOT, NOW + timedelta(100))
    seen = replace(SETTLED, cacerts=see_cacerts(ROOT, ahead))
    step = decide(seen)
    assert isinstance(step, Issue)
    assert "not valid before" in step.why
    assert decide(seen, now=NOW + timedelta(100)) is None
    late = SeenAuthority("shop", (see_root(a_root(NOW + timedelta(100))),))
    assert decide(late, replace(RUNS, in_use="")).reason is Reason.ROOT_UNUSABLE


# --- clients that fight, and Secrets without end -----------------------------------------------------------


class Fought(Meshed):
    """A cluster in which another client has always just written `cacerts`."""

    fighting = False

    async def apply(self, manifest: Manifest, **how: Any) -> Object:
        if self.fighting and manifest["kind"] == "Secret":
            self.requests.append("apply cacerts")
            raise Conflict("the object has been modified", status=409)
        return await super().apply(manifest, **how)


def stop_clock(cluster: Meshed) -> None:
    """All repairs are made at one moment, however long the looks take."""
    keeper = replace(cluster.meshes.keeper, contests=Contests(clock=lambda: 0.0))
    cluster.meshes = replace(cluster.meshes, keeper=keeper)


async def assert_contested(cluster: Meshed) -> None:
    """The next step is not taken yet, and what is told names the object and what to do."""
    step = Issue(NS, ROOT_REF.name, "", "", "it is gone", WANTED)
    requests = len(cluster.requests)
    (told,) = (await cluster.meshes.keeper.carry_out(step, Parent(MESH, NS, "demo"))).results
    assert told.reason is Reason.OBJECT_CONTESTED
    assert f"{NS}/cacerts" in told.message
    assert "stop that client" in told.message
    assert len(cluster.requests) == requests


async def test_a_client_that_rewrites_cacerts_without_end_is_told_and_followed_at_a_pace() -> None:
    cluster = Fought()
    fill(cluster, **build_managed())
    await cluster.settle()
    assert is_whole(cluster)
    cluster.fighting = True
    stop_clock(cluster)
    secret = cluster.find("cacerts") or {}
    for turn in range(30):
        cluster.put({**secret, "data": {"ca-cert.pem": base64.b64encode(b"%d" % turn).decode()}})
        await cluster.look(NS, cluster.list_revisions()[0])
    assert cluster.requests.count("apply cacerts") == AT_ONCE + 1
    await assert_contested(cluster)
    assert read_condition(cluster.mesh, HEALTHY)["status"] == "False"


async def test_a_client_that_deletes_cacerts_without_end_is_told_and_followed_at_a_pace() -> None:
    cluster = await a_managed_mesh()
    before = len(cluster.requests)
    stop_clock(cluster)
    for _ in range(30):
        if cluster.find("cacerts"):
            cluster.remove(CACERTS)
        await cluster.look(NS, cluster.list_revisions()[0])
    writes = [r for r in cluster.requests[before:] if r.startswith("apply Secret")]
    assert len(writes) == AT_ONCE + 1, "these at once, and then the pauses double"
    await assert_contested(cluster)
    assert len(cluster.roots) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"data": {name: base64.b64encode(ISSUED.certificate * 60).decode() for name in PARTS}},
        {"data": {"odd": base64.b64encode(b"\xff" * 700_000).decode()}},
        {"metadata": {"labels": {f"example.com/{n}": "x" * 63 for n in range(9000)}}},
    ],
    ids=["certificates", "bytes", "labels"],
)
def test_a_secret_of_a_mib_takes_no_more_memory_than_a_small_one(change: Object) -> None:
    """Parsed certificates are weighed for less than they take, and anybody may make such Secrets."""
    metadata = {"name": "cacerts", "namespace": "team", "resourceVersion": "1"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {**metadata, **change.get("metadata", {})}}
    kept = shrink_cacerts({**secret, "data": change.get("data", {})})
    assert len(json.dumps(change)) > 100_000
    assert weigh(kept) < 4096
    assert kept[SEEN].authority.parts == ()


def test_an_authority_that_memory_does_not_hold_is_not_seen_instead_of_missing() -> None:
    """What is taken for missing is made."""
    for crowded in (CACERTS_WATCH, ROOTS_WATCH):
        bounds = {watch.name: Bound(watch=4096 if watch is crowded else 1 << 20) for watch in ALL_WATCHES}
        stores = {
            watch.name: Store(
                resource_of("v1", "Secret"), transform=watch.transform, bound=bounds[watch.name], pool=Pool()
            )
            for watch in (CACERTS_WATCH, ROOTS_WATCH)
        }
        labels = {AUTHORITY: "root", HOME: NS, GENERATION: "1"}
        for store in stores.values():
            store.served = True
        whole = a_secret(ROOT_REF, lay_out(ROOT), **labels)
        stores[ROOTS_WATCH.name].change(whole)
        parts = (ISSUED.certificate, ISSUED.key, ISSUED.certificate, ROOT.certificate)
        stores[CACERTS_WATCH.name].change(a_secret(CACERTS, dict(zip(PARTS, parts, strict=True))))
        seen = gather_authority(stores, NS)
        assert seen is not None
        for n in range(20):
            place = CACERTS if crowded is CACERTS_WATCH else ROOT_REF
            ref = replace(place, namespace=f"team-{n}")
            stores[crowded.name].change(a_secret(ref, {"x": b"y"}))
        seen = gather_authority(stores, NS)
        assert seen is not None
        assert seen.gap, crowded.name


# --- whom it concerns --------------------------------------------------------------------------------------


def test_a_tenant_s_secret_leads_to_no_other_s_mesh_and_a_root_to_the_one_that_stands_on_it() -> None:
    known = Known([build_mesh("shop", name="second"), build_mesh("team"), build_mesh("other")])
    dependents = Dependents(known, find_namespace=lambda _: None)
    labels = {MESH_NAMESPACE: "other", MESH_NAME: "demo", HOME: "other"}
    forged = a_secret(replace(CACERTS, namespace="team"), {}, **labels)
    asked = [ask.key.namespace for ask in CACERTS_WATCH.keys(dependents, None, forged)]
    assert asked == ["team"]
    left = a_secret(ROOT_REF, {}, **{MESH_NAMESPACE: "shop", MESH_NAME: "first", HOME: "shop"})
    keys = [(ask.key.namespace, ask.key.name) for ask in ROOTS_WATCH.keys(dependents, None, left)]
    assert keys == [("shop", "second")], "the mesh that made it was renamed"
