"""``photoramd show``: show what is known of a photo."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd.cli.options import NamedPath
from photoramd.cli.output import print_json
from photoramd.clock import wall_time
from photoramd.config import loader
from photoramd.errors import NoImagesError, printable
from photoramd.metadata.changes import Place
from photoramd.photo import Look

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.cli.answers import ShownEdit, ShownLook, ShownPhoto
    from photoramd.database.edited import EditedTag
    from photoramd.search.details import Details


@click.command("show")
@click.argument("photo", type=NamedPath())
@click.option("--scores", is_flag=True, help="Also the scores below the thresholds.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def command(settings: Settings, photo: Path, scores: bool, as_json: bool) -> None:
    """Show what is known of a photo: tags, state, sidecar, and why it failed if it did."""
    # What a shell that completes the options need not wait for.
    from photoramd.search import queries

    database = loader.load(settings.config_path, need_file=False).state.path
    with closing(queries.open_readonly(database)) as connection:
        # Watched directories are known by their real paths.
        real = Path(os.path.realpath(photo))
        details = queries.photo(connection, photo) or queries.photo(connection, real)
    if details is None:
        raise NoImagesError(
            "photoramd does not know this photo",
            path=photo,
            remedy="is it in a watched directory? photoramd status lists them",
        )
    if as_json:
        print_json(_plain(details, scores))
        return
    click.echo(printable(details.path))
    for name, value in _lines(details):
        click.echo(f"  {name + ':':<14}{value}")
    for title, tags in (("tags", details.tags), ("scores", details.scores if scores else ())):
        if tags:
            click.echo(f"  {title}:")
        for tag in tags:
            click.echo(f"    {tag.confidence:.2f}  {tag.name}")


def _lines(details: Details) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = [("state", details.state)]
    if details.reason:
        lines.append(("reason", details.reason))
    if details.attempts:
        lines.append(("attempts", str(details.attempts)))
    if details.reason and details.next_attempt:
        lines.append(("tried again", _time(details.next_attempt)))
    if details.model:
        lines.append(("model", f"{details.model} {details.revision}"))
    if details.place == Place.PHOTO:
        lines.append(("keywords", "inside the photo"))
    if details.fallback:
        lines.append(("not inside", f"the photo: {details.fallback}"))
    if details.sidecar:
        lines.append(("sidecar", printable(details.sidecar)))
    lines.append(("found", _time(details.found_at)))
    if details.rejected:
        lines.append(("rejected", ", ".join(details.rejected)))
    lines += [("edit", _edit(each)) for each in details.edits]
    if details.look:
        lines += _look(details.look)
    if details.user_tags:
        lines.append(("your tags", ", ".join(details.user_tags)))
    if details.tagged_at:
        lines.append(("tagged", _time(details.tagged_at)))
    if details.written_at:
        lines.append(("written", _time(details.written_at)))
    if details.undone_at:
        lines.append(("undone", f"{_time(details.undone_at)} (photoramd retag tags it again)"))
    if not details.tags and not details.undone_at and details.state in ("tagged", "written"):
        lines.append(("tags", "none above the thresholds"))
    return lines


def _edit(edit: EditedTag) -> str:
    """Return a change that is not in the files, such as ``reject cat: pending (edit 7)``."""
    verb = edit.kind if edit.undoes is None else f"{edit.kind} {edit.undoes}"
    reason = f": {edit.reason}" if edit.reason else ""
    return f"{verb} {edit.tag}, {edit.state} (edit {edit.edit_id}){reason}"


def _look(look: Look) -> list[tuple[str, str]]:
    """Return what a photo says of itself."""
    lines = [("picture", f"{look.width} x {look.height}, {look.format}")]
    taken = wall_time(look.taken)
    if taken is not None:
        zone = "" if look.tz is None else f" UTC{look.tz / 60:+g}"
        lines.append(("taken", taken.replace("T", " ") + zone))
    if look.camera:
        lines.append(("camera", look.camera))
    if look.lens:
        lines.append(("lens", look.lens))
    settings = []
    if look.mm is not None:
        settings.append(f"{look.mm:g} mm")
    if look.f is not None:
        settings.append(f"f/{look.f:g}")
    if look.exposure:
        is_short = look.exposure < 0.3
        settings.append(f"1/{1 / look.exposure:.0f} s" if is_short else f"{look.exposure:g} s")
    if look.iso is not None:
        settings.append(f"ISO {look.iso}")
    if settings:
        lines.append(("settings", ", ".join(settings)))
    if look.lat is not None and look.lon is not None:
        lines.append(("place", f"{look.lat:.5f}, {look.lon:.5f}"))
    return lines


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _plain(details: Details, scores: bool) -> ShownPhoto:
    from photoramd.cli.answers import ShownPhoto

    plain = ShownPhoto(
        file=str(details.path),
        state=details.state,
        tags=[tag.name for tag in details.tags],
        confidences=[round(tag.confidence, 4) for tag in details.tags],
        user_tags=list(details.user_tags),
        rejected=list(details.rejected),
        edits=[_plain_edit(each) for each in details.edits],
        model=details.model,
        revision=details.revision,
        sidecar=None if details.sidecar is None else str(details.sidecar),
        place=details.place,
        fallback=details.fallback,
        reason=details.reason,
        attempts=details.attempts,
        next_attempt=details.next_attempt,
        size=details.size,
        found_at=details.found_at,
        tagged_at=details.tagged_at,
        written_at=details.written_at,
        undone_at=details.undone_at,
        look=None if details.look is None else _plain_look(details.look),
    )
    if scores:
        plain["scores"] = {tag.name: round(tag.confidence, 4) for tag in details.scores}
    return plain


def _plain_edit(edit: EditedTag) -> ShownEdit:
    from photoramd.cli.answers import ShownEdit

    return ShownEdit(
        edit=edit.edit_id,
        kind=edit.kind,
        tag=edit.tag,
        undoes=edit.undoes,
        state=edit.state,
        reason=edit.reason,
        asked_at=edit.asked_at,
    )


def _plain_look(look: Look) -> ShownLook:
    from photoramd.cli.answers import ShownLook

    return ShownLook(
        width=look.width,
        height=look.height,
        format=look.format,
        taken=wall_time(look.taken),
        tz=look.tz,
        camera=look.camera,
        lens=look.lens,
        iso=look.iso,
        f=look.f,
        exposure=look.exposure,
        mm=look.mm,
        lat=look.lat,
        lon=look.lon,
    )
