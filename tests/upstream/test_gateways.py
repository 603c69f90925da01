"""What the real istiod deploys for Gateways of every class, with upstream's templates and with ours."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from navarch.core.grants import list_roles

from lab.builds import ISTIO_LINES, IstioLine
from lab.cluster import Cluster, service_account_kubeconfig
from tests.golden.rendering import ASSETS
from tests.polling import eventually
from tests.support.api import Api
from tests.support.audit import Audit
from tests.support.istiod import Object, run_istiod
from tests.upstream import gateways
from tests.upstream.gateways import SETTINGS, build_gateways, list_made, remove_made, strip
from tests.upstream.injected_differences import DEPLOYED
from tests.upstream.installations import (
    NAMESPACE,
    REVISION,
    Setting,
    build_configuration,
    render_ours,
    render_theirs,
)
from tests.upstream.object_comparison import compare

OF_CLASS = "gateway.istio.io/defaults-for-class"
ACCESS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
CALM_SECONDS = 2.0
"""istiod deploys a Gateway again with each thing that it learns while it starts. After so long without
a change it has learnt all."""
USED: set[int] = set()
"""Numbers of the rows that explained something."""


@pytest.fixture(scope="module", params=ISTIO_LINES, ids=lambda line: line.minor)
def line(request: pytest.FixtureRequest) -> IstioLine:
    """The minor of Istio, and of Gateway API what it is built with; ascending, as clusters go."""
    line: IstioLine = request.param
    return line


@pytest.fixture(scope="module")
async def api(cluster: Cluster, line: IstioLine) -> AsyncIterator[Api]:
    """An API server with Gateways in a namespace that carries the mesh's tag, and the roles of a mesh of
    ours."""
    api = Api(cluster.kubeconfig)
    await gateways.set_up(api, line)
    tag = f"istiod-revision-tag-{REVISION.removesuffix('-inplace')}"
    for manifest in (*list_roles(ASSETS), *render_ours(SETTINGS["default"], line)):
        if manifest["kind"] in ACCESS or manifest["metadata"]["name"] == tag:
            api.apply(manifest)
    yield api
    await gateways.remove_gateways(api)


def list_expected(name: str, line: IstioLine) -> set[str]:
    """Kind and name of everything that istiod has to deploy under a setting."""
    expected: set[str] = set()
    for gateway in build_gateways(line):
        own, gateway_class = gateway["metadata"]["name"], gateway["spec"]["gatewayClassName"]
        annotations = gateway["metadata"].get("annotations", {})
        default = f"{own}-istio" if gateway_class == "istio" else own
        called = annotations.get("gateway.istio.io/name-override", default)
        account = annotations.get("gateway.istio.io/service-account", default)
        expected |= {f"serviceaccount {account}", f"deployment {called}", f"service {called}"}
        if own == "way-more" or (gateway_class == "istio" and name == "everything"):
            expected |= {f"hpa {called}", f"pdb {called}"}
    return expected


def strip_all(made: dict[str, Object]) -> dict[str, Object]:
    """What istiod itself has said of each object: replicas are an autoscaler's where there is one."""
    stripped = {key: strip(manifest) for key, manifest in made.items()}
    for key, manifest in made.items():
        if key.startswith("hpa "):
            target = f"deployment {manifest['spec']['scaleTargetRef']['name']}"
            stripped.get(target, {"spec": {}})["spec"].pop("replicas", None)
    return stripped


async def deploy(
    api: Api, kubeconfig: Path, objects: list[Object], *, expected: set[str], line: IstioLine, folder: Path
) -> dict[str, Object]:
    """What an istiod with these objects' configuration deploys, by kind and name."""
    defaults = [
        o for o in objects if o["kind"] == "ConfigMap" and OF_CLASS in (o["metadata"].get("labels") or {})
    ]
    for manifest in defaults:
        api.apply(manifest)
    try:
        with run_istiod(kubeconfig, build_configuration(objects), folder, line=line):
            log = folder / "istiod.log"
            made: dict[str, Object] = {}
            changed = time.monotonic()

            def is_complete() -> bool:
                nonlocal made, changed
                errors = [line for line in log.read_text().splitlines() if "rendering templates" in line]
                assert not errors, errors[0]
                before, made = made, strip_all(list_made(api))
                if made != before:
                    changed = time.monotonic()
                return made.keys() == expected and time.monotonic() >= changed + CALM_SECONDS

            await eventually(is_complete, seconds=60, every=0.2, what=f"see {log}")
            assert not api.list("deployment", gateways.ELSEWHERE), "that namespace has not the mesh's tag"
            return made
    finally:
        for manifest in defaults:
            api.delete("configmap", NAMESPACE, manifest["metadata"]["name"])
        await remove_made(api)


