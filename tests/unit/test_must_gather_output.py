"""Where an archive is written to: it is there whole or not at all, and nothing else is lost for it."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import stat
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from navarch.cli.inputs import InputError
from navarch.cli.must_gather import check_place, save
from navarch.survey.archive.folder import ROOT, Folder
from navarch.survey.archive.limits import Limits

from tests.support.command import navarch
from tests.unit.test_kube_transport import serving


def fill() -> Folder:
    folder = Folder(Limits())
    folder.add_text("version", "navarch/must-gather\n0.1.0\n")
    return folder


def test_a_pipe_or_a_device_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    save(fill(), output=pipe, directory=None)
    assert stat.S_ISFIFO(pipe.stat().st_mode), "as root, this would have been /dev/null"
    reader.join(30)
    assert read == [fill().pack()]


def test_standard_output_gets_the_archive_and_not_a_file_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    check_place(output=Path("-"), directory=None)
    assert save(fill(), output=Path("-"), directory=None) is None
    assert capfdbinary.readouterr().out == fill().pack()
    assert not list(tmp_path.iterdir())


def test_behind_a_link_the_file_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "below" / "real.tar.gz", tmp_path / "link"
    target.parent.mkdir()
    target.write_text("before")
    link.symlink_to(target)
    save(fill(), output=link, directory=None)
    assert link.is_symlink()
    with tarfile.open(target) as archive:
        assert archive.getnames() == [f"{ROOT}/version"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_full_disk_is_told_with_the_path_and_leaves_what_was_there(tmp_path: Path) -> None:
    output = tmp_path / "out.tar.gz"
    output.write_text("before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))  # of each file; writing more is an error
    try:
        with pytest.raises(InputError, match=f"{output}: File too large"):
            save(fill(), output=output, directory=None)
        with pytest.raises(InputError, match=f"{tmp_path}/folder: File too large"):
            save(fill(), output=output, directory=tmp_path / "folder")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert output.read_text() == "before"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder", "out.tar.gz"]


@pytest.mark.parametrize(
    ("option", "choose", "said"),
    [
        ("-o", lambda folder: folder, "is a directory; name a file"),
        ("-o", lambda folder: folder / "none" / "x", "there is no directory"),
        ("-o", lambda _: Path("/proc/x.tar.gz"), "no file can be made there: No such file"),
        ("--directory", lambda folder: folder / "file", "is no directory"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_told(
    option: str, choose: Callable[[Path], Path], said: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    place = choose(tmp_path)
    places = (Path("unused"), place) if option == "--directory" else (place, None)
    with pytest.raises(InputError, match=f"{place}: {said}"):
        check_place(output=places[0], directory=places[1])


def test_the_place_is_looked_at_before_the_cluster() -> None:
    ended = navarch("must-gather", "-o", "/", kubeconfig=Path("/no/cluster/is/asked"))
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "navarch must-gather: --output /: is a directory; name a file\n"


async def test_who_interrupts_it_finds_no_archive_and_no_piece_of_one(tmp_path: Path) -> None:
    asked, interrupted = asyncio.Event(), asyncio.Event()

    async def answer(_: web.Request) -> web.StreamResponse:
        asked.set()
        await interrupted.wait()
        return web.Response(status=503)

    out = tmp_path / "out"
    out.mkdir()
    async with serving(tmp_path, answer):
        command = ["must-gather", "-o", str(out / "x.tar.gz"), "--kubeconfig", str(tmp_path / "kubeconfig")]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "navarch", *command), stderr=asyncio.subprocess.PIPE
        )
        await asyncio.wait_for(asked.wait(), 60)
        process.send_signal(signal.SIGINT)
        _, told = await asyncio.wait_for(process.communicate(), 60)
        interrupted.set()
    assert process.returncode not in (0, None)
    assert "Traceback" not in told.decode()
    assert list(out.iterdir()) == []
