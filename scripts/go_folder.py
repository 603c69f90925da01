"""Prints the folder of a Go that is new enough for every pin: the machine's, else one in the lab's cache."""

from __future__ import annotations

import sys

from lab.progress import LabError
from lab.toolchain import ensure_go

if __name__ == "__main__":
    try:
        print(ensure_go().parent)
    except LabError as error:
        sys.exit(str(error))
