"""Wait until the daemon has done what was asked of it, with progress."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from photoramd.cli.output import console
from photoramd.database.lock import holder
from photoramd.database.requests import count_waiting
from photoramd.errors import PhotoramdError

LOOK_SECONDS = 0.5
"""How often the database is asked."""


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
    from rich.progress import Progress

    screen = console(stderr=True)
    with Progress(console=screen, disable=not screen.is_terminal, transient=True) as bar:
        task = bar.add_task("The daemon works", total=total)
        # A request is taken before its photos wait: they are looked at once more.
        is_done = False
        while not is_done:
            time.sleep(LOOK_SECONDS)
            waiting = count_waiting(database, tops)
            bar.update(task, completed=max(0, total - waiting))
            is_done = not waiting and not count_waiting(database, tops)
            if not is_done and holder(database) is None:
                raise PhotoramdError(
                    "the daemon ended before it was done",
                    remedy="start it again: it goes on where it stopped",
                )
