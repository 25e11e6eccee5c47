"""The commands that ask: query, show, status, model; and what is common to all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from photoramd.cli import COMMANDS, cli
from photoramd.errors import ModelError, NoImagesError, PhotoramdError, StoreError, printable
from photoramd.models.tagger import Tagger
from photoramd.models.weights.catalog import EMBEDDED
from tests.support.album import Scan
from tests.support.daemons import Photoramd

Put = Callable[[str, str], Path]
Run = Callable[..., Result]


@pytest.fixture
def photoramd(tmp_path: Path, album: Path, put: Put, scan: Scan, tagger: Tagger) -> Photoramd:
    """Two good photos and a bad one, scanned."""
    instance = Photoramd(tmp_path, album)
    put("cat", "cat.png")
    put("coffee", "coffee.png")
    (album / "bad.jpg").write_text("no photo")
    runner = CliRunner().invoke(cli, ["--config", os.fspath(instance.config), "scan", "--json"])
    assert runner.exit_code == 0, runner.output
    summary = json.loads(runner.stdout)
    assert summary == {
        "tagged": 2,
        "inferred": 2,
        "not_written": 0,
        "failed": 1,
        "undone": 0,
        "completed": True,
    }
    return instance


@pytest.fixture
def run(photoramd: Photoramd) -> Run:
    """Run a command in this process."""

    def invoke(*arguments: object) -> Result:
        words = ["--config", os.fspath(photoramd.config), *map(str, arguments)]
        return CliRunner().invoke(cli, words)

    return invoke


def test_query_prints_one_path_a_line(run: Run, album: Path) -> None:
    assert run("query", "cat OR cup").stdout == f"{album}/cat.png\n{album}/coffee.png\n"
    assert run("query", "animal", "AND", "NOT", "cup").stdout == f"{album}/cat.png\n"
    assert run("query", "--count", "cat OR cup").stdout == "2\n"
    assert "cat 0.9" in run("query", "-c", "cat").stdout
    assert run("query", "cat", "--under", album / "sub").stdout == ""


def test_query_as_json(run: Run, album: Path) -> None:
    (match,) = json.loads(run("query", "cat", "--json").stdout)
    assert match["file"] == f"{album}/cat.png"
    assert match["state"] == "written"
    assert dict(zip(match["tags"], match["confidences"], strict=True))["cat"] > 0.8


def test_a_query_that_finds_nothing_ends_with_1_and_says_what_there_is(run: Run) -> None:
    result = run("query", "cats")
    assert isinstance(result.exception, NoImagesError)
    assert result.exception.remedy is not None
    assert '"cat"' in result.exception.remedy
    nothing = run("query", "cats", "--json")
    assert json.loads(nothing.stdout) == []


def test_show_tells_everything(run: Run, album: Path) -> None:
    text = run("show", album / "cat.png").stdout
    assert "written" in text
    assert "cat.png.xmp" in text
    assert "  cat\n" in text
    details = json.loads(run("show", album / "cat.png", "--json", "--scores").stdout)
    assert details["state"] == "written"
    assert details["scores"]["tiger cat"] > 0.1
    assert "animal" in details["tags"]
    bad = run("show", album / "bad.jpg").stdout
    assert "failed" in bad
    assert "tried again" in bad


def test_show_of_an_unknown_photo_ends_with_1(run: Run, album: Path) -> None:
    assert isinstance(run("show", album / "unknown.jpg").exception, NoImagesError)


def test_show_finds_a_photo_by_a_relative_path(
    run: Run, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(album)
    assert "written" in run("show", "cat.png").stdout


def test_status_names_problems_and_roots(run: Run, album: Path) -> None:
    text = run("status").stdout
    assert "not running" in text
    assert "2 written" in text
    assert "1 failed" in text
    assert f"{album} is online" in text
    assert "bad.jpg" in text
    status = json.loads(run("status", "--json").stdout)
    assert status["running"] is False
    assert status["photos"]["written"] == 2


def test_before_anything_is_tagged_the_commands_say_what_to_do(tmp_path: Path, album: Path) -> None:
    instance = Photoramd(tmp_path, album)
    for words in (["query", "cat"], ["show", "a.jpg"], ["status"]):
        result = CliRunner().invoke(cli, ["--config", os.fspath(instance.config), *words])
        assert isinstance(result.exception, StoreError)
        assert "photoramd scan" in (result.exception.remedy or "")


def test_scan_of_a_directory_needs_no_configuration(
    tmp_path: Path,
    put: Put,
    tagger: Tagger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", os.fspath(tmp_path / "state"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(
        "photoramd.system.paths.SYSTEM_DATABASE", tmp_path / "none" / "photoramd" / "photoramd.db"
    )
    photo = put("cat", "cat.png")
    result = CliRunner().invoke(cli, ["scan", os.fspath(photo.parent)])
    assert result.exit_code == 0, result.output
    assert "1 photos tagged" in result.stdout or "1 photo tagged" in result.stdout
    assert photo.with_name("cat.png.xmp").exists()
    assert CliRunner().invoke(cli, ["query", "cat"]).stdout == f"{photo}\n"


def test_scan_says_by_its_exit_code_what_happened(
    run: Run, album: Path, tmp_path: Path, photoramd: Photoramd
) -> None:
    assert run("scan").exit_code == 0
    (tmp_path / "empty").mkdir()
    assert isinstance(run("scan", tmp_path / "empty").exception, NoImagesError)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.jpg").write_text("no photo")
    bad = run("scan", tmp_path / "bad", "--quiet")
    assert bad.exit_code == 4
    assert "x.jpg" in bad.stderr
    album.rename(album.with_name("away"))
    away = run("scan")
    assert isinstance(away.exception, PhotoramdError)
    assert "not there" in away.exception.message
    assert away.exception.exit_code == 4


def test_control_characters_in_names_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[31m\x07\x9b\nb\udcff") == r"a\x1b[31m\x07\x9b\nb\xff"


def test_the_models_are_listed_described_and_verified(run: Run) -> None:
    assert "embedded" in run("model", "list").stdout
    models = json.loads(run("model", "list", "--json").stdout)
    assert "embedded" in [model["name"] for model in models]
    assert EMBEDDED.weights.sha256 in run("model", "info", "embedded").stdout
    assert run("model", "verify", "embedded").exit_code == 0


def test_an_unknown_model_ends_with_3(run: Run) -> None:
    assert isinstance(run("model", "info", "clip").exception, ModelError)


def test_every_command_has_help_and_the_list_of_commands_is_theirs() -> None:
    text = CliRunner().invoke(cli, ["--help"]).stdout
    for name, summary in COMMANDS.items():
        assert name in text
        assert CliRunner().invoke(cli, [name, "--help"]).stdout.count(summary.split(".")[0]) == 1


def test_errors_are_one_line_and_a_remedy_never_a_traceback(photoramd: Photoramd) -> None:
    done = photoramd.run("query", "cat AND (")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("photoramd: ")


def test_a_closed_pipe_is_no_error(photoramd: Photoramd) -> None:
    with subprocess.Popen(
        photoramd.command("query", "cat OR cup"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


def test_output_that_finds_no_room_is_no_fault_of_ours(tmp_path: Path, album: Path) -> None:
    instance = Photoramd(tmp_path, album)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            instance.command("config", "show"),
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    message = "photoramd: the output cannot be written (No space left on device)\n"
    assert (done.returncode, done.stderr) == (4, message)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["queri", "cat"], 2, "Did you mean 'query'?"),
        (["nonsense"], 2, "No such command"),
        (["tag", "/nope.jpg"], 1, "no such file"),
        (["db", "backup", "/nope/x"], 4, "/nope: there is no such directory"),
        (["query", "--under", "/nope", "cat"], 1, "there is no such directory"),
        (["clean", "/nope"], 2, "does not exist"),
    ],
)
def test_mistakes_are_named(
    photoramd: Photoramd, arguments: list[str], code: int, said: str
) -> None:
    done = photoramd.run(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "[state]" not in done.stderr


def test_query_under_wants_a_directory(photoramd: Photoramd, album: Path) -> None:
    photo = next(album.glob("*.png"))
    done = photoramd.run("query", "--under", photo, "cat")
    assert done.returncode == 2
    assert "photoramd show" in done.stderr
    assert photoramd.run("query", "--under", album, "cat OR cup").returncode == 0


def test_the_configuration_may_be_named_after_the_command(
    photoramd: Photoramd, tmp_path: Path
) -> None:
    program = [sys.executable, "-m", "photoramd"]
    for arguments in (["status"], ["db", "check"], ["config", "show"], ["query", "cat OR cup"]):
        named = [*program, *arguments, "--config", os.fspath(photoramd.config)]
        done = subprocess.run(named, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    before = [*program, "--config", os.fspath(tmp_path / "other.toml"), "status", "--config",
              os.fspath(photoramd.config)]  # fmt: skip
    assert subprocess.run(before, capture_output=True, check=False).returncode == 0


def test_undo_makes_no_database(tmp_path: Path, album: Path) -> None:
    instance = Photoramd(tmp_path, album)
    done = instance.run("undo", album)
    assert done.returncode == 4
    assert "nothing has been tagged yet" in done.stderr
    assert not instance.database.exists()


def test_restore_does_not_call_a_sound_database_damaged(
    photoramd: Photoramd, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    assert photoramd.run("db", "backup", copy).returncode == 0
    done = photoramd.run("db", "restore", copy)
    assert done.returncode == 0
    assert "damaged" not in done.stdout + done.stderr
    assert [path for path in photoramd.database.parent.iterdir() if ".replaced-" in path.name]


def test_a_command_whose_output_was_closed_ends_well() -> None:
    command = ["sh", "-c", 'exec "$0" -m photoramd --version >&-', sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
