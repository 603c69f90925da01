"""Certificates of a gateway's listeners: which Secrets are read, how often, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from navarch.core.diagnosis.routing import read_istio_gateway
from navarch.core.gateway.certificates import determine_certificates, summarise_certificates
from navarch.core.gateway.plan import plan_gateway
from navarch.core.gateway.status import summarise_gateway
from navarch.core.model.actions import Outcome
from navarch.core.model.conditions import find_transitions
from navarch.core.model.refs import Ref
from navarch.core.world.certificates import SeenCertificates, Served, read_certificate
from navarch.gather.certificates import MOST, CertificateReader, Entrances, Place
from navarch.kube.client import Client
from navarch.kube.errors import Denial, Forbidden, NotFound, Unserved
from navarch.kube.resources import Resource
from navarch.kube.shelf import Bound
from navarch.kube.weight import weigh
from navarch.telemetry import metrics
from prometheus_client import CollectorRegistry

from tests.support.certificates import build_data, issue
from tests.unit.gateways import a_gateway, settled
from tests.unit.observations import NOW

AT = datetime.fromisoformat(NOW)
HOST = "shop.example.com"
METRIC = "navarch_gateway_certificate_not_after_timestamp_seconds"
SECONDS = 600.0


def a_server(*names: str, hosts: tuple[str, ...] = (HOST,)) -> list[dict[str, Any]]:
    return [
        {
            "port": {"number": 443, "name": f"https-{name}", "protocol": "HTTPS"},
            "hosts": list(hosts),
            "tls": {"mode": "SIMPLE", "credentialName": name},
        }
        for name in names
    ]


def istios(
    *names: str, namespace: str = "front", selector: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """An Istio Gateway whose listeners name these Secrets."""
    spec = {"selector": selector or {"istio": "ingress"}, "servers": a_server(*names)}
    return {"kind": "Gateway", "metadata": {"namespace": namespace, "name": "web"}, "spec": spec}


def of_the_api(namespace: str, *refs: tuple[str, str], service: str = "ingress.front") -> dict[str, Any]:
    """A Gateway of Gateway API at a Service whose listener names Secrets, by name and namespace."""
    named = [{"name": name, **({"namespace": where} if where else {})} for name, where in refs]
    listener = {"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": named}}
    address = {"type": "Hostname", "value": f"{service}.svc.cluster.local"}
    return {
        "kind": "Gateway",
        "metadata": {"namespace": namespace, "name": "api"},
        "spec": {"addresses": [address], "listeners": [listener]},
    }


class Cluster:
    """The two kinds of requests that there are. `secrets` are by namespace and name; one that is None may not
    be read."""

    def __init__(
        self, *gateways: dict[str, Any], secrets: Mapping[tuple[str, str], Any] | None = None
    ) -> None:
        self.gateways, self.secrets = list(gateways), dict(secrets or {})
        self.asked: list[str] = []
        self.now = 0.0

    @property
    def read(self) -> list[str]:
        return [each for each in self.asked if each.startswith("get")]

    async def list(self, resource: Resource, *, keep: Callable[[Any], None]) -> Any:
        self.asked.append(f"list {resource.group}")
        own = [
            g for g in self.gateways if ("listeners" in g["spec"]) == resource.group.startswith("gateway.")
        ]
        if resource.group.startswith("gateway.") and not own:
            raise Unserved("no such kind", status=404)
        for gateway in own:
            keep(gateway)
        return None

    async def get(self, ref: Ref) -> Any:
        self.asked.append(f"get {ref}")
        if (ref.namespace, ref.name) not in self.secrets:
            raise NotFound("none", status=404)
        data = self.secrets[ref.namespace, ref.name]
        if data is None:
            raise Forbidden("no", status=403, denial=Denial.PERMISSION)
        return {"data": data}


def reader_of(cluster: Cluster, seconds: float = SECONDS) -> CertificateReader:
    return CertificateReader(cast(Client, cluster), seconds=seconds, clock=lambda: cluster.now)


PLACE = Place("front", "ingress", {"istio": "ingress"}, lambda namespace: namespace != "away")


async def see(cluster: Cluster) -> SeenCertificates:
    seen = await reader_of(cluster).gather(PLACE)
    assert seen is not None
    return seen


def good(days: float = 90) -> dict[str, str]:
    return build_data(issue(HOST, now=AT, days=days))


# --- what is read ------------------------------------------------------------------------------------------


async def test_without_the_setting_nothing_is_asked_for() -> None:
    cluster = Cluster(istios("cert"))
    assert await reader_of(cluster, 0).gather(PLACE) is None
    assert cluster.asked == []


@pytest.mark.parametrize(
    ("gateway", "read"),
    [
        (istios("cert"), ["get Secret front/cert"]),
        (istios("cert", namespace="apps"), ["get Secret front/cert"]),
        (istios("cert", namespace="away"), []),
        (istios("cert", selector={"istio": "other"}), []),
        (istios("../../../nodes", "a?watch=true", "a/b", "A"), []),
        (of_the_api("front", ("cert", "")), ["get Secret front/cert"]),
        (of_the_api("apps", ("cert", "")), ["get Secret apps/cert"]),
        (of_the_api("apps", ("cert", "front")), ["get Secret front/cert"]),
        (of_the_api("apps", ("cert", "third")), []),
        (of_the_api("apps", ("cert", ""), service="other.front"), []),
        (of_the_api("away", ("cert", "")), []),
    ],
)
async def test_only_secrets_beside_the_pods_or_the_gateway_that_names_them_are_read(
    gateway: dict[str, Any], read: list[str]
) -> None:
    cluster = Cluster(gateway)
    await see(cluster)
    assert cluster.read == read


async def test_within_the_interval_gateways_share_one_list_and_each_certificate_costs_one_get() -> None:
    cluster = Cluster(istios("a", "b"), of_the_api("front", ("a", "")), secrets={("front", "a"): good()})
    reader = reader_of(cluster)
    for _ in range(3):
        await reader.gather(PLACE)
        await reader.gather(replace(PLACE, name="second"))
        cluster.now += SECONDS / 4
    once = ["list networking.istio.io", "list gateway.networking.k8s.io"]
    once += ["get Secret front/a", "get Secret front/b"]
    assert cluster.asked == once
    seen = await reader.gather(PLACE)
    assert seen is not None
    cluster.now += seen.next
    await reader.gather(PLACE)
    assert cluster.asked == once * 2, "one look reads all again, however small the differences"


async def test_a_certificate_that_was_renewed_is_seen_with_the_next_look() -> None:
    cluster = Cluster(istios("cert"), secrets={("front", "cert"): good(days=3)})
    reader = reader_of(cluster)
    before = await reader.gather(PLACE)
    cluster.secrets["front", "cert"] = good()
    cluster.now += SECONDS
    after = await reader.gather(PLACE)
    assert verdict(before)[:2] == ("False", "CertificateExpires")
    assert verdict(after)[:2] == ("True", "AsExpected")


async def test_a_gateway_with_many_secrets_reads_a_bounded_number_and_says_so() -> None:
    names = [f"cert-{n}" for n in range(MOST + 3)]
    cluster = Cluster(istios(*names), secrets={("front", name): good() for name in names})
    seen = await see(cluster)
    assert len(cluster.read) == MOST
    assert seen.left_out == 3
    assert "3 more Secrets are not looked at" in verdict(seen)[2]


async def test_gateways_of_another_namespace_take_no_place_from_the_gateways_own() -> None:
    cluster = Cluster(
        istios(*(f"flood-{n}" for n in range(MOST * 2)), namespace="apps"),
        istios("third", namespace="shop"),
        istios("own"),
        secrets={("front", name): good() for name in ("own", "third")},
    )
    seen = await see(cluster)
    assert [each.name for each in seen.served][:3] == ["own", "flood-0", "third"]
    assert len(seen.served) == MOST


async def test_whatever_others_write_what_is_kept_of_gateways_has_a_bound_and_what_is_left_out_is_told() -> (
    None
):
    bound = Bound(object=4096, watch=64 * 1024)
    entrances = Entrances(bound)
    entrances.put(read_istio_gateway(istios("own")))
    for number in range(200):
        hosts = tuple(f"{number}-{n}.example.com" for n in range(5))
        gateway = istios("cert", namespace="evil")
        gateway["metadata"]["name"] = f"web-{number}"
        gateway["spec"]["servers"] = a_server("cert", hosts=hosts)
        entrances.put(read_istio_gateway(gateway))
    large = istios("cert", namespace="large")
    large["spec"]["servers"] = a_server("cert", hosts=tuple(f"{n}.example.com" for n in range(500)))
    entrances.put(read_istio_gateway(large))
    entrances.put(read_istio_gateway(istios(namespace="plain")))
    kept = [each.subject.namespace for each in entrances]
    assert kept.count("front") == 1, "nobody else's is pushed out"
    assert {*kept} == {"front", "evil"}, "too large is left out, and without a Secret nothing is looked for"
    assert sum(map(weigh, entrances)) <= bound.watch
    assert entrances.count_left_out(lambda namespace: namespace == "evil") == 200 - kept.count("evil") > 0
    assert entrances.count_left_out(lambda namespace: namespace == "large") == 1
    told = verdict(SeenCertificates(unlisted=3))
    assert told[:2] == ("Unknown", "CertificatesUnreadable")
    assert "3 Gateways of the mesh's namespaces are not looked at" in told[2]


async def test_nothing_of_a_secret_is_kept_but_names_and_dates() -> None:
    data = good()
    reader = reader_of(Cluster(istios("cert"), secrets={("front", "cert"): data}))
    seen = await reader.gather(PLACE)
    kept = repr((seen, reader._kept, [*reader._listed[1]]))
    assert HOST in kept
    for value in data.values():
        assert value[:40] not in kept
    assert "PRIVATE" not in kept


# --- what is said -------------------------------------------------------------------------------------------


def observe(seen: SeenCertificates | None) -> Any:
    return replace(settled(a_gateway()), certificates=seen)


def verdict(seen: SeenCertificates | None) -> tuple[str, str, str]:
    found = determine_certificates(observe(seen))
    return found.status, found.reason.value, found.message


@pytest.mark.parametrize(
    ("secrets", "status", "reason", "words"),
    [
        ({"cert": good()}, "True", "AsExpected", ""),
        (
            {},
            "False",
            "CertificateMissing",
            "listener https-cert of Gateway front/web: Secret front/cert does not",
        ),
        ({"cert": {}}, "False", "CertificateMissing", "neither tls.crt and tls.key"),
        ({"cert": good(-1)}, "False", "CertificateExpired", "was valid until"),
        ({"cert": good(0.5)}, "False", "CertificateExpires", "within a day"),
        ({"cert": good(6.5)}, "False", "CertificateExpires", "within 7 days"),
        ({"cert": good(29)}, "False", "CertificateExpires", "within 30 days"),
        (
            {"cert": build_data(issue("other.example.com", now=AT))},
            "False",
            "CertificateOtherNames",
            "has other.example.com, and not shop.example.com",
        ),
        (
            {"cert": build_data(issue(HOST, now=AT), key=issue(HOST, now=AT))},
            "False",
            "CertificateBroken",
            "tls.key is not the key",
        ),
        (
            {"cert": None},
            "Unknown",
            "CertificatesUnreadable",
            "kubectl create rolebinding navarch-certificates -n front --clusterrole=navarch-certificates "
            "--serviceaccount=navarch-system:navarch",
        ),
    ],
)
async def test_each_fault_has_its_reason_and_names_listener_and_secret(
    secrets: Mapping[str, Any], status: str, reason: str, words: str
) -> None:
    cluster = Cluster(istios("cert"), secrets={("front", name): data for name, data in secrets.items()})
    seen = await see(cluster)
    assert verdict(seen)[:2] == (status, reason)
    assert words in verdict(seen)[2]


async def test_the_worst_comes_first_and_what_may_not_be_read_is_told_beside_it() -> None:
    secrets = {("front", "soon"): good(5), ("front", "over"): good(-5), ("front", "shut"): None}
    seen = await see(Cluster(istios("soon", "over", "shut"), secrets=secrets))
    status, reason, message = verdict(seen)
    assert (status, reason) == ("False", "CertificateExpired")
    assert message.index("front/over") < message.index("front/soon") < message.index("front (shut)")


def test_a_certificate_of_a_few_days_is_not_told_in_its_first_half() -> None:
    for days, since, told in ((2.0, 0.1, False), (0.9, 1.2, True), (0.9, 0.1, False), (6.0, 1.0, False)):
        data = build_data(issue(HOST, now=AT, days=days, since=since))
        seen = SeenCertificates((served_of(data),))
        assert (verdict(seen)[1] == "CertificateExpires") is told, (days, since)


def served_of(data: Any) -> Served:
    return Served("https", (HOST,), "front", "cert", read_certificate(data))


def test_without_the_setting_the_condition_is_unknown_and_ready_does_not_depend_on_it() -> None:
    assert verdict(None)[:2] == ("Unknown", "CertificatesNotChecked")
    for seen in (None, SeenCertificates((served_of(good(-1)),))):
        ready = next(c for c in status_of(seen)["conditions"] if c["type"] == "Ready")
        assert ready["status"] == "True"


def status_of(seen: SeenCertificates | None) -> dict[str, Any]:
    observed = observe(seen)
    return summarise_gateway(observed, [], plan_gateway(observed, []), Outcome())


def test_status_has_the_ends_and_each_further_notice_is_an_event() -> None:
    end = (AT + timedelta(days=20)).astimezone(UTC)
    data = build_data(issue(HOST, now=AT, days=20))
    seen = SeenCertificates((served_of(data), served_of(data)), next=17.0)
    assert summarise_certificates(observe(seen)) == [
        {"namespace": "front", "name": "cert", "notAfter": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
    ]
    before = status_of(seen)["conditions"]
    later = replace(observe(seen), now=f"{AT + timedelta(days=10):%Y-%m-%dT%H:%M:%SZ}")
    after = summarise_gateway(later, [], plan_gateway(later, []), Outcome())["conditions"]
    (event,) = find_transitions(before, after)
    assert (event.type, event.reason) == ("CertificatesValid", "CertificateExpires")
    assert "within 14 days" in event.message
    assert find_transitions(after, after) == []
    assert plan_gateway(observe(seen), []).requeue_after == 17.0


def test_the_metric_has_each_certificate_and_loses_one_that_is_gone() -> None:
    data = build_data(issue(HOST, now=AT, days=20))
    labels = {"namespace": "front", "name": "ingress", "secret": "front/cert"}
    registry = CollectorRegistry()
    registry.register(metrics.numbers)
    metrics.set_conditions("MeshGateway", "front", "ingress", status_of(SeenCertificates((served_of(data),))))
    value = registry.get_sample_value(METRIC, labels)
    assert value == int((AT + timedelta(days=20)).timestamp())
    metrics.set_conditions("MeshGateway", "front", "ingress", status_of(SeenCertificates()))
    assert registry.get_sample_value(METRIC, labels) is None
    metrics.forget("MeshGateway", "front", "ingress")
