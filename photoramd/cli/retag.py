"""``photoramd retag``: ask for photos to be tagged again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd import config
from photoramd.database import holder
from photoramd.errors import UsageError

if TYPE_CHECKING:
    from photoramd.cli import Settings


@click.command("retag")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(path_type=Path))
@click.option("--failed", is_flag=True, help="Only photos that failed.")
@click.pass_obj
def command(settings: Settings, paths: tuple[Path, ...], failed: bool) -> None:
    """Tag photos again, or all photos below directories.

    A running daemon begins within a second; without one, the next begins with it. Pictures
    that the model has seen are not shown to it again. With --failed and without PATH, all
    photos that failed are tried again.
    """
    # SQLite and its companions cost time that --help need not wait for.
    from photoramd.requests import Request, submit

    configuration = config.load(settings.config_path, need_file=False)
    if not paths and not failed:
        raise UsageError("name photos or directories, or use --failed")
    tops = [os.path.realpath(path) for path in paths]
    tops = tops or [os.path.realpath(watch.path) for watch in configuration.watch]
    database = configuration.state.path
    submit(database, [Request(top, failed) for top in tops])
    running = holder(database) is not None
    click.echo("The daemon begins now." if running else "photoramd run, or scan, will begin.")
