"""Random queries, each as a tree and as somebody may have written it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st

from photoramd.search.expression import (
    And,
    Field,
    Near,
    Not,
    Or,
    Range,
    Recurring,
    Term,
    Text,
)
from photoramd.search.fields import FIELDS

NOW = 1_720_000_000.0
"""2024-07-03, 09:46:40 of the clock on the wall."""

TODAY = datetime(2024, 7, 3, tzinfo=UTC)


class Written(NamedTuple):
    """A text and what it means; where it is not tight it may need parentheses."""

    text: str
    tree: Any
    is_tight: bool = True


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


QUOTED_TEXTS = st.text(
    alphabet="aB *:@<>=,;()&|!-.\"\\\n\u00e9%_[]^'~/", min_size=1, max_size=8
).filter(str.strip)
_STARS = st.lists(st.sampled_from(["", "a", "Bc", "t-t", "o'x", "%_", "[x]", "\u00e9", "/", "."]),
                  min_size=1, max_size=4)  # fmt: skip


@st.composite
def _words(draw: st.DrawFn, *, value: bool = False) -> Written:
    """A word without quotes; stars stand for any letters."""
    parts = draw(_STARS)
    if parts in ([""], ["and"], ["or"], ["not"]):
        parts = ["dog"]
    while len(parts) > 2 and "" in parts[1:-1]:  # stars beside each other are one
        parts.remove("")
    text = draw(st.sampled_from(["*", "**"])).join(parts)
    if value and draw(st.booleans()):
        text, parts[-1] = text + ":=!", parts[-1] + ":=!"
    return Written(text, tuple(parts))


@st.composite
def _texts(draw: st.DrawFn, *, value: bool) -> Written:
    if draw(st.booleans()):
        text = draw(QUOTED_TEXTS)
        return Written(_quoted(text), (text,))
    return draw(_words(value=value))


@st.composite
def confidences(draw: st.DrawFn) -> Written:
    low, high = sorted(draw(st.tuples(*[st.integers(0, 100)] * 2)))
    a, b = low / 100, high / 100
    return draw(
        st.sampled_from(
            [
                Written(f"@{a}", Range(low=a)),
                Written(f"@{a}..{b}", Range(a, b)),
                Written(f"@{a}..", Range(low=a)),
                Written(f"@..{b}", Range(high=b)),
                Written(f"@>{a}", Range(low=a, has_low=False)),
                Written(f"@>={a}", Range(low=a)),
                Written(f"@<{b}", Range(high=b, has_high=False)),
                Written(f"@<={b}", Range(high=b)),
            ]
        )
    )


@st.composite
def _terms(draw: st.DrawFn) -> Written:
    text, parts, _ = draw(_texts(value=False))
    sure = draw(st.one_of(st.just(Written("", None)), confidences()))
    return Written(text + sure.text, Term(parts, sure.tree))


def _ranges(low: tuple[str, float, float], high: tuple[str, float, float]) -> list[Written]:
    """All ways to write a range between two values: text, least and greatest number of each."""
    (a, a_least, a_most), (b, b_least, b_most) = low, high
    return [
        Written(f"{a}..{b}", Range(a_least, b_most)),
        Written(f"{a}..", Range(low=a_least)),
        Written(f"..{b}", Range(high=b_most)),
        Written(f">{a}", Range(low=a_most, has_low=False)),
        Written(f">={a}", Range(low=a_least)),
        Written(f"<{b}", Range(high=b_least, has_high=False)),
        Written(f"<={b}", Range(high=b_most)),
    ]


_UNITS = {
    "size": [("", 1), ("b", 1), ("kB", 1e3), ("MB", 1e6), ("g", 1e9), ("KiB", 1024),
             ("MiB", 1 << 20)],
    "exposure": [("", 1), ("s", 1)],
}  # fmt: skip
_ROUNDING = 1e-6


@st.composite
def _numbers(draw: st.DrawFn, name: str) -> Written:
    kind = FIELDS[name]
    ends = []
    for number in sorted(draw(st.tuples(*[st.integers(0, 99_999)] * 2))):
        unit, factor = draw(st.sampled_from(_UNITS.get(name, [("", 1)])[:1] or [("", 1)]))
        value = number / 8 * factor
        text = draw(st.sampled_from([f"{number / 8}{unit}", f"+{number / 8}{unit}"]))
        if name == "size":
            text = text.removeprefix("+")
        ends.append((text, value - value * _ROUNDING, value + value * _ROUNDING))
    choices = _ranges(*ends)
    number = draw(st.integers(1, 5000))
    unit, factor = draw(st.sampled_from(_UNITS.get(name, [("", 1)])))
    value = float(number * factor)
    room = max(kind.room, value * max(kind.part, _ROUNDING))
    choices.append(Written(f"{number}{unit}", Range(value - room, value + room)))
    if name == "exposure":
        value = 1.0 / number
        around = value * kind.part
        choices.append(Written(f"1/{number}", Range(value - around, value + around)))
    return draw(st.sampled_from(choices))


@st.composite
def _spans(draw: st.DrawFn) -> tuple[str, float, float]:
    """A span of time as it is written, its first second and the last number below its end."""
    begin = draw(st.datetimes(datetime(1900, 1, 1), datetime(2100, 12, 28))).replace(tzinfo=UTC)
    year = begin.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    month = year.replace(month=begin.month)
    day = month.replace(day=begin.day)
    minute = day.replace(hour=begin.hour, minute=begin.minute)
    choices = [
        (f"{begin:%Y}", year, year.replace(year=year.year + 1)),
        (f"{begin:%Y-%m}", month, (month + timedelta(days=32)).replace(day=1)),
        (f"{begin.year}-{begin.month}", month, (month + timedelta(days=32)).replace(day=1)),
        (f"{begin:%Y-%m-%d}", day, day + timedelta(days=1)),
        (f"{begin:%Y-%m-%dT%H:%M}", minute, minute + timedelta(minutes=1)),
        ("today", TODAY, TODAY + timedelta(days=1)),
        ("Yesterday", TODAY - timedelta(days=1), TODAY),
    ]
    text, first, end = draw(st.sampled_from(choices))
    return text, first.timestamp(), math.nextafter(end.timestamp(), -math.inf)


@st.composite
def _dates(draw: st.DrawFn) -> Written:
    low, high = sorted((draw(_spans()), draw(_spans())), key=lambda span: span[1])
    count = draw(st.integers(0, 999_999))
    unit, days = draw(
        st.sampled_from([("h", 1 / 24), ("d", 1), ("w", 7), ("m", 30.4369), ("y", 365.2425)])
    )
    moment = NOW - count * days * 86_400
    month, day = draw(st.integers(1, 12)), draw(st.integers(1, 28))
    choices = [Written(low[0], Range(low[1], low[2]))]
    if low[1] <= high[2]:
        choices += _ranges(low, high)
    choices += [
        Written(f"{count}{unit}", Range(low=moment)),
        Written(f"<{count}{unit}", Range(low=moment)),
        Written(f">{count}{unit}", Range(high=moment)),
        Written(f"*-{month:02}-{day}", Recurring(None, month, day)),
        Written(f"*-{month}", Recurring(None, month, None)),
        Written(f"*-*-{day:02}", Recurring(None, None, day)),
        Written(f"2024-*-{day}", Recurring(2024, None, day)),
        Written(f"2024-{month}-*", Recurring(2024, month, None)),
        Written("*-02-29", Recurring(None, 2, 29)),
    ]
    return draw(st.sampled_from(choices))


@st.composite
def _near(draw: st.DrawFn) -> Written:
    lat, lon = draw(st.integers(-720, 720)) / 8, draw(st.integers(-1440, 1440)) / 8
    number, (unit, metres) = (
        draw(st.integers(0, 999)),
        draw(st.sampled_from([("m", 1.0), ("km", 1000.0), ("mi", 1609.344), ("KM", 1000.0)])),
    )
    return draw(
        st.sampled_from(
            [
                Written(f"{lat},{lon}", Near(1000.0, lat, lon)),
                Written(f"{lat},{lon}~{number}{unit}", Near(number * metres, lat, lon)),
                Written(f'"{lat}, {lon}~{number}{unit}"', Near(number * metres, lat, lon)),
                Written(f"/a/b~1.jpg~{number}{unit}", Near(number * metres, path="/a/b~1.jpg")),
                Written("/a,b/c~d.jpg", Near(1000.0, path="/a,b/c~d.jpg")),
                Written('"a b.jpg~2km"', Near(2000.0, path="a b.jpg")),
            ]
        )
    )


@st.composite
def fields(draw: st.DrawFn, names: st.SearchStrategy[str] | None = None) -> Written:
    """A field with its values."""
    name = draw(st.sampled_from(sorted(FIELDS)) if names is None else names)
    kind = FIELDS[name]
    is_exact = not kind.is_range and name != "near" and draw(st.booleans())
    if name == "near":
        value = draw(_near())
        return Written(f"near:{value.text}", Field(name, (value.tree,)))
    sure = Written("", None)
    if name in ("tag", "auto", "scored"):
        sure = draw(st.one_of(st.just(sure), confidences()))
    if kind.is_date:
        one = _dates()
    elif kind.unit is not None:
        one = _numbers(name)
    elif kind.words:
        one = st.sampled_from(kind.words).map(
            lambda word: Written(word.title(), Text((word,), is_exact))
        )
    else:
        one = _texts(value=name not in ("like", "same")).map(
            lambda found: Written(found.text, Text(found.tree, is_exact))
        )
        if name in ("like", "same"):  # paths, in which a star is a star
            one = one.map(lambda found: Written(found.text, Text((_plain(found.text),), is_exact)))
    values = draw(st.lists(one, min_size=1, max_size=3))
    shown = draw(st.sampled_from([name, name.upper(), name.title()]))
    texts = [each.text for each in values]
    if kind.is_range and len(values) == 1 and texts[0][0] in "<>" and draw(st.booleans()):
        text = shown + texts[0]  # taken>2024, without the colon
        if kind.is_date and not draw(st.booleans()):
            text = f"{shown}:{texts[0]}"
    else:
        text = f"{shown}:{'=' * is_exact}{','.join(texts)}"
    return Written(text + sure.text, Field(name, tuple(each.tree for each in values), sure.tree))


def _plain(text: str) -> str:
    if not text.startswith('"'):
        return text
    return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")


_SPACE = st.sampled_from([" ", "  ", "\n", "\t "])


def _joined(draw: st.DrawFn, operands: list[Written], signs: list[str]) -> str:
    text = operands[0].text
    for operand in operands[1:]:
        before, after = draw(_SPACE), draw(_SPACE)
        sign = draw(st.sampled_from(signs))
        if sign in ("&", "&&", "|", "||"):
            before, after = draw(st.sampled_from([("", ""), (before, after)]))
        text += before + sign + after + operand.text
    return text


@st.composite
def _combined(draw: st.DrawFn, inner: st.SearchStrategy[Written]) -> Written:
    def closed(one: Written) -> Written:
        if one.is_tight and draw(st.integers(0, 4)):
            return one
        space = draw(st.sampled_from(["", " "]))
        return Written(f"({space}{one.text}{space})", one.tree)

    kind = draw(st.sampled_from(["not", "and", "or"]))
    if kind == "not":
        operand = closed(draw(inner))
        if operand.text.startswith(("!", "-", "NOT", "not")):  # signs beside each other cancel
            operand = Written(f"({operand.text})", operand.tree)
        signs = draw(
            st.sampled_from(["NOT ", "not\n", "!", "! ", "-", "!!!", "NOT !-", "!NOT not "])
        )
        return Written(signs + operand.text, Not(operand.tree))
    operands = [closed(each) for each in draw(st.lists(inner, min_size=2, max_size=3))]
    trees = tuple(each.tree for each in operands)
    if kind == "and":
        return Written(_joined(draw, operands, ["AND", "and", "&", "&&", ""]), And(trees), False)
    return Written(_joined(draw, operands, ["OR", "Or", "|", "||"]), Or(trees), False)


def queries(leaves: st.SearchStrategy[Written] | None = None) -> st.SearchStrategy[Written]:
    """Whole queries: the text, and the tree that it means."""
    one = st.one_of(_terms(), fields()) if leaves is None else leaves
    return st.recursive(one, _combined, max_leaves=8)
