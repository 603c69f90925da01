"""Every field that a mesh can say, and every variable that its processes read, was decided about.

A new minor of Istio with a new field fails here until it has a row in api/power.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path as File
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from navarch.api.controlplane import RESOURCE
from navarch.api.export import build_resource_schema
from navarch.api.power.guarded import find_guarded, list_containers
from navarch.api.power.meshconfig import MESH_CONFIG, METADATA
from navarch.api.power.overlays import REFUSED_PATCH
from navarch.api.power.rules import WHOLE, Path, Power, Rule, Table, build_table, find_rule, free, guard
from navarch.api.power.spec import FREE_FORM, SPEC
from navarch.api.power.values import VALUES
from navarch.api.power.variables import (
    GUARDED_VARIABLES,
    PROXY_FREE,
    PROXY_REFUSED,
    REFUSED_ENVIRONMENT,
)
from navarch.assets import load_assets, load_catalog
from navarch.core.istio.definitions import MESH_CONFIG as MESH_CONFIG_MESSAGE
from navarch.core.istio.definitions import VALUES as VALUES_MESSAGE
from navarch.core.istio.definitions import load_definition
from navarch.core.mesh.checks.accepted import check_envoy_accepts, check_mesh_config_is_accepted
from navarch.core.mesh.checks.meshconfig import check_mesh_config_types

from scripts.generate_assets import download
from scripts.istio_environment import find_variables
from tests.unit.observations import a_spec, an_observed_mesh, ask

ASSETS = load_assets()
MINORS = sorted(ASSETS.mesh_descriptors)
TABLES = {"meshConfig": MESH_CONFIG, "values": VALUES, "spec": SPEC}
_OPEN = ("google.protobuf.Struct", "google.protobuf.Value")
_WRAPPED = re.compile(r"google\.protobuf\.(Bool|Double|Float|U?Int(32|64))Value|google\.protobuf\.Duration")


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def find_below(field: FieldDescriptor) -> Descriptor | None:
    """The message whose fields stand below a field; None for scalars and what has a JSON form of its own."""
    message = field.message_type
    if message is not None and is_map(field):
        message = message.fields_by_name["value"].message_type
    if message is None or message.full_name.startswith("google.protobuf.") or message.name == "IntOrString":
        return None
    return message


def is_branching(field: FieldDescriptor) -> bool:
    """Whether something can be written below a field."""
    message = field.message_type
    return is_map(field) or (
        message is not None and (message.full_name in _OPEN or find_below(field) is not None)
    )


def walk(message: Descriptor, above: Path = ()) -> Iterator[tuple[Path, FieldDescriptor]]:
    """Every field of a message and below, by path; a message inside itself is entered once."""
    for field in message.fields:
        path = (*above, field.json_name)
        yield path, field
        below = find_below(field)
        if below is not None and len(path) < 12:
            yield from walk(below, path)


def find_undecided(message: Descriptor, table: Table) -> list[str]:
    """Fields without a row of their own, or of a field above them that takes them in."""
    undecided = []
    for path, field in walk(message):
        rule = find_rule(table, path)
        leads = any(known[: len(path)] == path and len(known) > len(path) for known in table)
        if rule is None and not (leads and find_below(field) is not None and not is_map(field)):
            undecided.append(".".join(path))
        elif path in table and is_branching(field) and not table[path].whole:
            undecided.append(f"{'.'.join(path)}.{WHOLE}")
    return undecided


def load_mesh(minor: str) -> Descriptor:
    return load_definition(ASSETS.mesh_descriptors[minor], MESH_CONFIG_MESSAGE)


def load_values() -> Descriptor:
    return load_definition(ASSETS.values_descriptors[MINORS[-1]], VALUES_MESSAGE)


@pytest.mark.parametrize("minor", MINORS)
def test_every_field_of_mesh_config_and_proxy_config_was_decided_about(minor: str) -> None:
    assert find_undecided(load_mesh(minor), MESH_CONFIG) == []
    assert {"connectTimeout", "defaultConfig"} <= {path[0] for path, _ in walk(load_mesh(minor))}


def test_every_value_of_istios_was_decided_about() -> None:
    assert find_undecided(load_values(), VALUES) == []


def test_a_field_that_has_no_row_is_found() -> None:
    without = {path: rule for path, rule in MESH_CONFIG.items() if path != ("defaultConfig", "concurrency")}
    assert find_undecided(load_mesh("1.31"), without) == ["defaultConfig.concurrency"]
    narrow = MESH_CONFIG | {("tcpKeepalive",): Rule(Power.FREE, "x")}
    assert "tcpKeepalive.**" in find_undecided(load_mesh("1.31"), narrow)


def test_every_value_that_templates_read_by_default_was_decided_about() -> None:
    from navarch.core.mesh.checks.values import build_default_values

    from tests.unit.observations import a_spec, an_observed_mesh, content_of

    def list_paths(tree: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
        for key, value in tree.items():
            if isinstance(value, Mapping) and value and find_rule(VALUES, (*above, key)) is None:
                yield from list_paths(value, (*above, key))
            else:
                yield (*above, key)

    defaults = build_default_values(content_of(an_observed_mesh(spec=a_spec())))
    assert [path for path in list_paths(defaults) if find_rule(VALUES, path) is None] == []


NUMBERS = frozenset(range(FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_FLOAT + 1))


def is_numeric(field: FieldDescriptor) -> bool:
    """Whether a field holds a number or a duration."""
    message = field.message_type
    wrapped = message is not None and message.full_name in (
        *("google.protobuf.Duration", "google.protobuf.Int32Value", "google.protobuf.UInt32Value"),
        *("google.protobuf.DoubleValue", "google.protobuf.FloatValue"),
    )
    return wrapped or (message is None and field.cpp_type in NUMBERS)


def is_refused_below_or_above(path: Path) -> bool:
    """Whether one of a few odd values is refused at a path, with or without further fields."""
    field = f"spec.meshConfig.{'.'.join(path)}"
    for odd in (-1, 10**9, "-1s", "1ns"):
        tree: Any = odd
        for step in reversed(path):
            tree = {step: tree}
        observed = an_observed_mesh(spec=a_spec(meshConfig=tree, version="1.32"))
        if any(f.field == field for check in READERS for f in ask(check, observed)):
            return True
    return False


READERS = (check_envoy_accepts, check_mesh_config_is_accepted, check_mesh_config_types)
UNBOUNDED = ("outlierDetectionHttpErrorCodes", "consecutiveLocalOriginFailures", "minClusterSize")
"""A list, whose items are bounded; one that needs another field beside it; a count of any size."""


def test_every_number_and_duration_that_is_free_is_bounded() -> None:
    paths = {
        path
        for minor in MINORS
        for path, field in walk(load_mesh(minor))
        if is_numeric(field)
        and (rule := find_rule(MESH_CONFIG, path)) is not None
        and rule.power is Power.FREE
    }
    assert len(paths) > 50
    unbounded = [
        path for path in sorted(paths) if path[-1] not in UNBOUNDED and not is_refused_below_or_above(path)
    ]
    assert unbounded == []


def test_every_row_is_about_a_field_that_a_minor_has() -> None:
    known = {path for minor in MINORS for path, _ in walk(load_mesh(minor))}
    assert [path for path in MESH_CONFIG if path not in known and path[:2] != METADATA] == []


def list_spec_fields(schema: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
    for name, child in schema.get("properties", {}).items():
        yield (*above, name)
        yield from list_spec_fields(child.get("items", child), (*above, name))


def test_every_field_of_our_own_spec_was_decided_about() -> None:
    schema = build_resource_schema(RESOURCE)["properties"]["spec"]
    fields = list(list_spec_fields(schema))
    leads = {known[:end] for known in SPEC for end in range(1, len(known))}
    undecided = [
        path
        for path in fields
        if find_rule(SPEC, path) is None and path not in leads and path not in FREE_FORM
    ]
    assert undecided == []
    assert [path for path in SPEC if path not in fields] == []


@pytest.mark.parametrize("minor", MINORS)
def test_below_what_is_free_as_a_whole_nothing_can_be_named(minor: str) -> None:
    """Numbers, switches and words of a fixed list cannot be paths, addresses or commands."""
    for message, table in ((load_mesh(minor), MESH_CONFIG), (load_values(), VALUES)):
        for path, field in walk(message):
            rule = find_rule(table, path)
            if rule is not None and rule.power is Power.FREE and path not in table and not rule.texts:
                named = field.message_type.full_name if field.message_type else ""
                text = field.cpp_type == FieldDescriptor.CPPTYPE_STRING or named in _OPEN or is_map(field)
                assert not text, path
                assert find_below(field) or not named or _WRAPPED.fullmatch(named), path


@lru_cache
def list_variables() -> frozenset[str]:
    return frozenset().union(*(find_variables(download(pin)) for pin in load_catalog().values.values()))


DECIDED = {*REFUSED_ENVIRONMENT, *PROXY_REFUSED, *PROXY_FREE, *GUARDED_VARIABLES}


def test_every_variable_that_istio_reads_was_decided_about() -> None:
    read = list_variables()
    assert len(read) > 300
    assert {"PROXY_CONFIG", "ISTIO_META_DNS_CAPTURE", "PROXY_UID", "AMBIENT_ENABLE_STATUS", "HOST_IP"} <= read
    assert sorted(read - DECIDED) == []


def test_every_variable_that_the_dynamic_loader_distrusts_was_decided_about() -> None:
    """glibc's loader carries the list of variables that a privileged program must not obey."""
    loaders = [*File("/lib64").glob("ld-linux*.so.*"), *File("/lib").glob("ld-linux*.so.*")]
    if not loaders:
        pytest.skip("there is no loader of glibc's here")
    lists = re.findall(rb"\0((?:[A-Z][A-Z0-9_]+\0){8,})", loaders[0].read_bytes())
    lists = [found.decode().split("\0") for found in lists if b"GCONV_PATH" in found]
    names = {name for found in lists for name in found if name}
    assert {"LD_PRELOAD", "LD_AUDIT"} <= names
    assert sorted(names - DECIDED) == []


