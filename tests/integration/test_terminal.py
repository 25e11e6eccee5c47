"""What people see: `photoramd` without a command, colours, progress, and what was meant."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from photoramd.cli import cli, next_steps
from photoramd.system import paths
from tests.support.daemons import Photoramd
from tests.support.terminal import shown_by


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the configuration of whoever runs the tests out of them."""
    monkeypatch.setenv("HOME", os.fspath(tmp_path / "home"))
    monkeypatch.setattr(paths, "SYSTEM_CONFIG", tmp_path / "etc" / "config.toml")
    monkeypatch.setattr(next_steps, "UNIT", tmp_path / "photoramd.service")


def said(*arguments: str | Path) -> str:
    done = CliRunner().invoke(cli, [str(each) for each in arguments])
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def test_without_a_configuration_it_says_how_to_make_one() -> None:
    assert "\n  photoramd config init --photos DIR  " in said()


def test_a_wrong_configuration_is_named_and_ends_with_0_all_the_same(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    for text, problem in (
        ("[modle]\n", "did you mean model"),
        ("[[", "not valid TOML"),
        ("", "add a section [[watch]]"),
    ):
        config.write_text(text)
        printed = said("--config", config)
        assert problem in printed
        assert f"photoramd --config {config} config check" in printed
    assert "config init --path" in said("--config", tmp_path / "not there")


def test_without_a_daemon_it_says_how_to_start_it(
    tmp_path: Path, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photoramd = Photoramd(tmp_path, album)
    assert f"\n  photoramd --config {photoramd.config} run " in said("--config", photoramd.config)
    paths.SYSTEM_CONFIG.parent.mkdir()
    photoramd.config.rename(paths.SYSTEM_CONFIG)
    (tmp_path / "overrides.json").rename(paths.SYSTEM_CONFIG.with_name("overrides.json"))
    assert "\n  photoramd run " in said()
    next_steps.UNIT.touch()
    assert "\n  sudo systemctl start photoramd\n" in said()
    monkeypatch.setenv("container", "oci")
    assert "\nOn the machine that runs the container: docker start photoramd" in said()
    assert "systemctl" not in said()


def test_with_a_daemon_it_says_how_far_it_is(tmp_path: Path, album: Path) -> None:
    photoramd = Photoramd(tmp_path, album)
    photoramd.start()
    try:
        printed = said("--config", photoramd.config)
        assert "photoramd is running: no photos yet\n" in printed
        assert "query cat" in printed
    finally:
        photoramd.stop()


def test_states_are_coloured_on_a_terminal_and_nowhere_else(
    tmp_path: Path, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photoramd = Photoramd(tmp_path, album)
    assert photoramd.run("scan").returncode == 1  # there is no photo yet
    plain = photoramd.run("status").stdout
    assert "\x1b" not in plain + photoramd.run("query", "cat").stderr
    status = shown_by(photoramd.command("status"))
    assert "\x1b[31mnot running\x1b[0m" in status
    assert "is \x1b[32monline\x1b[0m" in status
    assert "\x1b[31mphotoramd:\x1b[0m" in shown_by(photoramd.command("query", "cat"))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown_by(photoramd.command("status"))


def test_what_takes_long_is_shown_on_a_terminal_alone(tmp_path: Path, album: Path) -> None:
    photoramd = Photoramd(tmp_path, album)
    assert photoramd.run("scan").returncode == 1  # there is no photo yet
    for arguments, what in (
        (["db", "check"], "Reading the whole database"),
        (["db", "backup", tmp_path / "copy"], "Copying the database"),
        (["clean", album], "Looking for sidecars"),
    ):
        assert what in shown_by(photoramd.command(*arguments))
        done = photoramd.run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert what not in done.stdout


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("qeury cat", "'query'"),
        ("confg check", "'config'"),
        ("config chek", "'check'"),
        ("model fecth ram++", "'fetch'"),
        ("query --limt 3 cat", "'--limit'"),
        ("--confg x status", "'--config'"),
        ("completion bahs", "'bash', 'zsh', 'fish'"),
    ],
)
def test_what_may_have_been_meant_is_suggested(line: str, meant: str) -> None:
    done = CliRunner().invoke(cli, shlex.split(line))
    assert done.exit_code == 2
    assert meant in done.stderr
