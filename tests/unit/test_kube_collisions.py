"""Ports that were renumbered, and maps that are emptied."""

from __future__ import annotations

from typing import Any

from navarch.kube.collisions import find_collisions, find_obstacles


def service(*ports: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"ports": list(ports)}}


def test_a_renumbered_port_is_found_by_its_name() -> None:
    desired = service({"name": "a", "port": 1}, {"name": "b", "port": 2})
    live = service({"name": "b", "port": 2, "protocol": "TCP"}, {"name": "a", "port": 9, "protocol": "TCP"})
    assert list(find_collisions(desired, live)) == [("/spec/ports/1", live["spec"]["ports"][1])]


def test_another_protocol_is_another_port() -> None:
    live = service({"name": "a", "port": 1, "protocol": "UDP"})
    assert [pointer for pointer, _ in find_collisions(service({"name": "a", "port": 1}), live)] == [
        "/spec/ports/0"
    ]


def test_a_foreign_port_does_not_stand_in_the_way() -> None:
    live = service({"name": "a", "port": 1, "protocol": "TCP"}, {"name": "theirs", "port": 9}, {"port": 10})
    assert list(find_collisions(service({"name": "a", "port": 1}), live)) == []


def test_the_last_of_several_comes_first() -> None:
    desired = service({"name": "a", "port": 1}, {"name": "b", "port": 2})
    live = service({"name": "a", "port": 8}, {"name": "b", "port": 9})
    assert [pointer for pointer, _ in find_collisions(desired, live)] == ["/spec/ports/1", "/spec/ports/0"]


def test_containers_are_matched_by_name() -> None:
    def pod(*containers: dict[str, Any]) -> dict[str, Any]:
        return {"spec": {"containers": list(containers)}}

    desired = pod({"name": "discovery", "ports": [{"name": "grpc", "containerPort": 15010}]})
    live = pod({"name": "theirs"}, {"name": "discovery", "ports": [{"name": "grpc", "containerPort": 15011}]})
    assert [pointer for pointer, _ in find_collisions(desired, live)] == ["/spec/containers/1/ports/0"]


NULL = 'spec.config.a~b in body must be of type object: "null"'


def test_a_map_that_is_to_be_empty_goes_first_where_null_was_made_of_it() -> None:
    desired = {"spec": {"config": {"a/b": {}, "kept": {}}, "more": {"x": 1}}}
    live = {"spec": {"config": {"a/b": {"x": {"y": 1}}, "kept": {}}, "more": {"x": 1}}}
    assert list(find_obstacles(desired, live, NULL)) == [("/spec/config/a~1b", {"x": {"y": 1}})]


def test_no_map_goes_for_any_other_answer() -> None:
    assert list(find_obstacles({"spec": {"a": {}}}, {"spec": {"a": {"x": 1}}}, "field is immutable")) == []
