"""Sets and SQL against plain rows, on random databases and after random changes."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from photoramd.database import derived
from photoramd.database.connection import connect
from photoramd.search.evaluation import evaluate
from photoramd.search.expression import And, Expression, Not, Or, Term, leaves
from photoramd.search.fields import FIELDS
from photoramd.search.parser import parse
from photoramd.search.queries import open_readonly
from photoramd.search.sets import Sets
from photoramd.search.situation import Situation
from tests.support import naive_answers
from tests.support.random_rows import Rows, contents

NOW = 1_720_000_000.0

LEAVES = (
    "dog", "DOG", "animal", "cat*", "*", '"tiger cat"', '"50%_*"', "50*", "nothing", "dog@0.5",
    "animal@0.3..0.8", "*@<0.3", "dog@>0.5", "x\ud7ff*", "tag:=animal", "tag:=dog,cat@0.8",
    "tag:Rome,puppy", "auto:animal", "auto:=dog@>=0.5", "user:animal", "user:=animal", "user:d*",
    "rejected:DOG", 'rejected:"tiger cat",gone', "rejected:*", "by:user", "by:machine,user",
    "score>0.5", "score:0.3", "score:<=0", "scored:dog@0.1", "scored:beach", "scored:*@<0.3",
    'scored:"object: dog"', "path:2024", "path:2024/italy", "path:/photos/2024/",
    "path:photos/*aly",
    "path:2024/*.jpg", "path:2024*/img*2", "path:=/photos/*.JPG", "path:=2024/img*1.jpg",
    "path:2024/I*", "path:*img", "path:=*.jpg", "path:/*", "path:photos/*%*.j",
    "path:2024/img", "path:img", "path:=IMG_0001.jpg", "path:=2024/IMG_0001.JPG",
    "path:=/photos/2024/img_0002.jpg", 'path:"it\'s 100%_*[a]?/a"', "path:/other",
    "path:/photos/20*",
    "folder:italy", "folder:=2024", "folder:20*", 'folder:"100%"', 'folder:"_*["',
    "folder:caf\u00e9",
    'folder:"\\\\xe9"', "folder:stra\u00dfe", 'folder:"a b"', "root:/photos", "root:other",
    "root:o*",
    "name:IMG_", "name:=img_0001.jpg", "name:IMG*2.jpg", 'name:"%0"', 'name:"[ab]"', 'name:"*.j"',
    'name:"\\""', "name:caf\u00e9", "name:strasse", "name:STRA\u00dfE.nef", 'name:"a b"',
    "name:kelvin",
    'name:"f\\\\xe9.j"', "name:jpg,png", "name:*", "name:.", "ext:jpg", "ext:.JPG", "ext:j*,nef",
    "ext:*", "ext:dog", "type:raw", "type:jpeg,heif", "taken:2024", "taken:2024-07",
    "taken:2024-07..2024-12", "taken:>2023", "taken:<=2023", "taken:<2024", "taken:2024-02-29",
    "taken:*-12-25", "taken:*-*-31", "taken:2024-*-01", "taken:*-7", "taken:<1m", "taken:>1d",
    "taken:2024-08-01,1800..1970", "taken:2024-07-31", "taken:2024-07-31T23:59..",
    "taken:>2024-07-31",
    "added:2024", "added:2024-10-06", "added:*-10", "added:<=2017", "added:>1y", "tagged:2024-07",
    "tagged:today,yesterday", "tagged:2024-10-05..", "changed:2024-10-06", "changed:<2024",
    "changed:*-12-*", "camera:canon", 'camera:"%"', "camera:=x100*", 'lens:"70-200*"', "lens:*mm",
    "iso:100", "iso:>100", "iso:..1600,>2000", "f:2.8", "f:<2", "mm:50", "mm:>=50",
    "exposure:1/250",
    "exposure:<=1/200", "mp:>12", "mp:0", "width:4000", "width:>100000", "height:50..104",
    "height<3000", "size:>10MB", "size:1kB", "size:1..20", *(f"is:{w}" for w in FIELDS["is"].words),
    "is:portrait,square", *(f"has:{w}" for w in FIELDS["has"].words),
    *(f"no:{w}" for w in FIELDS["no"].words), "no:gps,tag", "has:camera,gps",
    *(f"state:{w}" for w in FIELDS["state"].words), "state:pending,failed", "reason:truncated",
    'reason:"disk 100%"', "reason:waits*", "reason:*", "model:embedded", "model:ram++", "model:*",
    "revision:3f*", "revision:r1,r2", "near:48.85,2.35", "near:48.85,2.35~2km", "near:90,0~1km",
    "near:-90,77~3km", "near:0,179.999~1km", "near:0,-179.999~1mi", "near:10,20~19000km",
    "near:48,2~200km", "near:0,0~20100km",
)  # fmt: skip
PHOTO_LEAVES = ("same", "near")


def test_all_fields_are_asked_for() -> None:
    asked = {
        getattr(leaf, "name", "tag") for text in LEAVES for leaf in leaves(parse(text, now=NOW))
    }
    assert asked | {"same", "like"} == FIELDS.keys()


TREES = st.recursive(
    st.sampled_from(LEAVES).map(lambda text: parse(text, now=NOW)),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=4).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=6,
)
UNDER = st.sampled_from(
    [None, None, Path("/photos"), Path("/photos/2024"), Path("/"), Path("/none")]
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "photoramd.db")) as connection:
        yield connection


@pytest.fixture(params=["UTC", "Australia/Sydney"])
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock on the wall; summer began in Sydney on 2024-10-06."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def check(db: sqlite3.Connection, expressions: list[Expression], **options: object) -> None:
    rows = naive_answers.Rows(db)
    situation = Situation(db, Sets(db))
    for expression in expressions:
        found = evaluate(situation, expression, **options)  # type: ignore[arg-type]
        assert set(found) == rows.answer(expression, **options), expression  # type: ignore[arg-type]


@pytest.mark.usefixtures("clock")
def test_each_field_finds_what_the_rows_say(db: sqlite3.Connection) -> None:
    single: list[Expression] = [parse(text, now=NOW) for text in LEAVES]
    # Narrowed by another, a field asks its tables in another way.
    narrowed: list[Expression] = [And((Term(("dog",)), Not(each))) for each in single]
    for seed in range(5):
        db.execute("BEGIN")
        rows = Rows(db, seed)
        rows.fill(13)
        for change in range(2):
            check(db, single + narrowed, missing=bool(change))
            derived.fold(db, above=0)
            check(db, single, under=Path("/photos"), missing=not change)
            assert derived.differences(db) == 0
            for _ in range(6):
                rows.change()
        db.execute("ROLLBACK")


def test_any_query_finds_what_the_rows_say_folded_or_not(db: sqlite3.Connection) -> None:
    @settings(max_examples=150)
    @given(
        st.integers(0, 10_000), st.integers(1, 13), st.lists(TREES, min_size=1, max_size=4),
        st.lists(st.integers(0, 6), max_size=3), UNDER, st.booleans(),
    )  # fmt: skip
    def agree(
        seed: int, count: int, trees: list[Expression], changes: list[int], under: Path | None,
        missing: bool,
    ) -> None:  # fmt: skip
        db.execute("BEGIN")
        try:
            rows = Rows(db, seed)
            rows.fill(count)
            for number in [0, *changes]:
                for _ in range(number):
                    rows.change()
                if number % 2:
                    derived.fold(db, above=0)
                assert derived.differences(db) == 0
                check(db, trees, under=under, missing=missing)
            derived.make(db)
            assert derived.differences(db) == 0
            check(db, trees, under=under, missing=missing)
        finally:
            db.execute("ROLLBACK")

    agree()


def test_photos_that_are_named_are_compared_with_all_others(db: sqlite3.Connection) -> None:
    @settings(max_examples=60)
    @given(st.integers(0, 10_000), st.sampled_from(["same", "near"]), st.integers(0, 12))
    def agree(seed: int, field: str, chosen: int) -> None:
        db.execute("BEGIN")
        try:
            Rows(db, seed).fill(13)
            where = "lat IS NOT NULL AND lon IS NOT NULL" if field == "near" else "1"
            paths = db.execute(
                f"""SELECT d.path, p.name FROM photos p JOIN directories d
                    ON d.id = p.directory_id LEFT JOIN looks l ON l.photo_id = p.id WHERE {where}"""  # noqa: S608
            ).fetchall()
            assume(chosen < len(paths))
            path = os.fsdecode(b"/".join(paths[chosen])).replace("\\", "\\\\").replace('"', '\\"')
            text = f'{field}:"{path}"'
            check(db, [parse(text), parse(f"NOT {text} dog"), parse(f"dog {text}")])
        finally:
            db.execute("ROLLBACK")

    agree()


def test_a_reader_that_stays_sees_what_a_new_one_sees(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    with closing(connect(path)) as writer, closing(open_readonly(path)) as reader:
        writer.execute("BEGIN")
        rows = Rows(writer, 1)
        writer.execute("COMMIT")
        stays = Sets(reader)

        @settings(max_examples=60)
        @given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), max_size=6))
        def agree(steps: list[tuple[int, bool, bool]]) -> None:
            for changes, is_folded, is_read in steps:
                rows.commit(changes, is_folded=is_folded)
                if is_read:
                    stays.refresh()
                    assert contents(stays) == contents(Sets(reader))
            assert derived.differences(writer) == 0

        agree()
