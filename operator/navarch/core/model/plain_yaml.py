"""How YAML is written: everything in full, also what is one object in memory and stands in two places.

Owns the dumper's classes. Must never be evaded by a dumper of one's own: trees from the stores share their
parts (compact.py), and YAML would write marks in place of them.
"""

from __future__ import annotations

from typing import Any

import yaml


class PlainDumper(yaml.CSafeDumper):
    """Writes no anchors and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Of nothing it is asked whether it was written before."""
        return True
