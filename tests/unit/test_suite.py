"""The run of all suites: what is run again, what is flaky, and what the last lines say."""

from __future__ import annotations

import contextlib
import fcntl
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from scripts.suite import results
from scripts.suite.__main__ import HOME, MOST_AGAIN, MOST_WORKERS, ROOT, Run, build_lanes, count_workers
from scripts.suite.parts import PARTS
from scripts.suite.protocol import FOLDER, UNTIL
from scripts.suite.results import LEFT, Case
from scripts.suite.steps import Ended, Step, build_pytest, run_lanes
from scripts.suite.support import is_whole
from tests.support import run as processes
from tests.support.operator import Operator

PASSES_AT_SECOND_TRY = """
from pathlib import Path

def test_of_the_weather():
    tries = Path("tries-of-the-weather")
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    assert tries.read_text() == "xx"
"""
FAILS = "def test_of_a_bug(): assert False\n"
PASSES = "def test_of_what_is_well(): pass\n"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout in which pytest writes down what the run must know, as in this one."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib -p no:cacheprovider\n")
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'operator'}")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p tests.conftest")
    return tmp_path


def carry_out(checkout: Path, files: dict[str, str]) -> Run:
    """A run of these test files."""
    for name, text in files.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text)
    run = Run(checkout / "run", [], serial=True)
    run.carry_out([[build_pytest("all", *files, parts=())]])
    return run


def test_only_tests_on_real_clusters_are_run_again_and_what_passes_then_is_flaky(checkout: Path) -> None:
    files = {
        "tests/cluster/test_a.py": PASSES_AT_SECOND_TRY,
        "tests/cluster/test_b.py": FAILS,
        "tests/unit/test_c.py": PASSES_AT_SECOND_TRY.replace("weather", "dice"),
        "tests/unit/test_d.py": PASSES,
    }
    run = carry_out(checkout, files)
    name = "tests/cluster/test_a.py::test_of_the_weather"
    assert (checkout / "tries-of-the-weather").read_text() == "xx"
    assert (checkout / "tries-of-the-dice").read_text() == "x"
    assert [test.name for test in run.flaky] == [name]
    assert not run.is_green, "one failed twice, and one that is never run again once"
    lines = results.build_summary([*run.tests.values()], run.flaky, ended=run.ended, seconds=1)
    assert [line for line in lines if line.startswith(("FAILED", "FLAKY"))] == [
        "FAILED tests/cluster/test_b.py::test_of_a_bug",
        "FAILED tests/unit/test_c.py::test_of_the_dice",
        f"FLAKY {name}",
    ]
    assert lines[-1] == "2 passed, 2 failed"
    for test in results.list_failed([*run.tests.values()]):
        del run.tests[test.name]
    assert run.is_green, "a flaky test is none that failed"
    results.note_flaky(checkout / "flaky.jsonl", run.flaky)
    results.note_flaky(checkout / "flaky.jsonl", run.flaky)
    assert results.read_flaky(checkout / "flaky.jsonl") == {name: 2}


def test_what_has_not_begun_in_time_is_left_out_and_told_and_counts_as_nothing_else(checkout: Path) -> None:
    files = {
        "tests/cluster/test_a.py": FAILS + PASSES,
        "tests/cluster/test_b.py": PASSES,
        "tests/unit/test_c.py": PASSES,
    }
    for name, text in files.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text)
    run = Run(checkout / "run", [], serial=True)
    late = {UNTIL: str(time.time() - 1)}
    in_time = {UNTIL: str(time.time() + 600)}
    steps = [
        build_pytest("light", "tests/cluster/test_a.py", parts=(), env=late),
        build_pytest("node", "tests/cluster/test_b.py", parts=(), env=in_time),
        build_pytest("unit", "tests/unit/test_c.py", parts=()),
    ]
    run.carry_out([steps])
    cases = [*run.tests.values()]
    assert {case.outcome for case in cases if case.file == "tests/cluster/test_a.py"} == {LEFT}
    assert [case.outcome for case in cases if case.file != "tests/cluster/test_a.py"] == ["passed"] * 2
    assert run.is_green
    assert not is_whole("tests/cluster/test_a.py", cases[:2], root=checkout)
    lines = results.build_summary(cases, [], ended=run.ended, seconds=1)
    assert "NOT RUN, since the time was over: 2 tests (without --minutes, `make test` runs them)" in lines
    assert "     2 of 2    tests/cluster/test_a.py" in lines
    assert lines[-1] == "2 passed, 0 failed, 2 skipped"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def test_what_has_begun_and_does_not_end_in_time_is_ended_and_is_no_failure(checkout: Path) -> None:
    begin = "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1)"
    text = f"{PASSES}def test_that_takes_long():\n    {begin}; child.wait()\n"
    (checkout / "tests/cluster").mkdir(parents=True)
    (checkout / "tests/cluster/test_a.py").write_text(text)
    step = build_pytest("light", "tests/cluster/test_a.py", parts=(), timed=True)
    (ended,) = run_lanes([[step]], folder=checkout / "run", cut_at=time.time() + 10)
    assert ended.cut
    knows = f"{FOLDER}={checkout / 'run'}".encode()
    assert not [p for p in Path("/proc").glob("[0-9]*/environ") if knows in _read(p)]
    cases = results.read_results(checkout / "run", ["light"], cut=True)
    assert {case.outcome for case in cases.values()} <= {"passed", LEFT}
    uncut = results.read_results(checkout / "run", ["light"])
    # Where it had not even begun there is no word of it.
    assert {case.outcome for case in uncut.values() if "takes_long" in case.name} <= {"failed"}


