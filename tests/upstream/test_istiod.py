"""What the other tests here rely on: an istiod is there, also when other programs take ports here."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from lab.cluster import Cluster
from tests.support.istiod import TAKEN, find_free_ports, run_istiod
from tests.upstream.installations import Setting, build_configuration, render_ours


def test_an_istiod_whose_port_another_program_took_is_started_with_others(
    cluster: Cluster, tmp_path: Path
) -> None:
    said: list[str] = []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = int(other.getsockname()[1])

        def choose(count: int) -> Sequence[int]:
            if not said:
                said.append("first")
                return [taken, *find_free_ports(count - 1)]
            said.append((tmp_path / "istiod" / "istiod.log").read_text())
            return find_free_ports(count)

        configuration = build_configuration(render_ours(Setting()))
        with run_istiod(cluster.kubeconfig, configuration, tmp_path / "istiod", choose=choose) as istiod:
            assert istiod.is_ready()
            assert TAKEN in said[1]
            assert not istiod.url.endswith(f":{taken}")
