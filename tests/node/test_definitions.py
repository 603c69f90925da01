"""Our reading of meshConfig and values against Istio's own reader, type by type, with good and bad content.

istioctl reads both with the code that istiod reads them with, and needs no cluster for it. So what it cannot
read must be an error of our checks, and what it can read must not be one.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from google.protobuf.descriptor import Descriptor
from navarch.core.istio.definitions import MESH_CONFIG, VALUES, Kind, find_problems, load_definition

from lab.builds import ensure
from tests.golden.rendering import ASSETS, injector_of, mesh_config_of, render_mesh, values_of
from tests.support.istioctl import VERSION
from tests.support.workloads import build_pod

Steps: TypeAlias = tuple[str, ...]
CONTENT: tuple[Any, ...] = (
    True,
    "true",
    5,
    "5",
    -1,
    2.5,
    "",
    "text",
    "5s",
    "100ms",
    "1h30m",
    "1 h",
    [],
    ["a"],
    [5],
    {},
    {"a": "b"},
    {"a": {"b": True}},
    [{"a": 5}],
)
"""What a field is given; each is right for some and wrong for others."""
UNREADABLE = {VALUES: "could not parse configuration values", MESH_CONFIG: "failed to convert to proto"}
"""How istioctl says that it could not read it; it refuses other things in other words."""
DESCRIPTORS = {VALUES: ASSETS.values_descriptors["1.31"], MESH_CONFIG: ASSETS.mesh_descriptors["1.31"]}


@dataclass(frozen=True, slots=True)
class Reader:
    """Istio's own reader, with a folder of files that it can all read."""

    program: Path
    folder: Path

    def can_read(self, message: str, tree: Any) -> bool:
        """Whether a MeshConfig, or values, can be read as a whole."""
        mesh, values = self.folder / "mesh.json", self.folder / "values.json"
        given = self.folder / "given.json"
        given.write_text(json.dumps(tree))
        files = {
            "-f": self.folder / "pod.yaml",
            "--injectConfigFile": self.folder / "inject.yaml",
            "--meshConfigFile": given if message == MESH_CONFIG else mesh,
            "--valuesFile": given if message == VALUES else values,
        }
        argv = [self.program, "kube-inject", "--revision", "any"]
        argv += [word for item in files.items() for word in item]
        env = {**os.environ, "HOME": str(self.folder), "KUBECONFIG": os.devnull}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=240, check=False)
        return UNREADABLE[message] not in done.stderr


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder, objects = tmp_path_factory.mktemp("reader"), render_mesh()
    (folder / "mesh.json").write_text(json.dumps(mesh_config_of(objects)))
    (folder / "values.json").write_text(json.dumps(values_of(objects)))
    (folder / "inject.yaml").write_text(yaml.safe_dump(injector_of(objects)))
    (folder / "pod.yaml").write_text(yaml.safe_dump(build_pod("shop", "any")))
    return Reader(ensure("node")[f"istioctl-{VERSION}"], folder)


def list_fields(message: Descriptor, path: Steps = ()) -> Iterator[tuple[str, Steps]]:
    """Every field that is not below a list or a map, as (type, path)."""
    for field in message.fields:
        where, nested = (*path, field.json_name), field.message_type
        named = nested or field.enum_type
        kind = named.full_name if named is not None else str(field.type)
        if nested is not None and nested.GetOptions().map_entry:
            kind = f"map of {nested.fields_by_name['value'].type}"
        elif nested is not None and not nested.full_name.startswith("google."):
            kind = "IntOrString" if nested.name == "IntOrString" else "message"
        yield f"{kind} {'list' if field.is_repeated else ''}", where
        if kind == "message" and not field.is_repeated and len(path) < 4:
            yield from list_fields(nested, where)


def build_tree(path: Steps, content: Any) -> Any:
    for step in reversed(path):
        content = {step: content}
    return content


def is_refused(message: str, tree: Any) -> bool:
    """Whether our reading of it finds a wrong type."""
    problems = find_problems(tree, DESCRIPTORS[message], message)
    return any(problem.kind is Kind.WRONG_TYPE for problem in problems)


@pytest.mark.parametrize("message", [VALUES, MESH_CONFIG])
def test_what_is_rendered_can_be_read(reader: Reader, message: str) -> None:
    name = "values.json" if message == VALUES else "mesh.json"
    assert reader.can_read(message, json.loads((reader.folder / name).read_text()))


@pytest.mark.long
@pytest.mark.parametrize("message", [VALUES, MESH_CONFIG])
def test_our_checks_and_istios_own_reader_agree(reader: Reader, message: str, full: bool) -> None:
    """One field of each type there is, with each content; the short form takes some of them."""
    fields = dict(list_fields(load_definition(DESCRIPTORS[message], message)))
    assert len(fields) > 15
    cases = [(path, content) for path in fields.values() for content in CONTENT]
    chosen = cases if full else random.Random(31).sample(cases, 60)
    refused = {True: 0, False: 0}
    differing = []
    for path, content in chosen:
        tree = build_tree(path, content)
        ours = is_refused(message, tree)
        refused[ours] += 1
        if ours is reader.can_read(message, tree):
            differing.append(f"{'.'.join(path)}={content!r}: {'refused' if ours else 'accepted'} by us")
    assert differing == []
    assert min(refused.values()) > len(chosen) / 20, "both answers were asked for"
