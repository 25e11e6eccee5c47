"""``photoramd undo``: take back the tags that were written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photoramd.cli.options import NamedPath, collected
from photoramd.cli.output import print_json, progress_bar
from photoramd.clock import unix_time
from photoramd.config import loader
from photoramd.errors import LockedError, PhotoramdError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from photoramd.cli import Settings
    from photoramd.database.photos import Job
    from photoramd.pipeline.undo import Undone


@dataclass(frozen=True, slots=True)
class UndoOptions:
    """The options of the command, by their names."""

    paths: tuple[Path, ...]
    dry_run: bool
    wait: bool
    as_json: bool
    quiet: bool


@click.command("undo")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=NamedPath())
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be taken back.")
@click.option("--wait", is_flag=True, help="Wait until a running daemon has done it.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, errors only.")
@click.pass_context
@collected(UndoOptions)
def command(context: click.Context, options: UndoOptions) -> None:
    """Take back the tags that were written for photos.

    PATH is a photo, or a directory with everything below it. Exactly what photoramd added
    is removed; your own keywords stay. Such photos are not tagged again until photoramd
    retag asks for it. Sidecars that photoramd made for photos that are gone are removed, too.
    A running daemon does it, beginning within a second. Exits with 4 if it could not be done
    for a photo.
    """
    settings: Settings = context.obj
    paths, dry_run, as_json, quiet = (
        options.paths,
        options.dry_run,
        options.as_json,
        options.quiet,
    )
    configuration = loader.load(settings.config_path, need_file=False)
    from photoramd.daemon.undo_assembly import opened_for_undo
    from photoramd.database.requests import canonical_path
    from photoramd.pipeline.undo import select

    tops = [canonical_path(path) for path in paths]
    try:
        with opened_for_undo(configuration, dry_run=dry_run) as (photos, writer):
            jobs = select(photos, tops)
            if not as_json and not quiet:
                outcomes = list(_shown(_undo(writer, jobs, dry_run), len(jobs)))
            else:
                outcomes = list(_undo(writer, jobs, dry_run))
    except LockedError:
        _ask_the_daemon(configuration.state.path, tops, options)
        return
    touched = [each for each in outcomes if each.files or each.removed]
    failed = [each for each in outcomes if each.error is not None]
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "photos": len(outcomes),
                "undone": [_plain(each) for each in touched],
                "failed": [
                    {"file": printable(each.path), "error": str(each.error)} for each in failed
                ],
            }
        )
    else:
        for each in touched if dry_run else ():
            click.echo(f"{printable(each.path)}: {', '.join(each.removed) or 'no keyword left'}")
        for each in failed:
            click.echo(f"{each.error}", err=True)
        if not quiet:
            verb = "would be taken back" if dry_run else "taken back"
            of = "1 photo" if len(touched) == 1 else f"{len(touched)} photos"
            click.echo(f"tags of {of} {verb}; {len(failed)} failed")
    if failed:
        context.exit(PhotoramdError.exit_code)


def _ask_the_daemon(database: Path, tops: Sequence[Path], options: UndoOptions) -> None:
    from photoramd.cli.waiting import report_queued
    from photoramd.database.requests import Request, is_known, submit
    from photoramd.pipeline.undo import unknown

    for top in tops:
        if not is_known(database, top):
            raise unknown(top)
    submit(database, [Request(os.fspath(top), is_undo=True) for top in tops])
    report_queued(
        database,
        tops,
        "{photos} queued for the daemon, which begins now;"
        " photoramd status names what it cannot do",
        wait=options.wait,
        as_json=options.as_json,
        quiet=options.quiet,
    )


def _undo(writer: Any, jobs: Sequence[Job], dry_run: bool) -> Iterator[Undone]:
    from photoramd.pipeline.undo import undo

    return undo(writer, jobs, unix_time(), dry_run=dry_run)


def _plain(each: Undone) -> dict[str, object]:
    return {
        "file": printable(each.path),
        "tags": list(each.removed),
        "changed": [printable(path) for path in each.files],
        "removed_sidecar": each.removed_sidecar,
    }


def _shown(outcomes: Iterator[Undone], total: int) -> Iterator[Undone]:
    """Yield the outcomes, with a progress bar on a terminal."""
    with progress_bar("Taking back", total) as show:
        for done, outcome in enumerate(outcomes, 1):
            yield outcome
            show(done)
