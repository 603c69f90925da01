"""Names of the environment variables that istiod, the agent and its helpers read, from Istio's source.

Owns how they are found: Istio registers almost all of them (env.Register…), binds some to flags, reads a few
directly, and takes every ISTIO_META_* as a field of a proxy's metadata. Invariant: a name that cannot be
resolved is an error, never left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOTS = (
    "pilot/cmd",
    "pilot/pkg",
    "pkg",
    "security/pkg",
    "tools/common",
    "tools/istio-iptables",
    "tools/istio-nftables",
)
"""Folders of what runs as istiod or in a proxy's containers; those of the installer, istioctl and the CNI
plugin's own process are not among them."""

METADATA_PREFIX = "ISTIO_META_"
_METADATA = "pkg/model/proxy.go"
_METADATA_TAG = re.compile(r'`json:"([A-Z0-9_]+)[",]')

_NAME = r'(?:"(?P<text>[^"]+)"|(?P<constant>[\w.]+))'
_READS = (
    re.compile(r"\benv\.Register\w*(?:\[[^\]]*\])?\(\s*" + _NAME + r"\s*,"),
    re.compile(r"\bregisterAmbient(?:\[[^\]]*\])?\(\s*" + _NAME + r"\s*,"),
    re.compile(r"\bos\.(?:Getenv|LookupEnv)\(\s*" + _NAME + r"\s*\)"),
    re.compile(r"\bflag\.AdditionalEnv\(\s*\w+,\s*[\w.]+,\s*" + _NAME + r"\s*\)"),
)
_BOUND = re.compile(r"\bflag\.BindEnv\(\s*\w+,\s*" + _NAME + r"\s*,")
_CONSTANT = re.compile(r'^\s*(?:const\s+)?(\w+)\s*(?:string\s*)?:?=\s*"([^"]*)"', re.MULTILINE)
_PASSED_ON = frozenset({"name", "v.Name", "key", "en", "envName", "hv.EnvName", "string"})
"""Arguments of the readers themselves; and envName of a tracing header, by which
meshConfig.extensionProviders may quote any variable of istiod."""


def find_variables(module: Path) -> frozenset[str]:
    """All names that the module's source reads. Raises LookupError for one that it computes."""
    texts = [path.read_text(encoding="utf-8") for path in _list_sources(module)]
    constants = {name: value for text in texts for name, value in _CONSTANT.findall(text)}
    fields = _METADATA_TAG.findall((module / _METADATA).read_text(encoding="utf-8"))
    names = {f"{METADATA_PREFIX}{field}" for field in fields}
    for text in texts:
        for pattern in _READS:
            names.update(_resolve(match, constants) for match in pattern.finditer(text))
        names.update(_resolve(match, constants).upper().replace("-", "_") for match in _BOUND.finditer(text))
    return frozenset(names - {""})


def _list_sources(module: Path) -> Iterator[Path]:
    for root in ROOTS:
        for path in sorted((module / root).rglob("*.go")):
            inside = path.relative_to(module).parts
            if not path.name.endswith("_test.go") and "test" not in inside and "testdata" not in inside:
                yield path


def _resolve(match: re.Match[str], constants: dict[str, str]) -> str:
    """The name that a reader is given; empty where it is one that passes on what it was given itself."""
    if match["text"] is not None:
        return match["text"]
    constant = match["constant"].rpartition(".")[2]
    if match["constant"] in _PASSED_ON:
        return ""
    if constant not in constants:
        raise LookupError(f"what is {match['constant']} in {match[0]!r}?")
    return constants[constant]
