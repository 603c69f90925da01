"""Images that are written by hand, and what the Containerfile says of one."""

import hashlib
import json
import os
import sys
import tarfile
from pathlib import Path

import pytest

from lab.cluster import CHECKOUT
from lab.images.archive import Image, Layer, ensure_archive
from lab.images.containerfile import read_final_stage
from lab.images.elf import find_libraries


def build_layer(source: Path) -> Layer:
    layer = Layer()
    layer.add_file("/bin/program", source, mode=0o755)
    layer.add_text("/etc/setting", "value\n")
    layer.add_directory("/tmp", mode=0o1777)
    layer.add_link("/bin/alias", "program")
    return layer


def read_archive(path: Path) -> tuple[list[dict[str, object]], dict[str, bytes]]:
    with tarfile.open(path) as archive:
        files = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}  # type: ignore[union-attr]
    return json.loads(files["manifest.json"]), files


def test_equal_content_makes_equal_archives_at_any_time_and_place(tmp_path: Path) -> None:
    archives = []
    for folder, stamp in (("one", 1_000_000), ("two", 2_000_000)):
        source = tmp_path / folder / "file"
        source.parent.mkdir()
        source.write_bytes(b"content")
        os.utime(source, (stamp, stamp))
        image = Image("lab.local/a:1", (build_layer(source),), {"User": "1"})
        archives.append(ensure_archive(tmp_path / folder, "a", [image]))
    assert archives[0].name == archives[1].name
    assert archives[0].read_bytes() == archives[1].read_bytes()


def test_a_changed_byte_or_configuration_makes_another_archive(tmp_path: Path) -> None:
    source = tmp_path / "file"
    paths = set()
    for content, user in ((b"content", "1"), (b"Content", "1"), (b"content", "2")):
        source.write_bytes(content)
        image = Image("lab.local/a:1", (build_layer(source),), {"User": user})
        paths.add(ensure_archive(tmp_path, "a", [image]))
    assert len(paths) == 3


def test_layers_are_named_by_their_content_and_a_shared_one_is_stored_once(tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"content")
    shared, other = build_layer(source), Layer()
    other.add_text("/other", "x")
    images = [Image("lab.local/a:1", (shared,), {}), Image("lab.local/b:1", (shared, other), {})]
    manifest, files = read_archive(ensure_archive(tmp_path, "two", images))
    assert [image["RepoTags"] for image in manifest] == [["lab.local/a:1"], ["lab.local/b:1"]]
    layers = {name: content for name, content in files.items() if name.endswith("/layer.tar")}
    assert len(layers) == 2
    for image in manifest:
        config = json.loads(files[str(image["Config"])])
        names = image["Layers"]
        assert isinstance(names, list)
        digests = [f"sha256:{hashlib.sha256(layers[name]).hexdigest()}" for name in names]
        assert config["rootfs"]["diff_ids"] == digests


def test_a_layer_holds_owner_mode_and_links_as_given_and_no_time(tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"content")
    image = Image("lab.local/a:1", (build_layer(source),), {})
    _, files = read_archive(ensure_archive(tmp_path, "a", [image]))
    (layer,) = (content for name, content in files.items() if name.endswith("/layer.tar"))
    (tmp_path / "layer.tar").write_bytes(layer)
    with tarfile.open(tmp_path / "layer.tar") as tree:
        members = {member.name: member for member in tree.getmembers()}
    assert sorted(members) == ["bin", "bin/alias", "bin/program", "etc", "etc/setting", "tmp"]
    assert members["bin/program"].mode == 0o755
    assert members["bin/alias"].linkname == "program"
    assert members["tmp"].mode == 0o1777
    assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, 0)}


def test_the_libraries_of_a_program_land_where_the_loader_of_an_image_looks() -> None:
    libraries = find_libraries(Path(sys.executable).resolve())
    assert any(Path(target).name.startswith("libc.so") for target in libraries)
    assert all(target.startswith(("/lib", "/usr/lib")) for target in libraries)
    assert all(source.exists() for source in libraries.values())


def test_the_operators_image_runs_without_root_and_without_writing() -> None:
    stage = read_final_stage(CHECKOUT / "Containerfile")
    user, _, group = stage.user.partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert stage.environment["PYTHONSAFEPATH"] == "1"
    assert stage.environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert (stage.entrypoint, stage.command) == (["navarch"], ["run"])
    assert stage.environment["PATH"].split(":")[0] == f"{stage.copied[0]}/bin"
    (program,) = stage.programs.values()
    assert stage.programs == {"/usr/bin/gather": program}
    assert (CHECKOUT / program).read_text().startswith(f"#!{stage.copied[0]}/bin/python\n")


def test_only_the_last_stage_of_a_containerfile_counts(tmp_path: Path) -> None:
    path = tmp_path / "Containerfile"
    path.write_text(
        "FROM a AS build\nUSER 0\nENV A=1\nCOPY x y /z/\nFROM b\n# a comment\n"
        'ENV B="two words" \\\n    PATH=/opt/b:$PATH\nUSER 7:8\n'
        'COPY --from=build /opt/b /opt/b\nCOPY --chmod=755 c/d /bin/d\nENTRYPOINT ["x"]\nCMD ["y"]\n'
    )
    stage = read_final_stage(path)
    assert "A" not in stage.environment
    assert stage.environment["B"] == "two words"
    assert stage.environment["PATH"].startswith("/opt/b:/usr/local/bin:")
    assert stage.programs == {"/bin/d": "c/d"}
    assert (stage.user, stage.copied, stage.entrypoint, stage.command) == ("7:8", ["/opt/b"], ["x"], ["y"])


def test_an_instruction_that_would_be_guessed_at_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Containerfile"
    for line in "HEALTHCHECK NONE", "COPY a /b", "COPY --from=x /a /b":
        path.write_text(f"FROM a\n{line}\n")
        with pytest.raises(ValueError, match=line.split()[0]):
            read_final_stage(path)
