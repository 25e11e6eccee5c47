"""The documentation's examples: found, checked as commands, and run in a home made for them.

A block whose commands begin with ``$ photoramd`` is run, in the scene that the latest comment
``<!-- scene: NAME -->`` of its file names, and what is printed must be what is shown:

- a line of only ``...`` stands for any lines, and ``…`` within a line for any text;
- numbers with a point may differ by a twentieth, because processors calculate differently;
- paths are those of a machine with a user called you.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

from photoramd.cli import cli

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "docs" / "commands.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

_FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$|^<!-- scene: ([\w ]+) -->$")
_DECIMAL = re.compile(r"\d+\.\d+")
_TOLERANCE = 0.05
_PLACES = ("/home/you", "/var/lib/photoramd", "/etc/photoramd")
_TIMEOUT_SECONDS = 120

# The command line as the daemon's user has it, but all places are below a scratch directory,
# the models' files are small, and nobody waits between two attempts.
_PROGRAM = """
import os, sys
from pathlib import Path
root = Path(os.environ["SCRATCH"])
from photoramd.system import paths
paths.SYSTEM_CONFIG = root / "etc/photoramd/config.toml"
paths.SYSTEM_DATABASE = root / "var/lib/photoramd/photoramd.db"
from photoramd import cli
from photoramd.models.weights import download
from photoramd.models.weights import catalog
from tests.support.scenes import SMALL_MODELS
catalog.MODELS = SMALL_MODELS
download.Downloader.__init__.__kwdefaults__["pause"] = lambda _: None
sys.argv[0] = "photoramd"
cli.main()
"""


@dataclass(frozen=True)
class Example:
    """A command in a document, and what is shown of its output."""

    command: str
    shown: tuple[str, ...]


@dataclass
class Session:
    """Examples that follow each other in one home."""

    scene: str | None
    examples: list[Example] = field(default_factory=list)


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of each fenced block."""
    for match in _FENCE.finditer(text):
        if match[3] is None:
            yield match[1], match[2]


def sessions(text: str) -> list[Session]:
    """The examples of a document that are to be run."""
    found = [Session(None)]
    for match in _FENCE.finditer(text):
        if match[3] is not None:
            found.append(Session(match[3]))
        elif match[2].startswith("$ photoramd "):
            found[-1].examples.extend(_examples(match[2]))
    return [session for session in found if session.examples]


def _examples(block: str) -> Iterator[Example]:
    for part in re.split(r"(?m)^\$ ", block)[1:]:
        command, _, output = part.partition("\n")
        yield Example(command, tuple(output.rstrip("\n").splitlines()))


class Home:
    """A machine's places below a scratch directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {
            "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
            "HOME": os.fspath(self.path("/home/you")),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.fspath(ROOT),
            "SCRATCH": os.fspath(root),
            "HF_HOME": os.fspath(root / "hub"),
        }
        self.names: dict[str, str] = {}
        """What stands for what in the documentation, such as a server's address."""
        for place in _PLACES:
            self.path(place).mkdir(parents=True)
        program = root / "bin" / "photoramd"
        program.parent.mkdir()
        words = shlex.join([sys.executable, "-c", _PROGRAM])
        program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        program.chmod(0o755)
        self._status = 0

    def path(self, name: str) -> Path:
        """Where something really is that the documentation names."""
        return self.root / name.removeprefix("/")

    def run(self, command: str) -> list[str]:
        """The lines that a command prints, with the documentation's names in them."""
        if command == "echo $?":
            return [str(self._status)]
        for place in _PLACES:
            command = command.replace(place, os.fspath(self.path(place)))
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.environment["HOME"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        self._status = done.returncode
        text = done.stdout.replace(os.fspath(self.root), "")
        for real, name in self.names.items():
            text = text.replace(real, name)
        return text.splitlines()


def matches(shown: tuple[str, ...] | list[str], printed: list[str]) -> bool:
    """Whether what is shown is what was printed."""
    if not shown:
        return not printed
    if shown[0].strip() == "...":
        return any(matches(shown[1:], printed[start:]) for start in range(len(printed) + 1))
    return bool(printed) and _same(shown[0], printed[0]) and matches(shown[1:], printed[1:])


def _same(shown: str, printed: str) -> bool:
    pattern = re.escape(shown).replace("…", ".*")
    numbers = [float(each) for each in _DECIMAL.findall(shown)]
    pattern = re.sub(r"\d+\\\.\d+", lambda _: r"(\\d+\\.\\d+)", pattern)
    pattern = pattern.replace("\\\\", "\\")
    found = re.fullmatch(pattern, printed)
    return found is not None and all(
        abs(float(one) - other) <= _TOLERANCE
        for one, other in zip(found.groups(), numbers, strict=True)
    )


# Commands that are named but not run


def commands(text: str) -> Iterator[list[str]]:
    """The words of every command of ours in a document, without `photoramd` itself."""
    for language, block in blocks(text):
        if language in ("", "sh", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                match = re.match(r"(?:\$ )?(?:sudo )?photoramd (.*)", line)
                if match:
                    yield shlex.split(match[1], comments=True)
    prose = _FENCE.sub("", text)
    for match in re.finditer(r"`(?:sudo )?photoramd ([^`]+)`", prose):
        yield shlex.split(match[1].replace("\\|", "|"))


def check(words: list[str]) -> None:
    """Fail unless a command and each of its options exist.

    Arguments need not make sense: documentation has names for them, in capitals.
    """
    context = click.Context(cli, info_name="photoramd")
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            option = _option(context, word.partition("=")[0])
            if not option.is_flag and "=" not in word:
                assert rest, f"{word} wants a value: {words}"
                value = rest.pop(0)
                if isinstance(option.type, click.Choice) and not value.isupper():
                    assert value in option.type.choices, words
        elif isinstance(context.command, click.Group):
            names = word.split("|")
            below = [context.command.get_command(context, name) for name in names]
            assert None not in below, f"no such command: {words}"
            if len(names) == 1:
                context = click.Context(below[0], info_name=word, parent=context)  # type: ignore[arg-type]


def _option(context: click.Context, name: str) -> click.Option:
    for parameter in context.command.get_params(context):
        if isinstance(parameter, click.Option) and name in (
            *parameter.opts,
            *parameter.secondary_opts,
        ):
            return parameter
    raise AssertionError(f"{context.command_path} has no option {name}")
