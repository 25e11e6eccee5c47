#!/usr/bin/env python3
"""Write the manual pages, made from the commands: photoramd(1), and one for each command.

    contrib/man_pages.py DIRECTORY

The installer runs this with what it has installed, so that they tell of that version. click-man
would need each command imported beforehand, and escapes neither what roff takes for a request nor
what click must not wrap. Source of the macros: man(7).
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
if os.fspath(ROOT) not in sys.path:  # after what is installed
    sys.path.append(os.fspath(ROOT))

from photoramd import __version__  # noqa: E402
from photoramd.cli import COMMANDS, cli  # noqa: E402

FILES = {
    "~/.config/photoramd/config.toml": "the user's configuration",
    "/etc/photoramd/config.toml": "the system's configuration",
    "~/.local/state/photoramd/photoramd.db": "the user's database",
    "/var/lib/photoramd/photoramd.db": "the system's database",
}


def main() -> None:
    """Write all pages into the directory that the command line names.

    Raises:
        SystemExit: There is not one argument.
    """
    if len(sys.argv) != 2:
        sys.exit("usage: man_pages.py DIRECTORY")
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Return all pages by the names of their files."""
    top = click.Context(cli, info_name="photoramd", **cli.context_settings)
    made = {"photoramd.1": "\n".join(_program(top))}
    for context in _below(top):
        made[f"photoramd-{context.info_name}.1"] = "\n".join(_command(context))
    return made


def _below(context: click.Context) -> list[click.Context]:
    """Return the commands of a group, each as the context that it would run in."""
    group = context.command
    if not isinstance(group, click.Group):
        return []
    found = ((name, group.get_command(context, name)) for name in group.list_commands(context))
    return [
        click.Context(command, info_name=name, parent=context)
        for name, command in found
        if command is not None and not command.hidden
    ]


def _program(top: click.Context) -> Iterator[str]:
    yield from _head("photoramd", "tag the photos on a NAS, once each, and find them")
    yield from _synopsis(top)
    yield ".SH DESCRIPTION"
    yield from _help(top.command)
    yield from _options(top)
    yield ".SH COMMANDS"
    for name, summary in COMMANDS.items():
        yield from (".TP", rf"\fBphotoramd\-{name}\fR(1)", _escaped(summary))
    yield ".SH FILES"
    for path, meaning in FILES.items():
        yield from (".TP", rf"\fI{_escaped(path)}\fR", _escaped(meaning))
    yield ""


def _command(context: click.Context) -> Iterator[str]:
    """Yield the page of a command; those below it are sections of it."""
    summary = COMMANDS[context.info_name or ""].rstrip(".")
    yield from _head(context.command_path.replace(" ", "-"), f"{summary[0].lower()}{summary[1:]}")
    below = _below(context)
    yield from _synopsis(*(below or [context]))
    yield ".SH DESCRIPTION"
    yield from _help(context.command)
    if not below:
        yield from _options(context)
    for each in below:
        yield f".SH {_escaped(each.command_path).upper()}"
        yield from _help(each.command)
        yield from _options(each, heading=None)
    yield from (".SH SEE ALSO", r"\fBphotoramd\fR(1)", "")


def _head(name: str, summary: str) -> Iterator[str]:
    yield f'.TH {_escaped(name).upper()} 1 "" "photoramd {_escaped(__version__)}"'
    yield from (".SH NAME", rf"{_escaped(name)} \- {_escaped(summary)}")


def _synopsis(*contexts: click.Context) -> Iterator[str]:
    yield ".SH SYNOPSIS"
    for number, context in enumerate(contexts):
        if number:
            yield ".br"
        pieces = " ".join(context.command.collect_usage_pieces(context))
        yield rf"\fB{_escaped(context.command_path)}\fR {_escaped(pieces)}"


def _help(command: click.Command) -> Iterator[str]:
    """Yield a command's help; what click must not wrap, after a line with \\b, stays as it is."""
    for number, paragraph in enumerate(inspect.cleandoc(command.help or "").split("\n\n")):
        if number:
            yield ".PP"
        if paragraph.startswith("\b"):
            lines = map(_escaped, paragraph.splitlines()[1:])
            yield from (".nf", *lines, ".fi")
        else:
            yield _escaped(" ".join(paragraph.split()))


def _options(context: click.Context, heading: str | None = ".SH OPTIONS") -> Iterator[str]:
    if heading is not None:
        yield heading
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            yield from (
                ".TP",
                rf"\fB{_escaped(record[0])}\fR",
                _escaped(" ".join(record[1].split())),
            )


def _escaped(text: str) -> str:
    r"""Return a text that roff prints as it is: \- is the ASCII character, \& begins no request."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    main()
