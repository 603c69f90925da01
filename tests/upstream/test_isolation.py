"""An istiod whose mesh configuration is gone or broken keeps to its mesh; one that starts so never serves.

The real istiod, with the arguments, the environment and the file that our Deployment gives it, and its
ConfigMap in the API server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.cluster import Cluster
from tests.polling import eventually
from tests.support.api import Api
from tests.support.istiod import Configuration, Istiod, Object, run_istiod, start_istiod
from tests.upstream.installations import (
    NAMESPACE,
    REVISION,
    Setting,
    build_configuration,
    find_one,
    render_ours,
)

MESH = f"istio-{REVISION}"
MEMBER, FOREIGN = "isolation-member", "isolation-foreign"
ROOT, REVOKED = "istio-ca-root-cert", "istio-ca-crl"


def as_deployed(objects: list[Object]) -> Configuration:
    """What the kubelet would give the container: the file from the ConfigMap's key, and the arguments, with
    the file below the process's own folder."""
    (container,) = find_one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    given = [one for one in container["args"] if one.startswith(("--meshConfig=", "--configDir="))]
    (place,) = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == "mesh-isolation"]
    arguments = tuple(one.replace(f"={place}/", "=etc/") for one in given)
    isolation = find_one(objects, "ConfigMap", MESH)["data"]["isolation"]
    return replace(build_configuration(objects), mesh=isolation, arguments=arguments)


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    return render_ours(Setting())


@pytest.fixture
def api(cluster: Cluster, objects: list[Object]) -> Iterator[Api]:
    """A cluster with the mesh's ConfigMap as rendered, a member, a foreign namespace, no root in either."""
    api = Api(cluster.kubeconfig)
    for name, labels in ((MEMBER, {"istio.io/rev": REVISION}), (FOREIGN, {})):
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    for one in api.list("configmap"):
        if one["metadata"]["name"] in (ROOT, REVOKED):
            api.delete("configmap", one["metadata"]["namespace"], one["metadata"]["name"])
    api.apply(find_one(objects, "ConfigMap", MESH))
    yield api
    api.delete("configmap", NAMESPACE, MESH)


def find_reached(api: Api) -> set[str]:
    """Namespaces that an istiod put its root or its revocations into."""
    names = (ROOT, REVOKED)
    return {one["metadata"]["namespace"] for one in api.list("configmap") if one["metadata"]["name"] in names}


def find_strays(api: Api) -> set[str]:
    """Of those, the ones that are not of the mesh; other tests may have left members."""
    namespaces = api.list("namespace")
    own = (REVISION, REVISION.removesuffix("-inplace"))
    members = {
        n["metadata"]["name"] for n in namespaces if n["metadata"]["labels"].get("istio.io/rev") in own
    }
    return find_reached(api) - members - {NAMESPACE}


async def prove_alive(api: Api, istiod: Istiod) -> None:
    """istiod has seen all that came before: it puts back the root that is taken from a member."""
    api.delete("configmap", MEMBER, ROOT)
    await eventually(lambda: api.get("configmap", MEMBER, ROOT), seconds=60, every=0.1)
    assert istiod.is_ready()


def break_mesh(api: Api, text: str) -> None:
    api.patch("configmap", NAMESPACE, MESH, {"data": {"mesh": text}})


async def test_an_istiod_that_loses_its_mesh_configuration_keeps_to_its_mesh(
    cluster: Cluster, api: Api, objects: list[Object], tmp_path: Path
) -> None:
    good = find_one(objects, "ConfigMap", MESH)["data"]["mesh"]
    wide = yaml.safe_dump(yaml.safe_load(good) | {"discoverySelectors": [], "rootNamespace": FOREIGN})
    with run_istiod(cluster.kubeconfig, as_deployed(objects), tmp_path / "istiod") as istiod:
        await eventually(lambda: find_reached(api) >= {NAMESPACE, MEMBER}, seconds=60, every=0.1)
        for text in (wide, "{{{", "connectTimeout: 0s", ""):
            break_mesh(api, text)
            await prove_alive(api, istiod)
            assert find_strays(api) == set(), text
        api.delete("configmap", NAMESPACE, MESH)
        await prove_alive(api, istiod)
        assert find_strays(api) == set()


BROKEN: dict[str, Any] = {
    "deleted": None,
    "empty": "",
    "no YAML": "{{{",
    "another one": "connectTimeout: 0s",
    "a wrong type": "proxyListenPort: {}",
    "istio's own default": "rootNamespace: istio-system",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
async def test_an_istiod_that_starts_without_its_mesh_configuration_ends_and_reaches_nothing(
    cluster: Cluster, api: Api, objects: list[Object], tmp_path: Path, text: str | None
) -> None:
    if text is None:
        api.delete("configmap", NAMESPACE, MESH)
    else:
        break_mesh(api, text)
    with start_istiod(cluster.kubeconfig, as_deployed(objects), tmp_path / "istiod") as (istiod, process):
        was_ready = []
        await eventually(
            lambda: was_ready.append(istiod.is_ready()) or process.poll() is not None, seconds=120
        )
    assert process.returncode not in (0, -9)
    assert not any(was_ready)
    assert "/no/mesh/configuration" in istiod.log.read_text()
    assert find_reached(api) == set()


async def test_a_value_that_istiod_refuses_and_that_stands_among_the_others_does_not_widen_it(
    cluster: Cluster, api: Api, objects: list[Object], tmp_path: Path
) -> None:
    good = find_one(objects, "ConfigMap", MESH)["data"]["mesh"]
    break_mesh(api, yaml.safe_dump(yaml.safe_load(good) | {"connectTimeout": "0s"}))
    said = "invalid mesh config, ignoring"  # what docs/explanation/validation.md has people look for
    with run_istiod(cluster.kubeconfig, as_deployed(objects), tmp_path / "istiod") as istiod:
        await eventually(lambda: api.get("configmap", MEMBER, ROOT), seconds=60, every=0.1)
        await prove_alive(api, istiod)
        assert find_strays(api) == set()
        assert said in istiod.log.read_text()
        break_mesh(api, good)
        await prove_alive(api, istiod)
        before = istiod.log.read_text().count(said)
        break_mesh(
            api, yaml.safe_dump(yaml.safe_load(good) | {"dnsRefreshRate": "0s", "connectTimeout": "0s"})
        )
        await eventually(
            lambda: istiod.log.read_text().count(said) > before, what="a running one says it, too"
        )
