"""``photoramd scan``: one pass over directories."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd import config
from photoramd.cli.output import console, print_json
from photoramd.errors import ConfigError, printable

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.pipeline import Outcome


@click.command("scan")
@click.argument(
    "paths",
    nargs=-1,
    metavar="[PATH]...",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, errors only.")
@click.pass_context
def command(context: click.Context, paths: tuple[Path, ...], as_json: bool, quiet: bool) -> None:
    """Tag what is new in directories, once.

    Without PATH, all configured directories. A directory that is not configured gets
    the default settings: its photos are tagged, and get sidecars.
    """
    settings: Settings = context.obj
    configuration = config.load(settings.config_path, need_file=False)
    tops = [Path(os.path.realpath(path)) for path in paths]
    tops = tops or [watch.path for watch in configuration.watch]
    if not tops:
        raise ConfigError(
            "no directory to scan",
            remedy="name one (photoramd scan PATH), or write a configuration"
            " (photoramd config init)",
        )
    extra = [top for top in tops if not is_watched(top, configuration)]
    shown = Progress(enabled=not quiet and not as_json)
    shown.note("Loading the model")
    from photoramd.assembly import assemble

    with shown, assemble(configuration, extra) as daemon:

        def on_outcomes(outcomes: Sequence[Outcome]) -> None:
            shown.update(outcomes, daemon.waiting, daemon.present if daemon.is_scanning else None)

        completed = daemon.scan_once([os.fspath(top) for top in tops], on_outcomes)
    shown.close()
    summary = shown.summary(completed)
    if as_json:
        print_json(summary)
    elif not quiet:
        click.echo(sentence(summary))
    if not completed:
        context.exit(130)


def is_watched(top: Path, configuration: config.Config) -> bool:
    """Whether a directory is one that the configuration watches, or below one."""
    return any(top == watch.path or watch.path in top.parents for watch in configuration.watch)


def sentence(summary: dict[str, int | bool]) -> str:
    """A summary for people."""
    parts = [f"{summary['tagged']} photos tagged"]
    if summary["not_written"]:
        parts.append(f"{summary['not_written']} tagged but not written")
    if summary["failed"]:
        parts.append(f"{summary['failed']} failed")
    if not summary["completed"]:
        parts.append("interrupted; run it again to go on")
    elif summary["failed"] or summary["not_written"]:
        parts.append("photoramd status names the reasons")
    return "; ".join(parts)


class Progress:
    """A progress bar on standard error, and the counts.

    Attributes:
        counts: Photos by what became of them.
    """

    def __init__(self, *, enabled: bool) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self.counts: Counter[str] = Counter()
        self._console = console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (enabled and self._console.is_terminal),
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)
        self._enabled = enabled

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()

    def summary(self, completed: bool) -> dict[str, int | bool]:
        """The counts, for programs."""
        return {
            "tagged": self.counts["written"],
            "inferred": self.counts["inferred"],
            "not_written": self.counts["tagged"],
            "failed": self.counts["failed"],
            "completed": completed,
        }

    def note(self, text: str) -> None:
        """Say what is going on."""
        self._bar.update(self._task, description=text)

    def update(self, outcomes: Sequence[Outcome], waiting: int, present: int | None) -> None:
        """Count outcomes and move the bar.

        Args:
            outcomes: The photos that went a step.
            waiting: How many wait.
            present: How many photos the walk has seen; None: it is over.
        """
        for outcome in outcomes:
            self.counts[outcome.state] += 1
            self.counts["inferred"] += outcome.inferred
            if outcome.error is not None and self._enabled:
                self._console.print(f"{printable(outcome.path)}: {outcome.error.message}")
        done = self.counts["written"] + self.counts["failed"] + self.counts["tagged"]
        description = "Tagging" if present is None else f"Scanning ({present} photos)"
        if waiting and not done:
            description = "Waiting for files to be whole"
        self._bar.update(self._task, completed=done, total=done + waiting, description=description)
