"""Open what taking tags back needs: the database and a writer, but no model and no loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from photoramd.clock import unix_time
from photoramd.config.schema import Config
from photoramd.database.connection import Database
from photoramd.database.ledger import Ledger
from photoramd.database.photos import Photos
from photoramd.database.readonly import ReadOnlyDatabase, open_readonly
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.plan import Origin
from photoramd.pipeline.planner import WriteSettings
from photoramd.pipeline.writer import Writer


@contextmanager
def opened_for_undo(config: Config, *, dry_run: bool = False) -> Iterator[tuple[Photos, Writer]]:
    """Open the database and make a writer for undo only; load no model.

    Args:
        config: The configuration.
        dry_run: Only read the database, which a daemon may own.

    Raises:
        LockedError: Another photoramd owns the database.
        StoreError: There is no database, or it cannot be used.
    """
    open_readonly(config.state.path).close()  # undo never makes one
    opened = ReadOnlyDatabase if dry_run else Database
    with opened(config.state.path) as database, ExifTool() as exiftool:
        settings = WriteSettings(lambda _: "none", lambda: Origin("", ""))
        writer = Writer(Ledger(database), settings, exiftool)
        if not dry_run:
            writer.recover(unix_time())
        yield Photos(database), writer
