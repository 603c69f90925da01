"""Random certificate authorities: what is well made is in order, each mutation is found by its own rule."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from navarch.core.model.reasons import Reason
from navarch.core.trust.authority import FlawKind
from navarch.core.trust.checks import ObservedAuthority, judge_authority
from navarch.core.trust.reading import fingerprint_bundle, read_authority, read_pem

from tests.support.authorities import NOW, Data, Made, change, join, make, with_usage, write, write_tls

CURVES = (ec.SECP256R1(), ec.SECP384R1())
QUICK = settings(max_examples=60, deadline=None)


@st.composite
def signers(draw: st.DrawFn) -> Made:
    """A signer below a root, with any number of CAs between, or a root itself: each with a path length that
    suffices or none, and none longer valid than what signed it."""
    deep = draw(st.integers(0, 4))
    made: Made | None = None
    for above in range(deep + 1):
        below = deep - above
        length = draw(st.one_of(st.none(), st.integers(below, below + 3)))
        key = ec.generate_private_key(draw(st.sampled_from(CURVES)))
        made = make(f"ca {above}", made, length=length, key=key, days=1000 - above)
    assert made is not None
    return made


def judge(data: Mapping[str, bytes]) -> set[Reason]:
    return {found.reason for found in judge_authority(ObservedAuthority(read_authority({**data}), NOW))}


@QUICK
@given(signers(), st.booleans())
def test_what_is_well_made_is_in_order_in_either_form(signer: Made, tls: bool) -> None:
    data = write_tls(signer) if tls and signer.issuer else write(signer)
    assert judge(data) == set()


MUTATIONS: Mapping[str, tuple[Callable[[Made], Data], Reason]] = {
    "key": (
        lambda signer: {**write(signer), "ca-key.pem": make("x").private},
        Reason.AUTHORITY_KEY_MISMATCH,
    ),
    "order": (
        lambda signer: write(make("last", signer), chain=(signer, make("last", signer))),
        Reason.AUTHORITY_CHAIN_BROKEN,
    ),
    "reversed": (lambda signer: reverse(make("last", signer)), Reason.AUTHORITY_CHAIN_ORDER),
    "expired": (lambda signer: write(make("last", signer, days=-1)), Reason.AUTHORITY_EXPIRED),
    "not yet": (lambda signer: write(make("last", signer, since=-1)), Reason.AUTHORITY_EXPIRED),
    "no CA": (lambda signer: write(make("last", signer, ca=False)), Reason.AUTHORITY_CANNOT_SIGN),
    "usage": (
        lambda signer: write(make("last", signer, usage=with_usage(key_cert_sign=False))),
        Reason.AUTHORITY_CANNOT_SIGN,
    ),
    "length": (
        lambda signer: write(make("last", make("short", signer, length=0))),
        Reason.AUTHORITY_PATH_TOO_LONG,
    ),
    "root": (
        lambda signer: write(make("last", signer), roots=(make("another"),)),
        Reason.AUTHORITY_CHAIN_BROKEN,
    ),
    "no key": (lambda signer: {**write(signer), "ca-key.pem": b""}, Reason.AUTHORITY_INCOMPLETE),
    "twice": (
        lambda signer: write(signer, chain=(signer, *signer.chain)),
        Reason.AUTHORITY_DUPLICATE,
    ),
    "both forms": (lambda signer: {**write(signer), **write_tls(signer)}, Reason.AUTHORITY_FORMS_MIXED),
}


def reverse(signer: Made) -> Data:
    return write(signer, chain=tuple(reversed(signer.chain)))


@pytest.mark.parametrize("mutation", MUTATIONS)
@settings(max_examples=10, deadline=None)
@given(signer=signers())
def test_each_mutation_is_found_by_its_own_rule(mutation: str, signer: Made) -> None:
    mutate, reason = MUTATIONS[mutation]
    assert reason in judge(mutate(signer))


@QUICK
@given(st.integers(1, 4), st.randoms(use_true_random=False), st.booleans())
def test_order_and_repetition_of_blocks_never_change_a_fingerprint(
    number: int, chance: random.Random, windows: bool
) -> None:
    roots = [make(f"root {each}") for each in range(number)]
    written = [*roots, chance.choice(roots)]
    chance.shuffle(written)
    text = join(*written).replace(b"\n", b"\r\n" if windows else b"\n")
    assert fingerprint_bundle(text) == fingerprint_bundle(join(*roots))
    data = change(root_cert=text)
    bundle = read_authority({**data}).roots
    assert bundle.fingerprint == fingerprint_bundle(join(*roots))
    assert len(bundle) == number


SCRAPS = (
    b"-----BEGIN CERTIFICATE-----\n",
    b"-----END CERTIFICATE-----\n",
    b"-----BEGIN EC PRIVATE KEY-----",
    b"-----",
    b"\n",
    b"Proc-Type: 4,ENCRYPTED\n",
    b"MIIB\n",
    b"\x30\x82\x01\x00",
    b"\xff",
    b"",
)
texts = st.lists(st.one_of(st.sampled_from(SCRAPS), st.binary(max_size=20)), max_size=12).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*change(), *write_tls(make("x")), "ca-crl.pem", "y"]), texts))
def test_no_bytes_of_any_kind_end_in_an_exception_or_in_order(data: dict[str, bytes]) -> None:
    assert judge(data)
    for name, text in data.items():
        assert read_pem(name, text).parts[0].flaws or not text.strip()


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(change())), st.integers(0, 10_000), st.integers(1, 255), st.booleans())
def test_a_changed_byte_never_ends_in_an_exception(name: str, at: int, by: int, cut: bool) -> None:
    data = change()
    text = bytearray(data[name])
    at %= len(text)
    text[at] ^= by
    data[name] = bytes(text[:at] if cut else text)
    judge(data)
    kinds = {flaw.kind for part in read_authority({**data}).parts for flaw in part.flaws}
    assert kinds <= set(FlawKind)
