"""``photoramd duplicates``: list photos that show the same picture."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from photoramd.cli.output import print_json, progress_bar
from photoramd.cli.values import complete_query
from photoramd.config import loader
from photoramd.errors import NoImagesError, printable

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.search.duplicates import Copy


@click.command("duplicates")
@click.argument("expression", nargs=-1, shell_complete=complete_query)
@click.option("--same", "only_same", is_flag=True, help="Only the same pictures, to the pixel.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_obj
def command(
    settings: Settings, expression: tuple[str, ...], only_same: bool, as_json: bool
) -> None:
    """List groups of photos that show the same picture, or nearly the same.

    The same: copies, whatever their names and metadata. Nearly: resized, recompressed, cropped a
    little; the embedded model tells. With an expression, only among the photos that it finds.

    \b
      photoramd duplicates
      photoramd duplicates --same 'path:2024/'

    Groups are parted by an empty line, the largest picture comes first. Nothing is removed.
    Exits with 1 if there is none.
    """
    # What a shell that completes the options need not wait for.
    from photoramd.database.derived import Kind
    from photoramd.search import queries
    from photoramd.search.duplicates import same_pictures, similar_pictures
    from photoramd.search.evaluation import evaluate
    from photoramd.search.sets import Sets
    from photoramd.search.situation import Situation

    config = loader.load(settings.config_path, need_file=False)
    text = " ".join(expression)
    database = config.state.path
    with closing(queries.open_readonly(database)) as connection:
        sets = Sets(connection)
        among = sets.one(Kind.PRESENT)
        if text:
            parsed = queries.parse(text, searches=config.searches)
            among = evaluate(Situation(connection, sets), parsed)
        groups = list(same_pictures(connection, among))
        if not only_same:
            with progress_bar("Comparing pictures", 1.0) as show:
                groups += similar_pictures(connection, database, among, show)
    if as_json:
        print_json([{"same": g.is_same, "photos": [*map(_plain, g.copies)]} for g in groups])
    for number, group in enumerate([] if as_json else groups):
        if number:
            click.echo()
        click.echo("the same:" if group.is_same else "nearly the same:")
        for copy in group.copies:
            size = f"{copy.width} x {copy.height}, " if copy.width else ""
            click.echo(f"  {printable(copy.path)}  ({size}{copy.size / 1e6:.1f} MB)")
    if not groups:
        raise NoImagesError("no photo shows what another shows")


def _plain(copy: Copy) -> dict[str, object]:
    shape = {"width": copy.width, "height": copy.height}
    return {"file": str(copy.path), "size": copy.size, **shape}
