"""Orders in memory against SQL, on random databases, after changes, folded or not."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from photoramd.database.connection import connect
from photoramd.search.path_order import PathOrder
from photoramd.search.queries import open_readonly
from photoramd.search.timeline import FIRST, LAST, UNKNOWN, Timeline, codes_of
from tests.support.random_rows import Rows

STEPS = st.lists(
    st.tuples(st.integers(0, 6), st.booleans(), st.booleans(), st.integers(0, 2**13)),
    min_size=1,
    max_size=8,
)
"""How many changes, whether they are folded, whether somebody looks, and at which photos."""


def test_orders_that_stay_are_those_that_sql_gives(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    with closing(connect(path)) as writer, closing(open_readonly(path)) as reader:
        writer.execute("BEGIN")
        rows = Rows(writer, 3)
        rows.fill(9)
        writer.execute("COMMIT")
        kept = {"taken": Timeline.load(reader), "path": PathOrder.load(reader)}

        @settings(max_examples=80)
        @given(STEPS)
        def agree(steps: list[tuple[int, bool, bool, int]]) -> None:
            for changes, is_folded, is_looked_at, chosen in steps:
                rows.commit(changes, is_folded=is_folded)
                if is_looked_at:
                    for name, order in kept.items():
                        kept[name] = order.refreshed(reader)
                    check(writer, kept["taken"], kept["path"], chosen)  # type: ignore[arg-type]

        agree()


def check(db: sqlite3.Connection, timeline: Timeline, paths: PathOrder, chosen: int) -> None:
    rows = db.execute(
        """SELECT p.id, l.taken, l.width, l.height FROM photos p
           LEFT JOIN looks l ON l.photo_id = p.id
           ORDER BY l.taken IS NULL, l.taken DESC, p.id DESC"""
    ).fetchall()
    for hits in (
        [number for number, *_ in rows],
        [number for at, (number, *_) in enumerate(rows) if chosen >> at & 1],
    ):
        wanted = [row for row in rows if row[0] in hits]
        found = timeline.arranged(BitMap(hits))
        assert found.ids.tolist() == [number for number, *_ in wanted]
        assert found.codes.tolist() == [code(w, h) for *_, w, h in wanted]
        days = [math.floor(taken / 86_400) for _, taken, *_ in wanted if taken is not None]
        repeated = np.repeat(found.days, found.counts)
        assert repeated.tolist() == days
        assert all(a != b for a, b in zip(found.days, found.days[1:], strict=False))
        by_id = np.array(sorted(hits), np.uint32)
        codes = dict(zip(found.ids.tolist(), found.codes.tolist(), strict=True))
        assert timeline.codes(by_id).tolist() == [codes[number] for number in sorted(hits)]
        by_path = db.execute(
            "SELECT p.id FROM photos p JOIN directories d ON d.id = p.directory_id"
            " ORDER BY d.path, p.name"
        )
        assert paths.arranged(BitMap(hits)).tolist() == [n for (n,) in by_path if n in hits]


def code(width: int | None, height: int | None) -> int:
    if not width or not height:
        return 90  # 4:3
    ratio = min(max(int(width * 1e6 / height) / 1e6, 0.25), 4)
    return round(35 + 91 * math.log(ratio / 0.25, 16))


def test_few_hits_among_many_photos_are_sorted_in_the_same_way() -> None:
    ids = np.arange(1, 1001, dtype=np.uint32)
    ticks = np.array([number * 7919 % 1000 for number in range(1000)], np.int64) << 22
    order = np.lexsort((ids, ticks))[::-1]
    timeline = Timeline(0, ids[order], ticks[order], np.full(1000, 70, np.uint8))
    everything = timeline.arranged(BitMap(ids)).ids.tolist()
    few = BitMap([1, 500, 77, 999, 2000])
    assert timeline.arranged(few).ids.tolist() == [n for n in everything if n in few] + [2000]


def test_shapes_are_characters_that_programs_can_read_back() -> None:
    ratios = np.geomspace(0.25, 4, 500)
    codes = codes_of(np.floor(ratios * 1e6))
    assert (codes.min(), codes.max()) == (FIRST, LAST)
    back = 0.25 * 16 ** ((codes.astype(float) - 35) / 91)
    assert np.abs(back / ratios - 1).max() < 0.016
    assert codes_of([0, 1e9, 1.0]).tolist() == [UNKNOWN, LAST, FIRST]


@pytest.mark.parametrize("last", [4, 10**9])
def test_a_journal_that_is_another_one_is_not_believed(last: int, tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    with closing(connect(path)) as writer, closing(open_readonly(path)) as reader:
        writer.execute("BEGIN")
        rows = Rows(writer, 1)
        rows.fill(5)
        writer.execute("COMMIT")
        old = Timeline.load(reader)
        empty = Timeline(last, *(each[:0] for each in (old._ids, old._ticks, old._codes)))  # type: ignore[arg-type]
        # It is behind, and what is in the journal counts; or it is of another journal.
        assert len(empty.refreshed(reader)) == len(old)
