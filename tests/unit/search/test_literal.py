"""Every sign that means something to FTS5, GLOB, LIKE or JSON is a letter like others."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from photoramd.database import derived
from photoramd.database.columns import printable_unless_utf8
from photoramd.database.connection import connect
from photoramd.keywords import comparison_key
from photoramd.search import queries
from photoramd.search.completion import quoted

SIGNS = [
    *"*?[]^-+:(){}\"'\\%_|&;,.<>=@!~$#`/",
    "AND",
    "NEAR",
    "\u00e9",
    "\ufeff",
    "\u4e2d",
    "[^a]",
    "a*b",
]
FIELDS = (
    "name",
    "path",
    "folder",
    "camera",
    "lens",
    "tag",
    "user",
    "auto",
    "rejected",
    "reason",
    "root",
)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """For each sign a photo that has it everywhere; and more than a thousand others."""
    path = tmp_path_factory.mktemp("signs") / "photoramd.db"
    with closing(connect(path)) as db:
        db.execute("BEGIN")
        db.execute("INSERT INTO formats VALUES (1, 'JPEG')")
        for number, sign in enumerate(SIGNS):
            text = f"q{sign}w"
            name = f"{text} long.jpg".replace("/", "\u2044")
            add(db, number + 1, f"/photos/{text}", name)
            for table in ("cameras", "lenses"):
                db.execute(f"INSERT INTO {table} VALUES (?, ?)", (number + 1, text))  # noqa: S608
            db.execute(
                "INSERT INTO labels (id, name, folded) VALUES (?, ?, ?)",
                (number + 1, text, comparison_key(text)),
            )
            db.execute(
                "INSERT INTO keywords (photo_id, label_id, confidence) VALUES (?1, ?1, 1)",
                (number + 1,),
            )
            db.execute("INSERT INTO user_keywords VALUES (?1, ?1, 0)", (number + 1,))
            db.execute(
                "INSERT INTO looks (photo_id, width, height, format_id, camera_id, lens_id)"
                " VALUES (?1, 1, 1, 1, ?1, ?1)",
                (number + 1,),
            )
            db.execute("UPDATE photos SET reason = ?2 WHERE id = ?1", (number + 1, text))
            db.execute(
                "INSERT INTO ledger (photo_id, field, value, added_at, rejected_at)"
                " VALUES (?, 'dc:subject', ?, 1, 2)",
                (number + 1, text),
            )
            db.execute(
                "INSERT INTO roots (path, health, since) VALUES (?, 'online', 0)",
                (f"/photos/{text}".encode(),),
            )
        for number in range(1_100):
            add(db, 10_000 + number, "/others", f"qw{number}.jpg")
        derived.fold(db, above=0)
        db.execute("COMMIT")
    with closing(queries.open_readonly(path)) as reader:
        yield reader


def add(db: sqlite3.Connection, number: int, directory: str, name: str) -> None:
    db.execute(
        "INSERT OR IGNORE INTO directories (path, printable) VALUES (?, ?)",
        (os.fsencode(directory), printable_unless_utf8(directory)),
    )
    db.execute(
        """INSERT INTO photos (id, directory_id, name, printable, size, mtime_ns, device, inode,
                               state, found_at)
           SELECT ?, id, ?, ?, 1, 1, 1, 1, 'failed', 1 FROM directories WHERE path = ?""",
        (number, os.fsencode(name), printable_unless_utf8(name), os.fsencode(directory)),
    )


def found(connection: sqlite3.Connection, query: str) -> list[str]:
    return [match.path.name for match in queries.find(connection, queries.parse(query))]


@pytest.mark.parametrize("field", FIELDS)
def test_in_quotes_each_sign_is_a_letter(connection: sqlite3.Connection, field: str) -> None:
    for sign in SIGNS:
        text = f"q{sign}w"
        if sign == "/" and field == "folder":
            continue  # no folder has it in its name
        expected = [f"{text} long.jpg".replace("/", "\u2044")]
        if field == "name":
            text = text.replace("/", "\u2044")
        if field == "root" and sign == "/":
            text = "/photos/q/w"
        if field == "path" and sign in ".":
            text = "photos/q.w"
        assert found(connection, f'{field}:"{escaped(text)}"') == expected, text
        assert found(connection, f'{field}:"{escaped(text)}" name:long') == expected, text


@pytest.mark.parametrize("number", range(len(SIGNS)))
def test_in_quotes_each_sign_is_a_letter_of_a_tag(
    connection: sqlite3.Connection, number: int
) -> None:
    text = f"q{SIGNS[number]}w"
    assert len(found(connection, f'"{escaped(text)}"')) == 1
    assert len(found(connection, quoted(text))) == 1


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def test_outside_of_quotes_only_a_star_has_a_meaning(connection: sqlite3.Connection) -> None:
    assert len(found(connection, "q*w")) == len(SIGNS)
    for sign in "?[]^%_'{}$#`":
        assert found(connection, f"q{sign}w") == [f"q{sign}w long.jpg"]
        assert found(connection, f"name:q{sign}w") == [f"q{sign}w long.jpg"]
        assert found(connection, f"name:q{sign}w*") == [f"q{sign}w long.jpg"]
        assert found(connection, f"folder:=q{sign}w") == [f"q{sign}w long.jpg"]


@pytest.mark.parametrize(
    ("name", "queries_for_it"),
    [
        ("cafe\u0301 au lait.jpg", ["caf\u00e9", "CAFE\u0301 AU", "lait"]),
        ("Stra\u00dfe.jpg", ["strasse", "STRASSE.JPG", "stra\u00dfe"]),
        ("\ufb01nal.jpg", ["final"]),
        ("\u212aelvin.jpg", ["kelvin"]),
        ("two  blanks\n.jpg", ["two blanks", '"two  blanks .jpg"']),
        ("caf\udce9.jpg", ["caf\udce9", '"caf\\\\xe9.jpg"']),
        ("\u4e2d\u6587.jpg", ["\u4e2d\u6587", "\u6587.jpg"]),
        ("ab.jpg", ["ab", "b.j"]),
    ],
)
def test_names_are_compared_alike_among_few_and_among_many(
    tmp_path: Path, name: str, queries_for_it: list[str]
) -> None:
    """Few are compared one by one, of many an index chooses."""
    path = tmp_path / "photoramd.db"
    with closing(connect(path)) as db:
        db.execute("BEGIN")
        add(db, 1, "/photos", name)
        for number in range(2, 1_200):
            add(db, number, "/others", f"{number}.tif")
        db.execute("COMMIT")
    with closing(queries.open_readonly(path)) as connection:
        for text in queries_for_it:
            asked = f"name:{text}" if " " not in text or '"' in text else f'name:"{text}"'
            assert found(connection, asked) == [name], text
            assert found(connection, f"{asked} folder:photos") == [name], text
