"""``photoramd retag``: choose and write tags anew."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd import config
from photoramd.cli.output import print_json
from photoramd.cli.scan import Progress, is_watched, sentence
from photoramd.errors import LockedError

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.pipeline import Outcome


@click.command("retag")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, errors only.")
@click.pass_context
def command(context: click.Context, paths: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Choose and write the tags of photos anew, with the present settings.

    PATH is a photo, or a directory with everything below it. Photos whose tags were taken
    back (photoramd undo) get tags again. The model runs only for photos that it has not
    seen; tags that you took out of a photo stay out.
    """
    settings: Settings = context.obj
    configuration = config.load(settings.config_path, need_file=False)
    tops = [Path(os.path.abspath(path)) for path in paths]
    directories = [top if top.is_dir() else top.parent for top in tops]
    extra = [top for top in dict.fromkeys(directories) if not is_watched(top, configuration)]
    shown = Progress(enabled=not quiet and not as_json)
    from photoramd import retag
    from photoramd.assembly import assemble
    from photoramd.database import Database
    from photoramd.store import Store
    from photoramd.undo import select

    try:
        with Database(configuration.state.path) as database:
            retag.mark(database, select(Store(database), tops))
        shown.note("Loading the model")
        with shown, assemble(configuration, extra) as daemon:

            def on_outcomes(outcomes: Sequence[Outcome]) -> None:
                shown.update(outcomes, daemon.waiting, None)

            completed = daemon.scan_once([], on_outcomes)
    except LockedError as error:
        error.remedy = "stop it, and try again; after a change of settings a restart is enough"
        raise
    summary: dict[str, int | bool] = shown.summary(completed)
    if as_json:
        print_json(summary)
    elif not quiet:
        click.echo(sentence(summary))
    if not completed:
        context.exit(130)
