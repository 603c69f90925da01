"""The API server's edge: everything that reads from or writes to a cluster.

Three modules of kubernetes are used, and its packages import all of theirs, which takes 9 MiB. So a package
is made without that, until something asks it for what it would have imported.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from typing import Any


def _defer(spec: ModuleSpec) -> None:
    package = module_from_spec(spec)

    def complete(name: str) -> Any:
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)  # what the import system asks of any module
        del vars(package)["__getattr__"]
        assert spec.loader is not None
        spec.loader.exec_module(package)
        return getattr(package, name)

    vars(package)["__getattr__"] = complete
    sys.modules[spec.name] = package


for _name in ("kubernetes", "kubernetes.aio"):
    if _name not in sys.modules and (_spec := find_spec(_name)) is not None:
        _defer(_spec)
