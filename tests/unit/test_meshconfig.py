"""MeshConfig against Istio's own definition of it."""

from __future__ import annotations

from typing import Any

import pytest
from navarch.core.istio.definitions import Kind, Problem, find_problems

from tests.golden.rendering import ASSETS, mesh_config_of, render_mesh
from tests.golden.test_golden import CASES, OPTIONS

DESCRIPTORS = ASSETS.mesh_descriptors["1.31"]


def only_problem(mesh_config: dict[str, Any]) -> Problem:
    """The one problem with a MeshConfig."""
    (problem,) = find_problems(mesh_config, DESCRIPTORS)
    return problem


@pytest.mark.parametrize(
    "mesh_config",
    [
        {},
        {
            "accessLogFile": "/dev/stdout",
            "enableAutoMtls": False,
            "connectTimeout": "10s",
            "proxyListenPort": 15001,
        },
        {"access_log_file": "/dev/stdout"},
        {"connectTimeout": "100ms", "dnsRefreshRate": "1m30s", "tcpKeepalive": {"time": "2h"}},
        {"accessLogEncoding": "JSON", "ingressControllerMode": 2},
        {"defaultConfig": {"concurrency": 2, "proxyMetadata": {"A": "b"}, "tracing": {"sampling": 1.5}}},
        {"defaultConfig": {"holdApplicationUntilProxyStarts": True, "drainDuration": "45s"}},
        {
            "discoverySelectors": [
                {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "k", "operator": "Exists"}]}
            ]
        },
        {"extensionProviders": [{"name": "p", "envoyFileAccessLog": {"logFormat": {"labels": {"a": 1}}}}]},
        {"localityLbSetting": {"distribute": [{"from": "a/*", "to": {"b/*": 100}}]}},
        {"meshMTLS": {"minProtocolVersion": "TLSV1_3"}, "trustDomainAliases": ["a"], "serviceSettings": None},
    ],
)
def test_what_istio_reads_has_no_problem(mesh_config: dict[str, Any]) -> None:
    assert not list(find_problems(mesh_config, DESCRIPTORS))


@pytest.mark.parametrize(
    ("mesh_config", "path", "nearest"),
    [
        ({"accesLogFile": "x"}, "accesLogFile", "accessLogFile"),
        ({"defaultConfig": {"proxyMetaData": {}}}, "defaultConfig.proxyMetaData", "proxyMetadata"),
        ({"extensionProviders": [{"name": "a"}, {"zipkim": {}}]}, "extensionProviders[1].zipkim", "zipkin"),
        ({"qqqqqqqqqq": 1}, "qqqqqqqqqq", ""),
    ],
)
def test_an_unknown_field_is_told_with_the_nearest_known_one(
    mesh_config: dict[str, Any], path: str, nearest: str
) -> None:
    problem = only_problem(mesh_config)
    assert (problem.kind, problem.path, problem.nearest) == (Kind.UNKNOWN, path, nearest)


@pytest.mark.parametrize(
    ("mesh_config", "path", "words"),
    [
        ({"enableTracing": "yes"}, "enableTracing", "true or false"),
        ({"accessLogEncoding": "XML"}, "accessLogEncoding", "one of TEXT, JSON"),
        ({"connectTimeout": "5"}, "connectTimeout", "a duration"),
        ({"connectTimeout": 5}, "connectTimeout", "a duration"),
        ({"connectTimeout": "1 h"}, "connectTimeout", "a duration"),
        ({"defaultConfig": {"tracing": {"sampling": True}}}, "defaultConfig.tracing.sampling", "a number"),
        ({"accessLogEncoding": "1"}, "accessLogEncoding", "one of TEXT, JSON"),
        ({"accessLogEncoding": True}, "accessLogEncoding", "one of TEXT, JSON"),
        ({"proxyListenPort": "x"}, "proxyListenPort", "a whole number"),
        ({"accessLogFile": 7}, "accessLogFile", "a text"),
        ({"trustDomainAliases": "a"}, "trustDomainAliases", "a list of which each is a text"),
        ({"discoverySelectors": {}}, "discoverySelectors", "a list"),
        ({"defaultConfig": []}, "defaultConfig", "a map of ProxyConfig's fields"),
        (
            {"defaultConfig": {"proxyMetadata": {"A": 1}}},
            "defaultConfig.proxyMetadata",
            "a map whose values are",
        ),
        ({"enableAutoMtls": "true"}, "enableAutoMtls", "true or false"),
        ({"discoverySelectors": ["x"]}, "discoverySelectors[0]", "a map of LabelSelector's fields"),
    ],
)
def test_a_value_of_the_wrong_type_is_told_with_what_the_field_takes(
    mesh_config: dict[str, Any], path: str, words: str
) -> None:
    problem = only_problem(mesh_config)
    assert (problem.kind, problem.path) == (Kind.WRONG_TYPE, path)
    assert words in problem.message


def test_a_long_value_is_shown_in_part() -> None:
    assert len(only_problem({"enableTracing": "x" * 500}).value) == 80


def test_problems_are_all_told_at_once() -> None:
    assert (
        len(list(find_problems({"a1": 1, "enableTracing": "x", "defaultConfig": {"b1": 1}}, DESCRIPTORS)))
        == 3
    )


@pytest.mark.parametrize(("minor", "option"), CASES)
def test_every_mesh_config_that_is_rendered_is_whole_istios(minor: str, option: str) -> None:
    spec = {"version": minor, **OPTIONS[option]}
    spec.pop("tag", None)
    spec.pop("overlays", None)
    mesh_config = mesh_config_of(render_mesh(spec))
    assert not list(find_problems(mesh_config, ASSETS.mesh_descriptors[minor]))
