"""What we find in certificate authorities, beside what istiod itself does with them.

istiod's verdict is that of its own functions, in a program of the lab; so is that of a client in Go (an
agent, a proxyless workload) on what istiod signs. Whatever either refuses, we refuse.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from navarch.core.model.findings import Severity
from navarch.core.trust.checks import ObservedAuthority, judge_authority
from navarch.core.trust.reading import read_secret

from tests.support.authorities import (
    ISTIOD,
    NOW,
    Broken,
    Data,
    a_root,
    a_signer,
    an_rsa_key,
    change,
    encode,
    make,
    write,
    write_tls,
)
from tests.support.broken_authorities import BROKEN
from tests.support.verdicts import Readers, run_readers

CLIENT = "client: "
GOOD = {
    "istiod's names": change,
    "kubernetes.io/tls": lambda: write_tls(a_signer()),
    "a root that signs": lambda: write(a_root()),
    "RSA": lambda: write(make("signer", make("root", key=an_rsa_key()), key=an_rsa_key())),
    "a root that signs, and no chain": lambda: write(a_root(), chain=()),
}


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with run_readers() as readers:
        yield readers


def ask(readers: Readers, data: Data) -> str:
    return readers.judge("authority", json.dumps(encode(data))).error


@pytest.mark.parametrize("name", GOOD)
def test_what_istiod_and_its_clients_take_is_in_order(name: str, readers: Readers) -> None:
    data = GOOD[name]()
    assert ask(readers, data) == ""
    assert judge_authority(ObservedAuthority(read_secret(encode(data)), NOW, hosts=(ISTIOD,))) == ()


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_istiod_or_its_clients_refuse_is_an_error(broken: Broken, readers: Readers) -> None:
    data = broken.data()
    error = ask(readers, data)
    if broken.client:
        assert error.startswith(CLIENT), error
        assert broken.client in error
    elif broken.istiod:
        assert broken.istiod in error
        assert not error.startswith(CLIENT)
    else:
        assert error == ""
    found = judge_authority(ObservedAuthority(read_secret(encode(data)), NOW, hosts=(ISTIOD,)))
    if error:
        assert Severity.ERROR in {finding.severity for finding in found}
