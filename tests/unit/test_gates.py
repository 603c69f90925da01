"""Gates of a rollout: what an answer says, how a gate follows its answers, what is asked of whom, and what
that means for the restarts and for the way back."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from navarch.api.dataplane import DataPlane, Window
from navarch.api.gates import Gates, Prometheus, Query, Webhook
from navarch.core.rollout.answers import Counts, judge_proxies, judge_query, judge_webhook, read_proxy
from navarch.core.rollout.gates import (
    FRESH,
    INTERVAL,
    SETTLED,
    SOONER,
    Gate,
    GateState,
    Reading,
    find_lasting_failure,
    follow,
    read_gate,
)
from navarch.core.rollout.observed import ObservedRollout, Workloads
from navarch.core.rollout.plan import Phase, RolloutPlan, plan_rollout
from navarch.core.rollout.questions import Questions, find_questions
from navarch.core.rollout.status import summarise_rollout
from navarch.core.world.proxies import ProxyPod
from navarch.core.world.rollable import Rollable
from navarch.gather.gates import ANSWER_BYTES, AT_ONCE, Gatekeeper, sum_counters
from navarch.kube.client import Client

from tests.polling import eventually
from tests.unit.test_kube_transport import serving

OLD, NEW = "1.30.1-aaaa", "1.31.1-bbbb"
NOW = "2026-11-30T12:00:00+00:00"
PASSED, FAILED, UNKNOWN = GateState.PASSED, GateState.FAILED, GateState.UNKNOWN
TAKEN = (
    "envoy_cluster_manager_cds_update_success {taken}\nenvoy_listener_manager_lds_update_success {taken}\n"
)
REFUSED = "envoy_listener_manager_lds_update_rejected {refused}\n"


# --- how a gate follows what is read --------------------------------------------------------------------


def tread(*readings: tuple[float, GateState]) -> Gate:
    gate: Gate | None = None
    for at, state in readings:
        gate = follow(gate, Reading("g", state, f"said at {at:g}"), at)
    assert gate is not None
    return gate


def test_a_gate_that_failed_has_to_be_passed_for_a_while() -> None:
    assert tread((0, PASSED)).state is PASSED
    assert tread((0, UNKNOWN), (10, PASSED)).state is PASSED
    soon = tread((0, FAILED), (10, PASSED), (10 + SETTLED - 1, PASSED))
    assert (soon.state, soon.message) == (FAILED, "said at 0")
    assert tread((0, FAILED), (10, PASSED), (10 + SETTLED, PASSED)).state is PASSED


def test_a_gate_that_flaps_stays_failed() -> None:
    flaps = [(float(at), FAILED if at % 40 == 0 else PASSED) for at in range(0, 400, 10)]
    assert {tread(*flaps[: i + 1]).state for i in range(len(flaps))} == {FAILED}


def test_what_does_not_answer_is_neither_passed_nor_a_reason_to_go_back() -> None:
    policy = DataPlane(on_failure="Rollback")
    failing = tread((0, FAILED), (SETTLED, FAILED))
    assert find_lasting_failure(policy, [failing]) is failing
    assert find_lasting_failure(DataPlane(), [failing]) is None, "onFailure is Halt unless it is said"
    silent = tread((0, FAILED), (SETTLED, UNKNOWN))
    assert (silent.state, find_lasting_failure(policy, [silent])) == (FAILED, None)
    assert find_lasting_failure(policy, [tread((0, FAILED), (10, UNKNOWN), (SETTLED + 5, FAILED))]) is None
    assert find_lasting_failure(policy, [tread((0, FAILED), (SETTLED - 1, FAILED))]) is None
    assert find_lasting_failure(policy, [tread((0, UNKNOWN), (500, UNKNOWN))]) is None


def test_what_was_said_long_ago_is_not_known() -> None:
    passed = tread((0, PASSED))
    assert read_gate(passed, "g", FRESH) is passed
    assert read_gate(passed, "g", FRESH + 1).state is UNKNOWN
    assert read_gate(None, "g", 0).state is UNKNOWN


# --- what an answer says --------------------------------------------------------------------------------


def count(taken: int, refused: int = 0, before: Counts | None = None) -> Counts:
    text = TAKEN.format(taken=taken) + (REFUSED.format(refused=refused) if refused else "")
    return read_proxy(sum_counters(text, "envoy_"), before)


def test_a_proxy_refuses_until_it_has_taken_something_again() -> None:
    first = count(3, refused=1)
    assert first.refusing == {"listeners"}
    again = count(3, refused=1, before=first)
    assert again.refusing == {"listeners"}
    mended = count(4, refused=1, before=again)
    assert not mended.refusing
    assert not count(4, refused=1, before=mended).refusing
    assert count(4, refused=2, before=mended).refusing == {"listeners"}


def test_the_gate_of_the_proxies_names_who_refuses_who_waits_and_which_istiod_counts() -> None:
    well, waiting = count(1), count(0)
    assert judge_proxies({"Pod a/x": well}, [], []).state is PASSED
    refused = judge_proxies(
        {"Pod a/x": count(1, refused=2), "Pod a/y": waiting}, ["Pod a/z did not answer"], []
    )
    assert (refused.state, refused.message) == (FAILED, "Pod a/x refuses its listeners")
    unread = judge_proxies({"Pod a/y": waiting}, ["Pod a/z did not answer: 503"], [])
    assert unread.state is UNKNOWN
    assert unread.message == "Pod a/y has no configuration yet; Pod a/z did not answer: 503"
    assert judge_proxies({"Pod a/y": waiting}, [], [], starting={"Pod a/y"}).state is PASSED
    assert judge_proxies({"Pod a/x": well}, [], ["Pod i/istiod counts 2 more"]).state is FAILED


def test_counters_are_summed_over_their_labels_and_nothing_else_is_read() -> None:
    text = 'pilot_total_xds_rejects{type="cds"} 2\npilot_total_xds_rejects{type="lds"} 3\n# {{{\ngo_x{ 7\n'
    assert sum_counters(text, "pilot_total_xds_rejects") == {"pilot_total_xds_rejects": 5}
    assert sum_counters("<html>", "pilot_total_xds_rejects") == {}
    with pytest.raises(ValueError, match="could not convert"):
        sum_counters('x_a{b="c" 1\n', "x_a")


def vector(*values: str, **labels: str) -> str:
    result = [{"metric": labels, "value": [1.5, value]} for value in values]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


SCALAR = json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [1.5, "0.99"]}})
MATRIX = json.dumps(
    {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": []}]}}
)
REFUSAL = json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error: unexpected end"})


@pytest.mark.parametrize(
    ("bounds", "answer", "state", "word"),
    [
        ({"min": "0.99"}, SCALAR, PASSED, ""),
        ({"min": "0.995"}, SCALAR, FAILED, "0.99 is less than 0.995"),
        ({"max": "250"}, vector("250", "251.5", app="web"), FAILED, '251.5 (app="web") is more than 250'),
        ({"min": "1", "max": "3"}, vector("1", "2", "3"), PASSED, ""),
        ({"min": "-1"}, vector("-2"), FAILED, "-2 is less than -1"),
        ({"max": "5"}, vector("+Inf"), FAILED, "+Inf is more than 5"),
        ({"min": "1"}, vector("NaN"), UNKNOWN, "NaN"),
        ({"min": "1"}, vector("NaN", "0"), FAILED, "0 is less than 1"),
        ({"min": "1"}, vector(), UNKNOWN, "no value"),
        ({"min": "1"}, REFUSAL, UNKNOWN, "bad_data: parse error"),
        ({"min": "1"}, MATRIX, UNKNOWN, "not Prometheus's"),
        ({"min": "1"}, "<html>no such page</html>", UNKNOWN, "no such page"),
        ({"min": "1"}, "[]", UNKNOWN, "not Prometheus's"),
        ({"min": "1"}, "null", UNKNOWN, "not Prometheus's"),
        ({"min": "1"}, "[" * 100_000, UNKNOWN, "not Prometheus's"),
        ({"min": "1"}, SCALAR.replace('"0.99"', "9" * 4000), UNKNOWN, "not Prometheus's"),
        ({"min": "1"}, vector("lots"), UNKNOWN, "not Prometheus's"),
    ],
)
def test_what_a_prometheus_says(bounds: dict[str, str], answer: str, state: GateState, word: str) -> None:
    found = judge_query(Query(name="q", query="up", **bounds), 200, answer)
    assert (found.name, found.state) == ("query/q", state)
    assert word in found.message


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (200, PASSED),
        (204, PASSED),
        (302, UNKNOWN),
        (403, FAILED),
        (404, FAILED),
        (503, UNKNOWN),
        (429, UNKNOWN),
        (408, UNKNOWN),
    ],
)
def test_what_a_webhook_says(status: int, state: GateState) -> None:
    found = judge_webhook(Webhook(name="w", url="http://x"), status, " not\ntoday ")
    assert (found.name, found.state) == ("webhook/w", state)
    assert ("not\ntoday" in found.message) == (state is not PASSED)


# --- what is asked, and what it means for restarts ------------------------------------------------------


def workload(namespace: str, **changes: Any) -> Rollable:
    return replace(Rollable("Deployment", namespace, "web", f"uid-{namespace}", rolled=True), **changes)


DONE = {"restarted_for": NEW, "restarted_at": "2026-11-30T11:50:00Z"}
POLICY = DataPlane(mode="Managed", waves=1, max_unavailable=5, soak_seconds=0)


def observe(
    moved: tuple[str, ...] = ("a",), *, waiting: tuple[str, ...] = ("b",), **changes: Any
) -> ObservedRollout:
    """A rollout in which the workloads of `moved` namespaces were restarted and those of others were not."""
    workloads = (*(workload(ns, **DONE) for ns in moved), *(workload(ns) for ns in waiting))
    pods = tuple(
        ProxyPod(w.namespace, "web-1", "mesh", NEW if w.restarted_for else OLD, owner="Deployment/web")
        for w in workloads
    )
    seen = ObservedRollout("uid", POLICY, NEW, "mesh", NOW, pods, Workloads(workloads))
    return replace(seen, **changes)


def ask(observed: ObservedRollout) -> Questions | None:
    return find_questions(observed, mesh=("shop", "demo"), home="shop")


def test_nobody_is_asked_before_the_first_restart_after_the_last_nor_on_the_way_back() -> None:
    assert ask(observe((), waiting=("a", "b"))) is None
    assert ask(observe(("a", "b"), waiting=())) is None
    assert ask(observe(returning=True)) is None
    assert ask(observe(workloads=Workloads(gap="not known"))) is None
    assert ask(observe(policy=replace_policy(gates=Gates(proxies="Ignored")))) is None
    asked = ask(observe(("a", "c")))
    assert asked is not None
    assert asked.list_names() == ["proxies"]
    assert [pod.namespace for pod in asked.pods or ()] == ["a", "c"]
    assert (asked.namespaces, asked.wave, asked.waves) == (("a", "c"), 1, 1)


def test_whoever_opts_out_after_a_restart_is_asked_no_more() -> None:
    seen = observe(("a", "c"))
    left = (replace(seen.workloads.rollables[0], order="Never"), *seen.workloads.rollables[1:])
    for changed in (replace(seen, workloads=Workloads(left)), replace(seen, orders={"a": "Never"})):
        asked = ask(changed)
        assert asked is not None
        assert [pod.namespace for pod in asked.pods or ()] == ["c"]
        assert asked.namespaces == ("c",)


def replace_policy(**changes: Any) -> DataPlane:
    return POLICY.model_copy(update=changes)


def test_of_a_workload_that_is_still_rolled_out_no_configuration_is_expected() -> None:
    seen = observe()
    begun = (workload("a", **DONE | {"rolled": False}), *seen.workloads.rollables[1:])
    asked = ask(replace(seen, workloads=Workloads(begun)))
    assert asked is not None
    assert asked.starting == {("a", "web-1")}


def plan(state: GateState | None, **changes: Any) -> RolloutPlan:
    gates = (Gate("query/errors", state, "0.2 is more than 0.01"),) if state is not None else ()
    return plan_rollout(observe(gates=gates, **changes))


def test_restarts_wait_for_their_gates_and_status_names_the_one_that_keeps_them() -> None:
    assert [r.ref.namespace for r in plan(None).restarts] == ["b"]
    passed = plan(PASSED)
    assert [r.ref.namespace for r in passed.restarts] == ["b"]
    assert passed.requeue_after == INTERVAL
    failed = plan(FAILED)
    assert (failed.phase, failed.restarts) == (Phase.HALTED, ())
    assert failed.why[0] == "gate query/errors: 0.2 is more than 0.01"
    unknown = plan(UNKNOWN)
    assert (unknown.phase, unknown.restarts) == (Phase.WAITING, ())
    assert unknown.requeue_after == 1
    gates = (Gate("query/errors", FAILED, "0.2 is more than 0.01"), Gate("proxies", PASSED))
    assert summarise_rollout(failed, target=NEW, since="", gates=gates)["gates"] == [
        {"name": "query/errors", "state": "Failed", "message": "0.2 is more than 0.01"},
        {"name": "proxies", "state": "Passed"},
    ]


def test_a_failed_gate_is_told_although_the_rollout_is_paused_or_out_of_its_windows() -> None:
    assert plan(FAILED, policy=replace_policy(pause=True)).phase is Phase.HALTED
    assert plan(FAILED, hindrance="the control plane is being rolled out").phase is Phase.HALTED
    assert plan(UNKNOWN, policy=replace_policy(pause=True)).phase is Phase.PAUSED


@pytest.mark.parametrize(
    ("order", "gates", "held"),
    [("", Gates(), True), ("Never", Gates(), False), ("", Gates(workloads="Ignored"), False)],
)
def test_a_workload_that_loses_pods_after_its_restart_is_waited_for(
    order: str, gates: Gates, held: bool
) -> None:
    seen = observe()
    moved = replace(seen.workloads.rollables[0], lacking=True, order=order)
    workloads = Workloads((moved, *seen.workloads.rollables[1:]))
    found = plan_rollout(replace(seen, workloads=workloads, policy=replace_policy(gates=gates)))
    assert (found.phase is Phase.WAITING, not found.restarts) == (held, held)
    assert not held or "Deployment a/web" in found.why[0]


def test_the_way_back_waits_for_no_window_and_no_soaking() -> None:
    closed = Window(start="03:00", duration_minutes=1, time_zone="Nowhere/Atall")
    policy = replace_policy(windows=[closed], soak_seconds=600, waves=20)
    assert plan(None, policy=policy).restarts == ()
    back = plan(None, policy=policy, returning=True)
    assert [r.ref.namespace for r in back.restarts] == ["b"]


def test_on_the_way_back_a_restart_for_what_was_given_up_is_not_waited_for() -> None:
    going = workload("a", restarted_for=OLD, restarted_at="2026-11-30T11:59:00Z", rolled=False)
    seen = observe((), waiting=())
    pod = ProxyPod("a", "web-1", "mesh", OLD, owner="Deployment/web")
    seen = replace(seen, workloads=Workloads((going,)), pods=(pod,))
    assert plan_rollout(seen).restarts == ()
    assert [r.ref.namespace for r in plan_rollout(replace(seen, returning=True)).restarts] == ["a"]


# --- asking ---------------------------------------------------------------------------------------------


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Mesh:
    """Proxies, istiods and an API server in front of them, as the counters say."""

    def __init__(self) -> None:
        self.rejects, self.away = 0, False
        self.refused: dict[str, int] = {}
        self.taken: dict[str, int] = {}
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path.endswith("/proxy/metrics") and self.away:
            return web.Response(status=503, text="error trying to reach service")
        if request.path.endswith("/proxy/metrics"):
            return web.Response(text=f'pilot_total_xds_rejects{{type="lds"}} {self.rejects}\npilot_xds 4\n')
        if "/proxy/" in request.path:
            assert request.query["filter"].startswith("^(cluster_manager")
            pod = request.path.split("/pods/")[1].split(":")[0]
            if pod not in self.taken:
                return web.Response(status=503, text="error trying to reach service: connection refused")
            text = TAKEN.format(taken=self.taken[pod]) + REFUSED.format(refused=self.refused.get(pod, 0))
            return web.Response(text=text)
        assert request.query["labelSelector"] == "app=istiod,istio.io/rev=mesh"
        items = [{"metadata": {"name": "istiod-1", "namespace": "shop", "uid": "u1"}}]
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})


class Asker:
    """A Gatekeeper whose rounds a test waits for."""

    def __init__(self, client: Client) -> None:
        self.clock = Clock()
        self.keeper = Gatekeeper(client, clock=self.clock)

    async def read(self, questions: Questions, *, later: float = INTERVAL) -> dict[str, Gate]:
        """The gates after one more round, `later` seconds after the one before."""
        self.clock.now += later
        self.keeper.read("uid", questions)
        for task in [t for t in asyncio.all_tasks() if t.get_name() == "gates of uid"]:
            await task
        return {gate.name: gate for gate in self.keeper.read("uid", questions)}


@asynccontextmanager
async def asking(tmp_path: Path, mesh: Mesh) -> AsyncIterator[Asker]:
    async with serving(tmp_path, mesh.answer) as credentials, Client(credentials) as client:
        yield Asker(client)


def questions(*pods: str, **changes: Any) -> Questions:
    proxies = tuple(ProxyPod("a", pod, "mesh", NEW, owner="Deployment/web") for pod in pods)
    asked = Questions(NEW, ("shop", "demo"), 1, 4, "shop", "mesh", proxies, ("a", "c"))
    return replace(asked, **changes)


FOREVER = "envoy_cluster_manager_cds_update_success{" + ",".join(f'a{i}="x"' for i in range(9000)) + "} 1\n"


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (lambda: web.Response(status=302, headers={"Location": "../" * 9 + "api/v1/secrets"}), "redirect"),
        (lambda: web.Response(status=307, headers={"Location": "/api/v1/secrets"}), "redirect"),
        (lambda: web.Response(text=FOREVER), "longer than"),
        (lambda: web.Response(status=500, text="[" * 50_000), "did not answer"),
        (lambda: web.Response(text="[" * 50_000, content_type="application/json"), "did not answer"),
        (lambda: web.Response(text="\x00{{{"), "no configuration yet"),
    ],
)
async def test_a_pod_in_place_of_a_proxy_can_do_nothing_but_keep_its_gate_closed(
    tmp_path: Path, answer: Callable[[], web.Response], word: str
) -> None:
    mesh, asked = Mesh(), list[str]()
    mesh.taken = {"well": 1}

    async def stand_in(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return answer() if "/pods/odd:15090/" in request.path else await mesh.answer(request)

    async with serving(tmp_path, stand_in) as credentials, Client(credentials) as client:
        found = (await Asker(client).read(questions("odd", "well")))["proxies"]
    assert found.state is UNKNOWN
    assert word in found.message
    assert len([path for path in asked if "/proxy/stats/" in path]) == 2
    assert "/api/v1/secrets" not in asked, "it has no request sent in the operator's name"


async def test_pods_of_one_mesh_that_do_not_answer_keep_no_other_mesh_waiting(tmp_path: Path) -> None:
    mesh, go_on, held = Mesh(), asyncio.Event(), list[str]()
    mesh.taken = {"x": 1}

    async def stand_in(request: web.Request) -> web.StreamResponse:
        if "/pods/slow-" in request.path:
            held.append(request.path)
            await go_on.wait()
        return await mesh.answer(request)

    async with serving(tmp_path, stand_in) as credentials, Client(credentials) as client:
        asker = Asker(client)
        asker.keeper.read("theirs", questions(*(f"slow-{i}" for i in range(AT_ONCE))))
        await eventually(lambda: len(held) == AT_ONCE, what="all are asked")
        assert (await asker.read(questions("x")))["proxies"].state is PASSED
        go_on.set()
        asker.keeper.forget("theirs")


async def test_proxies_are_asked_until_they_have_their_configuration_and_again_when_istiod_counts_refusals(
    tmp_path: Path,
) -> None:
    mesh = Mesh()
    async with asking(tmp_path, mesh) as asker:
        assert (await asker.read(questions("x", "y")))["proxies"].state is UNKNOWN
        mesh.taken = {"x": 1, "y": 0}
        waiting = (await asker.read(questions("x", "y")))["proxies"]
        assert (waiting.state, waiting.message) == (UNKNOWN, "Pod a/y has no configuration yet")
        mesh.taken["y"] = 1
        assert (await asker.read(questions("x", "y")))["proxies"].state is PASSED
        mesh.asked.clear()
        assert (await asker.read(questions("x", "y")))["proxies"].state is PASSED
        assert [path.rpartition("/")[2] for path in mesh.asked] == ["pods", "metrics"], "one for each istiod"
        mesh.rejects, mesh.refused["x"] = 2, 2
        refused = (await asker.read(questions("x", "y")))["proxies"]
        assert refused.state is FAILED
        assert "Pod a/x refuses its listeners" in refused.message
        assert "Pod shop/istiod-1 counts 2 more refusals" in refused.message


async def test_what_istiod_counts_while_it_does_not_answer_is_found_when_it_does(tmp_path: Path) -> None:
    mesh = Mesh()
    mesh.taken = {"x": 1}
    async with asking(tmp_path, mesh) as asker:
        assert (await asker.read(questions("x")))["proxies"].state is PASSED
        mesh.away, mesh.rejects = True, 3
        assert (await asker.read(questions("x")))["proxies"].state is UNKNOWN
        mesh.away = False
        found = (await asker.read(questions("x")))["proxies"]
    assert (found.state, "3 more refusals" in found.message) == (FAILED, True)


async def test_who_takes_long_keeps_no_other_answer_from_counting(tmp_path: Path) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/slow":
            asked.set()
            await go_on.wait()
        return web.Response()

    async with listening(answer) as url, asking(tmp_path, Mesh()) as asker:
        hooks = tuple(
            Webhook(name=name, url=f"{url}/{name}", timeout_seconds=30) for name in ("slow", "quick")
        )
        wanted = questions(pods=None, webhooks=hooks)
        round_ = asyncio.create_task(asker.read(wanted))
        await asyncio.wait_for(asked.wait(), 60)

        def is_known() -> bool:
            known = {gate.name: gate.state for gate in asker.keeper.read("uid", wanted)}
            return known == {"webhook/slow": UNKNOWN, "webhook/quick": PASSED}

        await eventually(is_known, what="the quick one's answer counts")
        go_on.set()
        assert {gate.state for gate in (await round_).values()} == {PASSED}


async def test_a_proxy_that_was_not_asked_yet_lets_nothing_pass_and_is_asked_sooner(tmp_path: Path) -> None:
    mesh = Mesh()
    mesh.taken = {"x": 1, "z": 1}
    async with asking(tmp_path, mesh) as asker:
        assert (await asker.read(questions("x")))["proxies"].state is PASSED
        before = len(mesh.asked)
        told = asker.keeper.read("uid", questions("x", "z"))
        assert [(gate.state, gate.message) for gate in told] == [(UNKNOWN, "Pod a/z was not asked yet")]
        assert (await asker.read(questions("x"), later=SOONER))["proxies"].state is PASSED
        assert len(mesh.asked) == before, "nothing new: nobody is asked"
        assert (await asker.read(questions("x", "z"), later=0))["proxies"].state is PASSED
        assert len(mesh.asked) > before


async def test_what_is_known_goes_with_the_target_and_nothing_is_asked_twice_at_once(tmp_path: Path) -> None:
    mesh = Mesh()
    mesh.taken = {"x": 1}
    async with asking(tmp_path, mesh) as asker:
        for _ in range(5):
            asker.clock.now += INTERVAL
            asker.keeper.read("uid", questions("x"))
        assert len([t for t in asyncio.all_tasks() if t.get_name() == "gates of uid"]) == 1
        assert (await asker.read(questions("x")))["proxies"].state is PASSED
        (other,) = asker.keeper.read("uid", questions("x", target="another"))
        assert other.state is UNKNOWN
        assert asker.keeper.read("uid", None) == ()


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[str]:
    """A server on loopback that answers so; gives its address."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_webhook_is_told_what_moves_and_a_query_of_which_namespaces(tmp_path: Path) -> None:
    heard: list[Any] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/prometheus/api/v1/query":
            heard.append((await request.post())["query"])
            return web.Response(text=SCALAR)
        heard.append(await request.json())
        return web.Response(status=403, text="frozen until Monday")

    async with listening(answer) as url, asking(tmp_path, Mesh()) as asker:
        query = Query(name="success", query='rate(x{namespace=~"$(NAMESPACES)"}[1m])', min="0.9")
        asked = questions(
            pods=None,
            prometheus=Prometheus(url=f"{url}/prometheus/", queries=[query]),
            webhooks=(Webhook(name="board", url=f"{url}/may?x=1"),),
        )
        gates = await asker.read(asked)
    assert (gates["query/success"].state, gates["webhook/board"].state) == (PASSED, FAILED)
    assert gates["webhook/board"].message == "it answered 403: frozen until Monday"
    assert 'rate(x{namespace=~"a|c"}[1m])' in heard
    mesh = {"namespace": "shop", "name": "demo"}
    assert {"mesh": mesh, "target": NEW, "wave": 1, "waves": 4, "namespaces": ["a", "c"]} in heard


