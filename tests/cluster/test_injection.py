"""InjectionReady and the census: what is proved, what is told where it is not, which proxies are outdated."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

from tests.cluster.test_deletion import build_pod
from tests.cluster.test_neighbours import another_namespace
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.meshes import build_mesh, edit, get_istiod, read_condition, wait_for

PROBE = "navarch-probe"
ENFORCE = "pod-security.kubernetes.io/enforce"


def find_tag_webhook(api: Api, namespace: str) -> Object:
    found = api.get("mwc", "", f"istio-revision-tag-{namespace}-demo")
    assert found is not None
    return found


def patch_entries(api: Api, namespace: str, operation: str, path: str, value: Any = None) -> None:
    """The same JSON patch on every entry of the tag's webhook."""
    webhook = find_tag_webhook(api, namespace)
    steps = [
        {"op": operation, "path": f"/webhooks/{number}/{path}"} | ({} if value is None else {"value": value})
        for number in range(len(webhook["webhooks"]))
    ]
    api.patch("mwc", "", webhook["metadata"]["name"], steps)


async def scale_istiod(api: Api, namespace: str, replicas: int) -> None:
    """Run so many istiods, without the autoscaler (which leaves a Deployment of 0 alone). While there is none
    the mesh is paused: Navarch would put a Deployment of 0 back."""
    edit(api, namespace, paused=not replicas)
    await wait_for(api, namespace, condition="Paused", status="False" if replicas else "True")
    name = get_istiod(api, namespace)["metadata"]["name"]
    api.patch("deployment", namespace, name, {"spec": {"replicas": replicas}})
    truth = "True" if replicas else "False"
    await wait_for(api, namespace, condition="Available", status=truth)


# --- trust -------------------------------------------------------------------------------------------------


async def test_injection_needs_the_meshs_own_root_in_every_webhook(api: Api, settled: str) -> None:
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    await scale_istiod(api, settled, 0)
    patch_entries(api, settled, "remove", "clientConfig/caBundle")
    mesh = await wait_for(api, settled, condition="InjectionReady", status="False", reason="CABundleMissing")
    assert f"istio-revision-tag-{settled}-demo" in read_condition(mesh, "InjectionReady")["message"]
    other = api.get("configmap", settled, "kube-root-ca.crt")["data"]["ca.crt"]  # type: ignore[index]
    patch_entries(api, settled, "add", "clientConfig/caBundle", base64.b64encode(other.encode()).decode())
    await wait_for(api, settled, condition="InjectionReady", status="False", reason="CABundleMismatch")
    mesh = await wait_for(api, settled, condition="Ready", status="False")
    await scale_istiod(api, settled, 1)
    mesh = await wait_for(api, settled)
    assert read_condition(mesh, "InjectionReady")["reason"] == "InjectionProved"


# --- the dry run -------------------------------------------------------------------------------------------


async def test_a_pod_that_comes_back_without_sidecar_is_no_proof(api: Api, lent: str) -> None:
    edit(api, lent, paused=True)
    await wait_for(api, lent, condition="Paused")
    never = {"matchLabels": {"kubernetes.io/metadata.name": "nowhere"}}
    patch_entries(api, lent, "replace", "namespaceSelector", never)
    await wait_for(api, lent, condition="InjectionReady", status="False", reason="NotInjected")
    edit(api, lent, paused=None)
    mesh = await wait_for(api, lent)
    assert read_condition(mesh, "InjectionReady")["reason"] == "InjectionProved"


async def test_an_istiod_that_cannot_inject_is_quoted(api: Api, lent: str) -> None:
    edit(api, lent, paused=True)
    await wait_for(api, lent, condition="Paused")
    name = f"istio-sidecar-injector-{lent}-demo-inplace"
    good = json.loads((api.get("configmap", lent, name) or {})["data"]["values"])
    # Of the second the injector makes a pod that the API server refuses at a field.
    spoilt = {**good, "global": {**good["global"], "hub": " registry.invalid"}}
    for values, words in (({}, "Pod injection failed"), (spoilt, "spec.initContainers[0].image")):
        api.patch("configmap", lent, name, {"data": {"values": json.dumps(values)}})
        elsewhere = {
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": [f"elsewhere-{len(values)}"],
        }
        patch_entries(
            api, lent, "add", "namespaceSelector/matchExpressions/-", elsewhere
        )  # calls for a new dry run

        def is_told(words: str = words) -> bool:
            said = read_condition(api.get("mesh", lent, "demo"), "InjectionReady")
            told = (said["status"], said["reason"]) == ("False", "InjectionFailed")
            return told and words in said["message"]

        await eventually(is_told, seconds=60, what=f"InjectionReady quotes {words}")
    edit(api, lent, paused=None)
    await wait_for(api, lent)


