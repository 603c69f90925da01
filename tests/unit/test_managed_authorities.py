"""Managed certificate authorities: what is made, what is decided, and that no kill and no hand makes a second
root."""

from __future__ import annotations

import base64
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from navarch.controllers.pace import Pace
from navarch.core.model.reasons import Reason
from navarch.core.model.refs import Ref
from navarch.core.trust.managed import plan_authority
from navarch.core.trust.observed import SeenAuthority, SeenCacerts, SeenRoot
from navarch.core.trust.position import is_issued_by
from navarch.core.trust.reading import read_authority
from navarch.core.trust.steps import Hold, Issue, MakeRoot, Standing, Wanted
from navarch.kube.store import Object
from navarch.pki.authority import KeyUnreadable, Pair, check_pair, issue_intermediate, make_root

from tests.support.managed import PARTS, build_managed, decode, find_keys, read_certificate
from tests.support.memory import SYSTEM
from tests.support.meshes import read_condition
from tests.unit.test_successions import NS, WEBHOOKS, Cluster, Killed, fill

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
WANTED = Wanted("ECDSA-P256", 3650, 365, "cluster.local")
MOST = 10
"""Writes of an installation, up to istiod's Deployment."""
HEALTHY = "CertificateAuthorityHealthy"


def a_root(now: datetime = NOW, **change: Any) -> Pair:
    said: dict[str, Any] = {"algorithm": "ECDSA-P256", "organization": "cluster.local", "unit": "shop"}
    return make_root(**{**said, "generation": 1, "days": 3650, "now": now, **change})


def an_intermediate(
    root: Pair, now: datetime = NOW, *, days: int = 365, algorithm: str = "ECDSA-P256"
) -> Pair:
    ends = now + timedelta(days)
    return issue_intermediate(
        root, algorithm=algorithm, organization="cluster.local", unit="shop", ends=ends, now=now
    )


def see_root(root: Pair) -> SeenRoot:
    parts = {"tls.crt": root.certificate, "tls.key": root.key, "ca.crt": root.certificate}
    return SeenRoot("shop-root-1", 1, read_authority(parts))


def see_cacerts(root: Pair, issued: Pair, *, ours: bool = True, **change: bytes | None) -> SeenCacerts:
    parts: dict[str, bytes | None] = dict(
        zip(PARTS, (issued.certificate, issued.key, issued.certificate, root.certificate), strict=True)
    )
    changed = {**parts, **{f"{name.replace('_', '-')}.pem": text for name, text in change.items()}}
    kept = {name: text for name, text in changed.items() if text is not None}
    return SeenCacerts("7", read_authority(kept), ours=ours)


# --- what is made ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "size"), [("ECDSA-P256", 256), ("ECDSA-P384", 384), ("RSA-2048", 2048), ("RSA-3072", 3072)]
)
def test_root_and_intermediate_are_of_the_algorithm_and_form_a_chain(algorithm: str, size: int) -> None:
    root = a_root(algorithm=algorithm)
    issued = an_intermediate(root, algorithm=algorithm)
    above, below = (x509.load_pem_x509_certificate(pair.certificate) for pair in (root, issued))
    below.verify_directly_issued_by(above)
    for certificate, path in ((above, 2), (below, 0)):
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
        assert key.key_size == size
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, path)
        assert (usage.value.key_cert_sign, usage.value.crl_sign) == (True, True)
        assert not usage.value.digital_signature
        assert certificate.not_valid_before_utc < NOW, "clocks of nodes differ"
    check_pair(root)
    assert is_issued_by(see_cacerts(root, issued).authority, see_root(root).certificate)  # type: ignore[arg-type]


def test_no_two_roots_have_one_subject_and_names_are_short_enough() -> None:
    roots = [a_root(unit="u" * 63, organization="d" * 253) for _ in range(2)]
    first, second = (x509.load_pem_x509_certificate(root.certificate).subject for root in roots)
    assert first != second
    assert all(len(str(part.value)) <= 64 for part in first)
    assert first.get_attributes_for_oid(NameOID.COMMON_NAME) != second.get_attributes_for_oid(
        NameOID.COMMON_NAME
    )


