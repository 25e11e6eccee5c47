"""Complete a query that is being typed: fields, what may stand behind them, and tags in use."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from photoramd.database.readonly import fetch
from photoramd.keywords import comparison_key
from photoramd.search.fields import FIELDS
from photoramd.search.sets import Sets
from photoramd.search.tags import count_tags
from photoramd.search.values import storable

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
        is_quoted: Whether it has one.
    """

    start: int
    field: str
    typed: str
    is_quoted: bool = False


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
    sets: Sets | None = None,
) -> list[Completion]:
    """Return what may stand where the cursor is, the likeliest first.

    Args:
        connection: From `open_readonly`.
        text: The query as far as it is written.
        cursor: How many characters are before the cursor; None: all.
        searches: Saved searches by name.
        limit: The greatest number of completions.
        sets: Those of the connection, if they are read already.

    Raises:
        StoreError: The database cannot be read.
    """
    place = len(text) if cursor is None else min(max(cursor, 0), len(text))
    part = _part(text[:place])
    end = place + _left(part, text[place:])
    is_name = not part.field and not part.is_quoted and text[end : end + 1] == ":"
    if is_name:  # of a field that has its values already
        found = _fields(part.typed)
        end += 1
    else:
        found = _candidates(sets or Sets(connection), part, searches or {})
    return [Completion(part.start, end, *each) for each in islice(found, limit)]


def _left(part: _Part, after: str) -> int:
    """Return how many characters behind the cursor belong to what is being typed."""
    if part.is_quoted:
        closing = re.match(r'(?:[^"\\]|\\.)*"', after, re.DOTALL)
        # Of pairs of quotes none closes what was opened before the cursor.
        is_closed = len(re.findall(r'(?<!\\)"', after)) % 2 == 1
        return closing.end() if closing and is_closed else 0
    rest = re.match(r'[^\s()&|",;]*' if part.field else r'[^\s()&|",;:@<>=]*', after)
    return rest.end() if rest else 0


def _part(before: str) -> _Part:
    found = None
    for match in _PART.finditer(before):
        found = match
    if found is not None and found["value"] is not None:
        return _part_of(found.start("value"), found["field"].lower(), found["value"])
    if found is not None and found["tag"] is not None:
        return _part_of(found.start("tag"), "", found["tag"])
    return _Part(len(before), "", "")


def _part_of(start: int, field: str, text: str) -> _Part:
    is_quoted = text.startswith('"')
    typed = re.sub(r"\\(.)", r"\1", text[1:], flags=re.DOTALL) if is_quoted else text
    return _Part(start, field, storable(typed), is_quoted)


def _candidates(sets: Sets, part: _Part, searches: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if part.field:
        yield from _values(sets, part)
        return
    if part.typed.startswith("@") and not part.is_quoted:
        for name in sorted(searches):
            if name.startswith(part.typed[1:]):
                yield f"@{name}", searches[name]
        return
    if part.typed and not part.is_quoted:
        yield from _fields(part.typed)
    yield from _tags(sets, part.typed)


def _fields(typed: str) -> Iterator[tuple[str, str]]:
    for field in FIELDS.values():
        if field.name.startswith(typed.lower()):
            yield f"{field.name}:", field.meaning


def _values(sets: Sets, part: _Part) -> Iterator[tuple[str, str]]:
    connection, kind = sets.connection, FIELDS.get(part.field)
    if kind is None:
        return
    if kind.words:
        for word in kind.words:
            if word.startswith(part.typed.lower()):
                yield word, ""
    elif part.field in ("tag", "auto", "user", "scored", "rejected"):
        yield from _tags(sets, part.typed)
    elif part.field in _NAMED:
        rows = fetch(connection, f"SELECT name FROM {_NAMED[part.field]} ORDER BY name")  # noqa: S608
        yield from _fitting((name for (name,) in rows), part.typed)
    elif part.field == "root":
        rows = fetch(connection, "SELECT path FROM roots ORDER BY path")
        paths = (path.decode("utf-8", "backslashreplace") for (path,) in rows)
        yield from _fitting(paths, part.typed)
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
    for name in names:
        key = comparison_key(name)
        if key and wanted in key:
            yield quoted(name), ""


def _tags(sets: Sets, typed: str) -> Iterator[tuple[str, str]]:
    if not comparison_key(typed):
        return
    for tag in count_tags(sets, prefix=typed, limit=LIMIT):
        yield quoted(tag.name), "1 photo" if tag.photos == 1 else f"{tag.photos:,} photos"


def quoted(text: str) -> str:
    """Return a text as it is written in a query: in quotes, if anything in it has a meaning."""
    is_plain = re.fullmatch(r"[^\s()&|\"!,;:@<>=*\\-][^\s()&|\",;:@<>=*\\]*", text)
    if is_plain and text.upper() not in ("AND", "OR", "NOT"):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
