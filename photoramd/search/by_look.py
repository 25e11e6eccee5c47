"""Find photos by what they say of themselves: when, where and with what they were taken."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from pyroaring import BitMap

from photoramd.database.derived import Kind
from photoramd.database.readonly import fetch
from photoramd.errors import QueryError
from photoramd.keywords import comparison_key
from photoramd.search.by_file import has_sidecar, in_state
from photoramd.search.expression import Field, Near, Range, Recurring, Text
from photoramd.search.known_photo import find_photo
from photoramd.search.recurring import spans_of
from photoramd.search.situation import FEW, Find, Situation, comparison

_SHORT = 28 * 86_400.0
"""No month is shorter."""

_EARTH_METRES = 6_371_008.8
"""The Earth's mean radius."""


def by_taken(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos by the date on the camera's clock."""
    found = BitMap()
    for each in field.values:
        if isinstance(each, Range):
            found |= taken_within(situation, each, among)
        elif isinstance(each, Recurring):
            years = sorted({month // 12 for month in situation.sets.keys(Kind.MONTH)})
            for span in spans_of(each, years):
                found |= taken_within(situation, span, among)
    return found


def taken_within(situation: Situation, span: Range, among: BitMap | None) -> BitMap:
    """Return the photos that were taken in a span of time: whole months, and parts of others."""
    is_short = span.low is not None and span.high is not None and span.high - span.low < _SHORT
    if is_short or (among is not None and len(among) <= FEW // 10):
        return _by_table(situation, "taken", span, among)
    low = -math.inf if span.low is None else span.low
    high = math.inf if span.high is None else span.high
    whole, parts = [], []
    for month in situation.sets.keys(Kind.MONTH):
        begin, end = month_span(month)
        if (low < begin or (low == begin and span.has_low)) and end <= high:
            whole.append(month)
        elif begin <= high and low < end:
            parts.append(Range(max(low, begin), min(high, end)))
    found = situation.sets.union(Kind.MONTH, whole)
    for part in parts:
        exact = Range(
            part.low, part.high, has_low=span.has_low or part.low != low,
            has_high=span.has_high and part.high == high,
        )  # fmt: skip
        found |= _by_table(situation, "taken", exact, None)
    return found


def month_span(month: int) -> tuple[float, float]:
    """Return the begin of a month and of the next one, in seconds of the wall clock."""
    try:
        begin = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        end = (begin + timedelta(days=32)).replace(day=1)
    except (ValueError, OverflowError):
        return -math.inf, -math.inf
    return begin.timestamp(), end.timestamp()


def _by_number(column: str) -> Find:
    def find(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
        found = BitMap()
        for each in field.values:
            if isinstance(each, Range):
                found |= _by_table(situation, column, each, among)
        return found

    return find


def _by_table(situation: Situation, column: str, span: Range, among: BitMap | None) -> BitMap:
    condition, values = comparison(column, span)
    return situation.select("looks", condition, values, among)


def _by_named(table: str, kind: Kind) -> Find:
    def find(situation: Situation, field: Field, _: BitMap | None) -> BitMap:
        rows = fetch(situation.connection, f"SELECT id, name FROM {table}")  # noqa: S608
        keys = [
            number
            for number, name in rows
            if any(text.fits(comparison_key(name)) for text in field.texts)
        ]
        return situation.sets.union(kind, keys)

    return find


_SHAPES = {"portrait": 0, "landscape": 1, "square": 2, "panorama": 3}
"""The keys of their sets."""


def by_kind(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos of a kind."""
    return BitMap.union(BitMap(), *(_of_kind(situation, t.text, among) for t in field.texts))


def _of_kind(situation: Situation, kind: str, among: BitMap | None) -> BitMap:
    if kind in _SHAPES:
        return situation.sets.one(Kind.SHAPE, _SHAPES[kind])
    if kind == "raw":
        return _by_named("formats", Kind.FORMAT)(
            situation, Field("type", (Text(("raw",), True),)), among
        )
    if kind == "undone":
        return situation.select("photos", "undone_at IS NOT NULL", (), among, "id")
    if kind == "untagged":
        return _everything(situation, among) - situation.sets.union(Kind.TAGGED, (0, 1))
    return in_state(situation, kind, among)


def by_known(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos of which something is known."""
    return BitMap.union(BitMap(), *(_knows(situation, t.text, among) for t in field.texts))


def by_unknown(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos of which something is not known."""
    everything = _everything(situation, among)
    lacking = (everything - _knows(situation, t.text, among) for t in field.texts)
    return BitMap.union(BitMap(), *lacking)


def _everything(situation: Situation, among: BitMap | None) -> BitMap:
    """Return the photos that are asked about, which may be missing ones, too."""
    if among is not None:
        return among
    return situation.sets.one(Kind.PRESENT) | in_state(situation, "missing", None)


def _knows(situation: Situation, what: str, among: BitMap | None) -> BitMap:
    sets = situation.sets
    if what == "tag":
        return sets.union(Kind.TAGGED, (0, 1))
    if what == "taken":
        return sets.union(Kind.MONTH, sets.keys(Kind.MONTH))
    if what == "camera":
        return sets.union(Kind.CAMERA, sets.keys(Kind.CAMERA))
    if what == "sidecar":
        return has_sidecar(situation, among)
    return sets.one(Kind.PLACED)


def by_place(situation: Situation, field: Field, among: BitMap | None) -> BitMap:
    """Find photos that were taken near a place.

    Raises:
        QueryError: The photo that names the place is not known, or does not know its own.
    """
    (near,) = field.values
    assert isinstance(near, Near)  # noqa: S101  so the parser makes it
    if near.lat is None or near.lon is None:
        photo = find_photo(situation.connection, near.path, field)
        rows = fetch(
            situation.connection, "SELECT lat, lon FROM looks WHERE photo_id = ?", (photo,)
        )
        if not rows or rows[0][0] is None or rows[0][1] is None:
            raise QueryError(
                f"it is not known where {near.path} was taken",
                field.position,
                remedy="name another photo, or latitude and longitude: near:48.85,2.35~5km",
            )
        lat, lon = rows[0]
    else:
        lat, lon = near.lat, near.lon
    found = BitMap()
    for south, north, west, east in _boxes(lat, lon, near.metres):
        # The R*Tree rounds its boxes outwards, so none is missed; looks has the exact places, also
        # of the latest photos, which are not in it yet.
        rows = fetch(
            situation.connection,
            """SELECT l.photo_id, l.lat, l.lon FROM places p JOIN looks l ON l.photo_id = p.photo_id
               WHERE p.north >= ? AND p.south <= ? AND p.east >= ? AND p.west <= ?
               UNION ALL
               SELECT l.photo_id, l.lat, l.lon FROM json_each(?) n
               CROSS JOIN looks l ON l.photo_id = n.value""",
            (south, north, west, east, json.dumps(situation.sets.changed(Kind.PLACED))),
        )
        found |= BitMap(
            [
                n
                for n, *place in rows
                if None not in place and _metres(lat, lon, *place) <= near.metres
            ]
        )
    return found if among is None else found & among


def _boxes(lat: float, lon: float, metres: float) -> Iterable[tuple[float, float, float, float]]:
    """Yield boxes of south, north, west, east that hold all within a distance; two at 180° east."""
    angle = math.degrees(metres / _EARTH_METRES)
    south, north = lat - angle, lat + angle
    if south <= -90 or north >= 90:
        yield max(south, -90.0), min(north, 90.0), -180.0, 180.0
        return
    # https://en.wikipedia.org/wiki/Great-circle_distance: the widest point is not at the latitude.
    ratio = math.sin(math.radians(angle)) / math.cos(math.radians(lat))
    width = 180.0 if ratio >= 1 or angle >= 90 else math.degrees(math.asin(ratio))
    west, east = lon - width, lon + width
    yield south, north, max(west, -180.0), min(east, 180.0)
    if west < -180:
        yield south, north, west + 360, 180.0
    if east > 180:
        yield south, north, -180.0, east - 360


def _metres(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Return the distance of two places on a sphere, by the haversine formula."""
    a, b = math.radians(lat), math.radians(other_lat)
    half = math.sin((b - a) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(other_lon - lon) / 2) ** 2
    return 2 * _EARTH_METRES * math.asin(min(1.0, math.sqrt(half)))


FINDERS: Mapping[str, Find] = {
    "taken": by_taken,
    "camera": _by_named("cameras", Kind.CAMERA),
    "lens": _by_named("lenses", Kind.LENS),
    "type": _by_named("formats", Kind.FORMAT),
    "iso": _by_number("iso"),
    "f": _by_number("f"),
    "mm": _by_number("mm"),
    "exposure": _by_number("exposure"),
    "width": _by_number("width"),
    "height": _by_number("height"),
    "mp": _by_number("width * height / 1e6"),
    "is": by_kind,
    "has": by_known,
    "no": by_unknown,
    "near": by_place,
}
