"""Print the photos that a query found: paths, a table, JSON, or CSV."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import click

from photoramd.cli.answers import FoundPhoto
from photoramd.cli.output import console, print_json
from photoramd.clock import wall_time
from photoramd.errors import printable
from photoramd.search.queries import Match

_TABLE_ROWS = 1_000
"""A table is laid out as a whole; longer ones come in parts."""

_COLUMNS = ("file", "state", "taken", "tags", "confidences", "user_tags")


@dataclass(frozen=True, slots=True)
class PathStyle:
    """How paths are printed.

    Attributes:
        null: A zero byte ends each.
        confidence: Tags follow, with their confidences.
    """

    null: bool = False
    confidence: bool = False


def print_photos(found: Iterable[Match], format_: str, style: PathStyle) -> int:
    """Print photos as they are found; return how many there were."""
    printers: dict[str, Callable[[Iterable[Match]], int]] = {
        "paths": lambda photos: _print_paths(photos, style),
        "table": _print_table,
        "json": _print_json,
        "ndjson": _print_lines,
        "csv": _print_csv,
    }
    return printers[format_](found)


def as_plain(match: Match) -> FoundPhoto:
    """Return a photo as JSON has it."""
    return FoundPhoto(
        file=str(match.path),
        state=match.state,
        tags=[tag.name for tag in match.tags],
        confidences=[round(tag.confidence, 4) for tag in match.tags],
        user_tags=list(match.user_tags),
        taken=wall_time(match.taken),
        cursor=match.cursor,
    )


def _print_paths(found: Iterable[Match], style: PathStyle) -> int:
    count = 0
    for match in found:
        line = bytes(match.path)
        if style.confidence:
            tags = ", ".join(f"{tag.name} {tag.confidence:.2f}" for tag in match.tags)
            line += f"\t{tags}".encode()
        # Bytes: what is printed must be the name on disk, whatever its encoding.
        click.echo(line + (b"\0" if style.null else b"\n"), nl=False)
        count += 1
    return count


def _print_json(found: Iterable[Match]) -> int:
    photos = [as_plain(match) for match in found]
    print_json(photos)
    return len(photos)


def _print_lines(found: Iterable[Match]) -> int:
    count = 0
    for match in found:
        # ASCII: whatever the encoding of the output, and one line for each.
        click.echo(json.dumps(as_plain(match)))
        count += 1
    return count


def _print_csv(found: Iterable[Match]) -> int:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    count = 0
    for match in found:
        if not count:
            writer.writerow(_COLUMNS)
        plain = as_plain(match)
        row = {
            **plain,
            "file": printable(match.path),
            "tags": "|".join(plain["tags"]),
            "confidences": "|".join(map(str, plain["confidences"])),
            "user_tags": "|".join(plain["user_tags"]),
        }
        writer.writerow([_harmless(row[name]) for name in _COLUMNS])
        count += 1
    return count


def _harmless(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    text = "" if value is None else value
    return f"'{text}" if isinstance(text, str) and text[:1] in ("=", "+", "-", "@") else text


def _print_table(found: Iterable[Match]) -> int:
    from rich.table import Table

    count = 0
    rows: list[Match] = []

    def flush() -> None:
        table = Table("photo", "taken", "tags", "your tags", box=None, pad_edge=False)
        for match in rows:
            tags = ", ".join(f"{tag.name} {tag.confidence:.2f}" for tag in match.tags)
            taken = (wall_time(match.taken) or "").replace("T", " ")
            table.add_row(printable(match.path), taken, tags, ", ".join(match.user_tags))
        console().print(table)
        rows.clear()

    for match in found:
        rows.append(match)
        count += 1
        if len(rows) == _TABLE_ROWS:
            flush()
    if rows:
        flush()
    return count
