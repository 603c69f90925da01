"""A managed certificate authority on a real API server: made, kept, taken up again, and never replaced."""

from __future__ import annotations

import json

from lab.cluster import Cluster
from tests.polling import eventually
from tests.support.activity import wait_for_rest
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