@pytest.mark.parametrize("name", SETTINGS)
async def test_gateways_are_deployed_as_upstream_deploys_them(
    api: Api, cluster: Cluster, line: IstioLine, name: str, tmp_path: Path
) -> None:
    setting, account = SETTINGS[name], f"istiod-{REVISION}"
    expected = list_expected(name, line)
    made = []
    kubeconfig = service_account_kubeconfig(cluster, NAMESPACE, account)
    for who, objects, side in (
        (cluster.kubeconfig, render_theirs(setting, line), "theirs"),
        (kubeconfig, render_ours(setting, line), "ours"),
    ):
        made.append(await deploy(api, who, objects, expected=expected, line=line, folder=tmp_path / side))
    theirs, ours = made
    told = []
    for key in sorted(expected):
        for difference in compare(theirs[key], ours[key]):
            found = [number for number, row in enumerate(DEPLOYED) if row.explains(difference, key)]
            USED.update(found)
            if not found:
                told.append(f"{key}: {difference}")
    assert not told, "\n".join(told)
    if name == "everything":
        assert ours["hpa web-istio"]["spec"]["maxReplicas"] == 4
        assert ours["service plain-istio"]["spec"]["externalTrafficPolicy"] == "Local"


def test_no_row_of_the_table_is_left_over() -> None:
    left = [row.where for number, row in enumerate(DEPLOYED) if number not in USED]
    assert not left, left


# --- without the gateway controller


WEBHOOKS = {"MutatingWebhookConfiguration": "mwc", "ValidatingWebhookConfiguration": "vwc"}


async def test_an_istiod_without_gateway_controller_needs_no_more_than_its_confined_role(
    api: Api, cluster: Cluster, tmp_path: Path
) -> None:
    objects = render_ours(Setting(spec={"controlPlane": {"gatewayController": False}}))
    for binding in api.list("clusterrolebinding", labels=f"istio.io/rev={REVISION}"):
        api.delete("clusterrolebinding", "", binding["metadata"]["name"])
    webhooks = [o for o in objects if o["kind"] in WEBHOOKS]
    own = {o["metadata"]["name"] for o in webhooks}
    (injector,) = (o for o in webhooks if o["metadata"]["name"].startswith("istio-sidecar-injector"))
    foreign = {**injector, "metadata": {"name": "of-somebody-else", "labels": {"istio.io/rev": REVISION}}}
    kubeconfig = service_account_kubeconfig(cluster, NAMESPACE, f"istiod-{REVISION}")
    user = f"system:serviceaccount:{NAMESPACE}:istiod-{REVISION}"
    audit = Audit(cluster.audit_log or Path(), user)
    mark, made = audit.mark(), []
    try:
        for manifest in (*(o for o in objects if o["kind"] in ACCESS), *webhooks, foreign):
            made.append(api.apply(manifest))

        def find_trusted() -> set[str]:
            """Webhook configurations that istiod has given its root."""
            return {
                manifest["metadata"]["name"]
                for kind in WEBHOOKS.values()
                for manifest in api.list(kind)
                if all(entry["clientConfig"].get("caBundle") for entry in manifest["webhooks"])
            }

        with run_istiod(kubeconfig, build_configuration(objects), tmp_path / "istiod") as istiod:
            await eventually(
                lambda: own <= find_trusted(), seconds=60, every=0.2, what=f"own webhooks, see {istiod.log}"
            )
            await eventually(
                lambda: any(r.forbidden and r.name == "of-somebody-else" for r in audit.since(mark)),
                seconds=60,
                every=0.2,
                what="istiod was refused the foreign webhook",
            )
        assert "of-somebody-else" not in find_trusted()
        refused = {(r.verb, r.resource, r.name) for r in audit.since(mark) if r.forbidden}
        assert refused == {("update", "mutatingwebhookconfigurations", "of-somebody-else")}
        assert list_made(api) == {}
    finally:
        for manifest in made:
            if manifest["kind"] in WEBHOOKS:
                api.delete(WEBHOOKS[manifest["kind"]], "", manifest["metadata"]["name"])
