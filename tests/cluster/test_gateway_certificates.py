"""Certificates of gateways as the operator sees them, with the right to read Secrets and without it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.polling import eventually
from tests.support.activity import read_metrics, wait_for_rest
from tests.support.api import Api, Object
from tests.support.audit import Audit
from tests.support.certificates import build_data, issue
from tests.support.gateways import wait_for_gateway
from tests.support.meshes import build_mesh, read_condition, wait_for
from tests.support.operator import SYSTEM, Operator

HOST = "shop.example.com"
SETTING, ROLE = "certificate_seconds", "navarch-certificates"
METRIC = "gateway_certificate_not_after_timestamp_seconds"


async def restart(operator: Operator, seconds: str | None) -> None:
    """The operator with another interval; None for none."""
    operator.stop()
    operator.settings.pop(SETTING, None)
    operator.settings |= {SETTING: seconds} if seconds else {}
    operator.start()
    await eventually(operator.is_ready, seconds=60, what="the operator is ready")


@pytest.fixture
async def looking(api: Api, operator: Operator, fresh: str) -> AsyncIterator[str]:
    """A namespace with a mesh and its gateway, of which no certificate is looked at yet; the operator is put
    back as it was."""
    ingress = {"name": "ingress", "service": {"type": "NodePort"}}
    api.create(build_mesh(fresh, gateways={"ingress": [ingress]}))
    await wait_for(api, fresh)
    yield fresh
    await restart(operator, None)
    await tell(api, fresh, "Unknown", "CertificatesNotChecked")
    await wait_for(api, fresh)


async def tell(api: Api, namespace: str, status: str, reason: str) -> str:
    """The message of CertificatesValid, once it says so."""

    def said() -> Object | None:
        found = read_condition(api.get("gateway", namespace, "ingress"), "CertificatesValid")
        return found if (found.get("status"), found.get("reason")) == (status, reason) else None

    found: Object = await eventually(said, seconds=60, what=f"CertificatesValid={status} {reason}")
    return str(found["message"])


def put_secret(api: Api, namespace: str, *, days: float, host: str = HOST) -> None:
    """A certificate for so many days, in place of what was there."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"namespace": namespace, "name": "cert"},
        "data": build_data(issue(host, days=days)),
    }
    if api.get("secret", namespace, "cert") is None:
        api.create(secret)
    else:
        api.patch("secret", namespace, "cert", {"data": secret["data"]})


def build_listener(namespace: str) -> Object:
    """A Gateway whose listener wants that certificate."""
    port = {"number": 8443, "name": "https", "protocol": "HTTPS"}
    server = {"port": port, "hosts": [HOST], "tls": {"mode": "SIMPLE", "credentialName": "cert"}}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"namespace": namespace, "name": "web"},
        "spec": {"selector": {"istio": "ingress"}, "servers": [server]},
    }


def bind(api: Api, namespace: str) -> None:
    """What the message of CertificatesUnreadable says."""
    api.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": ROLE, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROLE},
            "subjects": [{"kind": "ServiceAccount", "name": "navarch", "namespace": SYSTEM}],
        }
    )


def list_ends(operator: Operator, namespace: str) -> list[str]:
    """The Secrets of the metric for gateways of a namespace."""
    samples = read_metrics(operator, METRIC)
    return [s.labels["secret"] for s in samples if s.labels["namespace"] == namespace]


async def test_a_certificate_is_told_in_status_events_and_metrics_once_its_secret_may_be_read(
    api: Api, audit: Audit, operator: Operator, looking: str
) -> None:
    api.create(build_listener(looking))
    await tell(api, looking, "Unknown", "CertificatesNotChecked")
    mark = audit.mark()
    await restart(operator, "2")
    told = await tell(api, looking, "Unknown", "CertificatesUnreadable")
    assert f"kubectl create rolebinding {ROLE} -n {looking} --clusterrole={ROLE}" in told
    bind(api, looking)
    assert f"Secret {looking}/cert does not exist" in await tell(api, looking, "False", "CertificateMissing")
    put_secret(api, looking, days=5)
    told = await tell(api, looking, "False", "CertificateExpires")
    assert f"listener https of Gateway {looking}/web: Secret {looking}/cert is valid until" in told
    gateway = await wait_for_gateway(api, looking)
    assert [each["name"] for each in gateway["status"]["certificates"]] == ["cert"]
    await eventually(
        lambda: list_ends(operator, looking) == [f"{looking}/cert"], seconds=30, what="the metric"
    )
    uid = gateway["metadata"]["uid"]

    def list_notes() -> list[str]:
        return [e["note"] for e in api.list("event", looking) if e["regarding"].get("uid") == uid]

    await eventually(
        lambda: any("it ends within 7 days" in note for note in list_notes()), seconds=30, what="an Event"
    )
    put_secret(api, looking, days=-1)
    await tell(api, looking, "False", "CertificateExpired")
    put_secret(api, looking, days=90, host="other.example.com")
    await tell(api, looking, "False", "CertificateOtherNames")
    api.patch("secret", looking, "cert", {"data": {"tls.crt": "bm9uZQ=="}})
    await tell(api, looking, "False", "CertificateBroken")
    put_secret(api, looking, days=90)
    await tell(api, looking, "True", "AsExpected")
    asked = {r.verb for r in audit.since(mark) if r.resource == "secrets"}
    assert asked == {"get"}, "Secrets are neither listed nor watched"

    # With the interval of a production cluster a restart writes nothing, and a look asks for the gateway.
    await wait_for_rest(operator)
    mark = audit.mark()
    await restart(operator, "1000")
    await eventually(
        lambda: [r for r in audit.since(mark) if r.resource == "secrets"],
        seconds=60,
        what="the Secret is read",
    )
    await wait_for_rest(operator)
    assert [str(w) for w in audit.writes(mark) if w.resource == "meshgateways"] == []
    mark = audit.mark()
    api.patch("gateway", looking, "ingress", {"metadata": {"annotations": {"example.com/touched": "1"}}})
    await eventually(
        lambda: [r for r in audit.since(mark) if r.resource == "meshgateways" and r.verb == "get"],
        seconds=30,
        what="the gateway is looked at",
    )
    await wait_for_rest(operator)
    looked = [str(r) for r in audit.since(mark) if r.resource in ("secrets", "gateways")]
    assert looked == []
