"""A managed certificate authority on a real API server: made, kept, taken up again, and never replaced."""

from __future__ import annotations

import json

from lab.cluster import Cluster
from tests.polling import eventually
from tests.support.activity import wait_for_rest
from tests.support.admission import bind, say, submit
from tests.support.api import Api, Object
from tests.support.command import navarch
from tests.support.managed import (
    PARTS,
    SYSTEM,
    build_managed,
    decode,
    find_keys,
    fingerprint,
    get_cacerts,
    get_root,
    read_certificate,
)
from tests.support.meshes import build_mesh, edit, get_istiod, read_condition, wait_for
from tests.support.operator import Operator

HEALTHY = "CertificateAuthorityHealthy"


def is_restored(api: Api, namespace: str, root: Object) -> bool:
    """Whether istiod's Secret is there, whole, under this root."""
    secret = get_cacerts(api, namespace)
    if secret is None or {*secret.get("data", {})} != {*PARTS} or "" in secret["data"].values():
        return False
    read_certificate(secret, "ca-cert.pem").verify_directly_issued_by(read_certificate(root, "tls.crt"))
    return decode(secret, "root-cert.pem") == decode(root, "tls.crt")


async def test_a_managed_authority_lives_longer_than_what_is_done_to_it(
    api: Api, installed: Cluster, operator: Operator, fresh: str
) -> None:
    api.create(build_mesh(fresh, **build_managed()))
    mesh = await wait_for(api, fresh)
    root, cacerts = get_root(api, fresh) or {}, get_cacerts(api, fresh) or {}
    assert is_restored(api, fresh, root)
    assert api.get("secret", fresh, "istio-ca-secret") is None, "istiod made no root of its own"
    told = mesh["status"]["certificateAuthority"]
    assert told["root"]["fingerprint"] == fingerprint(read_certificate(root, "tls.crt"))
    assert told["intermediate"]["fingerprint"] == fingerprint(read_certificate(cacerts, "ca-cert.pem"))
    assert read_condition(mesh, HEALTHY)["status"] == "True"
    volumes = get_istiod(api, fresh)["spec"]["template"]["spec"]["volumes"]
    (mounted,) = (volume["secret"] for volume in volumes if volume["name"] == "cacerts")
    assert mounted.get("optional") is False, "an istiod without it would make a root of its own"
    config = api.get("configmap", fresh, "istio-ca-root-cert") or {}
    assert config["data"]["root-cert.pem"].encode() == decode(root, "tls.crt")

    assert_no_tenant_gets_at(api, installed, fresh)
    api.delete("secret", fresh, "cacerts")
    await eventually(lambda: is_restored(api, fresh, root), seconds=60, what="cacerts is back")
    other = {"data": {"ca-key.pem": None, "cert-chain.pem": "AAAA"}}
    api.patch("secret", fresh, "cacerts", other)
    await eventually(lambda: is_restored(api, fresh, root), seconds=60, what="cacerts is whole")
    await wait_for(api, fresh)
    await wait_for_rest(operator)

    api.delete("mesh", fresh, "demo")
    await eventually(lambda: api.get("mesh", fresh, "demo") is None, seconds=60, what="the mesh is gone")
    left = [get_root(api, fresh), get_cacerts(api, fresh)]
    assert left[0] == root, "the authority outlives the mesh"
    assert left[1] is not None
    api.create(build_mesh(fresh, **build_managed()))
    await wait_for(api, fresh, condition=HEALTHY)
    await wait_for(api, fresh)
    assert [get_root(api, fresh), get_cacerts(api, fresh)] == left, "and is taken up again"

    edit(api, fresh, certificateAuthority=None)
    await wait_for(api, fresh, condition="SpecAccepted", status="False", reason="AuthorityFixed")
    edit(api, fresh, **build_managed())
    await wait_for(api, fresh)
    assert get_root(api, fresh) == root
    assert_no_keys(api, installed, operator, fresh)