def test_what_always_runs_is_not_ended_by_the_time_of_a_run(tmp_path: Path) -> None:
    takes_longer = Step("unit", (sys.executable, "-c", "import time; time.sleep(1)"))
    (ended,) = run_lanes([[takes_longer]], folder=tmp_path, cut_at=time.time() - 1)
    assert (ended.code, ended.cut) == (0, False)
    phases = build_lanes([*PARTS], Run(tmp_path, [], serial=False, until=time.time()))
    steps = [step for lanes in phases for lane in lanes for step in lane]
    assert {step.name for step in steps if not step.timed} == {"unit", "packaging", "lint", "builds", "judge"}


def test_what_failed_on_a_lab_while_the_machine_was_not_fit_for_it_is_told_and_not_judged() -> None:
    slow = results.UNFIT_SECONDS + 1
    node = Case("tests/node/test_a.py::test_b", start=slow)
    fit = Case("tests/cluster/test_a.py::test_b", start=0.2)
    fast = Case("tests/unit/test_a.py::test_b", start=slow)
    compared = Case("tests/upstream/test_a.py::test_b", start=slow)
    results.leave_unjudged([node, fit, fast, compared])
    assert results.list_failed([node, fit, fast, compared]) == [fit, fast, compared]
    lines = results.build_summary([node, fit], [], ended=[], seconds=1)
    assert f"NOT JUDGED, since Python took {slow:.1f} s to start when it failed: {node.name}" in lines
    assert lines[-1] == "0 passed, 1 failed, 1 skipped"
    assert not is_whole("tests/node/test_a.py", [node])


def test_how_fit_the_machine_is_is_written_beside_a_failure(checkout: Path) -> None:
    run = carry_out(checkout, {"tests/unit/test_a.py": FAILS + PASSES})
    assert {case.name.rpartition("::")[2]: case.start > 0 for case in run.tests.values()} == {
        "test_of_a_bug": True,
        "test_of_what_is_well": False,
    }
    assert not run.is_green


def test_what_takes_least_comes_first_where_a_run_has_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints = tmp_path / "durations.json"
    hints.write_text(json.dumps({"tests/a.py": 1.0, "tests/b.py": 9.0}))

    def build(file: str, name: str) -> pytest.Item:
        return cast(pytest.Item, SimpleNamespace(nodeid=f"{file}::{name}", name=name))

    items = [build("tests/a.py", "1"), build("tests/b.py", "2"), build("tests/a.py", "3")]
    processes.sort_by_duration(items, hints=hints, in_workers=True)
    assert [item.name for item in items] == ["2", "1", "3"]
    monkeypatch.setenv(UNTIL, "0")
    processes.sort_by_duration(items, hints=hints, in_workers=False)
    assert [item.name for item in items] == ["1", "3", "2"]


