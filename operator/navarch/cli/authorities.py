"""`navarch ca verify`: reads a certificate authority from files or a Secret, has it judged, prints a report.

Owns where one can be read from, and the two forms of the report. Must never judge, write, or print anything
of a key of a Secret but what core/trust makes of it. Invariant: any content of a file ends with a report or
with InputError.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from navarch.cli.check import EXITS, STYLES
from navarch.cli.describe import print_text as print_tree
from navarch.cli.exits import Exit
from navarch.cli.inputs import InputError, parse_documents, unpack
from navarch.cli.terminal import escape
from navarch.core.diagnosis.authority import build_authority
from navarch.core.diagnosis.node import Node
from navarch.core.model.findings import Finding, Severity
from navarch.core.model.refs import Ref
from navarch.core.trust.authority import NAMES, Authority
from navarch.core.trust.checks import ObservedAuthority, judge_authority
from navarch.core.trust.reading import read_authority, read_pem, read_secret
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.kube.errors import NotFound
from navarch.survey.session import Target, refuse_writes

REPORT_VERSION = 1
"""Version of the JSON schema, as that of `navarch check`."""
_MOST_BYTES = 4 * 1024 * 1024
"""Of a file: a Secret of 1 MiB in base64, with all else that may stand beside it."""
_NAMESPACE = "istio-system"
_KEYS = frozenset(name for each in NAMES.values() for name in (*each.required, each.crl) if name)
_RANK = (Severity.ERROR, Severity.WARNING, Severity.INFO)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command was asked for."""

    source: str
    namespace: str = ""
    trust_domains: tuple[str, ...] = ()
    trusted: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """An authority, what to call the place where it was, and the namespace that this names."""

    authority: Authority
    name: str
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """The report; findings are the worst first."""

    source: str
    tree: Node
    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Severity:
        """The highest severity; INFO where nothing was found."""
        return self.findings[0].severity if self.findings else Severity.INFO


async def verify(target: Target, wanted: Wanted) -> Verified:
    """Read and judge. Raises InputError, and KubeError where the cluster does not give a Secret."""
    found = await _read(target, wanted.source, wanted.namespace)
    namespace = wanted.namespace or found.namespace or _NAMESPACE
    present = (await _read(target, wanted.trusted, namespace)).authority.roots if wanted.trusted else None
    observed = ObservedAuthority(
        found.authority,
        datetime.now(UTC),
        trust_domains=wanted.trust_domains or ("cluster.local",),
        hosts=(f"istiod.{namespace}.svc",),
        present=present,
    )
    findings = sorted(judge_authority(observed), key=lambda finding: _RANK.index(finding.severity))
    return Verified(found.name, build_authority(found.name, observed), tuple(findings))


async def _read(target: Target, source: str, namespace: str) -> Read:
    kind, slash, name = source.partition("/")
    if kind != "secret" or not slash:
        return _read_files(source)
    if not namespace:
        raise InputError(f"{source}: give -n NAMESPACE, the namespace of the Secret")
    secret = await _get_secret(target, namespace, name)
    return Read(read_secret(secret.get("data")), f"Secret {namespace}/{name}", namespace)


async def _get_secret(target: Target, namespace: str, name: str) -> Mapping[str, Any]:
    credentials = await load_credentials(target.kubeconfig, context=target.context)
    async with Client(credentials, guard=refuse_writes, user_agent="navarch-cli") as client:
        try:
            return await client.get(Ref("v1", "Secret", namespace, name))
        except NotFound:
            raise InputError(f"there is no Secret {namespace}/{name}") from None


def _read_files(source: str) -> Read:
    return _read_folder(Path(source)) if Path(source).is_dir() else _read_file(source)


def _read_folder(folder: Path) -> Read:
    """A folder as a Secret is mounted: a file for each key. Files of other names are not opened."""
    try:
        names = sorted(each.name for each in folder.iterdir() if not each.name.startswith(".."))
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}") from error
    data = {name: _read_bytes(str(folder / name)) if name in _KEYS else b"" for name in names}
    return Read(read_authority(data), str(folder))