async def test_who_does_not_answer_sends_elsewhere_or_talks_for_ever_lets_nothing_pass(
    tmp_path: Path,
) -> None:
    reached: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        reached.append(request.path)
        if request.path == "/moved":
            raise web.HTTPFound("/yes")
        if request.path == "/long":
            return web.Response(body=b"x" * (ANSWER_BYTES + 1))
        if request.path == "/never":
            await asyncio.sleep(30)
        return web.Response()

    pem = base64.b64encode(b"no certificate").decode()
    async with listening(answer) as url, asking(tmp_path, Mesh()) as asker:
        hooks = [
            Webhook(name=name, url=f"{url}/{name}", timeout_seconds=seconds)
            for name, seconds in (("moved", 30), ("long", 30), ("never", 1))
        ]
        hooks += [Webhook(name="nobody", url="http://127.0.0.1:9", timeout_seconds=1)]
        hooks += [Webhook(name="trust", url=f"{url}/trust", ca_bundle=pem)]
        gates = await asker.read(questions(pods=None, webhooks=tuple(hooks)))
    assert {gate.state for gate in gates.values()} == {UNKNOWN}
    assert "/yes" not in reached
    assert "longer than" in gates["webhook/long"].message
    assert all("did not answer" in gates[f"webhook/{name}"].message for name in ("never", "nobody", "trust"))
