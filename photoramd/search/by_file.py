"""Find photos by their files: paths, names, dates, sizes and states."""

from __future__ import annotations

import json
import math
import os
import re
import sqlite3
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from pyroaring import BitMap

from photoramd.database.conditions import ODD_NAMES, QUEUED
from photoramd.database.derived import Kind
from photoramd.database.readonly import fetch
from photoramd.keywords import comparison_key
from photoramd.search.expression import Field, Range, Recurring, Text
from photoramd.search.recurring import spans_of
from photoramd.search.situation import Find, Situation, comparison

_PRINTABLE = "coalesce(printable, CAST(path AS TEXT))"


def by_folder(situation: Situation, field: Field, _: BitMap | None) -> BitMap:
    """Find photos below a folder with such a name."""

    def is_wanted(path: str, text: Text) -> bool:
        names = [comparison_key(name) for name in path.split("/") if name]
        return any(text.fits(name) for name in names)

    return _in_directories(situation, field, is_wanted)


def by_root(situation: Situation, field: Field, _: BitMap | None) -> BitMap:
    """Find photos in a watched directory."""
    rows = fetch(situation.connection, "SELECT path FROM roots")
    wanted = []
    for (root,) in rows:
        shown = root.decode("utf-8", "backslashreplace")
        keys = {comparison_key(shown), comparison_key(os.path.basename(shown))}
        if any(text.matches(key) for text in field.texts for key in keys):
            wanted.append(shown.rstrip("/") + "/")
    return _in_directories(
        situation, field, lambda path, _: any((path + "/").startswith(root) for root in wanted)
    )


