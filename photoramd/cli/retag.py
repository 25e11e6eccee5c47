"""``photoramd retag``: choose and write tags anew."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd.cli.options import NamedPath, collected
from photoramd.cli.output import print_json
from photoramd.cli.progress import Progress, exit_if_nothing_succeeded, is_watched, sentence
from photoramd.config import loader, schema
from photoramd.database.lock import holder
from photoramd.errors import ExitCode, NoImagesError, UsageError

if TYPE_CHECKING:
    from photoramd.cli import Settings


@dataclass(frozen=True, slots=True)
class RetagOptions:
    """The options of the command, by their names."""

    paths: tuple[Path, ...]
    failed: bool
    wait: bool
    as_json: bool
    quiet: bool


@click.command("retag")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=NamedPath())
@click.option("--failed", is_flag=True, help="Only photos that failed.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
@click.option("--wait", is_flag=True, help="Wait until a running daemon has done it.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, errors only.")
@click.pass_context
@collected(RetagOptions)
def command(context: click.Context, options: RetagOptions) -> None:
    """Choose and write the tags of photos anew, with the present settings.

    PATH is a photo, or a directory with everything below it. Photos whose tags were taken
    back (photoramd undo) get tags again. The model runs only for photos that it has not
    seen; tags that you took out of a photo stay out. With --failed, photos that failed are
    tried again at once; without PATH, all of them in the watched directories.

    A running daemon does the work, and begins within a second. Without one, it exits with 4 if
    nothing could be tagged and something failed.
    """
    # SQLite and its companions cost time that --help need not wait for.
    from photoramd.database.requests import Request, canonical_path, submit

    paths, failed, as_json, quiet = options.paths, options.failed, options.as_json, options.quiet
    settings: Settings = context.obj
    configuration = loader.load(settings.config_path, need_file=False)
    if not paths and not failed:
        raise UsageError("name photos or directories, or use --failed")
    database = configuration.state.path
    tops = [canonical_path(path) for path in paths]
    for top in tops:
        _require_photos(top, configuration)
    tops = tops or [watch.path for watch in configuration.watch]
    submit(database, [Request(os.fspath(top), failed) for top in tops])
    if holder(database) is not None:
        from photoramd.cli.waiting import report_queued

        what = "the photos that failed are" if failed else "{photos}"
        text = (
            f"{what} queued for the daemon, which begins now; photoramd status shows how far it is"
        )
        report_queued(database, tops, text, wait=options.wait, as_json=as_json, quiet=quiet)
        return
    directories = [top if top.is_dir() else top.parent for top in tops]
    extra = [top for top in dict.fromkeys(directories) if not is_watched(top, configuration)]
    shown = Progress(enabled=not quiet and not as_json)
    from photoramd.daemon.assembly import assemble

    with shown, assemble(configuration, extra, shown.note) as daemon:
        completed = daemon.scan_once([], lambda outcomes: shown.update(outcomes, daemon))
    summary: dict[str, int | bool] = shown.summary(completed)
    if as_json:
        print_json(summary)
    elif not quiet:
        click.echo(sentence(summary))
    if not completed:
        context.exit(ExitCode.INTERRUPTED)
    exit_if_nothing_succeeded(context, summary)


def _require_photos(top: Path, configuration: schema.Config) -> None:
    """Refuse a path for which a request would do nothing.

    Raises:
        NoImagesError: No photo is known there, and none would be found; or it is known, but
            the running daemon does not watch that directory.
    """
    from photoramd.database.requests import is_known
    from photoramd.watch.filters import Filter

    database = configuration.state.path
    watches = [each for each in configuration.watch if top.is_relative_to(each.path)]
    if is_known(database, top) and os.path.lexists(top):
        if not watches and holder(database) is not None:
            raise NoImagesError(
                "the running daemon does not watch it",
                path=top,
                remedy="add its directory under [[watch]] and restart the daemon, or stop it"
                " and try again",
            )
        return
    if not os.path.lexists(top):
        message, remedy = "photoramd knows no photo there", "is its name spelled so?"
    elif not watches:
        message = "photoramd knows no photo there, and does not watch it"
        remedy = "photoramd scan tags what is in a directory; [[watch]] has it watched"
    else:
        chosen = Filter(watches[0].path, watches[0].exclude)
        if chosen.enters(top) if top.is_dir() else chosen.wants(top):
            return  # perhaps new
        message = "photoramd leaves it out"
        remedy = "is it a photo by its suffix? excluded by the configuration? hidden?"
    raise NoImagesError(message, path=top, remedy=remedy)
