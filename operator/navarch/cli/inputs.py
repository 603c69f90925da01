"""What the command reads beside a cluster: files, manifests in them, and its settings.

Owns reading, and their errors. Must never judge a mesh beyond its name and version.
Invariant: for any content of a file, reading ends with a value or with InputError.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from navarch.api.controlplane import KIND
from navarch.api.meta import API_VERSION
from navarch.settings import Settings

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A DNS label, which names of meshes (api/controlplane.py) and of namespaces are."""


class InputError(ValueError):
    """An input of the command is wrong; the message says what, and how to correct it."""


def read_file(file: Path) -> str:
    """The text of a file; `-` is standard input. Raises InputError and OSError."""
    content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        name = "standard input" if str(file) == "-" else str(file)
        raise InputError(f"{name}: not a text in UTF-8: {error.reason} at byte {error.start}") from error


def load_settings() -> Settings:
    """The settings of the environment. Raises InputError, which names the variables that are wrong."""
    try:
        return Settings()
    except ValidationError as error:
        prefix = str(Settings.model_config["env_prefix"])
        wrong = (
            f"{prefix}{e['loc'][0]}".upper() + f": {e['msg']}, not {e['input']!r}" for e in error.errors()
        )
        raise InputError("; ".join(wrong)) from error


def parse_documents(text: str) -> list[Any]:
    """The documents of a YAML stream, without empty ones. Raises InputError."""
    try:
        return [document for document in yaml.safe_load_all(text) if document is not None]
    except RecursionError as error:
        raise InputError("not YAML of ours: it is nested too deep") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"not YAML: {error}") from error


def parse_meshes(text: str, *, namespace: str = "") -> list[dict[str, Any]]:
    """The MeshControlPlanes in a YAML stream, in their order; other documents are passed over. `namespace` is
    for those that name none. Raises InputError, also where there is no mesh."""
    documents = [d for d in parse_documents(text) if isinstance(d, dict)]
    meshes = [d for d in documents if d.get("kind") == KIND]
    if not meshes:
        raise InputError(f"there is no {KIND} in it")
    return [_complete(mesh, namespace or "default") for mesh in meshes]


def _complete(mesh: dict[str, Any], namespace: str) -> dict[str, Any]:
    metadata = mesh.get("metadata")
    if mesh.get("apiVersion") != API_VERSION:
        raise InputError(f"apiVersion: {mesh.get('apiVersion')!r}: write {API_VERSION}")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        raise InputError("metadata.name: is missing")
    for key in ("name", "namespace"):
        if not isinstance(metadata.get(key, ""), str):
            raise InputError(f"metadata.{key}: {metadata[key]!r}: is not a string")
        if metadata.get(key) and not _LABEL.fullmatch(metadata[key]):
            raise InputError(
                f"metadata.{key}: {metadata[key]!r}: write at most 63 of a-z, 0-9 and -, with a letter or a "
                f"digit at both ends"
            )
    return {**mesh, "metadata": {**metadata, "namespace": metadata.get("namespace") or namespace}}
