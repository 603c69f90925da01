"""Names of the operator's variables for images, as tools that mirror bundles know them."""

from __future__ import annotations

import re

RELATED = "RELATED_IMAGE_"


def name_variable(image: str) -> str:
    """The variable of an image, which is named with its version, such as `pilot-1.31.4`."""
    return RELATED + re.sub(r"[.-]", "_", image).upper()
