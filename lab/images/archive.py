"""Docker-archive tarballs: layers from trees of files, images from layers.

Owns the format (`manifest.json`, a config and a `layer.tar` by digest, as `docker save` writes it and
containerd's importer reads it). Must never look at clock, user or umask: owner, mode and time of each entry
are given or zero. Invariant: equal trees make equal layers, so images that share a layer share its bytes,
also inside one archive.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from lab.images.elf import find_libraries

_EPOCH = "1970-01-01T00:00:00Z"
UNUSED_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a layer: a directory, a symbolic link to `link`, or a file with `data` or the content of
    `source`.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    data: bytes | None = None
    source: Path | None = None
    link: str | None = None

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory."""
        return self.data is None and self.source is None and self.link is None

    def digest(self) -> str:
        """Hash of all that ends up in the layer."""
        content = hashlib.sha256(self.data or b"")
        if self.source is not None:
            with self.source.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256")
        kind = "directory" if self.is_directory else f"link {self.link}" if self.link else "file"
        return f"{kind} {self.mode:o} {self.uid} {self.gid} {content.hexdigest()}"


@dataclass(frozen=True, slots=True)
class Layer:
    """A tree of files, filled by the add methods. Missing parents become directories of root, mode 755."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def add(self, path: str, entry: Entry) -> None:
        """Put one entry at an absolute path."""
        for parent in PurePosixPath(path).parents:
            if str(parent) != "/":
                self.entries.setdefault(str(parent), Entry(0o755))
        self.entries[path] = entry

    def add_directory(self, path: str, *, mode: int = 0o755, parent: int = 0) -> None:
        """Put a directory; `parent` is its user and group."""
        self.add(path, Entry(mode, parent, parent))

    def add_text(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Put a file with this content."""
        self.add(path, Entry(mode, data=text.encode()))

    def add_link(self, path: str, target: str) -> None:
        """Put a symbolic link."""
        self.add(path, Entry(0o777, link=target))

    def add_file(self, path: str, source: Path, *, mode: int = 0o644) -> None:
        """Put a copy of a file of this machine; of a symbolic link, what it leads to."""
        self.add(path, Entry(mode, source=source.resolve(strict=True)))

    def add_program(self, path: str, source: Path) -> None:
        """Put an executable together with the shared objects that the loader finds for it."""
        self.add_file(path, source, mode=0o755)
        self.add_libraries(source)

    def add_libraries(self, source: Path) -> None:
        """Put the shared objects that a program or shared object of this machine needs."""
        for target, library in find_libraries(source).items():
            self.add_file(target, library, mode=0o755)

    def digest(self) -> str:
        """Hash of the tree."""
        lines = (f"{path} {entry.digest()}\n" for path, entry in sorted(self.entries.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Image:
    """A named image: its layers, lowest first, and the `config` object of its image configuration."""

    name: str
    layers: tuple[Layer, ...]
    config: Mapping[str, Any]


def ensure_archive(directory: Path, label: str, images: Iterable[Image]) -> Path:
    """The archive of these images, named by `label` and a hash of their content; written where missing."""
    images = tuple(images)
    digests = {id(layer): layer.digest() for image in images for layer in image.layers}
    content = [
        [image.name, dict(image.config), [digests[id(layer)] for layer in image.layers]] for image in images
    ]
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    path = directory / f"{label}-{key}.tar"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, prefix=f".{label}-", delete=False) as unfinished:
            try:
                _write(unfinished, images, digests)
                os.replace(unfinished.name, path)
            except BaseException:
                os.unlink(unfinished.name)
                raise
    os.utime(path)
    _prune(path, label)
    return path


def _prune(current: Path, label: str) -> None:
    """Remove earlier archives of the label, unless somebody may just be reading one."""
    for other in current.parent.glob(f"{label}-*.tar"):
        if other != current and current.stat().st_mtime - other.stat().st_mtime > UNUSED_SECONDS:
            other.unlink(missing_ok=True)


def _write(target: IO[bytes], images: Iterable[Image], digests: Mapping[int, str]) -> None:
    written: dict[str, str] = {}
    manifest = []
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for image in images:
            for layer in image.layers:
                if (tree := digests[id(layer)]) not in written:
                    written[tree] = _add_layer(archive, layer)
            ids = [written[digests[id(layer)]] for layer in image.layers]
            config = _build_config(image.config, ids)
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add_bytes(archive, name, config)
            layers = [f"{layer}/layer.tar" for layer in ids]
            manifest.append({"Config": name, "RepoTags": [image.name], "Layers": layers})
        _add_bytes(archive, "manifest.json", json.dumps(manifest).encode())


def _build_config(config: Mapping[str, Any], layers: list[str]) -> bytes:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    body = {
        "architecture": machine,
        "os": "linux",
        "created": _EPOCH,
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}" for layer in layers]},
        "history": [{"created": _EPOCH} for _ in layers],
    }
    return json.dumps(body, sort_keys=True).encode()


def _add_layer(archive: tarfile.TarFile, layer: Layer) -> str:
    """Append the layer's tar under its digest, which is returned."""
    with tempfile.TemporaryFile() as unfinished:
        with tarfile.open(fileobj=unfinished, mode="w", format=tarfile.PAX_FORMAT) as tree:
            for member, content in _members(layer):
                with content:
                    tree.addfile(member, content)
        unfinished.seek(0)
        digest = hashlib.file_digest(unfinished, "sha256").hexdigest()
        header = tarfile.TarInfo(f"{digest}/layer.tar")
        header.size = unfinished.seek(0, io.SEEK_END)
        unfinished.seek(0)
        archive.addfile(header, unfinished)
    return digest


def _members(layer: Layer) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    for path, entry in sorted(layer.entries.items()):
        member = tarfile.TarInfo(path.lstrip("/"))
        member.mode, member.uid, member.gid = entry.mode, entry.uid, entry.gid
        content: IO[bytes] = io.BytesIO(entry.data or b"")
        if entry.link is not None:
            member.type, member.linkname = tarfile.SYMTYPE, entry.link
        elif entry.is_directory:
            member.type = tarfile.DIRTYPE
        elif entry.source is not None:
            content = entry.source.open("rb")
            member.size = os.fstat(content.fileno()).st_size
        else:
            member.size = len(entry.data or b"")
        yield member, content


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(data)
    archive.addfile(header, io.BytesIO(data))
