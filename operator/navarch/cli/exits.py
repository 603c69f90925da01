"""Exit codes of the command, and the options that its commands share.

Owns the meaning of every exit code (documented in docs/reference/commands.md). Invariant: a code above 2 has
one meaning for all commands but `plan`, which has the codes of `terraform plan -detailed-exitcode`.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from navarch.cli.terminal import escape, prepare

if TYPE_CHECKING:
    from rich.console import Console


class Exit(IntEnum):
    """How a command ended; `doc` says it to the user."""

    doc: str

    def __new__(cls, value: int, doc: str = "") -> Exit:
        """Attach the documentation to the number."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member

    OK = 0, "Done; `check`, `ca verify`: no warnings and no errors; `plan`: there is nothing to do."
    WARNINGS = (
        1,
        "`check`, `ca verify`: warnings, and no error. `plan`: the plan could not be made whole, or not be "
        "carried out. `upgrade status`: it stands, and waits for somebody. `approve`, `rollback`, `upgrade "
        "pause`, `resume` and `abort`: nothing was written. "
        "`render`, `images`, `manifests`: the input is wrong, or the package's own data is missing. `run`: "
        "it has failed. All: standard output could not be written.",
    )
    ERRORS = (
        2,
        "`check`, `ca verify`: errors. `plan`: something is to be done. `upgrade status`: something is under "
        "way.",
    )
    BLIND = (
        3,
        "`check`, `describe`, `upgrade status`, `ca verify` and `must-gather`: could not look: no "
        "credentials, no answer, no such file or mesh, a setting that is wrong, or a failure of the "
        "command's own.",
    )
    USAGE = 64, "The command line is wrong; nothing was done."


class Commands(TyperGroup):
    """The group of all commands: a wrong command line ends with a code of its own. Typer's is 2, which
    `check` needs."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the group's own options."""
        with _usage():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Read a command's options, and run it."""
        with _usage():
            return super().invoke(ctx)


@contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except TyperException as error:
        error.exit_code = Exit.USAGE
        raise
    except OSError as error:  # of standard output: all others are told where they arise
        if error.errno == errno.EPIPE:
            raise  # its reader has gone, and typer ends without a word
        typer.echo(f"navarch: {error.strerror or error}", err=True)
        raise typer.Exit(Exit.WARNINGS) from None


@contextmanager
def told(command: str, *, blind: Exit = Exit.BLIND) -> Iterator[None]:
    """Ends the command with `blind` and a line on standard error where it could not look; a traceback comes
    before it where the error was not foreseen. No failure may look like a report: of `check`, 1 and 2 stand
    for what was found."""
    from navarch.assets import MissingAssets
    from navarch.cli.inputs import InputError
    from navarch.kube.credentials import NoCredentials
    from navarch.kube.errors import KubeError
    from navarch.survey.checkup import MeshNotFound

    prepare()
    try:
        yield
    except typer.Exit:
        raise
    except (InputError, MissingAssets, MeshNotFound, NoCredentials, KubeError, OSError) as error:
        typer.echo(f"navarch {command}: {escape(str(error))}", err=True)
        raise typer.Exit(blind) from None
    except Exception as error:
        traceback.print_exc()
        what = f"{type(error).__name__}: {escape(str(error))}"
        typer.echo(f"navarch {command}: failed, which is a bug: {what}", err=True)
        raise typer.Exit(blind) from None


def build_console() -> Console:
    """Standard output: colours on a terminal only, and not with NO_COLOR; elsewhere lines of any length."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=10_000)
