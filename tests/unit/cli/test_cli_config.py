from __future__ import annotations

import io
import json
import os
import stat
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from photoramd.cli.config import command
from photoramd.cli.output import console, print_json
from photoramd.config import loader
from photoramd.config.sample import sample
from photoramd.config.tables import format_value
from photoramd.errors import ConfigError, ModelError, UsageError
from photoramd.system import paths


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the configuration of whoever runs the tests out of them."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(paths, "SYSTEM_CONFIG", tmp_path / "etc" / "photoramd" / "config.toml")
    monkeypatch.setattr(paths, "SYSTEM_DATABASE", tmp_path / "var" / "photoramd.db")


def run(*arguments: str | Path, global_option: Path | None = None) -> Result:
    return CliRunner().invoke(
        command, [str(each) for each in arguments], obj=SimpleNamespace(config_path=global_option)
    )


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


# init


def test_init_writes_a_sample_that_everybody_may_read_where_photoramd_looks() -> None:
    umask = os.umask(0o077)
    try:
        result = run("init")
    finally:
        os.umask(umask)
    target = paths.default_config()
    assert result.exit_code == 0
    assert f"Wrote {target}" in result.stdout
    assert result.stdout.splitlines()[-1] == "  photoramd config check"
    assert target.read_text() == sample()
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o755
    assert os.listdir(target.parent) == ["config.toml"]
    assert paths.find_config() == target


def test_init_names_the_option_that_another_place_needs(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "my.toml"
    result = run("init", "--path", target)
    assert result.stdout.splitlines()[-1] == f"  photoramd --config {target} config check"
    assert target.exists()
    other = tmp_path / "other.toml"
    assert run("init", global_option=other).exit_code == 0
    assert other.exists()


def test_init_names_the_directories_that_it_is_given(tmp_path: Path) -> None:
    names = [tmp_path / 'My "photos"', tmp_path / "über"]
    target = tmp_path / "my.toml"
    result = run("init", "--path", target, "--photos", names[0], "--photos", names[1])
    assert result.exit_code == 0
    assert [watch.path for watch in loader.load(target).watch] == names
    assert "set the path" not in result.stdout
    strange = os.fsdecode(bytes(tmp_path) + b"/\xff")
    refused = run("init", "--path", tmp_path / "other.toml", "--photos", strange)
    assert isinstance(refused.exception, UsageError)
    assert not (tmp_path / "other.toml").exists()


def test_init_names_the_model_that_it_is_given(tmp_path: Path) -> None:
    target = tmp_path / "c.toml"
    refused = run("init", "--path", target, "--photos", tmp_path, "--model", "resnet")
    assert isinstance(refused.exception, ModelError)
    assert not target.exists()
    run("init", "--path", target, "--photos", tmp_path, "--model", "ram++")
    assert loader.load(target).model.name == "ram++"


def test_init_overwrites_only_with_force(tmp_path: Path) -> None:
    target = written(tmp_path, "# mine")
    refused = run("init", "--path", target)
    assert isinstance(refused.exception, ConfigError)
    assert "--force" in (refused.exception.remedy or "")
    assert target.read_text() == "# mine"
    assert run("init", "--path", target, "--force").exit_code == 0
    assert target.read_text() == sample()
    assert os.listdir(tmp_path) == ["config.toml"]


def test_init_follows_a_link_only_with_force_and_keeps_it(tmp_path: Path) -> None:
    link, kept = tmp_path / "config.toml", tmp_path / "kept.toml"
    link.symlink_to(kept)
    assert isinstance(run("init", "--path", link).exception, ConfigError)
    assert not kept.exists()
    assert run("init", "--path", link, "--force").exit_code == 0
    assert link.is_symlink()
    assert kept.read_text() == sample()


def test_init_tells_why_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("init", "--path", tmp_path / "file" / "config.toml")
    assert isinstance(result.exception, ConfigError)
    assert result.exception.message.startswith("cannot be written: ")


# check


def test_check_lists_every_problem_and_exits_with_78(tmp_path: Path) -> None:
    path = written(tmp_path, "[model]\ntop_n = 0\n[tgas]\n")
    result = run("check", "--config", path)
    assert result.exit_code == 78
    assert [line.split(": ")[:2] for line in result.stdout.splitlines()] == [
        [str(path), "model.top_n"],
        [str(path), "tgas"],
        [str(path), "watch"],
    ]
    assert run("check", global_option=path).stdout == result.stdout


def test_check_of_a_good_file_says_so_and_warns(tmp_path: Path) -> None:
    path = written(tmp_path, sample())
    result = run("check", "--config", path)
    assert result.exit_code == 0
    warning, good = result.stdout.splitlines()
    assert warning.startswith(f"{path}: warning: watch[0].path: /volume1/photos is not there")
    assert good == f"{path}: good"


def test_check_speaks_json(tmp_path: Path) -> None:
    path = written(tmp_path, sample())
    good = run("check", "--config", path, "--json")
    assert good.exit_code == 0
    found = json.loads(good.stdout)
    assert (found["file"], found["problems"], len(found["warnings"])) == (str(path), [], 1)
    path.write_text("[tgas]\n")
    bad = run("check", "--config", path, "--json")
    assert bad.exit_code == 78
    assert json.loads(bad.stdout)["problems"][0].startswith("tgas: unknown section")
    path.write_text("[")
    unreadable = run("check", "--config", path, "--json")
    assert unreadable.exit_code == 78
    found = json.loads(unreadable.stdout)
    assert found["file"] == str(path)
    assert found["problems"][0].startswith("not valid TOML")


def test_check_without_any_file_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    missing = run("check")
    assert isinstance(missing.exception, ConfigError)
    assert "config init" in (missing.exception.remedy or "")
    asked = run("check", "--config", tmp_path / "none.toml")
    assert isinstance(asked.exception, ConfigError)
    assert asked.exception.path == str(tmp_path / "none.toml")


# show


def test_show_prints_a_file_that_means_the_same(tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text("{}")
    path = written(
        tmp_path,
        """
        [[watch]]
        path = "/photos \\" \\\\ \\u007f \\U0001F431"
        exclude = ["a\\tb", "c"]
        [[watch]]
        path = "/other"
        [model]
        threshold = 0.25
        [tags]
        overrides = "words.json"
        """,
    )
    result = run("show", global_option=path)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"# {path}\n")
    shown = tmp_path / "shown" / "config.toml"
    shown.parent.mkdir()
    shown.write_text(result.stdout)
    assert loader.load(shown) == loader.load(path)


def test_show_marks_the_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, '[[watch]]\npath = "/photos"\n[model]\ntop_n = 15\n')
    lines = run("show", global_option=path).stdout.splitlines()
    assert 'path = "/photos"' in lines
    assert 'write = "sidecar"  # default' in lines
    assert "top_n = 15" in lines
    assert "batch_size = 8  # default" in lines
    assert "max_pixels = 120_000_000  # default" in lines
    assert "# overrides is not set" in lines
    database = loader.load(path).state.path
    assert f"path = {format_value(database)}  # default" in lines


