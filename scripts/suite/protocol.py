"""The names by which a run and its processes know each other: variables of their environment."""

from __future__ import annotations

FOLDER = "SUITE_RUN"
"""The folder in which the processes of one run write down what the others must know."""
STEP = "SUITE_RUN_STEP"
"""The name of the step of the run that a process is."""
UNTIL = "SUITE_RUN_UNTIL"
"""Until when (seconds since the epoch) a step begins tests: the run tells which it has not begun then."""
LAST = "SUITE_RUN_LAST"
"""What becomes of the tests marked `last`: `defer` leaves them out, `only` runs nothing else."""
