"""The resident ExifTool, with the real program."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photoramd.errors import DecodeError, ToolError
from photoramd.metadata.exiftool import Changes, ExifTool
from photoramd.metadata.exiftool_pipe import require_version
from photoramd.system.child import tethered
from tests.support.daemons import wait_for
from tests.support.xmp import add_subjects, subjects

Put = Callable[[str, str], Path]
Read = Callable[..., str]


@pytest.fixture(scope="module")
def child() -> Iterator[ExifTool]:
    with ExifTool() as opened:
        yield opened


def packet(*keywords: str) -> bytes:
    data = add_subjects(None, keywords)
    assert data is not None
    return data


@pytest.mark.parametrize("version", ["12.38", "12.57", "12.81", "13.54", "14.00"])
def test_versions_in_the_range_are_used(version: str) -> None:
    require_version(version)


@pytest.mark.parametrize("version", ["11.88", "12.37", "12.82", "13.10", "13.53", "", "what"])
def test_other_versions_are_refused_with_the_remedy(version: str) -> None:
    with pytest.raises(ToolError) as caught:
        require_version(version)
    assert "13.54" in (caught.value.remedy or "")


def test_a_refused_program_is_never_given_a_photo(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = tmp_path / "exiftool"
    program.write_text(
        "#!/bin/sh\n"
        f'while read -r line; do echo "$line" >> {log}\n'
        'case "$line" in -execute*) n="${line#-execute}";'
        ' echo 12.90; echo "{ready$n}"; echo "{done$n}" >&2;; esac; done\n'
    )
    program.chmod(0o755)
    with ExifTool(os.fspath(program)) as refused, pytest.raises(ToolError, match="run code"):
        refused.block(tmp_path / "photo.jpg", "jpg", "XMP")
    assert "photo" not in log.read_text()


def test_a_missing_program_is_named_with_the_package(tmp_path: Path) -> None:
    with ExifTool(os.fspath(tmp_path / "no-exiftool")) as missing:
        with pytest.raises(ToolError) as caught:
            missing.version()
        assert "libimage-exiftool-perl" in (caught.value.remedy or "")


@pytest.mark.parametrize("script", ["echo lib missing >&2; exit 2", "exec sleep 60"])
def test_a_program_that_never_worked_blames_no_photo(tmp_path: Path, script: str) -> None:
    program = tmp_path / "exiftool"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with ExifTool(os.fspath(program), timeout_seconds=0.5) as broken:
        with pytest.raises(ToolError) as caught:
            broken.version()
        assert "libimage-exiftool-perl" in (caught.value.remedy or "")


NAMES = [b"-a.jpg", b"@a.jpg", b"$a.jpg", b"a\n-Artist=y\n.jpg", b"\xff\xfe.jpg", b" a.jpg"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_the_right_file_and_no_other(
    child: ExifTool, put: Put, album: Path, name: bytes, exiftool: Read
) -> None:
    photo = put("china", os.fsdecode(name))
    before = photo.read_bytes()
    new = child.rewrite(photo, "jpg", Changes(xmp=packet("a tag")))
    assert photo.read_bytes() == before
    assert list(album.iterdir()) == [photo]
    photo.write_bytes(new)
    assert subjects(child.block(photo, "jpg", "XMP")) == ("a tag",)
    copy = album.parent / "copy.jpg"
    shutil.copyfile(photo, copy)
    assert exiftool("-s3", "-Subject", "-Artist", copy) == "a tag\n"


def test_values_are_never_options_and_stay_the_texts_they_are(
    child: ExifTool, put: Put, exiftool: Read
) -> None:
    photo = put("china", "a.jpg")
    values = ["1.10", "1e3", "true", "x\n-Artist=y", "-Artist=z", "{a}", "[b]", "$c", "#d", "é"]
    changes = Changes(
        xmp=packet(*values),
        lists={"IPTC:Keywords": values},
        options=["-IPTC:CodedCharacterSet=UTF8"],
    )
    photo.write_bytes(child.rewrite(photo, "jpg", changes))
    assert subjects(child.block(photo, "jpg", "XMP")) == tuple(values)
    shown = exiftool("-b", "-sep", "\t", "-IPTC:Keywords", photo)
    assert shown == "\t".join(values)
    assert exiftool("-Artist", photo) == ""


def test_six_thousand_keywords_come_back(child: ExifTool, put: Put) -> None:
    # ExifTool's own -j would show the first thousand.
    photo = put("china", "a.jpg")
    many = [f"k{number}" for number in range(6000)]
    png = put("cat", "a.png")
    png.write_bytes(child.rewrite(png, "png", Changes(xmp=packet(*many))))
    assert list(subjects(child.block(png, "png", "XMP"))) == many
    photo.write_bytes(child.rewrite(photo, "jpg", Changes(lists={"IPTC:Keywords": many})))
    assert child.block(photo, "jpg", "IPTC").count(b"\x1c\x02\x19") == 6000


def test_what_cannot_be_written_is_an_error_and_the_next_photo_works(
    child: ExifTool, put: Put
) -> None:
    photo = put("china", "a.jpg")
    whole = photo.read_bytes()
    photo.write_bytes(b"this is no photo")
    with pytest.raises(DecodeError):
        child.rewrite(photo, "jpg", Changes(xmp=packet("a")))
    photo.write_bytes(whole)
    assert child.rewrite(photo, "jpg", Changes(xmp=b"")) == whole


def test_added_and_removed_again_a_jpeg_is_the_same(child: ExifTool, put: Put) -> None:
    photo = put("china", "a.jpg")
    before = photo.read_bytes()
    photo.write_bytes(child.rewrite(photo, "jpg", Changes(xmp=packet("a"))))
    assert photo.read_bytes() != before
    assert child.rewrite(photo, "jpg", Changes(xmp=b"")) == before


def test_a_command_that_hangs_is_ended_and_the_queue_goes_on(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = put("china", "good.jpg")
    with ExifTool() as child:
        child.version()
        first = child.process
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        monkeypatch.setattr(child._pipe, "_timeout_seconds", 1)
        with pytest.raises(DecodeError, match="longer than 1 second"):
            child.rewrite(photo, "jpg", Changes(xmp=b""))
        monkeypatch.undo()
        assert child.process is None
        assert not Path(f"/proc/{first}").exists()
        assert child.rewrite(photo, "jpg", Changes(xmp=b"")) == photo.read_bytes()


def test_xmp_of_a_depth_that_breaks_it_costs_one_photo(
    put: Put, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, deep = put("china", "good.jpg"), album / "deep.xmp"
    deep.write_text(
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
        ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns="a/">'
        f"{'<x>' * 20_000}{'</x>' * 20_000}</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    with ExifTool(memory_bytes=1 << 30) as child:
        child.version()
        monkeypatch.setattr(child._pipe, "_timeout_seconds", 2)
        # Too slow or too large, whichever comes first on the machine.
        with pytest.raises(DecodeError, match=r"longer|unexpectedly"):
            child.describe(deep, "xmp", ["-all"])
        monkeypatch.undo()
        assert child.rewrite(good, "jpg", Changes(xmp=b"")) == good.read_bytes()


def test_a_killed_child_is_started_again(put: Put) -> None:
    photo = put("china", "a.jpg")
    with ExifTool() as child:
        child.version()
        assert child.process is not None
        os.kill(child.process, 9)
        child._pipe._child.wait()  # type: ignore[union-attr]
        assert child.rewrite(photo, "jpg", Changes(xmp=b"")) == photo.read_bytes()


def test_the_child_has_a_limit_of_memory_and_no_options_from_elsewhere(put: Put) -> None:
    with ExifTool(memory_bytes=1 << 30) as child:
        child.version()
        limits = Path(f"/proc/{child.process}/limits").read_text()
        command = Path(f"/proc/{child.process}/cmdline").read_bytes().split(b"\0")
    assert f"Max address space         {1 << 30}" in limits
    assert command[-6:-1] == [b"", b"-stay_open", b"True", b"-@", b"-"]
    assert command[-7] == b"-config"


def test_nothing_is_left_behind(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", os.fspath(private))
    with ExifTool() as child:
        child.rewrite(put("china", "a.jpg"), "jpg", Changes(xmp=packet("a")))
        process = child.process
        assert not [p for d in private.iterdir() for p in d.iterdir() if p.name.startswith("out")]
    assert list(private.iterdir()) == []
    assert not Path(f"/proc/{process}").exists()


def test_arguments_of_several_lines_are_refused(child: ExifTool, put: Put) -> None:
    with pytest.raises(ValueError, match="several lines"):
        child.describe(put("china", "a.jpg"), "jpg", ["-Subject\n-Artist=y"])


def test_a_users_own_configuration_is_not_run(put: Put, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    ran = tmp_path / "ran"
    (home / ".ExifTool_config").write_text(f"open(my $f, '>', '{ran}'); close $f; 1;\n")
    program = shutil.which("exiftool")
    environment = {**os.environ, "HOME": os.fspath(home)}
    subprocess.run([str(program), "-ver"], env=environment, check=True, capture_output=True)
    assert ran.exists()
    ran.unlink()
    code = (
        "from photoramd.metadata.exiftool import ExifTool\nwith ExifTool() as c: print(c.version())"
    )
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    assert not ran.exists()


def test_the_child_ends_with_a_photoramd_that_is_killed() -> None:
    code = (
        "import time; from photoramd.metadata.exiftool import ExifTool\n"
        "tool = ExifTool(); tool.version(); print(tool.process, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        process.kill()
    wait_for(lambda: not _runs(child), "the child to end")


def test_a_child_whose_photoramd_was_killed_before_it_was_tied_to_it_does_not_start() -> None:
    tied = tethered(["echo", "started"])
    done = subprocess.run(tied, capture_output=True, text=True, check=True)
    assert done.stdout == "started\n"
    # The parent is another than the one that it is tied to: a shell.
    orphan = ["sh", "-c", '"$@"; true', "sh", *tied]
    assert subprocess.run(orphan, capture_output=True, text=True, check=True).stdout == ""


def _runs(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")
