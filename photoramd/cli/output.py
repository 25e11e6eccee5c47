"""What commands print: JSON for programs, text for people, whole lines when piped."""

from __future__ import annotations

import json
import sys
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

_PIPED_WIDTH = 10_000
"""Wider than any line: rich would cut paths to 80 columns where there is no terminal."""


def print_json(value: Any) -> None:
    """Print a value as JSON to standard output.

    Undecodable bytes of a path, lone surrogates in Python, become escapes from which a
    reader can restore them.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    click.echo(text)


def waiting(what: str) -> AbstractContextManager[object]:
    """Show on a terminal that something takes its time, until it is done."""
    return console(stderr=True).status(what)


def console(*, stderr: bool = False) -> Console:
    """A rich console for tables and progress bars.

    On a terminal it has the terminal's width; elsewhere nothing is wrapped, cut or coloured.
    Texts are printed as they are: tags and paths are no markup.
    """
    # rich takes as long to import as a whole `status` may take on a slow machine.
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream,
        width=None if stream.isatty() else _PIPED_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=not stream.isatty(),
    )