def _read_file(source: str) -> Read:
    text = _read_bytes(source)
    name = "standard input" if source == "-" else source
    secret = _find_secret(name, text)
    if secret is None:
        return Read(read_pem(Path(name).name, text), name)
    metadata = secret.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    namespace = str(metadata.get("namespace") or "")
    called = f"Secret {namespace}/{metadata.get('name')}" if namespace else f"Secret {metadata.get('name')}"
    return Read(read_secret(_join_data(name, secret)), called, namespace)


def _read_bytes(source: str) -> bytes:
    """What is in a file, if it is not larger than any Secret. Raises InputError."""
    name = "standard input" if source == "-" else source
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else Path(source).open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error
    if len(text) > _MOST_BYTES:
        raise InputError(f"{name}: has more than {_MOST_BYTES:,} bytes, and no Secret can be as large")
    return text


def _find_secret(name: str, text: bytes) -> Mapping[str, Any] | None:
    """The Secret in a file of YAML or JSON; None where it is no such file."""
    if text.lstrip().startswith(b"-----BEGIN") or b"kind" not in text:
        return None
    try:
        documents = [*unpack(parse_documents(text.decode()))]
    except UnicodeDecodeError:
        return None
    except InputError as error:
        # What a parser quotes may be a part of a key.
        raise InputError(f"{name}: neither PEM nor a Secret in YAML or JSON that can be read") from error
    objects = [each for each in documents if isinstance(each, dict) and "kind" in each]
    secrets = [each for each in objects if each["kind"] == "Secret"]
    if not objects:
        return None
    if len(secrets) != 1:
        raise InputError(f"{name}: there are {len(secrets)} Secrets in it; give a file with one")
    return secrets[0]


def _join_data(name: str, secret: Mapping[str, Any]) -> dict[str, Any]:
    """data with stringData over it, as the API server joins them."""
    for part in ("data", "stringData"):
        if not isinstance(secret.get(part) or {}, dict):
            raise InputError(f"{name}: {part}: is not a map of keys to texts")
    written = {
        str(key): base64.b64encode(str(value or "").encode()).decode()
        for key, value in (secret.get("stringData") or {}).items()
    }
    return {**{str(key): value for key, value in (secret.get("data") or {}).items()}, **written}


def determine_exit(report: Verified) -> Exit:
    """The exit code: the worst of what was found."""
    return EXITS[report.worst]


def print_json(report: Verified) -> None:
    """The report for programs."""
    findings = [
        {
            "id": each.reason.value,
            "severity": each.severity.value,
            "field": each.field,
            "value": each.value,
            "message": each.message,
            "remedy": each.remedy,
        }
        for each in report.findings
    ]
    document = {
        "schema": REPORT_VERSION,
        "source": report.source,
        "worst": report.worst.value,
        "counts": {each.value: _count(report, each) for each in Severity},
        "tree": report.tree.to_json(),
        "findings": findings,
    }
    print(json.dumps(document, indent=2))


def print_text(report: Verified, console: Console) -> None:
    """The report for people."""
    print_tree(report.tree, console)
    for each in report.findings:
        console.print()
        for line in _build_lines(each):
            console.print(line, soft_wrap=True)
    console.print()
    counts = [f"{(n := _count(report, s))} {s.value}{'' if n == 1 else 's'}" for s in Severity]
    console.print(", ".join(counts) if report.findings else "No problems found.", highlight=False)


def _build_lines(finding: Finding) -> Iterator[Text]:
    head = Text.assemble(
        (f"{finding.severity.value:<8}", STYLES[finding.severity]),
        (finding.reason.value, "bold"),
        f"  {escape(finding.field)}",
    )
    yield head
    value = f"{escape(repr(finding.value))}: " if finding.value else ""
    yield Text(f"        {value}{escape(finding.message)}")
    yield Text.assemble("        ", ("do: ", "dim"), escape(finding.remedy))


def _count(report: Verified, severity: Severity) -> int:
    return sum(each.severity is severity for each in report.findings)