def by_path(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos by a part of their path that begins with the name of a folder or a file."""
    found = _in_directories(situation, field, _is_below)
    for text in field.texts:
        if text.is_pattern:
            found |= _by_pattern(situation, text, found, among)
        elif text.is_exact or not text.text.endswith("/"):
            found |= _by_whole_path(situation, text, among)
    return found


def _is_below(path: str, text: Text) -> bool:
    """Return whether a folder, or one above it, has a path that ends with a text."""
    if text.is_exact:
        return False
    folded = comparison_key(path) + "/"
    parts = [comparison_key(part) for part in text.parts]
    start = "" if parts[0].startswith("/") else "/"
    if len(parts) == 1:
        wanted = start + parts[0]
        return folded.startswith(wanted) if not start else wanted in folded
    place = 0
    for number, part in enumerate([start + parts[0], *parts[1:]]):
        place = folded.find(part, place)
        if place < 0 or (number == 0 and not start and place != 0):
            return False
        place += len(part)
    return True


def _by_whole_path(situation: Situation, text: Text, among: BitMap | None) -> BitMap:
    """Find photos whose file is what a path ends with."""
    folder, _, name = text.text.rpartition("/")
    if not name:
        return BitMap()
    prefix = Text((name,), text.is_exact) if text.is_exact else Text((name, ""))
    if not folder and not text.text.startswith("/"):
        return BitMap() if not text.is_exact else _named(situation, prefix, among)
    inside = Text((folder + "/",))

    def is_wanted(path: str, _: Text) -> bool:
        folded, wanted = comparison_key(path) + "/", comparison_key(inside.text)
        if wanted.startswith("/"):
            return folded == wanted
        return folded.endswith("/" + wanted)

    found = _in_directories(situation, Field("path", (inside,)), is_wanted)
    return BitMap() if not found else _named(situation, prefix, found)


def _by_pattern(situation: Situation, text: Text, known: BitMap, among: BitMap | None) -> BitMap:
    """Find photos by a pattern that goes on in their names; some are known to match anyway."""
    rows = fetch(situation.connection, f"SELECT id, {_PRINTABLE} FROM directories")  # noqa: S608
    head = _head(text)
    # Such a folder has all of the beginning in its path, or ends where a name goes on with it.
    tail = head[: head.rindex("/") + 1]
    paths = {number: comparison_key(path) + "/" for number, path in rows}
    keys = [n for n, path in paths.items() if head in path or (tail != "/" and path.endswith(tail))]
    wanted = situation.sets.union(Kind.DIRECTORY, keys) - known
    if among is not None:
        wanted &= among
    names = fetch(
        situation.connection,
        """SELECT p.id, p.directory_id, coalesce(p.printable, CAST(p.name AS TEXT))
           FROM json_each(?) asked CROSS JOIN photos p ON p.id = asked.value""",
        (json.dumps(wanted.to_array().tolist()),),
    )
    return BitMap(
        [n for n, key, name in names if _is_along(paths[key], comparison_key(name), text)]
    )


def _head(text: Text) -> str:
    first = comparison_key(text.parts[0])
    return first if first.startswith("/") else "/" + first


def _is_along(folders: str, name: str, text: Text) -> bool:
    """Return whether a path has a pattern in it, from a folder's name on."""
    path, head = folders + name, _head(text)
    place = path.find(head)
    is_absolute = text.parts[0].startswith("/")
    if place < 0 or place >= len(folders) - 1 or (is_absolute and place > 0):
        return False
    # The leftmost place for each part leaves the most room for the next ones.
    end = place + len(head)
    *middle, last = (comparison_key(part) for part in text.parts[1:])
    for part in middle:
        place = path.find(part, end)
        if place < 0:
            return False
        end = place + len(part)
    if text.is_exact:
        return path.endswith(last) and len(path) - len(last) >= end
    return path.find(last, end) >= 0


def by_name(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos by a part of the name of the file, or by a pattern for all of it."""
    return BitMap.union(BitMap(), *(_named(situation, text, among) for text in field.texts))


_INDEXED = re.compile(r"[!-~]{3,}")
"""What the index of names can be asked for: it has three letters each, and compares as text does in
ASCII only. Elsewhere it knows neither Unicode's forms nor that ß is ss; blanks may be several."""


_MANY = 1_000
"""Among fewer photos the index of names is not asked."""


def _named(situation: Situation, text: Text, among: BitMap | None) -> BitMap:
    pieces = [piece for part in text.parts for piece in _INDEXED.findall(part)]
    printable = "coalesce(p.printable, CAST(p.name AS TEXT))"
    every = f"SELECT p.id, {printable} FROM photos p"  # noqa: S608
    one = f"""SELECT p.id, {printable} FROM json_each(?) asked
              CROSS JOIN photos p ON p.id = asked.value"""  # noqa: S608
    rows: list[tuple[int, str]] = []
    chosen = among
    if pieces and (among is None or len(among) > _MANY):
        # Phrases are refused where the index has no positions; so by its trigrams, all of them.
        grams = {part[at : at + 3] for part in pieces for at in range(len(part) - 2)}
        asked = " AND ".join('"' + gram.replace('"', '""') + '"' for gram in sorted(grams))
        hits = fetch(situation.connection, "SELECT rowid FROM names WHERE names MATCH ?", (asked,))
        # The latest are not in the index yet.
        chosen = BitMap([number for (number,) in hits]) | situation.sets.one(Kind.NAME)
        chosen = chosen if among is None else chosen & among
        rows += fetch(situation.connection, f"{every} WHERE {ODD_NAMES}")
    if chosen is None:
        rows = fetch(situation.connection, every)
    else:
        rows += fetch(situation.connection, one, (json.dumps(chosen.to_array().tolist()),))
    fits = _fitting(text)
    found = BitMap([number for number, name in rows if fits(comparison_key(name))])
    return found if among is None else found & among


def _fitting(text: Text) -> Callable[[str], bool]:
    """Return whether a name fits, to be asked of many."""
    if text.is_pattern or text.is_exact:
        return text.matches
    wanted = comparison_key(text.text)
    return lambda name: wanted in name


def by_suffix(situation: Situation, field: Field, _: BitMap | None) -> BitMap:
    """Find photos by the suffix of their names."""
    rows = fetch(situation.connection, "SELECT id, name FROM extensions")
    keys = [
        number
        for number, name in rows
        if any(
            Text((text.parts[0].removeprefix("."), *text.parts[1:])).matches(name)
            for text in field.texts
        )
    ]
    return situation.sets.union(Kind.SUFFIX, keys)


def by_state(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos by their state."""
    return BitMap.union(BitMap(), *(in_state(situation, text.text, among) for text in field.texts))


def in_state(situation: Situation, state: str, among: BitMap | None) -> BitMap:
    """Return the photos in a state."""
    if state == "written":
        others = [in_state(situation, each, None) for each in ("pending", "tagged", "failed")]
        return BitMap.difference(situation.sets.one(Kind.PRESENT), *others)
    condition = f"{QUEUED} AND state = ?" if state != "missing" else "state = ?"
    return situation.select("photos", condition, (state,), among, "id")


def by_reason(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos by why they failed or wait."""
    rows = fetch(
        situation.connection,
        f"SELECT id, reason FROM photos WHERE {QUEUED} AND reason IS NOT NULL",  # noqa: S608
    )
    found = BitMap(
        [
            number
            for number, reason in rows
            if any(text.fits(comparison_key(reason)) for text in field.texts)
        ]
    )
    return found if among is None else found & among


def _by_result(column: str) -> Find:
    def find(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
        names = fetch(situation.connection, f"SELECT DISTINCT {column} FROM results")  # noqa: S608
        wanted = [
            name
            for (name,) in names
            if any(text.matches(comparison_key(name)) for text in field.texts)
        ]
        marks = ", ".join("?" * len(wanted))
        source = "photos p JOIN results r ON r.id = p.result_id"
        return situation.select(source, f"r.{column} IN ({marks})", wanted, among, "p.id")

    return find


def by_size(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos by the size of their files."""
    found = BitMap()
    for each in field.values:
        if isinstance(each, Range):
            condition, values = comparison("size", each)
            found |= situation.select("photos", condition, values, among, "id")
    return found


def _by_moment(column: str, unit: float = 1.0) -> Find:
    """Return what finds photos by a moment in Unix time, as this machine's clock shows it."""

    def find(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
        found = BitMap()
        for each in field.values:
            spans = [each] if isinstance(each, Range) else []
            if isinstance(each, Recurring):
                spans = spans_of(each, _years(situation.connection, column, unit))
            for span in spans:
                low, high = (_unix(end, unit) for end in (span.low, span.high))
                condition, values = comparison(
                    column, Range(low, high, span.has_low, span.has_high)
                )
                found |= situation.select("photos", condition, values, among, "id")
        return found

    return find


def _unix(wall: float | None, unit: float) -> float | None:
    """Return the Unix time at which the clock on this machine's wall shows a time."""
    if wall is None:
        return None
    try:
        whole = math.floor(wall)
        shown = datetime.fromtimestamp(whole, tz=UTC).replace(tzinfo=None)
        seconds = wall - (whole - shown.timestamp())  # the wall's parts of a second stay
    except (OverflowError, ValueError, OSError):
        seconds = wall
    return float(math.floor(seconds * unit)) if unit != 1 else seconds


def _years(connection: sqlite3.Connection, column: str, unit: float) -> range:
    sql = f"SELECT min({column}), max({column}) FROM photos"  # noqa: S608
    ((first, last),) = fetch(connection, sql)
    if first is None:
        return range(0)
    years = (datetime.fromtimestamp(min(max(end / unit, 0), 4e9)).year for end in (first, last))
    low, high = years
    return range(low, high + 1)


def _in_directories(
    situation: Situation, field: Field, is_wanted: Callable[[str, Text], bool]
) -> BitMap:
    rows = fetch(situation.connection, f"SELECT id, {_PRINTABLE} FROM directories")  # noqa: S608
    texts = field.texts
    keys = [number for number, path in rows if any(is_wanted(path, text) for text in texts)]
    return situation.sets.union(Kind.DIRECTORY, keys)


def has_sidecar(situation: Situation, among: BitMap | None) -> BitMap:
    """Return the photos that have a sidecar."""
    written = situation.select(
        "photos", "place IS NOT NULL AND sidecar IS NOT NULL", (), among, "id"
    )
    return written | situation.select("read_sidecars", "1", (), among)


FINDERS: Mapping[str, Find] = {
    "path": by_path,
    "folder": by_folder,
    "root": by_root,
    "name": by_name,
    "ext": by_suffix,
    "state": by_state,
    "reason": by_reason,
    "model": _by_result("model"),
    "revision": _by_result("revision"),
    "size": by_size,
    "added": _by_moment("found_at"),
    "tagged": _by_moment("tagged_at"),
    "changed": _by_moment("mtime_ns", 1e9),
}
