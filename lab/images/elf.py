"""Which shared objects a program needs, as this machine's loader finds them.

Owns where a shared object goes inside an image. Must never run the program itself (ldd asks the loader).
Invariant: what lies outside the loader's own directories (an interpreter in a home directory) is moved into
them, so that an image needs neither an rpath of this machine nor a loader cache.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_SYSTEM = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")
_FOUND = re.compile(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)


def find_libraries(source: Path) -> dict[str, Path]:
    """Path inside an image -> file on this machine, of all shared objects `source` needs; none for a static
    program.

    RuntimeError names a shared object that this machine lacks.
    """
    answer = subprocess.run(["ldd", str(source)], capture_output=True, text=True, check=False)
    if answer.returncode != 0:  # "not a dynamic executable"
        return {}
    if missing := re.findall(r"(\S+) => not found", answer.stdout):
        raise RuntimeError(f"{source} needs {', '.join(missing)}, which this machine does not have")
    found = [Path(path) for path in _FOUND.findall(answer.stdout)]
    own = next((path.parent for path in found if path.name == "libc.so.6"), Path("/usr/lib"))
    return {str(path if str(path).startswith(_SYSTEM) else own / path.name): path for path in found}
