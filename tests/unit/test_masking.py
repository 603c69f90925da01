"""What is handed on for a diagnosis holds no key, token or password, and everything else as it was."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from navarch.api.export import build_crds
from navarch.api.install import build_install
from navarch.assets import load_assets
from navarch.core.diagnosis.masking import MASK, mask_object, mask_text
from navarch.core.diagnosis.masking.names import is_secret_name
from navarch.core.grants import build_grants, list_roles
from navarch.core.offline import build_offline
from navarch.core.world.cluster import Environment

from scripts.files import ROOT

SECRET = "hunter2Correct-Horse"
BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
PRIVATE = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n{BODY}\n-----END RSA PRIVATE KEY-----\n"
CERTIFICATE = f"-----BEGIN CERTIFICATE-----\n{BODY}\n-----END CERTIFICATE-----\n"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJuYXZhcmNoIn0.c2lnbmF0dXJl"


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


TEXTS = {
    "an assignment": f"connecting with password={SECRET} to db",
    "JSON": f'{{"level":"info","apiKey":"{SECRET}","msg":"x"}}',
    "JSON in JSON": json.dumps({"msg": json.dumps({"client_secret": f"{SECRET} and more {SECRET}"})}),
    "JSON cut off": f'{{"level":"info","token":"{SECRET}',
    "a list in JSON": f'time=1 {{"tokens":["x","{SECRET}"]}}',
    "a quote in the secret": f'x {{"password":"a\\"{SECRET}"}}',
    "YAML": f"user: me\npassword: a few words {SECRET}\nport: 1\n",
    "YAML of several lines": f"a:\n  secret: |\n    one\n    {SECRET}\n  other: 1\n",
    "a folded line of YAML": f"- password: one\n    {SECRET}\n- x: 1\n",
    "a Secret in YAML": f"apiVersion: v1\nkind: Secret\nmetadata: {{name: x}}\nstringData:\n  x: {SECRET}\n",
    "an environment in YAML": f"env:\n- name: DB_PASSWORD\n  value: {SECRET}\n",
    "an environment the other way round": f"env:\n- value: {SECRET}\n  name: DB_PASSWORD\n",
    "an environment in JSON": f'x [{{"name":"AWS_SECRET_ACCESS_KEY","value":"{SECRET}"}}]',
    "a flag": f"exec /bin/app --auth-token {SECRET} --verbose",
    "a flag with a sign": f"exec /bin/app --auth-token='{SECRET}'",
    "a header": f"> Authorization: Bearer {SECRET}",
    "headers of Go": f"map[Accept:[*/*] Authorization:[Bearer {SECRET}]]",
    "a header of several words": f'Authorization: Digest username="me", response="{SECRET}"',
    "a cookie": f"Cookie: a=1; session={SECRET}",
    "a user in a URL": f"postgres://me:{SECRET}@db.example.com/x",
    "a user with an at in a URL": f"https://me:p@{SECRET}@example.com/x",
    "a query": f"GET /callback?code=1&access_token={SECRET}&x=1",
    "a map of Go": f"map[password:{SECRET} user:me]",
    "a sentence": f"login failed for 'me' with password '{SECRET}'",
    "a kubeconfig in base64": encode(f"users:\n- name: a\n  user:\n    token: {SECRET}\n"),
    "a registry's password in base64": f"config: {encode(json.dumps({'auths': {'r': {'auth': SECRET}}}))}",
    "base64 in base64": encode(f"x: {encode(f'password={SECRET}')}"),
    "base64 without its end": encode(f"password={SECRET}!").rstrip("="),
    "a private key": PRIVATE,
    "a private key in JSON": json.dumps({"message": PRIVATE}),
    "a private key cut off at its end": PRIVATE[:-40],
    "a private key cut off at its beginning": PRIVATE[40:],
    "a private key in base64": f"{encode(CERTIFICATE + PRIVATE)}",
    "a JSON web token": f"seen {JWT}",
    "a token of GitHub": "remote: ghp_" + "a1B2" * 9,
    "a key of AWS": "using AKIAIOSFODNN7EXAMPLE",
    "a token of OpenShift": "sha256~" + "a1B2-_" * 7,
    "a key that says project": "using sk-proj-" + "a1B2a1B2" * 5,
    "a hook of Slack": f"POST https://hooks.slack.com/services/T0/B0/{SECRET}",
    "a signed URL": f"GET https://s.example.com/x?sv=1&sig={SECRET}&se=2",
    "a signed URL of AWS": f"https://b.example.com/x?X-Amz-Date=1&X-Amz-Signature={SECRET}",
    "curl": f"+ curl -s -u me:{SECRET} https://example.com",
    "curl in a sentence": f"ran \"curl --user 'me:{SECRET}' https://example.com\"",
    "mysql": f"exec mysqldump -h db -u root -p{SECRET} shop",
    "a data source of Go": f"dsn me:{SECRET}@tcp(db:3306)/shop?parseTime=true",
    "a line of .pgpass": f"db.example.com:5432:shop:me:{SECRET}",
    "a line of .netrc": f"machine example.com login me password {SECRET}",
    "a JSON web key": json.dumps({"keys": [{"kty": "EC", "crv": "P-256", "x": "abc", "d": SECRET}]}),
    "a symmetric JSON web key in a log": f'loaded {{"kty":"oct","k":"{SECRET}"}} for x',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_loses_its_secret_wherever_it_stands(text: str) -> None:
    whole = {
        "kind": "ConfigMap",
        "metadata": {"name": "x", "annotations": {"note": text}},
        "data": {"config": text},
        "status": {"conditions": [{"message": text}]},
    }
    for masked in (mask_text(text), json.dumps(mask_object(whole))):
        assert MASK in masked
        for secret in (SECRET, BODY, JWT, "a1B2a1B2", "IOSFODNN7", encode(PRIVATE)[40:80]):
            assert secret not in masked
        if SECRET not in text:
            assert text not in masked


OBJECTS: dict[str, Any] = {
    "a variable": {"env": [{"name": "DB_PASSWORD", "value": SECRET}]},
    "an argument": {"args": [f"--token={SECRET}"]},
    "an argument of its own": {"args": ["--token", SECRET]},
    "a user of curl": {"command": ["curl", "-u", f"me:{SECRET}", "https://example.com"]},
    "a JSON web key": {"keys": [{"kty": "RSA", "n": "abc", "d": SECRET, "qi": SECRET}]},
    "a short name": {"env": [{"name": "REDIS_PW", "value": SECRET}]},
    "a key of a kubeconfig": {"users": [{"user": {"client-key-data": SECRET}}]},
    "a field": {"spec": {"clientSecret": SECRET}},
    "a field below": {"credentials": {"anything": {"at all": [SECRET]}}},
    "a list": {"apiKeys": [SECRET]},
    "an annotation": {"metadata": {"annotations": {"example.com/api-token": SECRET}}},
    "a file of a ConfigMap": {"kind": "ConfigMap", "data": {"tls.key": SECRET}},
    "a binary file": {"kind": "ConfigMap", "binaryData": {"x": SECRET}},
    "a registry's password": {"data": {".dockerconfigjson": json.dumps({"auths": {"r": {"auth": SECRET}}})}},
    "a Secret": {"kind": "Secret", "stringData": {"x": SECRET}},
    "a Secret in a list": {"items": [{"kind": "Secret", "data": {"x": SECRET}}]},
    "a field that is said twice": {"x": f'{{"password":"{SECRET}","password":"x"}}'},
}


@pytest.mark.parametrize("value", OBJECTS.values(), ids=OBJECTS)
def test_an_object_loses_its_secret_also_within_the_annotation_of_apply(value: dict[str, Any]) -> None:
    last = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(value)}
    for body in (value, {"metadata": {"annotations": last}}, {"data": {"x.yaml": yaml.safe_dump(value)}}):
        if "binaryData" in value and "data" in body:
            continue  # as text it has no form and no name of a secret
        assert SECRET not in json.dumps(mask_object(body)), body


KEPT: tuple[Any, ...] = (
    {
        "volumes": [
            {"name": "istio-token", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
        ]
    },
    {"volumes": [{"secret": {"secretName": "cacerts", "optional": True}}]},
    {"env": [{"name": "A_TOKEN", "valueFrom": {"secretKeyRef": {"name": "x", "key": "password"}}}]},
    {"env": [{"name": "SECRET_TTL", "value": "24h0m0s"}, {"name": "XDS_AUTH", "value": "true"}]},
    {"env": [{"name": "TOKEN_AUDIENCES", "value": "istio-ca"}, {"name": "API_KEY", "value": "$(OTHER)"}]},
    {"imagePullSecrets": [{"name": "registry"}], "automountServiceAccountToken": False},
    {"image": "registry.example.com/x@sha256:" + "0123456789abcdef" * 4},
    {"webhooks": [{"clientConfig": {"caBundle": encode(CERTIFICATE)}}]},
    {"data": {"root-cert.pem": CERTIFICATE, "mesh": "rootNamespace: istio-system\ntrustDomain: a.b\n"}},
    {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]},
    {"tolerations": [{"key": "node-role", "operator": "Exists"}], "topologyKey": "zone"},
    {"args": ["discovery", "--keepaliveMaxServerConnectionAge", "30m"]},
    {"message": "failed to get secret istio-system/cacerts: not found"},
    {"message": 'failed to list *v1.Secret: secrets is forbidden: User "x" cannot list resource "secrets"'},
    {"metadata": {"managedFields": [{"fieldsV1": {"f:spec": {"f:password": {}}}}]}},
    {"x": '{"secretName": "a",  "n": [1, 2.50]}'},
    {"data": {"mesh": encode("rootNamespace: istio-system\ntrustDomain: cluster.local\n")}},
    {"message": 'secret "cacerts" not found, password authentication is not used'},
    {"args": ["-u", "1337", "-p", "15001", "--user", "root"], "d": "a-directory-of-sixteen"},
    {"message": "0a:12:3b:4c:5d:6e\noutbound|80||a.b.svc task-queue-A1B2C3D4E5F6G7H8 mysql -h db"},
    {"message": "/apis/networking.istio.io/v1/namespaces/istio-system/virtualservices/secret-token-x"},
)


@pytest.mark.parametrize("value", KEPT, ids=range(len(KEPT)))
def test_what_names_a_secret_or_looks_like_one_and_is_none_stays(value: dict[str, Any]) -> None:
    assert mask_object(value) == value


def test_the_schema_of_a_kind_stays_although_its_fields_have_names_of_secrets() -> None:
    schema = {"properties": {"password": {"type": "string", "description": "It is kept."}}}
    crd = {"kind": "CustomResourceDefinition", "spec": {"versions": [{"schema": schema}]}}
    assert mask_object(crd) == crd


def test_of_all_that_installs_navarch_and_a_mesh_nothing_is_masked() -> None:
    assets, environment = load_assets(), Environment((1, 32), "navarch-system", "navarch-probe")
    example = yaml.safe_load_all((ROOT / "examples" / "mesh.yaml").read_text())
    mesh = next(each for each in example if each["kind"] == "MeshControlPlane")
    install = build_install(grants=build_grants(assets), roles=list_roles(assets))
    for manifest in (*build_crds(), *install, *build_offline(mesh, assets, environment).objects):
        plain = json.loads(json.dumps(manifest))
        assert mask_object(plain) == plain


@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "dbPassword", "x-api-key", "AWS_SECRET_ACCESS_KEY", "tls.key"]
)
def test_names_of_secrets_are_known_in_any_style(name: str) -> None:
    assert is_secret_name(name)
    assert not is_secret_name(f"{name}_path")
    assert not is_secret_name(f"{name}Seconds")


# --- any secret, in any place ---------------------------------------------------------------------------

ALPHABET = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789+/=_.!#%^*~?-"
secrets = st.text(ALPHABET, min_size=10, max_size=60).map(lambda text: f"Zq{text}9")
names = st.sampled_from(
    ["password", "DB_PASSWORD", "clientSecret", "x-api-key", "accessToken", "AWS_SECRET_ACCESS_KEY"]
)
fillers = st.text(st.characters(codec="utf-8", exclude_characters="\"'\\"), max_size=40)


def put_in_text(secret: str, name: str, filler: str, way: int) -> str:
    return (
        f"{filler} {name}={secret} {filler}",
        f'{filler} {{"{name}":"{secret} {secret}","x":1}} {filler}',
        f"x: 1\n{name}: {secret} {secret}\ny: {json.dumps(filler)}\n",
        f"- name: {name}\n  value: {secret}\n",
        f"{filler} --{name} {secret}",
        f"{filler} https://u:{secret.replace('/', '')}@host/{filler}",
        f"{filler}\n-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n{filler}",
        f"{filler} Authorization: Bearer {secret}",
    )[way]


def put_in_object(secret: str, name: str, way: int) -> Any:
    return (
        {name: secret},
        [{"name": name, "value": secret}],
        [f"--{name}", secret],
        [f"--{name}={secret}"],
        {name: {"deeper": [{"still": secret}]}},
    )[way]


def wrap(value: Any, ways: list[int]) -> Any:
    for way in ways:
        value = (
            {"spec": value},
            [value, 1, None],
            {"metadata": {"annotations": {"last-applied": json.dumps(value)}}},
            {"data": {"config.json": json.dumps(value, indent=2)}},
        )[way]
    return value


@given(
    secret=secrets,
    name=names,
    filler=fillers,
    way=st.integers(0, 7),
    around=st.lists(st.integers(0, 3), max_size=4),
)
@settings(max_examples=200, deadline=None)
def test_no_secret_of_a_text_survives(
    secret: str, name: str, filler: str, way: int, around: list[int]
) -> None:
    text = put_in_text(secret, name, filler, way)
    bare = secret.replace("/", "") if way == 5 else secret
    assert bare not in mask_text(text)
    assert bare not in json.dumps(mask_object({"x": wrap({"message": text}, around)}))


@given(secret=secrets, name=names, way=st.integers(0, 4), around=st.lists(st.integers(0, 3), max_size=4))
@settings(max_examples=200, deadline=None)
def test_no_secret_of_an_object_survives(secret: str, name: str, way: int, around: list[int]) -> None:
    assert secret not in json.dumps(mask_object({"x": wrap(put_in_object(secret, name, way), around)}))


@given(text=st.text())
@settings(max_examples=100, deadline=None)
def test_masking_what_is_masked_changes_nothing(text: str) -> None:
    assert mask_text(mask_text(text)) == mask_text(text)


HEAVY = (
    "password ",
    "eyJ",
    "-----BEGIN ",
    "token:",
    "value:",
    "name: ",
    'password="',
    "tokenName='",
    '\\"',
    "://a:",
    "mysql ",
    "a:",
    "a.",
    "-u a",
    "login ",
    "sk-",
    "&sig=",
    'kty "d":"',
)


@pytest.mark.parametrize("unit", HEAVY)
def test_masking_takes_time_in_proportion_to_the_text(unit: str) -> None:
    """Eight times the text may take no more than 24 times as long: what grows with the square takes 64."""

    def measure(size: int) -> float:
        text = f"{unit * (size // len(unit))} password"
        begin = time.process_time()
        mask_text(text)
        return time.process_time() - begin

    short = min(measure(8_000) for _ in range(3))
    assert min(measure(64_000) for _ in range(3)) < 24 * max(short, 1e-4)
