"""Which indexes serve queries: none of these reads all photos, looks or keywords."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import pytest

from photoramd.database import derived
from photoramd.database.connection import connect
from photoramd.search import by_look, queries
from photoramd.search.completion import complete
from photoramd.search.parser import parse
from photoramd.search.queries import Question
from tests.support.random_rows import Rows

NOW = 1_720_000_000.0
LARGE = re.compile(
    r"SCAN (p|l|s|r|photos|looks|keywords|user_keywords|scores|ledger|sets|names|places)\b"
    r"(?! VIRTUAL)"
)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("plans") / "photoramd.db"
    with closing(connect(path)) as db:
        db.execute("BEGIN")
        Rows(db, 4).fill(13)
        dated = db.execute("SELECT photo_id FROM looks LIMIT 2").fetchall()
        db.execute("CREATE TEMP TABLE chosen AS SELECT * FROM looks")
        for (photo,), taken in zip(dated, (1_720_000_000.0, 1_735_084_800.0), strict=True):
            db.execute("UPDATE chosen SET taken = ? WHERE photo_id = ?", (taken, photo))
        db.execute("DELETE FROM looks")
        db.execute("INSERT INTO looks SELECT * FROM chosen")
        derived.fold(db, above=0)
        db.execute("COMMIT")
    with closing(queries.open_readonly(path)) as reader:
        yield reader


def plans(connection: sqlite3.Connection, question: Question) -> list[str]:
    """How SQLite carries out all statements of a query."""
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    list(islice(queries.matches(connection, question), 5))
    connection.set_trace_callback(None)
    statements = [sql for sql in asked if sql.lstrip().startswith(("SELECT", "WITH"))]
    assert statements
    return [
        str(row[3]) for sql in statements for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")
    ]


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("dog", "labels_folded"),
        ("dog", "SEARCH s USING PRIMARY KEY (chunk=? AND kind=? AND key=?)"),
        ("do*", "labels_folded (folded>? AND folded<?)"),
        ("animal", "label_parents_parent"),
        ("dog@0.5", "keywords_label"),
        ("tag:=dog@0.5 cat", "keywords"),
        ("auto:dog user:cat by:user", "SEARCH s USING PRIMARY KEY (chunk=? AND kind=? AND key=?)"),
        ("rejected:dog", "ledger_rejected"),
        ("name:IMG_0001", "names VIRTUAL TABLE INDEX"),
        ("name:IMG_0001", "photos_odd_names"),
        ("name:IMG*2.jpg", "names VIRTUAL TABLE INDEX"),
        ("near:48.85,2.35~5km", "VIRTUAL TABLE INDEX 2"),
        ("has:gps", "SEARCH s USING PRIMARY KEY (chunk=? AND kind=? AND key=?)"),
        ("taken:2024-07-04..2024-07-09", "looks_taken (taken>? AND taken<?)"),
        ("taken:2024", "SEARCH s USING PRIMARY KEY (chunk=? AND kind=? AND key=?)"),
        ("taken:*-12-25", "looks_taken"),
        ("has:taken NOT taken:2024", "SEARCH s USING PRIMARY KEY (chunk=? AND kind=? AND key=?)"),
        ("added:2024-07", "photos_found (found_at>? AND found_at<?)"),
        ("added:<7d", "photos_found"),
        ("tagged:2024-07", "photos_tagged"),
        ("changed:2024-07", "photos_changed"),
        ("size:>10MB", "COVERING INDEX photos_inode"),
        ("iso:100", "looks_numbers (iso>? AND iso<?)"),
        ("state:failed", "COVERING INDEX photos_"),
        ("state:pending,tagged", "COVERING INDEX photos_"),
        ("state:written", "COVERING INDEX photos_"),
        ("is:missing", "photos_missing"),
        ("is:undone", "photos_undone"),
        ("reason:truncated", "photos_"),
        (
            "path:2024/italy camera:canon lens:50 ext:jpg type:raw root:photos",
            "SEARCH s USING PRIMARY KEY (chunk=? AND kind=? AND key=?)",
        ),
        ("folder:italy", "SEARCH s USING PRIMARY KEY (chunk=? AND kind=? AND key=?)"),
        ("is:untagged", "SEARCH s USING PRIMARY KEY (chunk=? AND kind=? AND key=?)"),
        ("no:tag,taken,camera", "SEARCH s USING PRIMARY KEY (chunk=? AND kind=? AND key=?)"),
    ],
)
def test_queries_use_their_indexes(connection: sqlite3.Connection, text: str, index: str) -> None:
    found = plans(connection, Question(parse(text, now=NOW)))
    assert any(index in plan for plan in found), found
    assert [plan for plan in found if LARGE.match(plan) and "INDEX" not in plan] == []


@pytest.mark.parametrize("sort", ["path", "taken", "added", "random"])
def test_orders_use_indexes(connection: sqlite3.Connection, sort: str) -> None:
    found = plans(connection, Question(parse("*"), sort=sort))  # type: ignore[arg-type]
    assert [plan for plan in found if LARGE.match(plan) and "INDEX" not in plan] == []


def test_few_photos_are_asked_about_by_their_ids(connection: sqlite3.Connection) -> None:
    for text in ("dog size:>1kB", "dog taken:2024-07-04", "dog score>0.5", "dog name:IMG"):
        found = plans(connection, Question(parse(text, now=NOW)))
        assert any("INTEGER PRIMARY KEY" in plan for plan in found), found
        assert [plan for plan in found if LARGE.match(plan)] == []


def test_sets_are_read_by_their_keys(connection: sqlite3.Connection) -> None:
    found = plans(connection, Question(parse("dog")))
    sets = [plan for plan in found if "sets" in plan or " s " in plan]
    assert any("(chunk=? AND kind=? AND key=?)" in plan for plan in sets), sets
    by_keys = [plan for plan in sets if plan.startswith("SEARCH s ")]
    assert all("kind=?" in plan for plan in by_keys), sets


def test_completions_read_no_photos(connection: sqlite3.Connection) -> None:
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    for text in ("do", "tag:do", "camera:c", "folder:i", "ext:j", "root:p"):
        complete(connection, text)
    connection.set_trace_callback(None)
    for sql in asked:
        for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}"):
            assert not LARGE.match(str(row[3])), (sql, row)


def test_months_at_the_ends_of_time_are_spans() -> None:
    assert by_look.month_span(12 * 1970) == (0.0, 31 * 86_400.0)
    assert by_look.month_span(-1) == by_look.month_span(12 * 10_000)
