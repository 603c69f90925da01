"""`navarch must-gather`: has an archive collected, writes it, and shows how far it is.

Owns the progress bar and the file. Must never decide what is collected. Invariants: standard output holds
the path alone, or with `-o -` the archive alone; without a terminal nothing is drawn; an archive is there
whole or not at all, and only its owner may read it.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from navarch.cli.check import print_text
from navarch.cli.inputs import InputError
from navarch.cli.terminal import escape
from navarch.core.diagnosis.report import Report
from navarch.kube.client import Client
from navarch.kube.credentials import load_credentials
from navarch.survey.archive.collector import Tell, collect
from navarch.survey.archive.folder import NOT_READ, Folder
from navarch.survey.archive.limits import Limits
from navarch.survey.session import Target, refuse_writes

STANDARD_OUTPUT = Path("-")
_LONGEST = 300
"""Characters of the line about what is missing."""


async def gather(target: Target, limits: Limits, *, places: tuple[str, ...]) -> Folder:
    """The files of an archive. Raises what `navarch check` raises where the cluster cannot be looked at."""
    folder = Folder(limits)
    credentials = await load_credentials(target.kubeconfig, context=target.context)
    async with Client(credentials, guard=refuse_writes, user_agent="navarch-must-gather") as client:
        with _draw() as tell:
            await collect(client, target, folder, places=places, tell=tell, write_report=_write_report)
    return folder


def _write_report(report: Report) -> str:
    text = io.StringIO()
    print_text(report, Console(file=text, highlight=False, soft_wrap=True, width=10_000))
    return text.getvalue()


@contextmanager
def _draw() -> Iterator[Tell]:
    """A bar on standard error where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("must-gather"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def tell(done: int, total: int, what: str) -> None:
            progress.update(task, completed=done, total=total, description=escape(what, longest=60))

        yield tell


def check_place(*, output: Path, directory: Path | None) -> None:
    """Raises InputError where nothing could be written: before minutes are spent on collecting."""
    if directory is not None:
        if directory.exists() and not directory.is_dir():
            raise InputError(f"--directory {directory}: is no directory")
        return
    if output == STANDARD_OUTPUT:
        if sys.stdout.isatty():
            raise InputError("--output -: an archive is not for a terminal; redirect it, or name a file")
        return
    parent = output.parent
    if output.is_dir():
        raise InputError(f"--output {output}: is a directory; name a file")
    if not parent.is_dir():
        raise InputError(f"--output {output}: there is no directory {parent}")
    if not _is_special(output):
        try:
            tempfile.TemporaryFile(dir=parent).close()
        except OSError as error:
            raise InputError(f"--output {output}: no file can be made there: {error.strerror}") from error


def save(folder: Folder, *, output: Path, directory: Path | None) -> Path | None:
    """Write the archive, or its files into a directory; what was written, None where that is standard output.
    Raises InputError."""
    try:
        if directory is not None:
            folder.write(directory)
        elif output == STANDARD_OUTPUT:
            sys.stdout.buffer.write(folder.pack())
            sys.stdout.buffer.flush()
            return None
        elif _is_special(output):
            output.write_bytes(folder.pack())
        else:
            _replace(output.resolve(), folder.pack())
    except OSError as error:
        raise InputError(f"{directory or output}: {error.strerror or error}") from error
    return directory or output


def _is_special(output: Path) -> bool:
    """Whether it is a device or a pipe, which is written to, and must not be replaced by a file."""
    return output.exists() and not output.is_file()


def _replace(output: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(name, output)
    except BaseException:
        os.unlink(name)
        raise


def tell_missing(folder: Folder) -> str:
    """That something is not in the archive, in one line."""
    first = escape("; ".join(sorted(folder.missing)), longest=_LONGEST)
    return f"{len(folder.missing)} not read or left out, see {NOT_READ} in it: {first}"
