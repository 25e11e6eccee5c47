"""Orders, page by page: each photo once, whatever comes and goes meanwhile."""

from __future__ import annotations

import base64
import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from photoramd.database import derived
from photoramd.database.connection import connect
from photoramd.database.derived import Kind
from photoramd.errors import UsageError
from photoramd.search import order
from photoramd.search.order import cursor_of, ordered
from photoramd.search.sets import Sets
from photoramd.search.situation import Situation
from photoramd.search.sorts import SORTS, Sort
from tests.support.random_rows import Rows

PAGED: tuple[Sort, ...] = ("path", "taken", "added", "score")
SIZES = st.integers(1, 6)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "photoramd.db")) as connection:
        yield connection


@pytest.fixture(params=["few", "many"])
def _amount(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few photos are sorted, many are met on the way through all."""
    if request.param == "many":
        monkeypatch.setattr(order, "_FEW", 0)


def present(db: sqlite3.Connection) -> BitMap:
    return Sets(db).one(Kind.PRESENT)


def scores(db: sqlite3.Connection) -> dict[int, float]:
    return dict(db.execute("SELECT photo_id, max(confidence) FROM keywords GROUP BY photo_id"))


def page(db: sqlite3.Connection, sort: Sort, size: int, after: str | None) -> list[order.Place]:
    situation = Situation(db, Sets(db))
    found = ordered(situation, present(db), sort, after=after, scores=scores(db))
    return list(islice(found, size))


def expected(db: sqlite3.Connection, sort: Sort) -> list[int]:
    """The whole order, from plain rows."""
    best = scores(db)
    rows = db.execute(
        """SELECT p.id, d.path, p.name, l.taken FROM photos p JOIN directories d
           ON d.id = p.directory_id LEFT JOIN looks l ON l.photo_id = p.id
           WHERE p.state <> 'missing'"""
    ).fetchall()
    keys = {
        "path": lambda row: (row[1], row[2]),
        "added": lambda row: -row[0],
        "taken": lambda row: (row[3] is None, -(row[3] or 0), -row[0]),
        "score": lambda row: (-best.get(row[0], 1.0), row[0]),
    }
    return [row[0] for row in sorted(rows, key=keys[sort])]


@pytest.mark.parametrize("sort", PAGED)
@pytest.mark.usefixtures("_amount")
def test_pages_of_any_size_make_the_whole_order(db: sqlite3.Connection, sort: Sort) -> None:
    @settings(max_examples=25)
    @given(st.integers(0, 10_000), st.lists(SIZES, min_size=1, max_size=4), st.booleans())
    def agree(seed: int, sizes: list[int], is_folded: bool) -> None:
        db.execute("BEGIN")
        try:
            Rows(db, seed).fill(13)
            if is_folded:
                derived.fold(db, above=0)
            whole = [place.photo_id for place in page(db, sort, 1000, None)]
            assert whole == expected(db, sort)
            paged: list[int] = []
            after, turn = None, 0
            while places := page(db, sort, sizes[turn % len(sizes)], after):
                paged += [place.photo_id for place in places]
                after, turn = cursor_of(sort, places[-1]), turn + 1
            assert paged == whole
        finally:
            db.execute("ROLLBACK")

    agree()


@pytest.mark.parametrize("sort", ["path", "taken", "added"])
@pytest.mark.usefixtures("_amount")
def test_photos_that_stay_come_once_while_others_come_and_go(
    db: sqlite3.Connection, sort: Sort
) -> None:
    @settings(max_examples=25)
    @given(st.integers(0, 10_000), SIZES, st.integers(1, 4))
    def agree(seed: int, size: int, changes: int) -> None:
        db.execute("BEGIN")
        try:
            chance = random.Random(seed)  # noqa: S311
            rows = Rows(db, seed)
            rows.fill(9)
            stayed = set(present(db))
            seen: list[int] = []
            after = None
            while places := page(db, sort, size, after):
                seen += [place.photo_id for place in places]
                after = cursor_of(sort, places[-1])
                for _ in range(changes):
                    if chance.random() < 0.5 and present(db):
                        number = chance.choice(list(present(db)))
                        db.execute("UPDATE photos SET state = 'missing' WHERE id = ?", (number,))
                    elif len(seen) < 30:
                        # Ids are never given twice while their photo is there.
                        rows.add(chance.randrange(1, 300_000))
                derived.fold(db, above=chance.choice((0, 10_000)))
                stayed &= set(present(db))
            assert len(seen) == len(set(seen))
            assert stayed <= set(seen)
        finally:
            db.execute("ROLLBACK")

    agree()


def test_chance_gives_each_photo_once_and_the_same_for_a_seed(db: sqlite3.Connection) -> None:
    db.execute("BEGIN")
    Rows(db, 3).fill(13)
    hits = present(db)
    situation = Situation(db, Sets(db))

    def drawn(seed: int) -> list[int]:
        return [place.photo_id for place in ordered(situation, hits, "random", seed=seed)]

    assert sorted(drawn(1)) == list(hits)
    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(5)}) > 1
    first = next(ordered(situation, hits, "random", seed=1))
    with pytest.raises(UsageError):
        list(ordered(situation, hits, "random", after=cursor_of("random", first), seed=1))


def cursor(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


GARBAGE = [
    "", "x", "%%%", "\u00e9", "null", cursor(), cursor("path"), cursor("added", -1),
    cursor("added", 2**32),
    cursor("added", 10**30), cursor("added", 1.5), cursor("taken", 1.0, -1), cursor("taken",
    1.0, 2**40),
    cursor("taken", None, 2**40), cursor("taken", "x", 1), cursor("taken", 10**400, 1),
    cursor("taken", 1),
    cursor("taken", float("nan"), 1), cursor("score", None, 1), cursor("score", float("inf"), 1),
    cursor("path", "zz", "00", 1), cursor("path", 1, 2, 3), cursor("path", "00", 1),
    base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    base64.urlsafe_b64encode(b'{"added": 1}').decode(),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(GARBAGE)))
def test_garbage_is_no_cursor(db: sqlite3.Connection, number: int) -> None:
    for sort in SORTS:
        with pytest.raises(UsageError, match="--after is") as caught:
            page(db, sort, 1, GARBAGE[number])  # type: ignore[arg-type]
        assert "--sort" in (caught.value.remedy or "")


def test_a_cursor_of_another_order_is_refused(db: sqlite3.Connection) -> None:
    db.execute("BEGIN")
    Rows(db, 3).fill(13)
    for sort in PAGED:
        for place in page(db, sort, 20, None):
            for other in SORTS:
                if other != sort:
                    with pytest.raises(UsageError, match="another order"):
                        page(db, other, 1, cursor_of(sort, place))  # type: ignore[arg-type]


@given(st.text(alphabet=st.characters(max_codepoint=0x7F), max_size=60))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    for sort in SORTS:
        try:
            order._place_of(sort, text)  # type: ignore[arg-type]
        except UsageError as error:
            assert error.remedy  # noqa: PT017
