"""``photoramd db``: check, copy, restore and prune the database."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd.cli.options import FiniteRange, NamedPath
from photoramd.cli.output import print_json, waiting
from photoramd.clock import UnixTime, unix_time
from photoramd.config import loader
from photoramd.errors import StoreError, printable

if TYPE_CHECKING:
    from photoramd.cli import Settings

_DAY_SECONDS = 86_400


@click.group("db")
def command() -> None:
    """Check, copy and restore the database, forget missing photos."""


@command.command("check")
@click.argument("file", required=False, type=NamedPath())
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def check(settings: Settings, file: Path | None, as_json: bool) -> None:
    """Look for damage in the database, or in a copy of it. The daemon may run.

    The sets of photos that queries use are compared with the rows that they are made from, and
    made anew if they differ.
    """
    from photoramd.database import backups

    database = file or _database(settings)
    with waiting("Reading the whole database"):
        problems = backups.check(database)
    if not problems:
        backups.require_known(database)
    copies = [printable(path) for path in backups.copies(database)]
    mended = 0
    if file is None and not problems:
        from photoramd.database.mend import mend_sets

        with waiting("Comparing the sets of photos"):
            mended = mend_sets(database)
    if as_json:
        found = {"problems": problems, "copies": copies, "mended_sets": mended}
        print_json({"database": printable(database), **found})
    else:
        click.echo(f"{printable(database)}: {problems[0] if problems else 'sound'}")
        if mended:
            click.echo(f"sets of photos: {mended} were not what the rows say; made anew")
        for path in copies:
            click.echo(f"copy: {path}")
    if problems:
        if file is not None:
            remedy = "use another copy"
        elif backups.is_ours(database):
            remedy = "restart the daemon: it puts the last copy in place, or starts anew"
        else:
            remedy = "set [state] path to another file; this one is left as it is"
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise StoreError(f"{count} found", path=database, remedy=remedy)


@command.command("backup")
@click.argument("file", required=False, type=NamedPath())
@click.pass_obj
def backup(settings: Settings, file: Path | None) -> None:
    """Copy the database to FILE, or to a file beside it. The daemon may run.

    An older copy is replaced; any other file is left as it is.
    """
    from photoramd.database import backups
    from photoramd.database.features import features_path

    database = _database(settings)
    target = file or database.with_name(f"{database.name}.copy-{datetime.now():%Y%m%d-%H%M%S}")
    if not database.is_file():
        raise StoreError(
            "there is no database yet", path=database, remedy="photoramd scan makes one"
        )
    if not target.parent.is_dir():
        raise StoreError(
            "there is no such directory", path=target.parent, remedy="make it, or name another file"
        )
    backups.require_replaceable(target, database, features_path(database))
    with waiting("Copying the database"):
        backups.copy(database, target)
    click.echo(printable(target))


@command.command("restore")
@click.argument("file", type=NamedPath())
@click.pass_obj
def restore(settings: Settings, file: Path) -> None:
    """Put a copy in the place of the database. The daemon must not run.

    The present database is renamed. What happened since the copy was made is found again by
    the next scan, also which keywords are photoramd's; but photos whose tags were taken back
    (photoramd undo) since then get tags again.
    """
    from photoramd.database import backups

    database = _database(settings)
    with waiting("Checking and copying the database"):
        aside = backups.restore(file, database)
    click.echo(f"{printable(database)} is what {printable(file)} was.")
    if aside is not None:
        click.echo(f"What it was is {printable(aside)}.")
    click.echo("The next scan, or the daemon when it starts, finds what happened since.")


@command.command("prune")
@click.option(
    "--missing-for",
    "days",
    type=FiniteRange(min=0),
    required=True,
    metavar="DAYS",
    help="Forget photos that have been missing for so long.",
)
@click.pass_obj
def prune(settings: Settings, days: float) -> None:
    """Forget what is known of photos that are no longer there. The daemon may run.

    If they come back after that, they are tagged anew. No file is touched.
    """
    from photoramd.database.features import prune_features
    from photoramd.database.prune import prune as forget

    database = _database(settings)
    with waiting("Forgetting photos"):
        count = forget(database, UnixTime(unix_time() - days * _DAY_SECONDS))
        prune_features(database)
    click.echo("1 photo forgotten" if count == 1 else f"{count} photos forgotten")


def _database(settings: Settings) -> Path:
    return loader.load(settings.config_path, need_file=False).state.path