async def test_a_service_that_leads_nowhere_is_found_out(api: Api, lent: str) -> None:
    edit(api, lent, paused=True)
    await wait_for(api, lent, condition="Paused")
    patch_entries(api, lent, "replace", "clientConfig/service/name", "no-such-service")
    elsewhere = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["elsewhere"]}
    patch_entries(api, lent, "add", "namespaceSelector/matchExpressions/-", elsewhere)
    mesh = await wait_for(api, lent, condition="InjectionReady", status="False", reason="InjectionFailed")
    assert "no-such-service" in read_condition(mesh, "InjectionReady")["message"]
    edit(api, lent, paused=None)
    await wait_for(api, lent)


async def test_a_pod_that_another_istiod_took_is_no_proof(api: Api, settled: str) -> None:
    async with another_namespace(api, f"{settled}-b") as other:
        api.create(build_mesh(other))
        await wait_for(api, other)
        entry = copy.deepcopy(find_tag_webhook(api, other)["webhooks"][0])
        entry |= {
            "name": "take.strangers.example",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": PROBE}},
            "objectSelector": {"matchLabels": {"istio.io/rev": f"{settled}-demo"}},
        }
        kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
        name = f"zz-{settled}"
        api.create({**kind, "metadata": {"name": name}, "webhooks": [entry]})
        try:
            api.create(build_mesh(settled))
            mesh = await wait_for(
                api, settled, condition="InjectionReady", status="False", reason="WrongRevision"
            )
            message = read_condition(mesh, "InjectionReady")["message"]
            assert f"by {other}-demo-inplace, not by {settled}-demo-inplace" in message
            assert read_condition(mesh, "Ready")["reason"] == "WrongRevision"
        finally:
            api.delete("mwc", "", name)
        await wait_for(api, settled)


async def test_a_denial_by_a_foreign_policy_is_unknown_and_no_proof_against(api: Api, settled: str) -> None:
    labels = (api.get("namespace", "", PROBE) or {})["metadata"]["labels"]
    api.patch("namespace", "", PROBE, {"metadata": {"labels": {ENFORCE: "restricted"}}})
    try:
        api.create(build_mesh(settled))
        mesh = await wait_for(
            api, settled, condition="InjectionReady", status="Unknown", reason="ProbeDenied"
        )
        assert "violates PodSecurity" in read_condition(mesh, "InjectionReady")["message"]
        assert read_condition(mesh, "Ready")["status"] == "Unknown"
    finally:
        api.patch("namespace", "", PROBE, {"metadata": {"labels": {ENFORCE: labels.get(ENFORCE)}}})
    await wait_for(api, settled)
    api.patch("namespace", "", PROBE, {"metadata": {"labels": {ENFORCE: "restricted"}}})
    try:
        edit(api, settled, meshConfig={"accessLogFile": "/dev/stdout"})
        mesh = await wait_for(api, settled)
        assert read_condition(mesh, "InjectionReady")["reason"] == "InjectionProved", (
            "what was proved stays proved"
        )
    finally:
        api.patch("namespace", "", PROBE, {"metadata": {"labels": {ENFORCE: labels.get(ENFORCE)}}})


# --- the census --------------------------------------------------------------------------------------------


async def test_the_census_tells_current_proxies_from_outdated_ones(api: Api, lent: str) -> None:
    async with another_namespace(api, f"{lent}-app", {"istio.io/rev": f"{lent}-demo"}) as members:
        for name in ("one", "two"):
            api.create(build_pod(members, name))
        api.create(
            {
                **build_pod(members, "plain"),
                "metadata": {
                    "name": "plain",
                    "namespace": members,
                    "labels": {"sidecar.istio.io/inject": "false"},
                },
            }
        )

        async def see(current: int, total: int) -> Object:
            expected = {
                "total": total,
                "current": current,
                "outdated": total - current,
                "misplaced": 0,
                "summary": f"{current}/{total}",
            }
            seen: list[Object] = []

            def look() -> bool:
                seen.append(api.get("mesh", lent, "demo") or {})
                return bool(expected.items() <= seen[-1]["status"]["proxies"].items())

            await eventually(look, seconds=20, what=f"proxies {current}/{total}")
            return seen[-1]

        mesh = await see(2, 2)
        assert read_condition(mesh, "UpToDate")["status"] == "True"
        edit(api, lent, proxy={"logLevel": "debug"})
        await see(0, 2)
        mesh = await wait_for(api, lent, condition="UpToDate", status="False", reason="ProxiesOutdated")
        assert read_condition(mesh, "UpToDate")["message"].startswith("2 pods run an older proxy")
        await wait_for(api, lent)
        api.delete("pod", members, "one")
        await see(0, 1)
        api.create(build_pod(members, "three"))
        await see(1, 2)
        api.delete("pod", members, "two")
        await see(1, 1)
        await wait_for(api, lent, condition="UpToDate")
        api.delete("pod", members, "three")
        await see(0, 0)