def test_a_variable_is_decided_about_once_in_each_place() -> None:
    assert not {*PROXY_FREE} & {*PROXY_REFUSED}
    for decided in (REFUSED_ENVIRONMENT, PROXY_REFUSED, PROXY_FREE):
        assert not {*decided} & {*GUARDED_VARIABLES}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_row_has_a_reason_and_what_is_refused_a_remedy(table: Table) -> None:
    for path, rule in table.items():
        assert rule.why, path
        assert (rule.power is Power.REFUSED) <= ("; " in rule.why), path
        assert rule.power is Power.FREE or (rule.allowed, rule.kind) == (None, None)


def test_a_path_is_decided_once() -> None:
    with pytest.raises(ValueError, match=r"a\.b was decided twice"):
        build_table((free("x"), "a.b"), (guard("y"), "a.b"))


@pytest.mark.parametrize(
    ("old", "new", "guarded"),
    [
        ({}, {"meshConfig": {"connectTimeout": "5s", "hbone_idle_timeout": "1s"}}, []),
        ({}, {"meshConfig": {"defaultConfig": {"concurrency": 2}}}, []),
        (
            {},
            {"meshConfig": {"defaultConfig": {"readinessProbe": {}}}},
            ["meshConfig.defaultConfig.readinessProbe"],
        ),
        ({}, {"meshConfig": {"default_config": {"concurrency": 2}}}, ["meshConfig.default_config"]),
        ({}, {"meshConfig": {"defaultConfig": None}}, ["meshConfig.defaultConfig"]),
        ({}, {"meshConfig": {"defaultConfig": ["x"]}}, ["meshConfig.defaultConfig"]),
        ({"meshConfig": {"defaultConfig": ["x"]}}, {"meshConfig": {"defaultConfig": ["x"]}}, []),
        ({"meshConfig": {"defaultConfig": ["x"]}}, {}, ["meshConfig.defaultConfig"]),
        ({"meshConfig": {"enableAutoMtls": True}}, {"meshConfig": {}}, ["meshConfig.enableAutoMtls"]),
        (
            {"meshConfig": {"enableAutoMtls": True}},
            {"meshConfig": {"enableAutoMtls": 1}},
            ["meshConfig.enableAutoMtls"],
        ),
        ({}, {"meshConfig": {"accessLogFile": "/dev/stdout"}}, []),
        ({}, {"meshConfig": {"accessLogFile": "/etc/x"}}, ["meshConfig.accessLogFile"]),
        ({"meshConfig": {"accessLogFile": "/etc/x"}}, {}, []),
        ({}, {"meshConfig": {"unknown": 1}}, ["meshConfig.unknown"]),
        (
            {},
            {"meshConfig": {"defaultProviders": {"metrics": ["mine"]}}},
            ["meshConfig.defaultProviders.metrics"],
        ),
        ({}, {"values": {"global": {"proxy": {"readinessPeriodSeconds": 5}}}}, []),
        (
            {},
            {"values": {"global": {"proxy": {"readinessPeriodSeconds": "5\nx: y"}}}},
            ["values.global.proxy.readinessPeriodSeconds"],
        ),
        ({}, {"values": {"gatewayClasses": {}}}, ["values.gatewayClasses"]),
        ({}, {"paused": True}, ["paused"]),
        ({"paused": True}, {"paused": False}, []),
        ({"paused": True}, {}, []),
        ({}, {"mtls": {"mode": "Strict"}}, []),
        ({"mtls": {"mode": "Strict"}}, {"mtls": {"mode": "Permissive"}}, ["mtls.mode"]),
        ({"mtls": {"mode": "Strict"}}, {}, ["mtls.mode"]),
        ({}, {"proxy": {"logLevel": "info"}}, []),
        ({}, {"proxy": {"logLevel": "trace"}}, ["proxy.logLevel"]),
    ],
    ids=str,
)
def test_a_change_is_guarded_unless_the_table_frees_it(
    old: dict[str, Any], new: dict[str, Any], guarded: list[str]
) -> None:
    assert [".".join(path) for path in find_guarded(new, old)] == guarded


def nest(path: Path, value: Any) -> dict[str, Any]:
    for step in reversed(path):
        value = {step: value}
    return dict(value)


@pytest.mark.parametrize("name", ["meshConfig", "values"])
def test_a_field_that_is_not_free_is_guarded_wherever_it_stands(name: str) -> None:
    for path, rule in TABLES[name].items():
        for value in ("x", {"x": 1}, ["x"], None, 7):
            found = list(find_guarded({name: nest(path, value)}, {}))
            limited = rule.allowed is not None or rule.kind is not None
            if rule.power is not Power.FREE or (limited and value in ({"x": 1}, ["x"])):
                assert found, (path, value)
            elif not limited:
                assert not found, (path, value)


def test_no_container_is_itself_free() -> None:
    for table in (MESH_CONFIG, VALUES):
        for container in list_containers(table):
            rule = find_rule(table, container.path)
            assert rule is None or rule.power is not Power.FREE


def test_no_refused_path_of_a_patch_lies_under_another() -> None:
    for path in REFUSED_PATCH:
        assert not any(path[:end] in REFUSED_PATCH for end in range(1, len(path)))
