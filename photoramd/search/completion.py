"""Complete a query that is being typed: fields, what may stand behind them, and tags in use."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from photoramd.database.readonly import fetch
from photoramd.keywords import comparison_key
from photoramd.search.fields import FIELDS
from photoramd.search.sets import Sets
from photoramd.search.tags import count_tags

LIMIT = 10


@dataclass(frozen=True, slots=True)
class Completion:
    """A text that may replace a part of the query.

    Attributes:
        start: Where the part begins, from 0.
        end: Where it ends.
        text: What replaces it; quoted where that is needed.
        meaning: What it is, in a few words.
    """

    start: int
    end: int
    text: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class _Part:
    """What is being typed.

    Attributes:
        start: Where it begins, from 0.
        field: The field that it stands behind; empty: it is a tag or a field itself.
        typed: Its text so far, without an opening quote.
    """

    start: int
    field: str
    typed: str


_PART = re.compile(
    r"""(?P<field>[A-Za-z]+) : =? (?: (?: "(?:[^"\\]|\\.)*" | [^\s()&|",;]* ) , )*
        (?P<value> "(?:[^"\\]|\\.)*\Z | [^\s()&|",;]*\Z )
    | (?P<tag> "(?:[^"\\]|\\.)*\Z | @?[^\s()&|"!,;:@<>=-][^\s()&|",;:@<>=]*\Z | @\Z )
    | "(?:[^"\\]|\\.)*" | [^\s()&|"!-][^\s()&|"]* | .""",
    re.VERBOSE | re.DOTALL,
)


def complete(
    connection: sqlite3.Connection,
    text: str,
    cursor: int | None = None,
    *,
    searches: Mapping[str, str] | None = None,
    limit: int = LIMIT,
) -> list[Completion]:
    """Return what may stand where the cursor is, the likeliest first.

    Args:
        connection: From `open_readonly`.
        text: The query as far as it is written.
        cursor: How many characters are before the cursor; None: all.
        searches: Saved searches by name.
        limit: The greatest number of completions.

    Raises:
        StoreError: The database cannot be read.
    """
    before = text[: len(text) if cursor is None else cursor]
    part = _part(before)
    found = _candidates(connection, part, searches or {})
    chosen = []
    for candidate, meaning in found:
        chosen.append(Completion(part.start, len(before), candidate, meaning))
        if len(chosen) == limit:
            break
    return chosen


def _part(before: str) -> _Part:
    found = None
    for match in _PART.finditer(before):
        found = match
    if found is not None and found["value"] is not None:
        return _Part(found.start("value"), found["field"].lower(), _unquoted(found["value"]))
    if found is not None and found["tag"] is not None:
        return _Part(found.start("tag"), "", _unquoted(found["tag"]))
    return _Part(len(before), "", "")


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:]) if text.startswith('"') else text


def _candidates(
    connection: sqlite3.Connection, part: _Part, searches: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    if part.field:
        yield from _values(connection, part)
        return
    if part.typed.startswith("@"):
        for name in sorted(searches):
            if name.startswith(part.typed[1:]):
                yield f"@{name}", searches[name]
        return
    typed = part.typed.lower()
    if typed:
        for field in FIELDS.values():
            if field.name.startswith(typed):
                yield f"{field.name}:", field.meaning
    yield from _tags(connection, part.typed)


def _values(connection: sqlite3.Connection, part: _Part) -> Iterator[tuple[str, str]]:
    kind = FIELDS.get(part.field)
    if kind is None:
        return
    if kind.words:
        for word in kind.words:
            if word.startswith(part.typed.lower()):
                yield word, ""
    elif part.field in ("tag", "auto", "user", "scored", "rejected"):
        yield from _tags(connection, part.typed)
    elif part.field in _NAMED:
        rows = fetch(connection, f"SELECT name FROM {_NAMED[part.field]} ORDER BY name")  # noqa: S608
        yield from _fitting((name for (name,) in rows), part.typed)
    elif part.field == "root":
        rows = fetch(connection, "SELECT CAST(path AS TEXT) FROM roots ORDER BY path")
        yield from _fitting((path for (path,) in rows), part.typed)
    elif part.field == "model":
        rows = fetch(connection, "SELECT DISTINCT model FROM results ORDER BY model")
        yield from _fitting((name for (name,) in rows), part.typed)
    elif part.field == "folder":
        rows = fetch(connection, "SELECT coalesce(printable, CAST(path AS TEXT)) FROM directories")
        names = sorted({name for (path,) in rows for name in path.split("/") if name})
        yield from _fitting(names, part.typed)
    elif part.field in ("added", "changed", "tagged", "taken"):
        words = ("today", "yesterday", "<7d", "<1m", "<1y")
        yield from ((word, "") for word in words if word.startswith(part.typed))


_NAMED = {"camera": "cameras", "lens": "lenses", "ext": "extensions"}


def _fitting(names: Iterable[str], typed: str) -> Iterator[tuple[str, str]]:
    wanted = comparison_key(typed)
    yield from ((quoted(name), "") for name in names if name and wanted in comparison_key(name))


def _tags(connection: sqlite3.Connection, typed: str) -> Iterator[tuple[str, str]]:
    if not comparison_key(typed):
        return
    for tag in count_tags(Sets(connection), prefix=typed, limit=LIMIT):
        yield quoted(tag.name), f"{tag.photos:,} photos"


def quoted(text: str) -> str:
    """Return a text as it is written in a query: in quotes, if anything in it has a meaning."""
    is_plain = re.fullmatch(r"[^\s()&|\"!,;:@<>=*\\-][^\s()&|\",;:@<>=*\\]*", text)
    if is_plain and text.upper() not in ("AND", "OR", "NOT"):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
