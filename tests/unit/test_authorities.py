"""Certificate authorities: how they are read, and what is said of each that is not in order."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import PrivateFormat
from navarch.cli.authorities import Wanted, determine_exit, print_json, print_text, verify
from navarch.cli.exits import build_console
from navarch.cli.inputs import InputError
from navarch.core.diagnosis.advice.authority import OF_AUTHORITIES
from navarch.core.diagnosis.authority import build_authority
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.reasons import Reason
from navarch.core.trust.authority import TrustBundle
from navarch.core.trust.checks import ObservedAuthority, judge_authority
from navarch.core.trust.checks.observed import list_issuers
from navarch.core.trust.reading import fingerprint_bundle, read_authority, read_bundle, read_pem, read_secret
from navarch.survey.session import Target

from tests.support.authorities import (
    ISTIOD,
    NOW,
    Broken,
    Data,
    Made,
    a_root,
    a_signer,
    an_rsa_key,
    change,
    encode,
    join,
    make,
    write,
    write_tls,
)
from tests.support.broken_authorities import BROKEN
from tests.support.command import navarch

TARGET = Target(None, None, "navarch-system", "navarch-probe")


def observe(data: Data, *, present: TrustBundle | None = None) -> ObservedAuthority:
    return ObservedAuthority(read_secret(encode(data)), NOW, hosts=(ISTIOD,), present=present)


def judge(data: Data, **more: TrustBundle) -> tuple[Finding, ...]:
    return judge_authority(observe(data, **more))


def trust(*roots: Made) -> TrustBundle:
    bundle = read_bundle(join(*roots))
    assert bundle is not None
    return bundle


# --- what is in order ---------------------------------------------------------------------------------------


def cross_signed() -> Data:
    """The signer is below a new root, which the old one, the only one that is trusted, has signed as well."""
    new = make("root 2")
    crossed = make("root 2", a_root(), key=new.key)
    signer = make("signer", new)
    return write(signer, chain=(signer, crossed), roots=(a_root(),))


GOOD: dict[str, Callable[[], Data]] = {
    "istiod's names": change,
    "kubernetes.io/tls": lambda: write_tls(a_signer()),
    "a root that signs": lambda: write(a_root()),
    "a root that signs, and no chain": lambda: write(a_root(), chain=()),
    "the root left out of the chain": lambda: write(a_signer(), chain=a_signer().chain[:2]),
    "RSA": lambda: write(make("signer", make("root", key=an_rsa_key()), key=an_rsa_key())),
    "a key in the form of OpenSSL": lambda: change(
        ca_key=a_signer().write_key(PrivateFormat.TraditionalOpenSSL)
    ),
    "lines that end as on Windows": lambda: {k: v.replace(b"\n", b"\r\n") for k, v in change().items()},
    "a new root that the old one signed": cross_signed,
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_in_order_gives_nothing(name: str) -> None:
    assert judge(GOOD[name]()) == ()


# --- what is not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_told_with_its_key_and_by_its_own_rule_alone(broken: Broken) -> None:
    found = judge(broken.data())
    assert sorted(f.reason for f in found) == sorted(broken.reasons), list(map(str, found))
    assert found[0].field == broken.field
    assert broken.says in str(found[0]), str(found[0])
    assert all(f.remedy for f in found)


def test_every_reason_of_authorities_has_a_case() -> None:
    assert {reason for broken in BROKEN.values() for reason in broken.reasons} == set(OF_AUTHORITIES)


def test_certificates_that_have_all_signed_each_other_are_judged_by_few_looks() -> None:
    """Whoever may write a Secret would stop the operator with them otherwise."""
    key = make("x").key
    same = [make("same", make("same", key=key), key=key, issuer="same") for _ in range(60)]
    found = judge(write(same[0], chain=tuple(same), roots=(a_root(),)))
    assert Reason.AUTHORITY_CHAIN_BROKEN in {each.reason for each in found}
    looks = list_issuers.cache_info()
    assert looks.misses + looks.hits < 20_000


def test_a_new_root_must_be_told_from_those_of_today_by_its_subject() -> None:
    data = change()
    assert judge(data, present=trust(a_root())) == ()
    assert judge(data, present=trust(make("root 0"))) == ()
    (other,) = judge(data, present=trust(make("root 1")))
    (renewed,) = judge(data, present=trust(make("root 1", key=a_root().key)))
    assert {other.reason, renewed.reason} == {Reason.AUTHORITY_ROOT_LOOKALIKE}
    assert (other.severity, renewed.severity) == (Severity.ERROR, Severity.WARNING)
    assert "the subject of a root that the mesh trusts today" in other.message


@pytest.mark.parametrize(
    ("days", "severity", "says"),
    [
        (2.9, Severity.ERROR, "a rotation takes up to 72 hours"),
        (3.1, Severity.WARNING, "within 7 days"),
        (59, Severity.WARNING, "within 60 days"),
        (89, Severity.WARNING, "within 90 days"),
        (91, None, ""),
    ],
)
def test_an_end_is_told_in_time(days: float, severity: Severity | None, says: str) -> None:
    found = judge(write(make("signer", a_root(), since=200, days=days)))
    assert [f.severity for f in found] == ([severity] if severity else [])
    assert says in "".join(map(str, found))


def test_an_intermediate_of_few_days_is_told_only_where_less_than_half_of_its_time_is_left() -> None:
    assert judge(write(make("signer", a_root(), since=1, days=8))) == ()
    assert len(judge(write(make("signer", a_root(), since=10, days=6)))) == 1


def test_proxies_whose_certificates_last_longer_need_an_authority_that_does() -> None:
    observed = observe(write(make("signer", a_root(), since=1, days=9)))
    assert judge_authority(observed) == ()
    longer = ObservedAuthority(observed.authority, NOW, leaf=timedelta(days=4))
    assert [f.reason for f in judge_authority(longer)] == [Reason.AUTHORITY_EXPIRES]


# --- roots as a set -----------------------------------------------------------------------------------------


def test_a_bundle_covers_what_it_holds_and_no_more() -> None:
    old, new = trust(make("root 1")), trust(make("root 2"))
    both = old | new
    assert both.covers(old)
    assert both.covers(new)
    assert both.covers(both)
    assert not old.covers(both)
    assert not old.covers(new)
    assert both.fingerprints == old.fingerprints | new.fingerprints
    assert old.covers(TrustBundle())


def test_a_bundle_is_read_whole_or_not_at_all() -> None:
    assert read_bundle(a_root().pem + a_root().pem[:-100]) is None
    assert fingerprint_bundle(b"") == TrustBundle().fingerprint == ""


# --- the command --------------------------------------------------------------------------------------------


def list_secrets(data: Data) -> list[str]:
    """The lines of every private key in it."""
    text = b"\n".join(data.values()).decode("latin-1")
    lines: list[str] = []
    for block in text.split("-----BEGIN ")[1:]:
        if block.split("-----", 1)[0].endswith("PRIVATE KEY"):
            lines += [line for line in block.splitlines()[1:] if len(line) > 10 and "-----" not in line]
    return lines


async def show(source: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Everything that the command prints of a source, in both forms."""
    report = await verify(TARGET, Wanted(str(source)))
    print_text(report, build_console())
    print_json(report)
    return capsys.readouterr().out + repr(report)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_nothing_of_a_private_key_is_ever_shown(
    broken: Broken, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = broken.data()
    for key, value in data.items():
        (tmp_path / key).write_bytes(value)
    told = await show(tmp_path, capsys)
    for key, value in data.items():
        told += await show(tmp_path / key, capsys)
        told += repr(read_pem(key, value))
    told += repr(read_authority({**data}))
    assert [line for line in list_secrets(data) if line in told] == []


def test_the_command_prints_the_chain_as_a_tree_and_what_was_found_below_it(tmp_path: Path) -> None:
    for key, value in BROKEN["text before the root"].data().items():
        (tmp_path / key).write_bytes(value)
    ended = navarch("ca", "verify", str(tmp_path))
    assert (ended.code, ended.err) == (1, "")
    assert ended.out.splitlines()[1].startswith("└── Root CN=root 1  ECDSA P-256, until ")
    assert "warning AuthorityStrayText  root-cert.pem\n" in ended.out
    assert ended.out.endswith("0 errors, 1 warning, 0 infos\n")


def test_a_secret_is_taken_from_standard_input_and_told_as_json() -> None:
    secret = {
        "kind": "Secret",
        "metadata": {"name": "cacerts", "namespace": "shop"},
        "data": encode(change()),
    }
    ended = navarch("ca", "verify", "-", "-o", "json", stdin=json.dumps({"kind": "List", "items": [secret]}))
    assert (ended.code, ended.err) == (0, "")
    assert (ended.json["source"], ended.json["findings"]) == ("Secret shop/cacerts", [])
    root = ended.json["tree"]["children"][0]
    assert root["facts"]["fingerprint"] == next(iter(trust(a_root()).fingerprints))
    assert root["children"][0]["children"][0]["facts"]["signs"] is True


async def test_a_folder_and_a_secret_are_read_alike(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    (folder / "..data").mkdir(parents=True)
    for key, value in change().items():
        (folder / key).write_bytes(value)
    texts = {key: value.decode() for key, value in change().items()}
    reports = [await verify(TARGET, Wanted(str(folder)))]
    for part in ({"data": encode(change())}, {"stringData": texts}):
        path = tmp_path / "secret.yaml"
        path.write_text(yaml.safe_dump({"kind": "Secret", "metadata": {"name": "cacerts"}, **part}))
        reports.append(await verify(TARGET, Wanted(str(path))))
    assert [report.findings for report in reports] == [()] * 3
    assert len({json.dumps([child.to_json() for child in r.tree.children]) for r in reports}) == 1


async def test_the_code_is_the_worst_that_was_found(tmp_path: Path) -> None:
    codes = {"a key that istiod does not read": 0, "text before the root": 1, "the root's key": 2}
    for name, code in codes.items():
        folder = tmp_path / str(code)
        folder.mkdir()
        for key, value in BROKEN[name].data().items():
            (folder / key).write_bytes(value)
        assert determine_exit(await verify(TARGET, Wanted(str(folder)))) == code


async def test_a_file_of_certificates_is_a_chain_or_a_set_of_roots(tmp_path: Path) -> None:
    async def check(text: bytes) -> list[str]:
        (tmp_path / "some.pem").write_bytes(text)
        report = await verify(TARGET, Wanted(str(tmp_path / "some.pem")))
        return [f"{finding.reason} {finding.field}" for finding in report.findings]

    assert await check(join(*a_signer().chain)) == []
    assert await check(a_signer().private + join(*a_signer().chain)) == []
    assert await check(make("x").private + join(*a_signer().chain)) == ["AuthorityKeyMismatch some.pem"]
    assert await check(a_signer().pem) == ["AuthorityChainBroken some.pem"]
    assert await check(join(a_root(), make("root 2"))) == ["AuthoritySeveralRoots some.pem"]
    assert await check(b"kind of a note\n") == ["AuthorityUnreadable some.pem"]


async def test_what_the_mesh_trusts_today_and_its_trust_domain_can_be_given(tmp_path: Path) -> None:
    today, new = tmp_path / "today.pem", tmp_path / "new.pem"
    today.write_bytes(make("root 1").pem)
    new.write_bytes(a_root().pem)
    report = await verify(TARGET, Wanted(str(new), trusted=str(today)))
    assert [f.reason for f in report.findings] == [Reason.AUTHORITY_ROOT_LOOKALIKE]
    constrained = BROKEN["names of another trust domain"].data()
    for key, value in constrained.items():
        (tmp_path / key).write_bytes(value)
    assert (await verify(TARGET, Wanted(str(tmp_path)))).worst is Severity.ERROR
    there = await verify(TARGET, Wanted(str(tmp_path), trust_domains=("example.org",)))
    assert [f.reason for f in there.findings] == [Reason.AUTHORITY_KEYS_UNREAD]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("kind: Secret\nstringData: [x\n", "neither PEM nor a Secret in YAML or JSON that can be read"),
        ("kind: Secret\n---\nkind: Secret\n", "there are 2 Secrets in it"),
        ("kind: ConfigMap\n", "there are 0 Secrets in it"),
        ("kind: Secret\ndata: hunter2\n", "data: is not a map"),
        ("x" * (4 * 1024 * 1024 + 1), "has more than 4,194,304 bytes"),
    ],
)
async def test_a_file_that_can_be_no_authority_is_named_and_not_quoted(
    content: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "secret.yaml"
    path.write_text(content)
    with pytest.raises(InputError) as raised:
        await verify(TARGET, Wanted(str(path)))
    assert str(raised.value).startswith(f"{path}: {said}")
    assert "hunter2" not in str(raised.value)


def test_what_cannot_be_read_has_a_code_of_its_own() -> None:
    ended = navarch("ca", "verify", "secret/x")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "navarch ca verify: secret/x: give -n NAMESPACE, the namespace of the Secret\n"


def test_the_tree_has_each_certificate_once() -> None:
    data = change(
        cert_chain=join(*a_signer().chain, make("stranger")), root_cert=join(a_root(), make("root 2"))
    )
    tree = json.dumps(build_authority("x", observe(data)).to_json())
    for name in ("root 1", "root 2", "middle", "signer", "stranger"):
        assert tree.count(f'"name": "CN={name}"') == 1
