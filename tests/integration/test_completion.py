"""What real shells make of a line when a tab is pressed in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from photoramd.cli import COMMANDS, cli
from photoramd.cli.shells import SHELLS
from photoramd.models.tagger import Tagger
from tests.support.daemons import Photoramd
from tests.support.terminal import arguments_after

ROOT = Path(__file__).resolve().parents[2]
Put = Callable[[str, str], Path]

# Tests type faster than people, which zsh takes for a text that is pasted.
ZSH = """\
bindkey -e
zstyle ':completion:*' insert-tab false
fpath+=~
autoload -Uz compinit
compinit -u
"""


@pytest.fixture
def home(
    tmp_path: Path, album: Path, put: Put, tagger: Tagger, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The home of a user of all three shells, with a photo that has tags of its own."""
    photoramd = Photoramd(tmp_path, album, searches='favourites = "cat"')
    photo = put("cat", "my cat.png")
    for arguments in (["scan", "-q"], ["edit", os.fspath(photo), "-q", "--add", "bald eagle"]):
        done = CliRunner().invoke(cli, ["--config", os.fspath(photoramd.config), *arguments])
        assert done.exit_code == 0, done.output
    home = tmp_path / "home"
    for directory in ("bin", ".config/photoramd", ".config/fish/completions"):
        (home / directory).mkdir(parents=True)
    photoramd.config.rename(home / ".config/photoramd/config.toml")
    (tmp_path / "overrides.json").rename(home / ".config/photoramd/overrides.json")
    program = home / "bin" / "photoramd"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m photoramd "$@"\n')
    program.chmod(0o755)
    for name, value in {
        "HOME": home,
        "ZDOTDIR": home,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": ROOT,
        "TERM": "xterm",
    }.items():
        monkeypatch.setenv(name, str(value))
    files = {
        "bash": ".bashrc",
        "zsh": "_photoramd",
        "fish": ".config/fish/completions/photoramd.fish",
    }
    for shell, file in files.items():
        with (home / file).open("w") as script:
            subprocess.run([program, "completion", shell], stdout=script, check=True)
    (home / ".zshrc").write_text(ZSH)
    return home


def typed(shell: str, line: str, home: Path) -> list[str]:
    """The arguments of a line after it was typed, but for the program's name."""
    assert shutil.which(shell), f"the tests need {shell}: apt-get install {shell}"
    return arguments_after([shell, "-i"], home, line)[1:]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_commands_options_and_values_are_completed(shell: str, home: Path) -> None:
    line = "photoramd q\t--sort tak\tis:undo\t@fav\ttak\t2024 cat"
    words = ["query", "--sort", "taken", "is:undone", "@favourites", "taken:2024", "cat"]
    assert typed(shell, line, home) == words


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_what_a_shell_would_split_is_quoted(shell: str, home: Path, album: Path) -> None:
    for line, words in (
        ("query bald\t", ["query", '"bald eagle"']),
        ("query user:bald\t", ["query", 'user:"bald eagle"']),
        ("query 'cat OR bald\t", ["query", 'cat OR "bald eagle"']),
        ("edit cat.png --reject bald\t", ["edit", "cat.png", "--reject", "bald eagle"]),
        ("model verify ram\t", ["model", "verify", "ram++"]),
        (f"show {album}/my\\ ca\t", ["show", f"{album}/my cat.png"]),
    ):
        assert typed(shell, f"photoramd {line}", home) == words


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
@pytest.mark.parametrize("tag", ["zq$(touch made)`touch made`", "zqa'b \\ \"c"])
def test_a_tag_is_never_a_command(shell: str, quote: str, tag: str, home: Path) -> None:
    # Tags are also what others wrote into photos.
    add = ["photoramd", "edit", *home.parent.glob("album/*.png"), "-q", "--add", tag]
    subprocess.run([str(each) for each in add], check=True, env=os.environ)
    line = f"photoramd edit a.png --reject {quote}zq\t"
    assert typed(shell, line, home) == ["edit", "a.png", "--reject", tag]
    assert not (home / "made").exists()


def fish(line: str, *options: str) -> list[str]:
    """What fish offers, and how it would put it into the line."""
    assert shutil.which("fish"), "the tests need fish: apt-get install fish"
    command = ["fish", "-c", f"complete {' '.join(options)} -C $argv[1]", line]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.mark.usefixtures("home")
def test_fish_shows_meanings_too(album: Path) -> None:
    assert fish("photoramd q") == [f"query\t{COMMANDS['query']}"]
    assert fish("photoramd query bald", "--escape") == ['\\"bald\\ eagle\\"\t1 photo']
    assert fish("photoramd query 'cat OR bald") == ['cat OR "bald eagle"\t1 photo']
    assert fish("photoramd query is:undo") == ["is:undone"]
    assert fish("photoramd query @fav") == ["@favourites\tcat"]
    assert f"{album}/my cat.png" in fish(f"photoramd show {album}/my")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "line",
    [
        "photoramd qeury ca", "photoramd query --no-such-option ca", "photoramd query 'ca\"",
        "photoramd --config /not/there query ca", "photoramd query --config /not/there ca",
        "photoramd query ca\\", "photoramd show \udcff", "", "photoramd config",
    ],
)  # fmt: skip
def test_nothing_disturbs_what_is_being_typed(shell: str, line: str, tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": os.fspath(tmp_path), "COMP_WORDS": line}
    done = subprocess.run(
        [sys.executable, "-m", "photoramd"], capture_output=True, check=False,
        env=environment | {"_PHOTORAMD_COMPLETE": shell},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


HEAVY = {
    "numpy",
    "rich",
    "PIL",
    "lxml",
    "onnxruntime",
    "torch",
    "sqlite_utils",
    "asyncio",
    "difflib",
}


@pytest.mark.usefixtures("home")
def test_a_shell_waits_for_nothing_that_it_does_not_need() -> None:
    program = "import sys; from photoramd.cli import main; main(); print(*sys.modules)"
    for line, offered in (
        ("photoramd q", "query"),
        ("photoramd query --und", "--under"),
        ("photoramd query bald", "'\"bald eagle\"'"),
        ("photoramd edit --add bald", "'bald eagle'"),
        ("photoramd show --sc", "--scores"),
        ("photoramd duplicates --sa", "--same"),
        ("photoramd model verify ram", "ram++"),
    ):
        environment = {**os.environ, "_PHOTORAMD_COMPLETE": "bash", "COMP_WORDS": line}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        value, modules = done.stdout.splitlines()
        assert value == f"plain,{offered}"
        assert not HEAVY & set(modules.split()), line
