"""Proxies where membership and injection disagree: forged, moved to another mesh, never injected."""

from __future__ import annotations

import asyncio

from lab.cluster import Cluster
from tests.cluster.test_deletion import build_pod
from tests.cluster.test_neighbours import another_namespace
from tests.polling import eventually
from tests.support.api import Api, Object
from tests.support.command import navarch
from tests.support.meshes import build_mesh, read_condition, wait_for


def read_proxies(api: Api, namespace: str) -> Object:
    mesh = api.get("mesh", namespace, "demo") or {}
    return dict(mesh["status"]["proxies"])


async def test_a_forged_pod_elsewhere_counts_for_nothing_and_is_named(api: Api, settled: str) -> None:
    api.create(build_mesh(settled))
    await wait_for(api, settled)
    async with another_namespace(api, f"{settled}-x") as outside:
        forged = build_pod(outside, "forged")
        forged["metadata"]["labels"] = {"service.istio.io/canonical-name": "x"}
        forged["metadata"]["annotations"] = {
            "istio.io/rev": f"{settled}-demo-inplace",
            "mesh.navarch.io/proxy": "x",
        }
        api.create(forged)
        await eventually(lambda: read_proxies(api, settled)["misplaced"] == 1, what="it was seen")
        mesh = api.get("mesh", settled, "demo") or {}
        assert (mesh["status"]["proxies"]["total"], mesh["status"]["proxies"]["summary"]) == (0, "0/0")
        verdict = read_condition(mesh, "UpToDate")
        assert verdict["status"] == "True"
        assert f"{outside}/forged" in verdict["message"]
    api.delete("mesh", settled, "demo")
    await eventually(lambda: api.get("mesh", settled, "demo") is None, what="the deletion is not refused")


async def test_a_namespace_that_goes_to_another_mesh_is_named_by_both_until_its_pods_are_restarted(
    api: Api, settled: str
) -> None:
    async with another_namespace(api, f"{settled}-b") as other:
        for name in (settled, other):
            api.create(build_mesh(name))
        for name in (settled, other):
            await wait_for(api, name)
        tags = {"before": f"{settled}-demo", "after": f"{other}-demo"}
        async with another_namespace(api, f"{settled}-app", {"istio.io/rev": tags["before"]}) as apps:
            api.create(build_pod(apps, "web"))
            await eventually(lambda: read_proxies(api, settled)["summary"] == "1/1", what="it is counted")
            api.patch("namespace", "", apps, {"metadata": {"labels": {"istio.io/rev": tags["after"]}}})

            moved = await wait_for(
                api, other, condition="UpToDate", status="False", reason="ProxiesMisplaced"
            )
            message = read_condition(moved, "UpToDate")["message"]
            assert f"{apps}/web" in message
            assert f"kubectl -n {apps} rollout restart deployment" in message
            await eventually(
                lambda: read_proxies(api, settled)["misplaced"] == 1, what="the first mesh says so"
            )
            assert read_proxies(api, settled)["total"] == 0

            api.delete("pod", apps, "web")
            api.create(build_pod(apps, "web-2"))
            await eventually(
                lambda: read_proxies(api, other)["summary"] == "1/1", what="the new pod is counted"
            )
            await wait_for(api, other, condition="UpToDate")
            await eventually(lambda: read_proxies(api, settled)["misplaced"] == 0, what="nothing is left")
            api.delete("pod", apps, "web-2")
            await eventually(lambda: read_proxies(api, other)["total"] == 0, what="the mesh may be deleted")


