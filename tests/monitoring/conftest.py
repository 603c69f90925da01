"""Prometheus and its promtool, built from their source at a pinned version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from lab import builds


@pytest.fixture(scope="session")
def tools() -> Mapping[str, Path]:
    """The programs by name."""
    return builds.ensure("prometheus")
