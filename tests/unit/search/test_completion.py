"""What is offered while a query is typed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoramd.database.connection import connect
from photoramd.search import queries
from photoramd.search.completion import Completion, complete
from photoramd.search.fields import FIELDS
from photoramd.search.parser import parse
from tests.support.random_rows import Rows

SEARCHES = {"beach-2024": "beach taken:2024", "best": "score>0.9", "Other": "dog"}


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("completion") / "photoramd.db"
    with closing(connect(path)) as db:
        db.execute("BEGIN")
        rows = Rows(db, 4)
        rows.fill(13)
        rows.change()
        db.execute("INSERT INTO directories (path) VALUES (CAST('/photos/ /Aunt Mary' AS BLOB))")
        db.execute("INSERT INTO roots (path, health, since) VALUES (x'2f636166e9', 'online', 0)")
        db.execute("INSERT OR IGNORE INTO cameras (name) VALUES ('Canon EOS R6'), ('x100% \"v\"')")
        db.execute("INSERT OR IGNORE INTO lenses (name) VALUES ('50_mm'), ('  ')")
        photo = db.execute("SELECT min(id) FROM photos WHERE state <> 'missing'").fetchone()[0]
        for name in ("dog", "tiger cat", "and", "name"):
            db.execute("INSERT OR IGNORE INTO labels (name, folded) VALUES (?1, ?1)", (name,))
            sql = "INSERT OR IGNORE INTO user_keywords SELECT ?, id, 0 FROM labels WHERE name = ?"
            db.execute(sql, (photo, name))
        db.execute("COMMIT")
    with closing(queries.open_readonly(path)) as reader:
        yield reader


def at(text: str) -> tuple[str, int]:
    """A text without the | that stands for the cursor, and where that was."""
    before, _, after = text.partition("\u2016")
    return before + after, len(before)


def offered(connection: sqlite3.Connection, text: str, **options: int) -> list[str]:
    """The query after each completion."""
    plain, cursor = at(text)
    found = complete(connection, plain, cursor, searches=SEARCHES, **options)
    return [applied(plain, each) for each in found]


def applied(text: str, each: Completion) -> str:
    assert 0 <= each.start <= each.end <= len(text)
    return text[: each.start] + each.text + text[each.end :]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("fol\u2016", "folder:"),
        ("FOL\u2016", "folder:"),
        ("dog NOT (cam\u2016", "dog NOT (camera:"),
        ("-tak\u2016", "-taken:"),
        ("do\u2016", "dog"),
        ("cat|DO\u2016", "cat|dog"),
        ("tig\u2016", '"tiger cat"'),
        ("ca\u2016", '"tiger cat"'),
        ('"tiger c\u2016', '"tiger cat"'),
        ('dog "tig\u2016', 'dog "tiger cat"'),
        ("an\u2016", '"and"'),
        ("50\u2016", '"50%_*"'),
        ("is:por\u2016", "is:portrait"),
        ("is:\u2016", "is:portrait"),
        ("is:portrait,la\u2016", "is:portrait,landscape"),
        ('is:"portrait",la\u2016', 'is:"portrait",landscape'),
        ("is:=por\u2016", "is:=portrait"),
        ("IS:Por\u2016", "IS:portrait"),
        ("tag:tig\u2016", 'tag:"tiger cat"'),
        ('tag:"tig\u2016', 'tag:"tiger cat"'),
        ('tag:dog,"tiger cat",do\u2016', 'tag:dog,"tiger cat",dog'),
        ("camera:\u2016", 'camera:"Canon EOS R6"'),
        ("camera:v\u2016", 'camera:"x100% \\"v\\""'),
        ("lens:50\u2016", "lens:50_mm"),
        ("folder:mary\u2016", 'folder:"Aunt Mary"'),
        ("root:caf\u2016", 'root:"/caf\\\\xe9"'),
        ("model:ram\u2016", "model:ram++"),
        ("taken:<\u2016", "taken:<7d"),
        ("state:f\u2016", "state:failed"),
        ("@be\u2016", "@beach-2024"),
        ("dog @\u2016", "dog @best"),
        ("-@O\u2016", "-@Other"),
        # With the cursor in the middle.
        ("do\u2016g cat", "dog cat"),
        ("d\u2016o@0.8 cat", "dog@0.8 cat"),
        ("ti\u2016g|x", '"tiger cat"|x'),
        ('"ti\u2016g" x', '"tiger cat" x'),
        ('"ti\u2016g AND "b c"', '"tiger cat"g AND "b c"'),
        ("is:po\u2016rt cat", "is:portrait cat"),
        ("is:po\u2016x,square", "is:portrait,square"),
        ('tag:"ti\u2016g",x', 'tag:"tiger cat",x'),
        ("na\u2016me:x", "name:x"),
        ("fol\u2016:x", "folder:x"),
        ("@be\u2016st dog", "@best dog"),
    ],
)
def test_what_is_likely_meant_is_offered(
    connection: sqlite3.Connection, text: str, wanted: str
) -> None:
    assert wanted in offered(connection, text)


@pytest.mark.parametrize(
    ("text", "unwanted"),
    [
        ('"fol\u2016', "folder:"),
        ('"@be\u2016', "@best"),
        ("is:x\u2016", "portrait"),
        ("dog@0.\u2016", "dog"),
        ("lens:\u2016", '"  "'),
        ("folder:\u2016", '" "'),
        ("nofield:do\u2016", "dog"),
        ("na\u2016:x", '"name":x'),
        ("\u2016", "dog"),
    ],
)
def test_what_cannot_be_meant_is_not_offered(
    connection: sqlite3.Connection, text: str, unwanted: str
) -> None:
    assert not [each for each in offered(connection, text) if unwanted in each]


def test_what_is_offered_has_a_meaning_and_a_limit(connection: sqlite3.Connection) -> None:
    [field] = complete(connection, "fold")
    assert field == Completion(0, 4, "folder:", FIELDS["folder"].meaning)
    assert next(each for each in complete(connection, "do") if each.text == "dog").meaning.endswith(
        "photos"
    )
    [best] = complete(connection, "@bes", searches=SEARCHES)
    assert best.meaning == "score>0.9"
    for limit in range(4):
        assert len(complete(connection, "is:", limit=limit)) == limit
    assert complete(connection, "fold", -3) == complete(connection, "")
    assert complete(connection, "fold", 99) == [field]


STARTS = ("", "dog ", "NOT ", "-", "(", "a|", "is:square ", '"x y" ', "tag:a,")
TYPED = ("d", "tig", "c", "5", "is:", "is:p", "tag:d", "user:t", "camera:", "lens:", "folder:",
"root:",
         "ext:", "model:", "type:", "by:", "has:", "state:", "taken:", "added:<", "scored:d",
         "@", "@b",
         'tag:"t', '"t', 'camera:"c', "folder:a")  # fmt: skip


@pytest.mark.parametrize("start", STARTS)
def test_each_completion_makes_a_query_that_can_be_read(
    connection: sqlite3.Connection, start: str
) -> None:
    for typed in TYPED:
        if start == "tag:a," and (":" in typed or typed.startswith("@")):
            continue
        for end in ("", " cat", "|x"):
            close = ")" * start.count("(")
            text = start + typed
            for each in complete(connection, text + end + close, len(text), searches=SEARCHES):
                whole = applied(text + end + close, each)
                if each.text.endswith(":") and each.text[:-1] in FIELDS:
                    at_end = each.start + len(each.text)
                    example = FIELDS[each.text[:-1]].example
                    value = example[len(each.text) :] if ":" in example else "1"
                    whole = whole[:at_end] + value + whole[at_end:]
                parse(whole, searches=dict.fromkeys(SEARCHES, "x"))


PIECES = st.sampled_from(
    ["dog", "tig", '"', '"a b', "\\", ":", "tag:", "is:", "camera:", "folder:", "root:", "@",
    "@be", ",", " ",
     "(", ")", "-", "!", "&", "|", "=", "<", "*", "\udce9", "\0", "\n", "\u0130", "50%_",
     "taken:", "'"]
)  # fmt: skip


def test_any_text_and_cursor_can_be_completed(connection: sqlite3.Connection) -> None:
    texts = st.one_of(st.lists(PIECES, max_size=8).map("".join), st.text(max_size=20))

    @settings(max_examples=400)
    @given(texts, st.integers(-2, 30))
    def agree(text: str, cursor: int) -> None:
        for each in complete(connection, text, cursor, searches=SEARCHES):
            assert 0 <= each.start <= each.end <= len(text)

    agree()


def test_a_long_text_is_completed_at_once(connection: sqlite3.Connection) -> None:
    for text in (
        "a" * 4000,
        '"' * 4000,
        "a:" * 2000,
        "tag:" + "a," * 2000,
        '"\\' * 2000,
        "(" * 4000,
    ):
        complete(connection, text)
        complete(connection, text, 2000)