async def test_check_names_pods_that_were_never_injected_and_the_restart(
    api: Api, light: Cluster, lent: str
) -> None:
    async with another_namespace(api, f"{lent}-early") as apps:
        api.create(build_pod(apps, "early"))
        api.patch("namespace", "", apps, {"metadata": {"labels": {"istio.io/rev": f"{lent}-demo"}}})
        report = await asyncio.to_thread(navarch, "check", "-o", "json", kubeconfig=light.kubeconfig)
        found = [f for f in report.find("PodsNotInjected") if apps in str(f["subject"])]
        assert len(found) == 1
        assert "early" in found[0]["message"]
        assert f"kubectl -n {apps} rollout restart deployment" in found[0]["message"]
        for asked in (["-n", apps], ["demo", "-n", lent]):
            report = await asyncio.to_thread(
                navarch, "check", *asked, "-o", "json", kubeconfig=light.kubeconfig
            )
            assert report.find("PodsNotInjected") == found, asked
        api.patch("namespace", "", apps, {"metadata": {"labels": {"istio.io/rev": f"{lent}-dmo"}}})
        report = await asyncio.to_thread(
            navarch, "check", "-n", apps, "-o", "json", kubeconfig=light.kubeconfig
        )
        (mistyped,) = report.find("RevisionNotFound")
        assert f"did you mean istio.io/rev={lent}-demo?" in mistyped["message"]


async def test_pods_that_ask_for_injection_themselves_outside_of_the_mesh_are_told_what_helps(
    api: Api, light: Cluster, lent: str
) -> None:
    tag = f"{lent}-demo"
    async with another_namespace(api, f"{lent}-asks") as apps:
        for name, metadata in {
            "asks": {"labels": {"sidecar.istio.io/inject": "true"}},
            "names": {"labels": {"istio.io/rev": tag}},
            "notes": {"annotations": {"sidecar.istio.io/inject": "true"}},
            "plain": {},
        }.items():
            pod = build_pod(apps, name)
            pod["metadata"] = {"name": name, "namespace": apps, **metadata}
            made = api.create(pod)
            assert [c["name"] for c in made["spec"]["containers"]] == ["app"], "no webhook takes it"

        async def list_told(*arguments: str) -> dict[str, str]:
            report = await asyncio.to_thread(
                navarch, "check", *arguments, "-o", "json", kubeconfig=light.kubeconfig
            )
            found = [f for f in report.find("PodsAskForInjection") if f["subject"]["name"] == apps]
            return {f["message"].rpartition("Pods: ")[2]: f["message"] for f in found}

        assert set(await list_told()) == {"asks", "names"}
        assert set(await list_told("demo", "-n", lent)) == {"names"}
        told = await list_told("-n", apps)
        assert set(told) == {"asks", "names", "notes"}
        assert f"kubectl label namespace {apps} istio.io/rev={tag}, then" in told["names"]
        described = await asyncio.to_thread(
            navarch, "describe", "demo", "-n", lent, kubeconfig=light.kubeconfig
        )
        assert "PodsAskForInjection" in described.out
        api.patch("namespace", "", apps, {"metadata": {"labels": {"istio.io/rev": tag}}})
        assert await list_told("-n", apps) == {}, "now PodsNotInjected tells"


async def test_proxies_that_are_too_old_for_the_control_plane_are_a_warning_until_they_are_restarted(
    api: Api, lent: str
) -> None:
    async with another_namespace(api, f"{lent}-old", {"istio.io/rev": f"{lent}-demo"}) as apps:
        old = build_pod(apps, "old")
        old["metadata"]["labels"] = {
            "service.istio.io/canonical-name": "x",
            "sidecar.istio.io/inject": "false",
        }
        old["metadata"]["annotations"] = {
            "istio.io/rev": f"{lent}-demo-inplace",
            "mesh.navarch.io/proxy": "1.29.0-x",
        }
        api.create(old)
        mesh = await wait_for(api, lent, condition="SpecAccepted", reason="ProxiesTooOld")
        message = read_condition(mesh, "SpecAccepted")["message"]
        assert f"1 pod runs a proxy that is more than one minor older: 1.29 ({apps})" in message
        api.delete("pod", apps, "old")
        await eventually(
            lambda: (
                read_condition(api.get("mesh", lent, "demo"), "SpecAccepted")["reason"] != "ProxiesTooOld"
            ),
            what="the warning ends with the pod",
        )
