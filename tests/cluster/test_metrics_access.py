"""Who reads the operator's metrics, by the real API server's word; and the certificate, as files come and
go."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from navarch.telemetry.certificates import build_self_signed

from lab.cluster import Cluster
from tests.cluster.conftest import build_operator
from tests.polling import eventually
from tests.support.api import Api
from tests.support.audit import Audit
from tests.support.operator import SYSTEM, Operator
from tests.support.scraping import bind_reader, request_token, scrape
from tests.support.workloads import create_namespace

NS, OTHER = "metrics-readers", "metrics-others"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the operator's certificate is mounted; nothing is, at first."""
    return tmp_path_factory.mktemp("mount") / "tls"


@pytest.fixture(scope="module")
async def secured(api: Api, light: Cluster, operator: Operator, folder: Path) -> AsyncIterator[Operator]:
    """A replica that stands by, with the metrics as users get them."""
    replica = build_operator(light, "secured", metrics_plain="false", metrics_certificate=str(folder))
    replica.start()
    try:
        for namespace in (NS, OTHER):
            await create_namespace(api, namespace)
            await eventually(lambda name=namespace: api.get("serviceaccount", name, "default"))  # type: ignore[misc]
        bind_reader(api, NS)
        await eventually(replica.is_ready, seconds=180, what=f"ready, see {replica.log}")
        yield replica
    finally:
        replica.stop()


async def test_who_is_bound_to_the_documented_role_reads_metrics_and_nobody_else(
    light: Cluster, secured: Operator
) -> None:
    reader = request_token(light, NS)
    await eventually(lambda: scrape(secured, reader)[0] == 200, seconds=90, what="the binding is in force")
    assert "navarch_leader_election_master_status 0.0" in scrape(secured, reader)[1]
    assert scrape(secured, request_token(light, OTHER))[0] == 403
    for token in ("", "made-up", reader[:-5], request_token(light, NS, audience="another")):
        assert scrape(secured, token)[0] == 401
    assert scrape(secured, path="/livez")[0] == 404
    for path in ("/livez", "/readyz"):
        assert secured.fetch(path) == (200, "ok"), "probes need no token and no TLS"


async def test_many_scrapes_with_one_token_are_one_review(
    light: Cluster, audit: Audit, secured: Operator
) -> None:
    token = request_token(light, NS)
    mark = audit.mark()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: scrape(secured, token)[0], range(60)))
    assert set(answers) == {200}
    asked = [request.resource for request in audit.since(mark) if request.resource.endswith("reviews")]
    assert sorted(asked) == ["subjectaccessreviews", "tokenreviews"]


def mount(folder: Path, certificate: bytes, key: bytes) -> None:
    folder.mkdir()
    (folder / "tls.crt").write_bytes(certificate)
    (folder / "tls.key").write_bytes(key)


async def test_a_certificate_that_is_missing_is_told_and_taken_up_when_it_comes(
    api: Api, light: Cluster, secured: Operator, folder: Path
) -> None:
    def is_told() -> bool:
        events = [e for e in api.list("event", SYSTEM) if e["reason"] == "MetricsCertificateInvalid"]
        return any(f"{folder}/tls.crt" in event["note"] for event in events)

    await eventually(is_told, seconds=60, every=0.2, what="an Event on the operator names the file")
    assert secured.is_running()
    assert f"{folder}/tls.crt and tls.key: No such file" in secured.log.read_text()
    certificate, key = build_self_signed(["localhost"], now=datetime.now(UTC))
    trusting = ssl.create_default_context(cadata=certificate.decode())
    token = request_token(light, NS)
    assert scrape(secured, token)[0] == 200, "by a certificate of its own"
    assert scrape(secured, token, context=trusting)[0] == 0
    mount(folder, certificate, key)
    await eventually(
        lambda: scrape(secured, token, context=trusting)[0] == 200,
        seconds=60,
        every=0.5,
        what="what was mounted is served",
    )
    assert secured.fetch("/livez") == (200, "ok")