@pytest.mark.parametrize(
    ("worker", "load", "waits"), [("gw0", 99, False), ("gw1", 19, False), ("gw2", 15, True)]
)
def test_a_later_worker_waits_for_a_machine_with_room(
    worker: str, load: float, waits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    waited: list[float] = []
    loads = iter([load, load, 1.0, 1.0])
    monkeypatch.setattr(processes.os, "getloadavg", lambda: (next(loads), 0.0, 0.0))
    monkeypatch.setattr(processes.time, "sleep", waited.append)
    processes.await_room()
    assert bool(waited) == waits


def test_a_test_whose_process_dies_has_failed(checkout: Path) -> None:
    dies = "import os\ndef test_that_kills_its_process(): os._exit(0)\n"
    run = carry_out(checkout, {"tests/unit/test_a.py": dies})
    assert [(t.outcome, t.why) for t in run.tests.values()] == [("failed", "it began and never ended")]
    assert not run.is_green


def test_a_file_that_cannot_be_read_fails_the_run(checkout: Path) -> None:
    assert not carry_out(checkout, {"tests/unit/test_a.py": "import no_such_module\n"}).is_green


def write(folder: Path, step: str, *entries: dict[str, object]) -> None:
    lines = "".join(json.dumps(entry) + "\n" for entry in entries)
    (folder / f"results-{step}.jsonl").write_text(lines)


def test_a_fixture_that_fails_after_its_test_fails_it(tmp_path: Path) -> None:
    test = {"test": "tests/cluster/test_a.py::test_b", "seconds": 1}
    write(
        tmp_path,
        "light",
        {**test, "when": "start"},
        {**test, "when": "setup", "outcome": "passed"},
        {**test, "when": "call", "outcome": "passed"},
        {**test, "when": "teardown", "outcome": "failed", "why": "not quiet", "cpu": 2},
    )
    (found,) = results.read_results(tmp_path, ["light"]).values()
    assert (found.outcome, found.why, found.seconds, found.cpu) == ("failed", "not quiet", 3.0, 2.0)


def test_tests_that_build_upon_each_other_are_run_again_as_a_file() -> None:
    chained = [Case(f"tests/bench/test_a.py::test_{n}", chain=True) for n in range(2)]
    alone = Case("tests/cluster/test_b.py::test_c[1]")
    assert results.choose_again([*chained, alone, Case("tests/unit/test_d.py::test_e")], most=9) == [
        "tests/bench/test_a.py",
        "tests/cluster/test_b.py::test_c[1]",
    ]


def test_when_very_many_fail_it_is_not_chance_and_none_is_run_again() -> None:
    failed = [Case(f"tests/cluster/test_a.py::test_{n}") for n in range(MOST_AGAIN + 1)]
    assert len(results.choose_again(failed[:-1], most=MOST_AGAIN)) == MOST_AGAIN
    assert results.choose_again(failed, most=MOST_AGAIN) == []


@pytest.mark.parametrize("problem", ["", "the lab cannot be built"])
def test_a_step_that_ends_with_1_and_names_no_test_fails_the_run(tmp_path: Path, problem: str) -> None:
    run = Run(tmp_path, [], serial=True, ended=[Ended(Step("lint", ()), 1, problem=problem)])
    assert not run.is_green
    lines = results.build_summary([], [], ended=run.ended, seconds=1)
    assert lines[-2] == (problem or "lint: exit code 1")


@pytest.mark.parametrize(
    ("gib", "workers"), [(1, 1), (4, 1), (8, 3), (16, MOST_WORKERS), (256, MOST_WORKERS)]
)
def test_a_machine_gets_as_many_workers_as_its_memory_holds(gib: int, workers: int) -> None:
    assert count_workers(gib << 30) == workers


@pytest.mark.parametrize("serial", [False, True])
def test_every_part_is_run_once_and_what_judges_or_measures_comes_after_all_others(
    tmp_path: Path, serial: bool
) -> None:
    phases = build_lanes([*PARTS], Run(tmp_path, [], serial=serial))
    steps = [[step for lane in lanes for step in lane] for lanes in phases]
    *before, judge, bench = steps
    assert [[step.name for step in after] for after in (judge, bench)] == [["judge"], ["bench"]]
    tests = [step for phase in before for step in phase if step.name != "builds"]
    (light,), (node,) = ([step for step in tests if step.name == name] for name in ("light", "node"))
    parts = [*light.parts, *(step.name for step in tests if step is not light)]
    assert sorted(parts) == sorted(PARTS.keys() - {"bench"})
    assert node.parts == (*light.parts, "node"), "what the longest lane waits for is built first"
    if not serial:
        assert {step.name for step in before[0]} == {"unit", "packaging", "lint", "upstream", "builds"}
        (builds,) = (step for step in before[0] if step.name == "builds")
        assert builds.parts == light.parts


def test_a_module_is_compiled_once_in_a_run_also_where_python_is_told_to_keep_no_bytecode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "a_module.py").write_text("")
    step = Step("import", (sys.executable, "-c", "import a_module"), env={"PYTHONPATH": str(tmp_path)})
    (ended,) = run_lanes([[step]], folder=tmp_path / "run")
    assert ended.code == 0
    assert len([*(tmp_path / "run" / "bytecode").rglob("a_module.*.pyc")]) == 1
    assert not (tmp_path / "__pycache__").exists()


def test_a_second_run_in_the_same_checkout_is_refused_in_a_sentence(tmp_path: Path) -> None:
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("a+") as lock:
        # Unless the run that this test is part of has it already.
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        done = subprocess.run(
            [sys.executable, "-m", "scripts.suite", "unit"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "the suites run in this checkout already (process" in done.stderr
    assert "wait for that run, end it, or use another checkout" in done.stderr


def test_a_part_that_does_not_exist_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.suite", "clutser"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "there is no part clutser; there are lint, unit" in done.stderr


def test_an_operator_that_ended_with_an_error_is_not_waited_for(tmp_path: Path) -> None:
    ends = "import sys; print('why it ended', flush=True); sys.exit(3)"
    operator = Operator(tmp_path / "kubeconfig", tmp_path / "log", program=("-c", ends))
    operator.start()
    assert operator.stop(with_signal=signal.SIGCONT) == 3, "this signal ends nothing"
    with pytest.raises(AssertionError, match=r"the operator ended with 3.*why it ended"):
        operator.is_ready()


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGKILL])
def test_an_operator_that_was_stopped_is_only_not_ready(tmp_path: Path, with_signal: signal.Signals) -> None:
    operator = Operator(
        tmp_path / "kubeconfig", tmp_path / "log", program=("-c", "import time; time.sleep(60)")
    )
    operator.start()
    operator.stop(with_signal=with_signal)
    assert not operator.is_ready()
