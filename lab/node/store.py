"""containerd's directory with the base images already in it, made once for each set of images.

Owns `containerd-*` in the cache. Importing half a gigabyte takes seconds, so each lab starts from links to
the files of such a directory instead of importing. Must never be written to after it was made: containerd
replaces files and overlayfs copies before it writes, so links are safe; only its databases change in place,
and these are copied.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from lab.node.configs import CONTAINERD
from lab.progress import LabError, run_visibly, wait_until
from lab.toolchain import cache

_MANAGED = 'labels."io.cri-containerd.image"==managed'


def ensure_store(archive: Path) -> Path:
    """The directory with the images of `archive` imported. Needs root."""
    key = hashlib.sha256(f"{archive.name} {CONTAINERD} {_version()}".encode()).hexdigest()[:12]
    store = cache() / f"containerd-{key}"
    if not store.exists():
        with tempfile.TemporaryDirectory(dir=cache(), prefix=".containerd-") as scratch:
            root = Path(scratch) / "root"
            root.mkdir()
            apart = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
            script = [sys.executable, "-m", "lab.node.store", str(root), str(archive)]
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
            run_visibly(
                [*apart, *script], label="importing images", log=cache() / "build.log", env=environment
            )
            root.rename(store)
    return store


def copy_store(store: Path, root: Path) -> None:
    """Make `root` a containerd directory that starts with the content of `store`."""
    if root.exists():  # a kept lab has its own images already
        return
    unfinished = root.with_name(f".{root.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["cp", "-al", store, unfinished], capture_output=True, check=False).returncode == 0:
        for database in unfinished.glob("*/*.db"):
            content = database.read_bytes()
            database.unlink()
            database.write_bytes(content)
    else:  # another file system
        shutil.rmtree(unfinished, ignore_errors=True)
        subprocess.run(["cp", "-a", store, unfinished], check=True)
    unfinished.rename(root)


def read_names(archive: Path) -> list[str]:
    """The names of the images in an archive."""
    with tarfile.open(archive) as content:
        manifest = content.extractfile("manifest.json")
        if manifest is None:
            raise LabError(f"{archive} is no image archive")
        return [name for image in json.load(manifest) for name in image["RepoTags"]]


def managed_images(ctr: list[str]) -> set[str]:
    """Images that the kubelet's side of containerd has taken note of; `ctr` is the command with its
    options.
    """
    done = subprocess.run([*ctr, "images", "ls", "-q", _MANAGED], capture_output=True, text=True, check=False)
    return set(done.stdout.split())


def _version() -> str:
    return subprocess.run(["containerd", "--version"], capture_output=True, text=True, check=True).stdout


def _import(root: Path, archive: Path) -> None:
    """Runs in namespaces of its own: a containerd with its directory at `root`, for one import."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    configuration = Path("/run/containerd.toml")
    text = CONTAINERD.replace('"/var/lib/containerd"', json.dumps(str(root))).replace("/etc/cni", "/run/cni")
    configuration.write_text(text)  # containerd makes the directories that it is told to read
    daemon = subprocess.Popen(["containerd", "--config", configuration])
    ctr = ["ctr", "--namespace", "k8s.io"]
    try:
        version = ["ctr", "version"]
        wait_until(
            lambda: subprocess.run(version, capture_output=True, check=False).returncode == 0,
            what="containerd answers",
            seconds=120,
        )
        subprocess.run([*ctr, "images", "import", archive], check=True)
        names = set(read_names(archive))
        wait_until(lambda: names <= managed_images(ctr), what="containerd knows the images", seconds=120)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)


if __name__ == "__main__":
    _import(Path(sys.argv[1]), Path(sys.argv[2]))