async def test_another_root_waits_for_evidence_and_in_an_emergency_for_nobody(
    api: Api, installed: Cluster, operator: Operator, fresh: str
) -> None:
    """No proxy and no istiod of this lab makes handshakes: none of them shows anything."""
    api.create(build_mesh(fresh, **build_managed()))
    await wait_for(api, fresh)
    before = get_cacerts(api, fresh) or {}
    place = ("demo", "-n", fresh)
    told = json.loads(navarch("ca", "status", *place, "-o", "json", kubeconfig=installed.kubeconfig).out)
    assert told["root"]["generation"] == 1
    asked = navarch("ca", "rotate", *place, kubeconfig=installed.kubeconfig)
    assert "root 2 is asked for" in asked.out
    mesh = await wait_for(api, fresh, condition=HEALTHY, reason="RootRotating")
    await eventually(lambda: api.get("secret", SYSTEM, f"{fresh}-root-2"), seconds=60, what="another root")
    again = navarch("ca", "rotate", *place, kubeconfig=installed.kubeconfig)
    assert "root 2 is already being rotated in" in again.err
    assert (
        "root 1 -> root 2: Preparing" in navarch("ca", "status", *place, kubeconfig=installed.kubeconfig).out
    )
    assert read_condition(mesh, "Ready")["status"] == "True"
    assert (get_cacerts(api, fresh) or {})["data"] == before["data"], "nothing goes on without evidence"

    emergency = ("--to", "2", "--emergency", "--yes")
    navarch("ca", "rotate", *place, *emergency, kubeconfig=installed.kubeconfig)
    root = api.get("secret", SYSTEM, f"{fresh}-root-2") or {}
    await eventually(lambda: is_restored(api, fresh, root), seconds=60, what="the other root signs")
    mesh = await wait_for(api, fresh, condition=HEALTHY, reason="AsExpected")
    assert mesh["status"]["certificateAuthority"]["root"]["generation"] == 2
    (revision,) = api.list("revision", fresh)
    assert revision["metadata"]["labels"]["mesh.navarch.io/trust"], "istiod starts with the other root"
    await wait_for(api, fresh)
    assert_no_keys(api, installed, operator, fresh)


def assert_no_tenant_gets_at(api: Api, cluster: Cluster, namespace: str) -> None:
    """Who may write Secrets beside the istiod, and nothing more, writes neither this one nor what would pass
    for Navarch's, and does not see the root's."""
    api.create(bind(namespace, "edit"))
    labels = (get_cacerts(api, namespace) or {})["metadata"]["labels"]
    forged = {"name": "istio-ca-secret", "namespace": namespace, "labels": labels}
    assert "ownership" in submit(cluster, {"apiVersion": "v1", "kind": "Secret", "metadata": forged})
    taken = {"metadata": {"labels": dict.fromkeys(labels)}, "data": {"ca-key.pem": "AAAA"}}
    for change in (taken, {"data": {"ca-key.pem": "AAAA"}}):
        patch = ("patch", "secret", "cacerts", "-n", namespace, "--type=merge", "-p", json.dumps(change))
        assert "ownership" in say(cluster, *patch)
    assert "ownership" in say(cluster, "delete", "secret", "cacerts", "-n", namespace)
    assert "cannot get" in say(cluster, "get", "secret", f"{namespace}-root-1", "-n", SYSTEM)


def assert_no_keys(api: Api, cluster: Cluster, operator: Operator, namespace: str) -> None:
    """Nothing of the keys is where anybody reads."""
    secrets = [get_root(api, namespace), get_cacerts(api, namespace)]
    pieces = [piece for secret in secrets if secret for piece in find_keys(secret)]
    texts = {
        "log": operator.log.read_text(),
        "events": json.dumps(api.list("event")),
        "mesh": json.dumps([*api.list("mesh", namespace), *api.list("revision", namespace)]),
        "inventories": json.dumps(api.list("configmap", SYSTEM)),
    }
    for command in (("plan", "demo"), ("describe", "demo"), ("check",)):
        said = navarch(*command, "-n", namespace, kubeconfig=cluster.kubeconfig)
        texts[" ".join(command)] = said.out + said.err
    for what, text in texts.items():
        assert "PRIVATE KEY" not in text, what
        assert [piece for piece in pieces if piece in text] == [], what