def test_an_intermediate_names_its_issuer_s_key_as_the_issuer_does() -> None:
    """Envoy refuses a chain in which both differ; Go computes the identifier by another rule."""
    root = a_root()
    issued = x509.load_pem_x509_certificate(an_intermediate(root).certificate)
    above = x509.load_pem_x509_certificate(root.certificate)
    said = issued.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert said == above.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def test_what_cannot_sign_is_told_without_a_word_of_the_key() -> None:
    root, other = a_root(), a_root()
    leaf = an_intermediate(root)
    broken = [
        Pair(root.certificate, other.key),
        Pair(root.certificate, b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"),
        Pair(b"nothing", root.key),
        leaf,
    ]
    for pair in broken:
        with pytest.raises(KeyUnreadable) as told:
            check_pair(pair)
        assert "secret" not in str(told.value)
        assert told.value.__cause__ is None or "secret" not in str(told.value.__cause__)
        assert "PRIVATE" not in repr(pair)


# --- what is decided ---------------------------------------------------------------------------------------

ROOT, OTHER = a_root(), a_root()
ISSUED = an_intermediate(ROOT)
IN_USE = see_root(ROOT).authority.roots.fingerprint
SETTLED = SeenAuthority("shop", (see_root(ROOT),), see_cacerts(ROOT, ISSUED))
EMPTY = SeenAuthority("shop")
RUNS = Standing(IN_USE, installed=True, managed=True)
DAY = timedelta(1)


def decide(seen: SeenAuthority, standing: Standing = RUNS, *, now: datetime = NOW) -> Any:
    return plan_authority(seen, standing, WANTED, now=now)


def test_a_new_mesh_gets_a_root_and_one_that_runs_keeps_its_own() -> None:
    assert decide(EMPTY, Standing()) == MakeRoot("shop", False, WANTED)
    assert decide(EMPTY, Standing("any", installed=True)) == MakeRoot("shop", True, WANTED, "any")


def test_a_managed_mesh_whose_root_is_gone_gets_no_other() -> None:
    for seen in (EMPTY, replace(SETTLED, roots=())):
        for standing in (RUNS, replace(RUNS, in_use="")):
            step = decide(seen, standing)
            assert isinstance(step, Hold)
            assert step.reason is Reason.ROOT_MISSING


def test_what_is_whole_is_left_alone_until_a_third_is_left() -> None:
    assert decide(SETTLED) is None
    assert decide(SETTLED, now=NOW + 243 * DAY) is None
    step = decide(SETTLED, now=NOW + 244 * DAY)
    assert isinstance(step, Issue)
    assert ({number: root.name for number, root in step.roots.items()}, step.replaces) == (
        {1: "shop-root-1"},
        "7",
    )


CHANGES: dict[str, dict[str, bytes | None]] = {
    "no key": {"ca_key": None},
    "an empty key": {"ca_key": b""},
    "the key of another root": {"ca_key": OTHER.key},
    "no chain": {"cert_chain": None},
    "the root for a chain": {"cert_chain": ROOT.certificate},
    "another root": {"root_cert": OTHER.certificate},
    "a second root": {"root_cert": ROOT.certificate + OTHER.certificate},
    "half of a certificate": {"ca_cert": b"half of a cert"},
    "text behind the certificate": {"ca_cert": ISSUED.certificate + b"trailing text"},
    "an intermediate of another root": {"ca_cert": an_intermediate(OTHER).certificate},
    "a revocation list": {"ca_crl": b"x"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_another_hand_made_of_it_is_put_back(change: dict[str, bytes | None]) -> None:
    seen = replace(SETTLED, cacerts=see_cacerts(ROOT, ISSUED, **change))
    assert isinstance(decide(seen), Issue)
    assert isinstance(decide(replace(seen, cacerts=None)), Issue)


def test_nothing_is_written_over_what_is_not_ours_nor_under_a_root_that_nobody_trusts() -> None:
    foreign = see_cacerts(OTHER, an_intermediate(OTHER), ours=False)
    for seen in (replace(SETTLED, cacerts=foreign), SeenAuthority("shop", (), foreign)):
        for standing in (RUNS, Standing()):
            assert decide(seen, standing).reason is Reason.FOREIGN_AUTHORITY
    elsewhere = replace(RUNS, in_use=see_root(OTHER).authority.roots.fingerprint)
    assert decide(replace(SETTLED, cacerts=None), elsewhere).reason is Reason.ANOTHER_ROOT_IN_USE
    assert decide(SETTLED, elsewhere) is None


def test_a_restored_secret_without_labels_is_known_by_who_signed_it() -> None:
    step = decide(replace(SETTLED, cacerts=see_cacerts(ROOT, ISSUED, ours=False)))
    assert isinstance(step, Issue)
    assert "labels" in step.why


def test_a_root_that_cannot_sign_issues_nothing() -> None:
    ended = NOW + 3651 * DAY
    assert decide(SETTLED, now=ended) == MakeRoot("shop", False, WANTED, generation=2), "the way out"
    asked = replace(WANTED, generation=1)
    step = plan_authority(SETTLED, RUNS, asked, now=ended)
    assert step == MakeRoot("shop", False, asked, generation=2), "nor does the annotation of before bar it"
    swapped = Pair(ROOT.certificate, OTHER.key)
    step = decide(SeenAuthority("shop", (see_root(swapped),), None))
    assert step.reason is Reason.ROOT_UNUSABLE


def test_an_intermediate_that_ends_with_its_root_is_not_renewed_for_nothing() -> None:
    now = NOW + 3600 * DAY
    last = an_intermediate(ROOT, now, days=50)
    root_ends = x509.load_pem_x509_certificate(ROOT.certificate).not_valid_after_utc
    assert x509.load_pem_x509_certificate(last.certificate).not_valid_after_utc == root_ends
    seen = replace(SETTLED, cacerts=see_cacerts(ROOT, last))
    for asked in (WANTED, replace(WANTED, generation=1)):
        step = plan_authority(seen, RUNS, asked, now=root_ends - DAY)
        assert step == MakeRoot("shop", False, asked, generation=2), "another root comes, and no intermediate"


# --- look by look, in a cluster in memory ------------------------------------------------------------------


class Meshed(Cluster):
    """A cluster whose istiod hands out the root that it finds. No status is held back for a time: what a test
    reads is what the last look said, however fast the machine is."""

    def __init__(self) -> None:
        super().__init__()
        self.meshes.reporter._pace = Pace(clock=itertools.count(0, 60).__next__)

    def restart(self) -> Meshed:
        other = Meshed()
        for manifest in [*self.objects.values()]:
            other.keep(manifest)
        return other

    async def settle(self) -> None:
        """Looks, and istiod's own doing, until nothing changes."""
        for _ in range(4):
            await super().settle()
            self.hand_out()
        await super().settle()

    def hand_out(self) -> None:
        """The ConfigMap with the root, as an istiod that runs writes it."""
        secret = self.find("cacerts") or self.find("istio-ca-secret")
        if self.list_kind("Deployment") and secret is not None:
            config = self.objects["ConfigMap", NS, "istio-ca-root-cert"]
            self.put({**config, "data": {"root-cert.pem": decode(secret, "root-cert.pem").decode()}})
            for kind in WEBHOOKS:
                for each in self.list_kind(kind):
                    self.put(self._live(each))

    def _live(self, manifest: Object) -> Object:
        """Webhooks get the root that is in the ConfigMap."""
        made = super()._live(manifest)
        if manifest["kind"] not in WEBHOOKS:
            return made
        config = self.objects["ConfigMap", NS, "istio-ca-root-cert"]
        bundle = base64.b64encode(config["data"]["root-cert.pem"].encode()).decode()
        hooks = [
            {**hook, "clientConfig": {**hook["clientConfig"], "caBundle": bundle}}
            for hook in manifest["webhooks"]
        ]
        return {**made, "webhooks": hooks}

    def find(self, name: str, namespace: str = NS) -> Object | None:
        return self.objects.get(("Secret", namespace, name))

    @property
    def roots(self) -> list[Object]:
        return [o for o in self.list_kind("Secret") if o["metadata"]["namespace"] == SYSTEM]


def is_whole(cluster: Meshed) -> bool:
    (root,), secret = cluster.roots, cluster.find("cacerts")
    assert secret is not None
    read_certificate(secret, "ca-cert.pem").verify_directly_issued_by(read_certificate(root, "tls.crt"))
    return decode(secret, "root-cert.pem") == decode(root, "tls.crt")


async def a_managed_mesh(**spec: Any) -> Meshed:
    cluster = Meshed()
    fill(cluster, **{**build_managed(), **spec})
    await cluster.settle()
    assert is_whole(cluster)
    assert read_condition(cluster.mesh, "Ready")["status"] == "True", cluster.mesh["status"]
    assert read_condition(cluster.mesh, HEALTHY)["status"] == "True"
    return cluster


async def test_an_operator_killed_after_any_write_never_makes_a_second_root() -> None:
    for writes in range(MOST):
        cluster = Meshed()
        fill(cluster, **build_managed())
        cluster.left = writes
        try:
            await cluster.settle()
        except Killed:
            pass
        else:
            pytest.fail("it was done before that")
        before = [root["data"] for root in cluster.roots]
        started = bool(cluster.list_kind("Deployment"))
        assert not started or cluster.find("cacerts"), "no istiod starts without its authority"
        other = cluster.restart()
        await other.settle()
        assert is_whole(other)
        assert [root["data"] for root in other.roots][: len(before)] == before
    assert before, "the last ones were killed after the root was made"


async def test_what_is_taken_away_comes_back_and_the_root_is_never_touched() -> None:
    cluster = await a_managed_mesh()
    (root,) = cluster.roots
    first = cluster.find("cacerts") or {}
    cluster.remove(Ref("v1", "Secret", NS, "cacerts"))
    await cluster.settle()
    second = cluster.find("cacerts") or {}
    assert is_whole(cluster)
    assert second["data"]["ca-cert.pem"] != first["data"]["ca-cert.pem"]
    assert cluster.roots == [root]
    cluster.now = "2027-09-01T12:00:00Z"
    await cluster.settle()
    assert (cluster.find("cacerts") or {})["data"] != second["data"], "a year later it was renewed"
    assert cluster.roots == [root]
    requests = len(cluster.requests)
    await cluster.settle()
    assert not [r for r in cluster.requests[requests:] if not r.startswith("get MeshControlPlane")]


async def test_a_lost_root_is_told_and_nothing_is_made_in_its_place() -> None:
    cluster = await a_managed_mesh()
    kept = cluster.find("cacerts")
    cluster.remove(Ref("v1", "Secret", SYSTEM, f"{NS}-root-1"))
    await cluster.settle()
    assert read_condition(cluster.mesh, HEALTHY)["reason"] == "RootMissing"
    assert (cluster.roots, cluster.find("cacerts")) == ([], kept)
    assert read_condition(cluster.mesh, "Ready")["status"] == "True", "the mesh runs on"


async def test_a_self_signed_mesh_keeps_its_root_as_it_becomes_managed() -> None:
    cluster = Meshed()
    fill(cluster)
    await cluster.settle()
    cluster.edit(**build_managed())
    await cluster.settle()
    assert cluster.roots == [], "what proxies trust is not there to be adopted"
    own = a_root()
    parts = {"ca-cert.pem": own.certificate, "ca-key.pem": own.key, "root-cert.pem": own.certificate}
    data = {name: base64.b64encode(text).decode() for name, text in parts.items()}
    metadata = {"name": "istio-ca-secret", "namespace": NS}
    cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
    cluster.hand_out()
    await cluster.settle()
    assert is_whole(cluster)
    assert decode(cluster.roots[0], "tls.crt") == own.certificate
    assert cluster.mesh["status"]["certificateAuthority"]["root"]["origin"] == "Adopted"
    assert read_condition(cluster.mesh, HEALTHY)["status"] == "True"
    cluster.edit(certificateAuthority=None)
    await cluster.settle()
    accepted = read_condition(cluster.mesh, "SpecAccepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "AuthorityFixed")
    assert is_whole(cluster)


async def test_a_secret_of_the_user_s_is_refused_by_name_and_left() -> None:
    cluster = Meshed()
    fill(cluster, **build_managed())
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cacerts", "namespace": NS}}
    theirs = cluster.put({**secret, "data": {"ca-cert.pem": "QUJD"}})
    await cluster.settle()
    assert read_condition(cluster.mesh, "SpecAccepted")["reason"] == "ForeignAuthority"
    assert cluster.find("cacerts") == theirs
    assert (cluster.roots, cluster.list_kind("Deployment")) == ([], [])


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ("2036-06-01T12:00:00Z", ""),
        ("2036-07-15T12:00:00Z", "within 90 days"),
        ("2036-08-20T12:00:00Z", "within 60 days"),
        ("2036-09-10T12:00:00Z", "within 30 days"),
        ("2036-09-25T12:00:00Z", "within 7 days"),
        ("2036-10-01T12:00:00Z", ""),
    ],
)
async def test_the_end_of_a_root_is_told_in_time(now: str, told: str) -> None:
    cluster = await a_managed_mesh()
    cluster.now = now
    await cluster.settle()
    condition = read_condition(cluster.mesh, HEALTHY)
    assert told in condition["message"]
    assert condition["status"] == ("False" if told else "True")
    replaced = read_condition(cluster.mesh, HEALTHY)["reason"] == "AsExpected"
    assert replaced == (now > "2036-09-28"), "another takes its place, at once when it has ended"


async def test_no_key_is_in_a_store_or_in_what_is_written_about_a_mesh() -> None:
    cluster = await a_managed_mesh()
    pieces = [
        piece for secret in (*cluster.roots, cluster.find("cacerts")) if secret for piece in find_keys(secret)
    ]
    kept = {name: repr([*store.list()]) for name, store in cluster.stores.items()}
    kept |= {f"{k}/{n}": repr(o) for (k, _, n), o in cluster.objects.items() if k != "Secret"}
    assert pieces
    for where, text in kept.items():
        assert "PRIVATE KEY" not in text, where
        assert not [piece for piece in pieces if piece in text], where