def test_show_without_a_file_shows_the_defaults() -> None:
    result = run("show")
    assert result.exit_code == 0
    first, *_ = result.stdout.splitlines()
    assert first == "# There is no configuration file: these are defaults."
    assert tomllib.loads(result.stdout)["model"]["name"] == "embedded"


def test_show_speaks_json(tmp_path: Path) -> None:
    path = written(tmp_path, '[[watch]]\npath = "/photos"\n[model]\nthreshold = 0.5\n')
    found = json.loads(run("show", "--json", global_option=path).stdout)
    assert found["file"] == str(path)
    assert found["given"] == ["model.threshold", "watch[0].path"]
    assert found["config"]["watch"][0]["path"] == "/photos"
    assert found["config"]["model"]["threshold"] == 0.5
    assert found["config"]["tags"]["overrides"] is None
    assert json.loads(run("show", "--json").stdout)["file"] is None


def test_show_of_a_bad_file_is_an_error(tmp_path: Path) -> None:
    result = run("show", global_option=written(tmp_path, "[tgas]\n"))
    assert isinstance(result.exception, ConfigError)


# Output


class Stream(io.TextIOWrapper):
    def __init__(self, encoding: str, is_terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def text(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


@pytest.mark.parametrize(
    ("encoding", "value", "text"),
    [
        ("utf-8", "caf\u00e9", '"caf\u00e9"'),
        ("ascii", "caf\u00e9", '"caf\\u00e9"'),
        ("utf-8", os.fsdecode(b"caf\xe9"), '"caf\\udce9"'),
    ],
)
def test_json_can_be_printed_in_any_encoding_and_keeps_every_name(
    monkeypatch: pytest.MonkeyPatch, encoding: str, value: str, text: str
) -> None:
    stream = Stream(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    print_json(value)
    assert stream.text() == f"{text}\n"
    assert json.loads(stream.text()) == value


def test_nothing_is_cut_or_interpreted_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.table import Table

    stream = Stream("utf-8")
    monkeypatch.setattr(sys, "stderr", stream)
    path = f"/photos/[bold]/:cat:/{'x' * 300}.jpg"
    table = Table(box=None)
    table.add_column("photo")
    table.add_column("tags")
    table.add_row(path, "cat | dog")
    out = console(stderr=True)
    out.print(path)
    out.print(table)
    first, _, row = stream.text().splitlines()
    assert first == path
    assert row.split() == [path, "cat", "|", "dog"]


def test_a_terminal_keeps_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "57")
    monkeypatch.setattr(sys, "stdout", Stream("utf-8", is_terminal=True))
    assert console().width == 57
