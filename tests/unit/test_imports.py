"""What the operator imports, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(program: str) -> str:
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def list_imported(*command: str) -> set[str]:
    """The modules of `navarch` with these arguments, as it ends for want of a kubeconfig: which they are may
    depend on the order in which the command imports them."""
    program = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules)); "
        f"sys.argv = ['navarch', *{command!r}, '--kubeconfig', '/nowhere']; "
        "from navarch.__main__ import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "/nowhere: no such file" in ended.stderr, ended.stderr
    return {*ended.stdout.split()}


@pytest.mark.parametrize("command", ["run", "check"])
def test_navarch_imports_of_kubernetes_what_it_uses(command: str) -> None:
    """All of it takes 9 MiB more."""
    modules = list_imported(command)
    assert "kubernetes.aio.client.rest" in modules
    heavy = {"kubernetes.stream", "kubernetes.dynamic", "kubernetes.aio.dynamic", "kubernetes.config"}
    assert not heavy & modules


def test_what_the_operator_does_not_import_of_kubernetes_can_be_imported_all_the_same() -> None:
    run(
        "import navarch.app; from kubernetes import __version__, config, dynamic; from kubernetes.aio import "
        "watch; import kubernetes; kubernetes.client.ApiClient, config.load_kube_config, watch.Watch"
    )


def test_the_operator_imports_nothing_that_only_the_command_or_its_tests_need() -> None:
    """rich takes 6 MiB."""
    assert {"rich", "pygments"} & list_imported("run") == set()


def test_the_command_draws_with_rich_all_the_same() -> None:
    build = "from navarch.cli.exits import build_console; build_console()"
    run(f"import navarch.cli.describe, navarch.app; {build}")
