"""Navarch: an operator that owns the whole life of Istio service meshes.

structlog imports rich where it finds it, for tracebacks in colour. The command draws with rich; the operator
logs lines of JSON, and the import takes 6 MiB and a tenth of its start. So structlog does not find it.
"""

from __future__ import annotations

import sys


def _import_structlog() -> None:
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # what the import system takes for "not there"
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


_import_structlog()
