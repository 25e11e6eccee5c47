"""Say what was queued for the daemon, and wait until it is done, with progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import click

from photoramd.cli.output import print_json, progress_bar
from photoramd.database.edited import edit_progress
from photoramd.database.lock import holder
from photoramd.database.readonly import open_readonly
from photoramd.database.requests import count_at, count_waiting
from photoramd.errors import PhotoramdError

LOOK_SECONDS = 0.5
"""How often the database is asked."""


def report_queued(
    database: Path, tops: Sequence[Path], text: str, *, wait: bool, as_json: bool, quiet: bool
) -> None:
    """Say what was queued for the daemon, and wait for it if asked to.

    Args:
        database: The database.
        tops: The paths that were asked about.
        text: What to say; ``{photos}`` in it becomes "1 photo is", or as many as there are.
        wait: Whether to wait until it is done.
        as_json: Whether to print a JSON object instead of the text, at the end.
        quiet: Whether to say nothing.

    Raises:
        PhotoramdError: See `wait_for_daemon`.
        StoreError: The database cannot be read.
    """
    photos = count_at(database, tops)
    if not quiet and not as_json:
        click.echo(text.format(photos="1 photo is" if photos == 1 else f"{photos} photos are"))
    if wait:
        wait_for_daemon(database, tops, photos)
    if as_json:
        print_json({"daemon": True, "photos": photos, "done": wait})


def wait_for_edit(database: Path, edit_id: int) -> None:
    """Wait until an edit is done, but for what cannot be written now; show progress on a terminal.

    Args:
        database: The database.
        edit_id: The edit.

    Raises:
        PhotoramdError: The daemon ended before it was done.
        StoreError: The database cannot be read.
    """

    def left() -> int:
        with closing(open_readonly(database)) as connection:
            progress = edit_progress(connection, edit_id)
        return progress.pending - progress.waiting

    _wait(database, left(), left)


def wait_for_daemon(database: Path, tops: Sequence[Path], total: int) -> None:
    """Wait until no photo at or below some paths waits any more; show progress on a terminal.

    Args:
        database: The database.
        tops: The paths.
        total: How many photos are there.

    Raises:
        PhotoramdError: The daemon ended before it was done.
        StoreError: The database cannot be read.
    """
    _wait(database, total, lambda: count_waiting(database, tops))


def _wait(database: Path, total: int, count: Callable[[], int]) -> None:
    with progress_bar("The daemon works", total) as show:
        # A request is taken before its photos wait: they are looked at once more.
        is_done = False
        while not is_done:
            time.sleep(LOOK_SECONDS)
            waiting = count()
            show(max(0, total - waiting))
            is_done = not waiting and not count()
            if not is_done and holder(database) is None:
                raise PhotoramdError(
                    "the daemon ended before it was done",
                    remedy="start it again: it goes on where it stopped",
                )
