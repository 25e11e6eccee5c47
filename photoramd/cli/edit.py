"""``photoramd edit``: add, reject and take back single tags."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd.cli.options import NamedPath, collected
from photoramd.cli.output import print_json
from photoramd.cli.progress import Progress, is_watched
from photoramd.cli.values import complete_query, complete_tag
from photoramd.config import loader
from photoramd.database import edits
from photoramd.database.lock import holder
from photoramd.database.readonly import open_readonly
from photoramd.errors import ExitCode, NoImagesError, PhotoramdError, UsageError, printable

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.cli.answers import Edited
    from photoramd.config.schema import Config
    from photoramd.database.edits import EditProgress


@dataclass(frozen=True, slots=True)
class EditOptions:
    """The options of the command, by their names."""

    photos: tuple[Path, ...]
    query: str | None
    add: tuple[str, ...]
    reject: tuple[str, ...]
    undo: bool
    undo_edit: int | None
    wait: bool
    as_json: bool
    quiet: bool

    def __post_init__(self) -> None:
        is_undo = self.undo or self.undo_edit is not None
        if is_undo and (self.add or self.reject):
            raise UsageError(
                "--undo restores what was there", remedy="leave out --add and --reject"
            )
        if self.undo and self.undo_edit is not None:
            raise UsageError("--undo takes back the last edit; --undo-edit another one")
        if self.photos and self.query is not None:
            raise UsageError("name photos or a query, not both")
        if not is_undo and not self.photos and self.query is None:
            raise UsageError("name photos, or find them with --query")
        if not is_undo:
            edits.checked_tags(self.add, self.reject)

    @property
    def is_undo(self) -> bool:
        """Whether an earlier edit is taken back."""
        return self.undo or self.undo_edit is not None


@click.command("edit")
@click.argument("photos", nargs=-1, metavar="[PHOTO]...", type=NamedPath())
@click.option(
    "--query",
    metavar="EXPR",
    shell_complete=complete_query,
    help="The photos that this query finds, in place of PHOTO.",
)
@click.option(
    "--add",
    multiple=True,
    metavar="TAG",
    shell_complete=complete_tag,
    help="Add this tag; may be repeated.",
)
@click.option(
    "--reject",
    multiple=True,
    metavar="TAG",
    shell_complete=complete_tag,
    help="Reject this tag; may be repeated.",
)
@click.option("--undo", is_flag=True, help="Take back the last edit.")
@click.option(
    "--undo-edit", type=click.IntRange(1, 1_000_000_000), metavar="ID", help="Take back this edit."
)
@click.option("--wait", is_flag=True, help="Wait until a running daemon has done what it can now.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, errors only.")
@click.pass_context
@collected(EditOptions)
def command(context: click.Context, options: EditOptions) -> None:
    """Add, reject and take back single tags, of up to 1,000 photos at once.

    A tag that you add is yours: it is written into the sidecar or the photo like your own, and
    stays when photoramd's tags are taken back (photoramd undo). A tag that you reject leaves the
    file and is never written again, whatever the model says later. Keywords that you wrote with
    other programs are never removed.

    \b
      photoramd edit IMG_0815.JPG --add "Grandma's garden" --reject zoo
      photoramd edit --query 'taken:2024-07 beach' --add Holiday
      photoramd edit --undo

    --undo and --undo-edit restore what was there before; with photos, only in these. Each edit
    prints its number. A running daemon does the work, and begins within a second; without one, it
    is done now. Exits with 4 if something could not be done.
    """
    settings: Settings = context.obj
    configuration = loader.load(settings.config_path, need_file=False)
    database = configuration.state.path
    photos = _chosen(configuration, options)
    if options.is_undo:
        edit_id = edits.request_undo(
            database,
            options.undo_edit or _last(database),
            photo_ids=photos or None,
        )
    else:
        edit_id = edits.request_edit(database, photos, add=options.add, reject=options.reject)
    is_running = holder(database) is not None
    is_completed = True
    if not is_running:
        is_completed = _carry_out(configuration, _directories(database, edit_id), options)
    elif options.wait:
        from photoramd.cli.waiting import wait_for_edit

        wait_for_edit(database, edit_id)
    progress = _progress(database, edit_id)
    if options.as_json:
        print_json(_plain(progress, is_running=is_running))
    elif not options.quiet:
        _say(progress, is_running=is_running)
    for each in progress.reasons if not options.as_json else ():
        verb = "not done" if each.is_final else "tried again later"
        count = f"{each.changes:,} {'change' if each.changes == 1 else 'changes'}"
        click.echo(f"{count} {verb}: {each.reason} (such as {printable(each.example)})", err=True)
    if not is_completed:
        context.exit(ExitCode.INTERRUPTED)
    if progress.failed:
        context.exit(PhotoramdError.exit_code)


def _chosen(configuration: Config, options: EditOptions) -> list[int]:
    """Return the ids of the photos that are named or found.

    Raises:
        NoImagesError: One is not known, or none is found.
        UsageError: There are more than one edit takes, or one is a directory.
    """
    from photoramd.search.evaluation import evaluate
    from photoramd.search.known_photo import photo_id
    from photoramd.search.parser import parse
    from photoramd.search.sets import Sets
    from photoramd.search.situation import Situation

    with closing(open_readonly(configuration.state.path)) as connection:
        if options.query is not None:
            parsed = parse(options.query, searches=configuration.searches)
            found = evaluate(Situation(connection, Sets(connection)), parsed)
            if not found:
                raise NoImagesError("no photo matches")
            if len(found) > edits.MAX_PHOTOS:
                raise UsageError(
                    f"the query finds {len(found):,} photos, more than one edit takes",
                    remedy=f"narrow it down to {edits.MAX_PHOTOS:,}, with taken: or folder: say",
                )
            return list(found)
        ids = []
        for photo in options.photos:
            known = photo_id(connection, photo)
            if known is None and photo.is_dir():
                raise UsageError(
                    "this is a directory",
                    path=photo,
                    remedy="name photos, or use --query with folder:",
                )
            if known is None:
                raise NoImagesError(
                    "photoramd does not know this photo",
                    path=photo,
                    remedy="is it in a watched directory? photoramd status lists them",
                )
            ids.append(known)
        return ids


def _last(database: Path) -> int:
    with closing(open_readonly(database)) as connection:
        found = edits.last_edit(connection)
    if found is None:
        raise UsageError("there is no edit to undo")
    return found


def _progress(database: Path, edit_id: int) -> EditProgress:
    with closing(open_readonly(database)) as connection:
        return edits.edit_progress(connection, edit_id)


def _directories(database: Path, edit_id: int) -> list[Path]:
    with closing(open_readonly(database)) as connection:
        return edits.directories_of(connection, edit_id)


def _carry_out(configuration: Config, directories: Sequence[Path], options: EditOptions) -> bool:
    """Do what waits, in place of a daemon; return False if interrupted."""
    extra = [each for each in directories if not is_watched(each, configuration)]
    shown = Progress(enabled=not options.quiet and not options.as_json)
    from photoramd.daemon.assembly import assemble

    with shown, assemble(configuration, extra, shown.note) as daemon:
        return daemon.scan_once([], lambda outcomes: shown.update(outcomes, daemon))


def _say(progress: EditProgress, *, is_running: bool) -> None:
    photos = f"{progress.photos:,} {'photo' if progress.photos == 1 else 'photos'}"
    number = f"edit {progress.edit_id}, of {photos}"
    if progress.pending > progress.waiting and is_running:
        text = "queued for the daemon, which begins now; photoramd show tells what became of it"
    else:
        parts = [f"{progress.done:,} done"]
        parts += [f"{progress.pending:,} waiting"] if progress.pending else []
        parts += [f"{progress.failed:,} failed"] if progress.failed else []
        text = ", ".join(parts)
        if not is_running:
            text += " (no daemon runs, so it was done at once)"
    click.echo(f"{number}: {text}")


def _plain(progress: EditProgress, *, is_running: bool) -> Edited:
    from photoramd.cli.answers import Edited, EditedReason

    return Edited(
        edit=progress.edit_id,
        daemon=is_running,
        photos=progress.photos,
        pending=progress.pending,
        done=progress.done,
        failed=progress.failed,
        reasons=[
            EditedReason(
                reason=each.reason,
                changes=each.changes,
                example=printable(os.fspath(each.example)),
                final=each.is_final,
            )
            for each in progress.reasons
        ],
    )
