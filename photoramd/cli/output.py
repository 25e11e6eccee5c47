"""Print results: JSON for programs, text for people, whole lines when piped."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from photoramd.models.comparison import Comparison

_PIPED_WIDTH = 10_000
"""Wider than any line: rich would cut paths to 80 columns where there is no terminal."""


def print_json(value: Any) -> None:
    """Print a value as JSON to standard output.

    Undecodable bytes of a path, which Python holds as lone surrogates, become escapes from
    which a reader can restore them.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    click.echo(text)


class Color(StrEnum):
    """The colours that texts have on a terminal."""

    GOOD = "green"
    WARNING = "yellow"
    BAD = "red"


def styled(text: str, color: Color) -> str:
    """Return a text in a colour; `click.echo` leaves it out where there is no terminal.

    NO_COLOR in the environment leaves it out everywhere: https://no-color.org.
    """
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=color.value)


def waiting(what: str) -> AbstractContextManager[object]:
    """Show on a terminal that something takes a while, until it is done."""
    return console(stderr=True).status(what)


@contextmanager
def progress_bar(
    title: str, total: float, *, is_hidden: bool = False
) -> Iterator[Callable[[float], None]]:
    """Show on a terminal how far something is, and how long it still takes.

    Args:
        title: What is being done.
        total: How much there is to do.
        is_hidden: Whether to show nothing there, either.

    Yields:
        What to call with how much is done by now.
    """
    from rich.progress import Progress

    screen = console(stderr=True)
    hidden = is_hidden or not screen.is_terminal
    with Progress(console=screen, disable=hidden, transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)


def console(*, stderr: bool = False) -> Console:
    """Return a rich console for tables and progress bars.

    On a terminal it has the terminal's width; elsewhere nothing is wrapped, cut or coloured.
    Texts are printed as they are: tags and paths are not markup.
    """
    # rich takes as long to import as a whole `status` may take on a slow machine.
    from rich.console import Console

    class OurConsole(Console):
        def on_broken_pipe(self) -> None:
            # rich would exit with 1, which says that there are no images.
            raise

    stream = sys.stderr if stderr else sys.stdout
    return OurConsole(
        file=stream,
        width=None if stream.isatty() else _PIPED_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=not stream.isatty(),
    )


def echo_comparison(found: Comparison) -> None:
    """Print the figures of a comparison, one on each line."""
    for key, value in found.as_dict().items():
        if key != "photos":
            click.echo(f"  {_TITLES[key]:44} {value:.6f}")


_TITLES = {
    "cosine": "cosine of the logits",
    "correlation": "correlation of the logits",
    "largest_difference": "largest difference of a probability",
    "mean_difference": "mean difference of probabilities",
    "f1": "F1 of the tags",
    "same_keywords": "part of the photos with equal tags",
    "keywords": "tags a photo",
}
