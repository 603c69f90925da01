"""The files of an archive, in memory until they are written.

Owns their places, their bounds, and masking: all that is put in is masked here. Must never ask a cluster.
Invariants: the files together hold no more than `bytes`, an object no more than `object_bytes`; what was left
out for that is told; names from a cluster cannot lead out of the folder.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from navarch.core.diagnosis.masking import mask_object, mask_text
from navarch.core.model.plain_yaml import PlainDumper
from navarch.core.model.refs import Manifest
from navarch.kube.resources import Resource
from navarch.survey.archive.limits import Limits

ROOT = "navarch-must-gather"
"""The one folder of an archive."""
NOT_READ = "not-read.txt"
_ODD = re.compile(r"[^A-Za-z0-9._-]")


@dataclass
class Folder:
    """Objects by the file that they go into and their name in it, other files by their path; `missing` are
    lines about what is not there."""

    limits: Limits
    objects: defaultdict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    texts: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    size: int = 0
    _full: bool = False

    def add_object(self, resource: Resource, manifest: Manifest) -> None:
        """An object, once. Of one that is too large its metadata stays."""
        metadata = manifest["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        path = place(resource, namespace, name)
        if name in self.objects.get(path, ()):
            return
        what = f"{resource.kind} {namespace}/{name}" if namespace else f"{resource.kind} {name}"
        try:
            text = _dump(mask_object(manifest))
        except RecursionError:
            self.miss(f"{what}: nested too deep to be masked")
            return
        if len(text) > self.limits.object_bytes:
            self.miss(f"{what}: larger than {self.limits.object_bytes:,} bytes: only its name is here")
            kept = {key: metadata[key] for key in ("name", "namespace", "uid") if key in metadata}
            text = _dump({"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": kept})
        if self._take(text, what):
            self.objects[path][name] = text

    def add_text(self, path: str, text: str) -> None:
        """Another file."""
        masked = mask_text(text)
        if self._take(masked, path):
            self.texts[path] = masked

    def miss(self, what: str) -> None:
        """Name what is not in the archive, and why."""
        line = " ".join(mask_text(what).split())
        if line not in self.missing:
            self.missing.append(line)

    def _take(self, text: str, what: str) -> bool:
        size = len(text.encode(errors="replace"))
        if self.size + size > self.limits.bytes:
            if not self._full:
                self.miss(
                    f"{what}, and all that came after it: the archive would be larger than "
                    f"{self.limits.bytes:,} bytes"
                )
            self._full = True
            return False
        self.size += size
        return True

    def list_files(self) -> Iterator[tuple[str, bytes]]:
        """Path and content of each file, in the order of paths."""
        files = dict(self.texts)
        for path, named in self.objects.items():
            texts = [text for _, text in sorted(named.items())]
            files[path] = _join(texts) if _is_list(path) or len(texts) > 1 else texts[0]
        if self.missing:
            files[NOT_READ] = "".join(f"{line}\n" for line in sorted(self.missing))
        for path, text in sorted(files.items()):
            yield path, text.encode(errors="replace")

    def write(self, directory: Path) -> None:
        """Write all files into a directory, which is made where it is missing."""
        for path, content in self.list_files():
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def pack(self) -> bytes:
        """The files as a .tar.gz: equal for equal files."""
        packed = io.BytesIO()
        with (
            gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for path, content in self.list_files():
                member = tarfile.TarInfo(f"{ROOT}/{path}")
                member.size, member.mode = len(content), 0o644
                archive.addfile(member, io.BytesIO(content))
        return packed.getvalue()


def place(resource: Resource, namespace: str, name: str) -> str:
    """The file of an object: those of Kubernetes' own kinds in a namespace share one, as a list."""
    group = clean(resource.group or "core")
    if not namespace:
        return f"cluster-scoped-resources/{group}/{resource.plural}/{clean(name)}.yaml"
    root = f"namespaces/{clean(namespace)}/{group}/{resource.plural}"
    return f"{root}.yaml" if resource.builtin else f"{root}/{clean(name)}.yaml"


def clean(name: str) -> str:
    """A name as a part of a path."""
    return _ODD.sub("-", name).lstrip(".") or "-"


def _is_list(path: str) -> bool:
    return path.startswith("namespaces/") and path.count("/") == 3


def _join(texts: list[str]) -> str:
    """A list of objects, as `kubectl get -o yaml` prints one."""
    items = "".join(f"- {text.rstrip().replace(chr(10), f'{chr(10)}  ')}\n" for text in texts)
    return f"apiVersion: v1\nkind: List\nitems:\n{items}"


def _dump(document: Any) -> str:
    return str(yaml.dump(document, Dumper=PlainDumper, sort_keys=False, allow_unicode=True, width=1000))
