"""Bad days of the API server and of the network to it, and what the operator makes of them.

The operator runs behind a proxy, in a lab of its own. Each test makes trouble of one kind, or several, one
after the other; while each lasts, a spec is edited and objects of ours are removed and changed, during the
last a mesh and a namespace with a proxy are deleted, all of it at the API server itself. Afterwards
everything must be right in bounded time: by the same process, without ghosts, with `/livez` at 200 while it
lasted, and with a second look that writes nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from navarch.kube.reflector import LONGEST_DELAY
from navarch.triggers.shell import BEAT
from urllib3.exceptions import HTTPError

from lab.cluster import Cluster, service_account_kubeconfig
from lab.light import outages
from lab.progress import wait_until
from tests.cluster.conftest import a_lab, assert_quiet, build_operator, install
from tests.polling import PATIENCE, eventually
from tests.support.activity import bring_up, read_metrics, wait_for_rest
from tests.support.api import Api, Object, Refused
from tests.support.audit import Audit
from tests.support.faults import KOPF, OURS, Answer, Deed, Late, Paged, Proxy, Reset, Seen
from tests.support.meshes import build_mesh, edit, is_current, read_condition
from tests.support.operator import SYSTEM, USER, Operator
from tests.support.witness import list_labelled

SILENCE = 40.0
"""Longer than a watch waits between two tries (30 s at most): a process that waits is not dead."""
IMPATIENCE = 8.0
"""What takes the place of SILENCE where a death is waited for."""
STUCK = 20.0
SETTINGS = {
    "lease_seconds": "4",
    "lease_renew_seconds": "3",
    "lease_retry_seconds": "0.3",
    "silence_seconds": str(SILENCE),
    "stuck_seconds": str(STUCK),
}
BOUND = 60.0
"""Seconds within which all must be right after a fault; the longest backoff is 30 s."""
HANGS = PATIENCE * BOUND
"""Seconds after which something hangs."""
LONGEST = 2 * LONGEST_DELAY + BEAT + 5
"""Seconds within which every watch is back: one that has waited may be told to list anew, and waits again."""
CONTROLLERS = ("kube-controller-manager", "kube-scheduler", "kwok")
KEPT = "kept"
DRIFT = {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 7}}}}
_numbers = count(1)


@dataclass
class World:
    """A lab with an operator behind a proxy, and a mesh that lives through all tests."""

    cluster: Cluster
    api: Api
    audit: Audit
    proxy: Proxy
    operator: Operator
    full: bool
    watches: set[tuple[str, ...]]
    """Those that are open in good times."""

    def hold(self, seconds: float, in_full: float = 60.0) -> float:
        """How long a fault lasts."""
        return in_full if self.full else seconds


@pytest.fixture(scope="module")
async def world(full: bool) -> AsyncIterator[World]:
    with a_lab("faults") as cluster:
        api = Api(cluster.kubeconfig)
        await install(api)
        assert cluster.audit_log is not None
        audit = Audit(cluster.audit_log, USER)
        operator = build_operator(cluster, **SETTINGS)
        with Proxy(cluster, operator.kubeconfig) as proxy:
            # Real bookmarks come once a minute: too rarely for thresholds of seconds.
            proxy.heartbeat = 0.5
            operator.kubeconfig = proxy.kubeconfig
            try:
                await bring_up(operator)
                make_namespace(api, KEPT)
                api.create(build_mesh(KEPT, mtls={"mode": "Strict"}))
                await eventually(
                    lambda: is_ready(api, KEPT), seconds=BOUND, every=0.1, what="the mesh is ready"
                )
                yield World(cluster, api, audit, proxy, operator, full, proxy.list_watches())
            finally:
                operator.stop()


@pytest.fixture(scope="module")
async def impatient(world: World) -> World:
    """The same world, from now on with an operator that soon takes silence for death."""
    world.operator.stop()
    world.operator.settings["silence_seconds"] = str(IMPATIENCE)
    await bring_up(world.operator)
    return world


def make_namespace(api: Api, name: str, **labels: str) -> None:
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def is_ready(api: Api, namespace: str) -> bool:
    mesh = api.get("mesh", namespace, "demo")
    return is_current(mesh) and read_condition(mesh, "Ready").get("status") == "True"


async def wait_for_watches(world: World) -> None:
    """Each watch was open again, and kopf has shown a sign of life since.

    Each waits up to half a minute between two tries. With these thresholds one whose every try falls into yet
    another fault would count as dead. They are never waited for together: each ends from time to time, and on
    a busy machine there is always one that has.
    """
    missing, complete = {*world.watches}, 0.0

    def are_back() -> bool:
        nonlocal complete
        if missing:
            missing.difference_update(world.proxy.list_watches())
            complete = time.monotonic()
        return not missing and time.monotonic() > complete + BEAT + 1

    try:
        await eventually(are_back, seconds=LONGEST, every=0.05)
    except AssertionError:
        raise AssertionError(f"not open again: {sorted(missing)}") from None


def count_proxies(api: Api) -> int:
    mesh = api.get("mesh", KEPT, "demo") or {}
    return int(((mesh.get("status") or {}).get("proxies") or {}).get("total", -1))


# --- what happens meanwhile ------------------------------------------------------------------------------


@dataclass
class Meanwhile:
    """What is there before a fault, what is done during it, and what must be so afterwards."""

    world: World
    number: int = field(default_factory=lambda: next(_numbers))
    edited: str = ""

    @property
    def doomed(self) -> str:
        return f"doomed-{self.number}"

    @property
    def guest(self) -> str:
        return f"guest-{self.number}"

    def has_no_ghost(self) -> bool:
        """Whether no metric speaks of the mesh that was deleted."""
        return not any(self.doomed in s.labels.values() for s in read_metrics(self.world.operator))

    async def prepare(self) -> None:
        """A second mesh, which has the tag `default`, and a proxy in a namespace of the first."""
        api = self.world.api
        await wait_for_watches(self.world)
        for namespace, labels in ((self.doomed, {}), (self.guest, {"istio.io/rev": f"{KEPT}-demo"})):
            make_namespace(api, namespace, **labels)
        api.create(build_mesh(self.doomed, defaultTag=True))
        for namespace in (KEPT, self.doomed):
            await eventually(lambda: is_ready(api, namespace), seconds=BOUND, every=0.1, what=namespace)  # noqa: B023
        await eventually(
            lambda: api.get("serviceaccount", self.guest, "default"), seconds=BOUND, what="the account"
        )
        api.create(build_pod(self.guest))
        await eventually(lambda: count_proxies(api) == 1, seconds=BOUND, every=0.1, what="the census")
        await wait_for_rest(self.world.operator)

    def disturb(self, phase: int) -> None:
        """At the API server itself: an edit, and drift of both kinds."""
        api = self.world.api
        self.edited = f"{self.number}.{phase}."
        edit(api, KEPT, meshConfig={"accessLogFormat": self.edited})
        api.delete("configmap", KEPT, f"values-{KEPT}-demo-inplace")
        api.patch("deployment", KEPT, f"istiod-{KEPT}-demo-inplace", DRIFT)

    def remove(self) -> None:
        """At the API server itself: a mesh, and a namespace with a proxy."""
        api = self.world.api
        api.delete("mesh", self.doomed, "demo")
        api.delete("pod", self.guest, "app")
        api.delete("namespace", "", self.guest)

    def find_disturbed(self) -> list[str]:
        """What of the mesh that lives is not as it must be."""
        api = self.world.api
        config = api.get("configmap", KEPT, f"istio-{KEPT}-demo-inplace") or {}
        deployment = api.get("deployment", KEPT, f"istiod-{KEPT}-demo-inplace") or {}
        tests = {
            "the edit has not arrived": self.edited in (config.get("data") or {}).get("mesh", ""),
            "what was removed is missing": api.get("configmap", KEPT, f"values-{KEPT}-demo-inplace"),
            "what was changed is not put back": read_surge(deployment) != 7,
            "status is not true": is_ready(api, KEPT),
        }
        return [wrong for wrong, right in tests.items() if not right]

    def find_wrong(self) -> list[str]:
        """What is not as it must be."""
        api = self.world.api
        tests = {
            "the deleted mesh is there": api.get("mesh", self.doomed, "demo") is None,
            "a proxy that is gone is counted": count_proxies(api) == 0,
            "the deleted mesh's default tag is there": not has_default_tag(api, self.doomed),
        }
        return [*self.find_disturbed(), *(wrong for wrong, right in tests.items() if not right)]

    async def see_recovery(self, pid: int) -> float:
        """Returns after how many seconds everything was right."""
        world, started = self.world, time.monotonic()
        wrong = ["not checked yet"]

        def look() -> bool:
            nonlocal wrong
            wrong = self.find_wrong()
            return not wrong

        try:
            await eventually(look, seconds=BOUND, every=0.2)
        except AssertionError:
            raise AssertionError(f"{wrong}, see {world.operator.log}") from None
        seconds = time.monotonic() - started
        assert (world.operator.is_running(), world.operator.pid) == (True, pid)
        assert list_labelled(world.api, self.doomed) == []
        # The end of a mesh is seen by a watch, which may still wait for its next try.
        await eventually(self.has_no_ghost, seconds=BOUND, every=0.2, what=f"no metric of {self.doomed}")
        # A watch may still wait for its next try, which with these thresholds is a silence.
        await eventually(lambda: world.operator.fetch("/livez")[0] == 200, seconds=LONGEST, every=0.2)
        assert world.operator.fetch("/readyz")[0] == 200
        await wait_for_watches(world)  # a kopf that begins anew asks what is served
        await assert_quiet(world.api, world.audit, world.operator, KEPT, "demo")
        return seconds


def read_surge(deployment: Object) -> Any:
    return deployment.get("spec", {"strategy": {}})["strategy"].get("rollingUpdate", {}).get("maxSurge", 7)


def has_default_tag(api: Api, namespace: str) -> bool:
    labels = f"mesh.navarch.io/mesh-namespace={namespace},istio.io/tag=default"
    return bool(api.list("mwc", labels=labels))


def build_pod(namespace: str) -> Object:
    container = {"name": "app", "image": "app:1"}
    metadata = {"name": "app", "namespace": namespace, "labels": {"app": "app"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


Fault = Callable[[World], AbstractContextManager[Counter[str]]]


@dataclass(frozen=True)
class Phase:
    """A fault, how long it lasts at the least, and whom it must have struck before it ends."""

    fault: Fault
    seconds: float
    victims: tuple[str, ...] = (KOPF, OURS)


async def live_through(world: World, *phases: Phase) -> None:
    """Prepare; let each fault begin in good times, let things happen, and wait until it has struck its
    victims and has lasted; after each the mesh is as it must be, and after the last everything."""
    meanwhile, answers = Meanwhile(world), set[tuple[int, str]]()
    await meanwhile.prepare()
    pid = world.operator.pid
    for number, phase in enumerate(phases):
        if number:
            await eventually(lambda: not meanwhile.find_disturbed(), seconds=BOUND, every=0.2)
            await wait_for_watches(world)
        begun = time.monotonic()
        with phase.fault(world) as struck:
            meanwhile.disturb(number)
            if phase is phases[-1]:
                meanwhile.remove()

            def is_over() -> bool:
                answers.add(world.operator.fetch("/livez"))
                lasts = time.monotonic() < begun + phase.seconds  # noqa: B023
                return not lasts and all(struck[victim] for victim in phase.victims)  # noqa: B023

            within = phase.seconds + BOUND
            await eventually(is_over, seconds=within, every=0.2, what=f"{phase.victims}: {dict(struck)}")
        print(f"fault {number} lasted {time.monotonic() - begun:.1f} s, struck {dict(struck)}")
    took = await meanwhile.see_recovery(pid)
    print(f"right after {took:.1f} s")
    assert answers == {(200, "ok")}, "a restart would not have helped"


def is_watch(seen: Seen) -> bool:
    return seen.is_watch


def is_anything(seen: Seen) -> bool:
    return True


# --- watches ----------------------------------------------------------------------------------------------


async def test_watches_that_are_dropped_are_taken_up_again_and_nothing_is_missed(world: World) -> None:
    """In each of the ways in which a watch can end, one after the other."""

    def drop(end: str) -> Fault:
        @contextmanager
        def fault(world: World) -> Iterator[Counter[str]]:
            with world.proxy.inflict(Reset(), is_watch):
                struck = world.proxy.cut(end)
                assert struck[OURS] > 15
                yield struck

        return fault

    await live_through(world, *(Phase(drop(end), 2) for end in ("reset", "end", "error", "gone")))


async def test_watches_that_say_nothing_are_noticed_and_started_anew(world: World) -> None:
    @contextmanager
    def fault(world: World) -> Iterator[Counter[str]]:
        with world.proxy.silence(is_watch) as silenced:
            yield silenced

    # All are silent alike: that is the API server, and nothing here is dead.
    await live_through(world, Phase(fault, world.hold(SILENCE + 2)))


async def test_a_list_that_expires_on_its_second_page_is_begun_again(world: World) -> None:
    def is_later_page(seen: Seen) -> bool:
        return "continue" in seen.query

    @contextmanager
    def fault(world: World) -> Iterator[Counter[str]]:
        with (
            world.proxy.inflict(Paged(1), lambda seen: "limit" in seen.query),
            world.proxy.inflict(Answer(410), is_later_page) as expired,
        ):
            world.proxy.cut("gone")
            yield expired.struck

    # kopf asks for everything at once.
    await live_through(world, Phase(fault, 2, victims=(OURS,)))


# --- answers ----------------------------------------------------------------------------------------------

TROUBLES: dict[str, tuple[Deed, Callable[[Seen], bool], float]] = {
    "too many requests": (Answer(429, {"Retry-After": "1"}), is_anything, 4),
    "internal errors": (Answer(500), is_anything, 4),
    "unavailable": (Answer(503), is_anything, SILENCE + 4),
    "not found": (Answer(404, body=b"404 page not found\n"), is_anything, 4),
    "forbidden": (Answer(403), is_anything, 4),
    "resets": (Reset(), is_anything, 4),
    "resets after the fact": (Reset(after=True), lambda seen: not seen.is_watch, 4),
    "slow answers": (Late(2.0), is_anything, 6),
}
SHORT_OF_TROUBLES = ("too many requests", "unavailable", "resets after the fact", "slow answers")
"""One of each way in which they are met: told to wait, refused, not known whether it was done, late."""


@pytest.mark.long
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_trouble_with_all_requests_passes_without_a_trace(
    request: pytest.FixtureRequest, world: World, trouble: str
) -> None:
    if trouble not in SHORT_OF_TROUBLES:
        request.getfixturevalue("in_full")
    deed, matches, seconds = TROUBLES[trouble]

    @contextmanager
    def fault(world: World) -> Iterator[Counter[str]]:
        with world.proxy.inflict(deed, matches) as inflicted:
            world.proxy.cut("reset")
            yield inflicted.struck

    # kopf asks nothing but watches, unless it begins anew.
    victims = (OURS,) if deed == Reset(after=True) else (KOPF, OURS)
    await live_through(world, Phase(fault, world.hold(seconds), victims=victims))


async def test_an_expired_token_is_replaced_by_the_one_that_is_written_next(world: World) -> None:
    expired: set[str] = set()
    fresh = service_account_kubeconfig(world.cluster, SYSTEM, "navarch")
    with world.proxy.inflict(Answer(401), lambda seen: seen.token in expired) as refused:

        @contextmanager
        def fault(world: World) -> Iterator[Counter[str]]:
            expired.add(world.proxy.token_file.read_text())
            world.proxy.cut("reset")
            yield refused.struck
            world.proxy.token_file.write_text(read_token(fresh))

        await live_through(world, Phase(fault, 4))


def read_token(kubeconfig: Path) -> str:
    return str(yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"])


async def test_a_discovery_that_fails_for_another_group_disturbs_nothing(world: World) -> None:
    group, version = "metrics.example.com", "v1beta1"
    service = {"namespace": "default", "name": "not-there"}
    api_service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}"},
        "spec": {
            "group": group,
            "version": version,
            "service": service,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
        },
    }
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    world.api.request("POST", path, api_service)

    def is_refused() -> bool:
        try:
            world.api.request("GET", f"/apis/{group}/{version}")
        except Refused as refused:
            return refused.code == 503
        return False

    @contextmanager
    def fault(world: World) -> Iterator[Counter[str]]:
        mark = len(world.proxy.requests)
        # kopf ends with this, and has to find out again what is served.
        struck = world.proxy.cut("error")
        yield struck
        wait_until(
            lambda: any(r.agent == KOPF and r.path == "/apis" for r in world.proxy.requests[mark:]),
            what="kopf asks what is served",
            seconds=HANGS,
        )

    try:
        await eventually(is_refused, seconds=30, what="the group is announced and does not answer")
        await live_through(world, Phase(fault, 4))
    finally:
        world.api.request("DELETE", f"{path}/{version}.{group}")


# --- the API server and etcd themselves ---------------------------------------------------------------------


def is_served(api: Api) -> bool:
    """Whether the API server is ready, and writes."""
    try:
        again = {"metadata": {"annotations": {"look": str(time.monotonic())}}}
        return api.request("GET", "/readyz") == "ok" and bool(api.patch("namespace", "", "default", again))
    except (Refused, HTTPError):
        return False


@contextmanager
def without_controllers(cluster: Cluster) -> Iterator[None]:
    """Kubernetes' own controllers start anew after the block. They would find their way back as well, but in
    up to a minute, and only they can say that a Deployment is as its spec."""
    with ExitStack() as stack:
        for daemon in CONTROLLERS:
            stack.enter_context(outages.without(cluster, daemon))
        yield


def wait_for_cluster(world: World) -> None:
    outages.wait_for_etcd(world.cluster)
    wait_until(lambda: is_served(world.api), what="the API server is back", seconds=HANGS)


@pytest.mark.parametrize("daemon", ["kube-apiserver", "etcd"])
async def test_a_control_plane_that_was_away_is_followed_again(world: World, daemon: str) -> None:
    @contextmanager
    def fault(world: World) -> Iterator[Counter[str]]:
        mark, begun = len(world.proxy.requests), time.monotonic()
        with without_controllers(world.cluster):
            with outages.without(world.cluster, daemon):
                lasts = world.hold(5.0)
                wait_until(lambda: time.monotonic() > begun + lasts, what="it is away", seconds=HANGS)
            struck = Counter(seen.agent for seen in world.proxy.requests[mark:])
            # What happens next, happens while the operator finds its way back.
            wait_for_cluster(world)
        yield struck

    await live_through(world, Phase(fault, 6, victims=(OURS,)))


async def test_an_etcd_that_has_forgotten_what_happened_leaves_no_ghosts(world: World) -> None:
    @contextmanager
    def fault(world: World) -> Iterator[Counter[str]]:
        with world.proxy.inflict(Reset()) as cut_off:
            world.proxy.cut("reset")
            yield cut_off.struck
            # The API server remembers the last minutes by itself, so it has to go as well.
            outages.compact(world.cluster)
            with without_controllers(world.cluster):
                with outages.without(world.cluster, "kube-apiserver"):
                    pass
                wait_for_cluster(world)

    mark = len(world.proxy.requests)
    await live_through(world, Phase(fault, 4))
    lists = {
        seen.path for seen in world.proxy.requests[mark:] if "limit" in seen.query and seen.agent == OURS
    }
    assert len(lists) > 15, "what could not be told by events was listed anew"


# --- webhooks ---------------------------------------------------------------------------------------------


async def test_an_api_server_that_missed_a_change_of_the_injector_is_made_to_read_it_again(
    world: World,
) -> None:
    """What kube-apiserver 1.37.2 says in one of about nine hundred changes of a webhook, and for good until
    the webhook changes again: here the proxy says it."""
    words = (
        'Internal error occurred: failed calling webhook "rev.object.sidecar-injector.istio.io": failed to '
        "call webhook: tls: failed to verify certificate: x509: certificate signed by unknown authority"
    )
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "InternalError"}
    stale = Answer(500, body=json.dumps({**status, "message": words, "code": 500}).encode())

    edit(world.api, KEPT, defaultTag=None)

    def find_injector() -> Object:
        labels = f"mesh.navarch.io/mesh-namespace={KEPT},istio.io/tag"
        (found,) = world.api.list("mwc", labels=labels)
        return found

    def read_reread() -> Any:
        return (find_injector()["metadata"].get("annotations") or {}).get("mesh.navarch.io/reread")

    def is_probe(seen: Seen) -> bool:
        return (
            seen.method == "POST"
            and seen.path.endswith("/pods")
            and "dryRun" in seen.query
            and read_reread() is None
        )

    await eventually(lambda: is_ready(world.api, KEPT), seconds=BOUND, every=0.1)
    await wait_for_rest(world.operator)
    assert read_reread() is None
    blank = {"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}
    with world.proxy.inflict(stale, is_probe) as inflicted:
        world.api.patch("mwc", "", find_injector()["metadata"]["name"], [blank])
        await eventually(
            lambda: inflicted.struck[OURS] > 0, seconds=BOUND, what="istiod wrote its root, and it is proved"
        )
        await eventually(
            lambda: (
                read_condition(world.api.get("mesh", KEPT, "demo"), "InjectionReady")["reason"]
                == "InjectionFailed"
            ),
            seconds=BOUND,
            every=0.1,
            what="it is told",
        )
        mark = world.audit.mark()
        await eventually(read_reread, seconds=BOUND, every=0.2, what="the webhook is written again")
    await eventually(lambda: is_ready(world.api, KEPT), seconds=BOUND, every=0.1)
    await wait_for_rest(world.operator)
    written = [w.name for w in world.audit.writes(mark) if w.resource == "mutatingwebhookconfigurations"]
    assert written == [find_injector()["metadata"]["name"]], "once, and never taken back"
    await assert_quiet(world.api, world.audit, world.operator, KEPT, "demo")


# --- liveness ---------------------------------------------------------------------------------------------


async def see_death_and_recovery(
    world: World, trouble: AbstractContextManager[Any], *, words: str, holds: int = 1
) -> None:
    """/livez says what is dead, while it is (and `holds` seconds on), and is content when it lives again."""
    pid = world.operator.pid
    assert world.operator.fetch("/livez") == (200, "ok")
    with trouble:
        await eventually(
            lambda: world.operator.fetch("/livez")[0] == 503, seconds=BOUND, every=0.2, what=f"dead: {words}"
        )
        # What is dead does not live again for a moment while it is tried again.
        for _ in range(holds):
            code, told = world.operator.fetch("/livez")
            assert (code, len(told.splitlines())) == (503, 1), told
            assert words in told
            await asyncio.sleep(1)
    await eventually(lambda: world.operator.fetch("/livez")[0] == 200, seconds=BOUND, every=0.2, what="alive")
    assert (world.operator.is_running(), world.operator.pid) == (True, pid)
    await wait_for_rest(world.operator)
    await assert_quiet(world.api, world.audit, world.operator, KEPT, "demo")


async def test_one_watch_that_is_silent_while_others_are_heard_is_a_death(impatient: World) -> None:
    def is_of_deployments(seen: Seen) -> bool:
        return seen.is_watch and seen.path.endswith("/deployments")

    await see_death_and_recovery(
        impatient, impatient.proxy.silence(is_of_deployments), words="watch Deployment has been silent"
    )


async def test_a_kopf_that_never_lasts_is_started_anew_and_fails_no_probe(impatient: World) -> None:
    def is_list_of_kopf(seen: Seen) -> bool:
        return seen.agent == KOPF and seen.path.endswith("/meshcontrolplanes")

    pid = impatient.operator.pid
    with impatient.proxy.inflict(Answer(404, body=b"404 page not found\n"), is_list_of_kopf) as hit:
        impatient.proxy.cut("gone", lambda seen: seen.agent == KOPF)
        await eventually(lambda: hit.struck[KOPF] > 1, seconds=BOUND, every=0.2, what="a new kopf")
        assert impatient.operator.fetch("/livez") == (200, "ok")
        edit(impatient.api, KEPT, meshConfig={"accessLogFormat": "without kopf"})
        await eventually(lambda: is_ready(impatient.api, KEPT), seconds=BOUND, every=0.1, what="the edit")
        assert impatient.operator.fetch("/livez") == (200, "ok")
    assert (impatient.operator.is_running(), impatient.operator.pid) == (True, pid)
    await wait_for_watches(impatient)
    await assert_quiet(impatient.api, impatient.audit, impatient.operator, KEPT, "demo")


async def test_workers_that_stand_still_are_a_death(impatient: World) -> None:
    def is_of_a_worker(seen: Seen) -> bool:
        return seen.agent == OURS and not seen.is_watch and not seen.is_lease and "limit" not in seen.query

    @contextmanager
    def trouble() -> Iterator[None]:
        again = {"metadata": {"annotations": {"look": "again"}}}
        # Late by more than a busy machine takes to bring the next event: the other key waits for STUCK then.
        with impatient.proxy.inflict(Late(4 * STUCK), is_of_a_worker) as stuck:
            impatient.api.patch("mesh", KEPT, "demo", again)
            wait_until(lambda: stuck.struck[OURS] > 0, what="a worker waits", seconds=HANGS)
            # The revision shares its lane with the mesh, and has to wait for it.
            impatient.api.delete("configmap", KEPT, f"values-{KEPT}-demo-inplace")
            yield

    await see_death_and_recovery(impatient, trouble(), words="a key has been waiting for a worker")


async def test_either_watch_of_a_mesh_is_enough(world: World) -> None:
    """kopf's and our own: while one is silent, edits are acted on because of the other."""
    for number, deaf in enumerate((KOPF, OURS)):

        def is_deaf(seen: Seen) -> bool:
            return seen.is_watch and seen.path.endswith("/meshcontrolplanes") and seen.agent == deaf  # noqa: B023

        with world.proxy.silence(is_deaf) as silenced:
            await eventually(lambda: silenced[deaf] > 0, what=f"{deaf} hears nothing")  # noqa: B023
            edit(world.api, KEPT, meshConfig={"accessLogFormat": f"either {number}."})

            def has_arrived() -> bool:
                config = world.api.get("configmap", KEPT, f"istio-{KEPT}-demo-inplace") or {}
                return f"either {number}." in (config.get("data") or {}).get("mesh", "")  # noqa: B023

            await eventually(has_arrived, seconds=BOUND, every=0.05, what=f"without {deaf}")
    await eventually(lambda: is_ready(world.api, KEPT), seconds=BOUND, every=0.2)
