"""``photoramd tags``: list tags and how many photos have them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from photoramd.cli.output import console, print_json
from photoramd.cli.values import complete_query, complete_tag
from photoramd.config import loader
from photoramd.errors import NoImagesError

if TYPE_CHECKING:
    from photoramd.cli import Settings


@click.command("tags")
@click.argument("expression", nargs=-1, shell_complete=complete_query)
@click.option(
    "--prefix",
    default="",
    metavar="TEXT",
    shell_complete=complete_tag,
    help="Only tags with a word that begins so.",
)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many tags.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_obj
def command(
    settings: Settings, expression: tuple[str, ...], prefix: str, limit: int | None, as_json: bool
) -> None:
    """List tags and how many photos have each, the most frequent first.

    With an expression, those of the photos that it finds: what occurs together.

    \b
      photoramd tags
      photoramd tags --prefix be
      photoramd tags 'beach taken:2024'
    """
    # What a shell that completes the options need not wait for.
    from photoramd.cli.answers import CountedTag
    from photoramd.search import queries
    from photoramd.search.evaluation import evaluate
    from photoramd.search.sets import Sets
    from photoramd.search.situation import Situation
    from photoramd.search.tags import count_tags

    config = loader.load(settings.config_path, need_file=False)
    text = " ".join(expression)
    with closing(queries.open_readonly(config.state.path)) as connection:
        sets = Sets(connection)
        within = None
        if text:
            parsed = queries.parse(text, searches=config.searches)
            within = evaluate(Situation(connection, sets), parsed)
        found = count_tags(sets, within, prefix=prefix, limit=limit)
    if as_json:
        print_json([CountedTag(tag=t.name, photos=t.photos, user=t.user) for t in found])
    elif found:
        from rich.table import Table

        table = Table("photos", "by you", "tag", box=None, pad_edge=False)
        table.columns[0].justify = table.columns[1].justify = "right"
        for tag in found:
            table.add_row(str(tag.photos), str(tag.user or ""), tag.name)
        console().print(table)
    if not found:
        raise NoImagesError("no tag" if not text else "no photo matches, or none has such a tag")
