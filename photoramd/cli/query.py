"""``photoramd query``: find photos."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd.cli.options import NamedPath, collected
from photoramd.cli.output import print_json
from photoramd.cli.values import complete_query
from photoramd.config import loader
from photoramd.errors import NoImagesError, UsageError
from photoramd.search.sorts import SORTS, Sort

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.search.queries import Match

FORMATS = ("paths", "table", "json", "ndjson", "csv")


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """The options of the command, by their names."""

    expression: tuple[str, ...]
    limit: int | None
    sort: Sort | None
    after: str | None
    under: Path | None
    count: bool
    format: str
    confidence: bool
    null: bool
    link: Path | None
    fields: bool
    as_json: bool

    def __post_init__(self) -> None:
        if self.as_json and self.format not in ("paths", "json"):
            raise UsageError("--json and --format name two formats", remedy="leave one of them out")
        if self.after is not None and self.sort == "random":
            raise UsageError("--after needs an order", remedy="choose another --sort than random")
        is_paths = self.format == "paths" and not self.as_json
        if (self.null or self.confidence) and not is_paths:
            raise UsageError("-0 and -c are for paths", remedy="leave out the format")
        if self.count and (self.link or self.null or self.limit or self.format in ("csv", "table")):
            raise UsageError("--count prints the number of all", remedy="leave out what lists them")
        if self.link is not None and (self.null or self.format != "paths"):
            raise UsageError("--link prints no photos", remedy="leave out the format")


@click.command("query")
@click.argument("expression", nargs=-1, shell_complete=complete_query)
@click.option("--limit", type=click.IntRange(1, 1_000_000_000), help="At most so many photos.")
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    help="path (the default); taken, added: the latest first; score: the surest, or most similar, "
    "first (the default with like:); random.",
)
@click.option("--after", metavar="CURSOR", help="Go on behind the photo with this cursor.")
@click.option("--under", type=NamedPath(), help="Only photos in this directory or below.")
@click.option("--count", is_flag=True, help="Print only how many there are.")
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    default="paths",
    help="One path a line (the default), a table, a JSON list, a JSON object a line, or CSV.",
)
@click.option("-c", "--confidence", is_flag=True, help="Print tags with their confidences.")
@click.option("-0", "--null", is_flag=True, help="End each path with a zero byte, for xargs -0.")
@click.option(
    "--link",
    type=NamedPath(file_okay=False),
    metavar="DIR",
    help="Make an album of symbolic links in DIR, or bring it up to date.",
)
@click.option("--fields", is_flag=True, help="List what can be asked for besides tags.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.pass_obj
@collected(QueryOptions)
def command(settings: Settings, options: QueryOptions) -> None:
    """Find photos by tags, dates, cameras, places and more.

    Tags are combined with AND, OR, NOT and parentheses; words beside each other mean
    AND. Tags of several words go in quotes, and * stands for any letters:

    \b
      photoramd query cat
      photoramd query 'cat AND NOT dog'
      photoramd query '(beach OR lake) "sports car"'
      photoramd query 'terrier*'
      photoramd query 'beach taken:2024-07..2024-09 camera:canon'
      photoramd query 'dog@0.8 near:48.85,2.35~5km' --sort taken

    A tag finds what is below it, too: animal finds dogs. @NAME is a search saved under
    [searches] in the configuration. --fields lists what else can be asked for.

    Prints one path a line. Exits with 1 if there is none.
    """
    # What a shell that completes the options need not wait for.
    from photoramd.cli.photo_output import PathStyle, print_photos
    from photoramd.search import queries
    from photoramd.search.expression import leaves
    from photoramd.search.fields import FIELDS

    if options.fields:
        for field in FIELDS.values():
            click.echo(f"{field.name + ':':<10} {field.meaning:<58} {field.example}")
        return
    if not options.expression:
        raise UsageError("the query is missing", remedy="name a tag, such as dog, or * for any")
    config = loader.load(settings.config_path, need_file=False)
    parsed = queries.parse(" ".join(options.expression), searches=config.searches)
    if options.under is not None:
        _require_known(config.state.path, options.under)
    is_like = any(getattr(leaf, "name", "") == "like" for leaf in leaves(parsed))
    sort: Sort = options.sort or ("score" if is_like else "path")
    question = queries.Question(parsed, sort, options.limit, options.after, options.under)
    with closing(queries.open_readonly(config.state.path)) as connection:
        if options.count:
            number = queries.count(connection, parsed, under=options.under)
            print_json(number) if options.as_json else click.echo(number)
            return
        # Closed before the connection is, also where the output ends early.
        with closing(queries.matches(connection, question)) as found:
            if options.link is not None:
                first = list(islice(found, 1))
                advice = [] if first else queries.advise(connection, parsed)
                if advice:  # more likely a slip than an album that is to be emptied
                    raise NoImagesError(
                        "no photo matches; the links stay as they are", remedy="; ".join(advice)
                    )
                _link(chain(first, found), options.link, as_json=options.as_json)
                return
            style = PathStyle(options.null, options.confidence)
            printed = print_photos(found, "json" if options.as_json else options.format, style)
        advice = [] if printed else queries.advise(connection, parsed)
    if not printed:
        raise NoImagesError("no photo matches", remedy="; ".join(advice) or None)


def _link(found: Iterator[Match], directory: Path, *, as_json: bool) -> None:
    from photoramd.cli.answers import Linked
    from photoramd.search.album import link

    album = link((match.path for match in found), directory)
    if as_json:
        counts = Linked(
            added=album.added,
            removed=album.removed,
            kept=album.kept,
            in_the_way=list(album.in_the_way),
        )
        print_json(counts)
        return
    click.echo(f"{album.added} links added, {album.removed} removed, {album.kept} kept")
    for name in album.in_the_way:
        click.echo(f"not linked, as another file has its name: {name}", err=True)


def _require_known(database: Path, directory: Path) -> None:
    """Refuse a directory that holds no known photo; one that is not mounted may hold some.

    Raises:
        UsageError: It is a file.
        NoImagesError: No photo is known there.
    """
    from photoramd.database.requests import canonical_path, is_known

    if directory.is_file():
        raise UsageError(
            "--under takes a directory",
            path=directory,
            remedy="photoramd show tells the tags of one photo",
        )
    if not is_known(database, canonical_path(directory)):
        raise NoImagesError(
            "no photo is known there" if directory.is_dir() else "there is no such directory",
            path=directory,
            remedy="photoramd status lists the watched directories",
        )
