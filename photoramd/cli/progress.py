"""Show the progress and the summary of a scan, for commands that run one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd.cli.output import console
from photoramd.config import schema
from photoramd.errors import PhotoramdError, printable

if TYPE_CHECKING:
    from photoramd.daemon.loop import Daemon
    from photoramd.pipeline.pipeline import Outcome

UPDATE_SECONDS = 0.2


def is_watched(top: Path, configuration: schema.Config) -> bool:
    """Return whether a directory is watched by the configuration, or below one that is."""
    return any(top == watch.path or watch.path in top.parents for watch in configuration.watch)


def sentence(summary: dict[str, int | bool]) -> str:
    """Format a summary for people."""
    parts = [f"{summary['tagged']} photo{'s' if summary['tagged'] != 1 else ''} tagged"]
    if summary["not_written"]:
        parts.append(f"{summary['not_written']} tagged but not written")
    if summary["undone"]:
        parts.append(f"{summary['undone']} taken back")
    if summary["failed"]:
        parts.append(f"{summary['failed']} failed")
    if not summary["completed"]:
        parts.append("interrupted; run it again to go on")
    elif summary["failed"] or summary["not_written"]:
        parts.append("photoramd status names the reasons")
    return "; ".join(parts)


def exit_if_nothing_succeeded(context: click.Context, summary: dict[str, int | bool]) -> None:
    """Exit with 4 if photos failed, or could not be written, and none was tagged."""
    if summary["failed"] + summary["not_written"] and not summary["tagged"]:
        context.exit(PhotoramdError.exit_code)


class Progress:
    """A progress bar on standard error, and the counts.

    Attributes:
        counts: Photos by their last outcome, which may be another one after a retry.
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
        # The photos that may come again.
        self._unfinished: dict[Path, str] = {}
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
        """Remove the bar."""
        self._bar.stop()

    def summary(self, completed: bool) -> dict[str, int | bool]:
        """Return the counts, for programs."""
        return {
            "tagged": self.counts["written"],
            "inferred": self.counts["inferred"],
            "not_written": self.counts["tagged"],
            "failed": self.counts["failed"],
            "undone": self.counts["undone"],
            "completed": completed,
        }

    def note(self, text: str) -> None:
        """Show what is being done."""
        self._bar.update(self._task, description=text)

    def update(self, outcomes: Sequence[Outcome], daemon: Daemon) -> None:
        """Count outcomes, print what went wrong, and move the bar."""
        for outcome in outcomes:
            state = "undone" if outcome.is_undone else str(outcome.state)
            before = self._unfinished.pop(outcome.path, None)
            if before is not None:
                self.counts[before] -= 1
            if outcome.state != "written":
                self._unfinished[outcome.path] = state
            self.counts[state] += 1
            self.counts["inferred"] += outcome.inferred
            if outcome.error is not None:
                self._console.print(f"{printable(outcome.path)}: {outcome.error.message}")
        now = time.monotonic()
        if self._bar.disable or now < self._next_update:
            return
        # Counting a long queue takes a moment.
        self._next_update = now + UPDATE_SECONDS
        if daemon.unread and not outcomes and not daemon.is_scanning:
            # Without an end to fill a bar to: these are no photos to be tagged.
            self.note(f"Reading keywords and dates of known photos, {daemon.unread} left")
            return
        waiting = daemon.waiting
        done = self.counts["written"] + self.counts["failed"] + self.counts["tagged"]
        description = f"Scanning ({daemon.seen} photos)" if daemon.is_scanning else "Tagging"
        if waiting and not done:
            description = "Waiting for files to be whole"
        self._bar.update(self._task, completed=done, total=done + waiting, description=description)
