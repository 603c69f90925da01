"""What a lab takes for itself on the machine."""

import ipaddress
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import pytest

from lab import slots
from lab.progress import LabError
from lab.slots import PORTS, SLOTS, Slot


def test_no_two_slots_share_a_port_or_an_address() -> None:
    all_slots = [Slot(number) for number in range(SLOTS)]
    ports = [slot.port(name) for slot in all_slots for name in PORTS]
    networks = [ipaddress.ip_network(slot.service_network) for slot in all_slots]
    assert len(set(ports)) == len(ports)
    assert max(ports) < 32768
    assert not any(one.overlaps(other) for one, other in combinations(networks, 2))
    assert all(network.is_loopback for network in networks)


def test_a_slot_that_another_lab_took_is_passed_over() -> None:
    assert slots.pick({0, 1, 3}, is_free=lambda port: True) == Slot(2)


def test_a_slot_with_one_busy_port_is_passed_over() -> None:
    busy = Slot(0).port("kwok")
    assert slots.pick(set(), is_free=lambda port: port != busy) == Slot(1)


def test_when_every_slot_is_taken_the_error_says_how_to_free_them() -> None:
    with pytest.raises(LabError, match="down --all"):
        slots.pick(range(SLOTS), is_free=lambda port: True)


def test_labs_side_by_side_get_slots_of_their_own_and_keep_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAVARCH_LAB_STATE", str(tmp_path))
    first, second = slots.claim("one", "light"), slots.claim("two", "node")
    assert first != second
    assert slots.claim("one", "light") == first
    assert slots.names() == ["one", "two"]
    assert (slots.kind_of("one"), slots.kind_of("two"), slots.kind_of("three")) == ("light", "node", None)


def test_labs_that_come_and_go_at_once_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAVARCH_LAB_STATE", str(tmp_path))

    def come_and_go(number: int) -> None:
        for turn in range(20):
            name = f"lab-{number}-{turn}"
            slots.claim(name, "light")
            assert name in slots.names()
            shutil.rmtree(slots.state_of(name))

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(come_and_go, range(8))] == [None] * 8


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "..", "a" * 41])
def test_a_name_that_is_no_dns_label_is_refused(name: str) -> None:
    with pytest.raises(LabError):
        slots.state_of(name)
