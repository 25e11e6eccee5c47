"""``photoramd query``: find photos by tags."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd.cli.options import collected
from photoramd.cli.output import print_json
from photoramd.config import loader
from photoramd.database.requests import canonical_path, is_known
from photoramd.errors import NoImagesError, UsageError
from photoramd.search import queries

if TYPE_CHECKING:
    from photoramd.cli import Settings


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """The options of the command, by their names."""

    expression: tuple[str, ...]
    limit: int | None
    under: Path | None
    count: bool
    confidence: bool
    null: bool
    as_json: bool


@click.command("query")
@click.argument("expression", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many photos.")
@click.option(
    "--under", type=click.Path(path_type=Path), help="Only photos in this directory or below."
)
@click.option("--count", is_flag=True, help="Print only how many there are.")
@click.option("-c", "--confidence", is_flag=True, help="Print tags with their confidences.")
@click.option("-0", "--null", is_flag=True, help="End each path with a zero byte, for xargs -0.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_obj
@collected(QueryOptions)
def command(settings: Settings, options: QueryOptions) -> None:
    """Find photos by tags.

    Tags are combined with AND, OR, NOT and parentheses; words beside each other mean
    AND. Tags of several words go in quotes, and * stands for any letters:

    \b
      photoramd query cat
      photoramd query 'cat AND NOT dog'
      photoramd query '(beach OR lake) "sports car"'
      photoramd query 'terrier*'

    Prints one path a line. Exits with 1 if there is none.
    """
    database = loader.load(settings.config_path, need_file=False).state.path
    parsed = queries.parse(" ".join(options.expression))
    if options.under is not None:
        _require_known(database, options.under)
    with closing(queries.open_readonly(database)) as connection:
        if options.count:
            number = queries.count(connection, parsed, under=options.under)
            print_json(number) if options.as_json else click.echo(number)
            return
        matches = queries.find(connection, parsed, limit=options.limit, under=options.under)
        advice = [] if matches else queries.advise(connection, parsed)
    if options.as_json:
        print_json(
            [
                {
                    "file": str(match.path),
                    "state": match.state,
                    "tags": [tag.name for tag in match.tags],
                    "confidences": [round(tag.confidence, 4) for tag in match.tags],
                }
                for match in matches
            ]
        )
    for match in [] if options.as_json else matches:
        line = bytes(match.path)
        if options.confidence:
            tags = ", ".join(f"{tag.name} {tag.confidence:.2f}" for tag in match.tags)
            line += f"\t{tags}".encode()
        # Bytes: what is printed must be the name on disk, whatever its encoding.
        click.echo(line + (b"\0" if options.null else b"\n"), nl=False)
    if not matches:
        raise NoImagesError("no photo matches", remedy="; ".join(advice) or None)


def _require_known(database: Path, directory: Path) -> None:
    """Refuse a directory that holds no known photo; one that is not mounted may hold some.

    Raises:
        UsageError: It is a file.
        NoImagesError: No photo is known there.
    """
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
