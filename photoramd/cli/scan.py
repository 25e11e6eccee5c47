"""``photoramd scan``: one pass over directories."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd.cli.output import console, print_json
from photoramd.config import loader
from photoramd.errors import ConfigError, NoImagesError, PhotoramdError, printable

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.daemon.loop import Daemon
    from photoramd.pipeline.pipeline import Outcome

UPDATE_SECONDS = 0.2


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
    configuration = loader.load(settings.config_path, need_file=False)
    tops = [Path(os.path.realpath(path)) for path in paths]
    tops = tops or [watch.path for watch in configuration.watch]
    if not tops:
        raise ConfigError(
            "no directory to scan",
            remedy="name one (photoramd scan PATH), or write a configuration"
            " (photoramd config init)",
        )
    tops = [top for top in dict.fromkeys(tops) if not any(t in top.parents for t in tops)]
    extra = [top for top in tops if not is_watched(top, configuration)]
    # Configured directories below a named one keep their own settings.
    tops += [w.path for w in configuration.watch if any(top in w.path.parents for top in extra)]
    shown = Progress(enabled=not quiet and not as_json)
    shown.note("Loading the model")
    from photoramd.daemon.assembly import assemble

    with shown, assemble(configuration, extra) as daemon:
        completed = daemon.scan_once(
            [os.fspath(top) for top in tops], lambda outcomes: shown.update(outcomes, daemon)
        )
        away, seen = daemon.offline_below(tops), daemon.seen
    summary = shown.summary(completed)
    if as_json:
        print_json(summary)
    elif not quiet:
        click.echo(sentence(summary))
    if not completed:
        context.exit(130)
    if away:
        raise PhotoramdError(
            "not there, not readable, or not the directory it was; its photos keep their state",
            path=away[0],
            remedy="mount it, or correct its path; photoramd status tells more",
        )
    if not seen:
        raise NoImagesError(f"no images found in {', '.join(printable(top) for top in tops)}")
    if summary["failed"] + summary["not_written"] and not summary["tagged"]:
        context.exit(PhotoramdError.exit_code)


def is_watched(top: Path, configuration: loader.Config) -> bool:
    """Whether a directory is one that the configuration watches, or below one."""
    return any(top == watch.path or watch.path in top.parents for watch in configuration.watch)


def sentence(summary: dict[str, int | bool]) -> str:
    """A summary for people."""
    parts = [f"{summary['tagged']} photo{'s' if summary['tagged'] != 1 else ''} tagged"]
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
        self._next_update = 0.0

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

    def update(self, outcomes: Sequence[Outcome], daemon: Daemon) -> None:
        """Count what became of photos, tell what went wrong, and move the bar."""
        for outcome in outcomes:
            self.counts[outcome.state] += 1
            self.counts["inferred"] += outcome.inferred
            if outcome.error is not None:
                self._console.print(f"{printable(outcome.path)}: {outcome.error.message}")
        now = time.monotonic()
        if self._bar.disable or now < self._next_update:
            return
        # Counting what waits takes a moment where much does.
        self._next_update = now + UPDATE_SECONDS
        waiting = daemon.waiting
        done = self.counts["written"] + self.counts["failed"] + self.counts["tagged"]
        description = f"Scanning ({daemon.seen} photos)" if daemon.is_scanning else "Tagging"
        if waiting and not done:
            description = "Waiting for files to be whole"
        self._bar.update(self._task, completed=done, total=done + waiting, description=description)
