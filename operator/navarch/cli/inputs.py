"""What the command reads beside a cluster: files, manifests in them, and its settings.

Owns reading, and their errors. Must never judge a mesh beyond its name and version.
Invariant: for any content of a file, reading ends with a value or with InputError.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from navarch.api.controlplane import KIND
from navarch.api.meta import API_VERSION
from navarch.settings import Settings

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label, which names of meshes (api/controlplane.py) and of namespaces are."""
_PREFIX = str(Settings.model_config["env_prefix"])
_OF_SERVICE = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT(_[0-9]+_|$)")
_TOP = ("apiVersion", "kind", "metadata", "spec", "status")
_OF_MAISTRA = "ServiceMeshControlPlane"
_MOST = 200_000
"""The entries of a YAML stream with aliases, which count as often as they are used: a text of a few lines can
mean more than any reader comes to the end of."""
_OF_OTHERS = ("Istio", "IstioRevision", "IstioOperator", _OF_MAISTRA)
"""Kinds by which other installers of Istio are configured: Sail, istioctl, Maistra."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is set twice, as kubectl does: PyYAML would take the last one silently. Refuses
    aliases that mean too much before anything is made of them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._entries = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """A node, counted with everything in it."""
        before, is_alias = self._entries, self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        # What is not measured yet is being composed: the alias stands within what it names.
        self._entries += self._sizes.get(id(node), _MOST) if is_alias else 1
        if is_alias and self._entries > _MOST:
            most = f"more than {_MOST:,} entries, where aliases count as often as they are used"
            raise InputError(f"not YAML of ours: it has {most}; write it without aliases")
        if not is_alias:
            self._sizes[id(node)] = self._entries - before
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A map, each of whose keys is set once."""
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is set twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class InputError(ValueError):
    """An input of the command is wrong; the message says what, and how to correct it."""


def read_file(file: Path) -> str:
    """The text of a file; `-` is standard input. Raises InputError."""
    name = "standard input" if str(file) == "-" else str(file)
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return content.decode()
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not a text in UTF-8: {error.reason} at byte {error.start}") from error


def load_settings() -> Settings:
    """The settings of the environment. Raises InputError, which names the variables that are wrong."""
    try:
        return Settings()
    except ValidationError as error:
        raise InputError("; ".join(map(_tell_wrong, error.errors()))) from error


def _tell_wrong(error: Any) -> str:
    if not error["loc"]:  # what several settings say together
        return f"{_PREFIX}{error['ctx']['error']}"
    return f"{_PREFIX}{error['loc'][0]}".upper() + f": {error['msg']}, not {error['input']!r}"


def find_unknown(variables: Iterable[str]) -> Iterator[str]:
    """Variables with our prefix that are no setting, a sentence each: most are misspelt. Those that
    Kubernetes makes of Services are passed over."""
    known = [f"{_PREFIX}{name}".upper() for name in Settings.model_fields]
    for name in sorted(variables):
        if name.startswith(_PREFIX) and name not in known and not _OF_SERVICE.search(name):
            nearest = next(iter(get_close_matches(name, known, n=1, cutoff=0.8)), "")
            yield f"{name} is no setting" + (f"; did you mean {nearest}?" if nearest else "")


def parse_documents(text: str) -> list[Any]:
    """The documents of a YAML stream, without empty ones. Raises InputError."""
    try:
        return [document for document in yaml.load_all(text, _Loader) if document is not None]
    except InputError:
        raise
    except RecursionError as error:
        raise InputError("not YAML of ours: it is nested too deep") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise InputError(f"not YAML: {where}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"not YAML: {' '.join(str(error).split())}") from error


def parse_meshes(text: str, *, namespace: str = "") -> list[dict[str, Any]]:
    """The MeshControlPlanes in a YAML stream, in their order, those of a List included; other documents are
    passed over. `namespace` is for those that name none. Raises InputError, also where there is no mesh."""
    documents = [d for d in unpack(parse_documents(text)) if isinstance(d, dict)]
    meshes = [d for d in documents if d.get("kind") == KIND]
    if not meshes:
        kinds = list(dict.fromkeys(str(d.get("kind")) for d in documents))
        raise InputError(f"there is no {KIND} in it{_tell_kinds(kinds)}")
    return [_complete(mesh, namespace or "default") for mesh in meshes]


def unpack(documents: Iterable[Any]) -> Iterator[Any]:
    """The documents, and the items of Lists, as `kubectl get -o yaml` prints them."""
    for document in documents:
        items = document.get("items") if isinstance(document, dict) and "items" in document else None
        yield from items if isinstance(items, list) else [document]


def _tell_kinds(kinds: Sequence[str]) -> str:
    """What is there instead, and what to do about it."""
    if not kinds:
        return ""
    found = f", only {', '.join(kinds)}"
    if others := [kind for kind in kinds if kind in _OF_OTHERS]:
        convert = (
            "`navarch convert-maistra` makes one of it" if others[0] == _OF_MAISTRA else f"write a {KIND}"
        )
        return f"{found}; {others[0]} configures another installer: {convert}"
    return found + (f"; did you mean {KIND}?" if get_close_matches(KIND, kinds, cutoff=0.8) else "")


def _complete(mesh: dict[str, Any], namespace: str) -> dict[str, Any]:
    metadata = mesh.get("metadata")
    if mesh.get("apiVersion") != API_VERSION:
        raise InputError(f"apiVersion: {mesh.get('apiVersion')!r}: write {API_VERSION}")
    if unknown := [str(key) for key in mesh if key not in _TOP]:
        raise InputError(
            f"{unknown[0]}: there is no such field beside spec; if it belongs below spec, indent it"
        )
    if not isinstance(metadata, dict) or not metadata.get("name"):
        raise InputError("metadata.name: is required")
    for key in ("name", "namespace"):
        if not isinstance(metadata.get(key, ""), str):
            raise InputError(f"metadata.{key}: {metadata[key]!r}: is not a string")
        if metadata.get(key) and not _LABEL.fullmatch(metadata[key]):
            raise InputError(
                f"metadata.{key}: {metadata[key]!r}: write at most 63 of a-z, 0-9 and -, with a letter or a "
                f"digit at both ends"
            )
    return {**mesh, "metadata": {**metadata, "namespace": metadata.get("namespace") or namespace}}
