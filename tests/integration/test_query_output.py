"""`photoramd query` and `tags` as people and programs use them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.daemons import Photoramd

ODD = os.fsdecode(b"caf\xe9.png")


@pytest.fixture(scope="module")
def photoramd(
    tmp_path_factory: pytest.TempPathFactory, samples: dict[str, Path]
) -> Iterator[Photoramd]:
    home = tmp_path_factory.mktemp("queries").resolve()
    album = home / "album"
    for sample, name in (
        ("cat", "2023/cat.png"), ("coffee", "2023/=cup.png"), ("motorcycle", "2024/m.png"),
        ("cat", f"2024/{ODD}"),
    ):  # fmt: skip
        (album / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(samples[sample], album / name)
    instance = Photoramd(
        home, album, searches='pets = "cat OR dog"\nold = "@pets path:2023/"\nbad = "("\n'
    )
    assert instance.run("scan", album).returncode == 0
    try:
        yield instance
    finally:
        instance.close()


def names(output: str) -> list[str]:
    return [Path(line).name for line in output.splitlines()]


def test_paths_are_the_bytes_on_disk(photoramd: Photoramd) -> None:
    done = photoramd.run_bytes("query", "cat", "-0")
    assert [Path(os.fsdecode(each)).name for each in done.split(b"\0")[:-1]] == ["cat.png", ODD]


def test_json_lines_and_csv_say_the_same(photoramd: Photoramd) -> None:
    listed = photoramd.ask("query", "*")
    done = photoramd.run("query", "*", "--format", "ndjson")
    assert [json.loads(line) for line in done.stdout.splitlines()] == listed
    rows = list(csv.DictReader(io.StringIO(photoramd.run("query", "*", "--format", "csv").stdout)))
    assert [row["tags"].split("|") for row in rows] == [photo["tags"] for photo in listed]
    assert len(rows) == 4
    table = photoramd.run("query", "*", "--format", "table").stdout
    assert "motorcycle" in table
    assert r"caf\xe9.png" in table


def test_no_cell_is_a_formula(photoramd: Photoramd) -> None:
    with closing(sqlite3.connect(photoramd.database)) as connection, connection:
        connection.execute("INSERT INTO labels (name, folded) VALUES ('=1+1', '=1+1')")
        connection.execute(
            """INSERT INTO user_keywords SELECT p.id, l.id, 0 FROM photos p, labels l
               WHERE l.name = '=1+1' AND p.name = CAST('m.png' AS BLOB)"""
        )
    done = photoramd.run("query", 'user:"=1+1"', "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert row["user_tags"] == "'=1+1"


@pytest.mark.parametrize("sort", ["path", "taken", "added", "score"])
def test_pages_follow_each_other(photoramd: Photoramd, sort: str) -> None:
    whole = [photo["file"] for photo in photoramd.ask("query", "*", "--sort", sort)]
    paged: list[str] = []
    after: list[str] = []
    while True:
        page = photoramd.ask("query", "*", "--sort", sort, "--limit", "3", *after)
        if page is None:
            break
        paged += [photo["file"] for photo in page]
        after = ["--after", page[-1]["cursor"]]
    assert paged == whole
    assert len(whole) == 4


def test_saved_searches_are_used_by_name(photoramd: Photoramd) -> None:
    assert names(photoramd.run("query", "@old").stdout) == ["cat.png"]
    assert photoramd.run("query", "@pets NOT @old", "--count").stdout == "1\n"
    done = photoramd.run("query", "@none")
    assert done.returncode == 2
    assert "@none" in done.stderr
    assert "pets" in done.stderr
    done = photoramd.run("query", "@bad")
    assert done.returncode == 2
    assert "in the saved search @bad" in done.stderr
    checked = photoramd.run("config", "check")
    assert checked.returncode == 0
    assert "searches.bad" in checked.stdout


def test_tags_are_counted_and_those_that_occur_together(photoramd: Photoramd) -> None:
    everything = {each["tag"]: each["photos"] for each in photoramd.ask("tags")}
    assert everything["cat"] == 2
    together = {each["tag"]: each["photos"] for each in photoramd.ask("tags", "cat path:2023/")}
    assert together["cat"] == 1
    assert "motorcycle" not in together
    begun = photoramd.ask("tags", "--prefix", "mot")
    assert all(any(w.startswith("mot") for w in each["tag"].split()) for each in begun)
    assert begun
    assert photoramd.run("tags", "--prefix", "zzz").returncode == 1


def test_an_album_is_made_and_brought_up_to_date(photoramd: Photoramd, tmp_path: Path) -> None:
    album = tmp_path / "links"
    done = photoramd.run("query", "cat", "--link", album)
    assert done.stdout == "2 links added, 0 removed, 0 kept\n"
    assert sorted(link.name for link in album.iterdir() if link.is_symlink()) == [ODD, "cat.png"]
    assert (album / "cat.png").read_bytes().startswith(b"\x89PNG")
    done = photoramd.run("query", "cat path:2023/", "--link", album)
    assert done.stdout == "0 links added, 1 removed, 1 kept\n"
    done = photoramd.run("query", "cat", "--link", photoramd.album)
    assert done.returncode == 4
    assert "no album of photoramd's" in done.stderr


def test_what_cannot_be_together_is_refused(photoramd: Photoramd) -> None:
    for arguments in (
        ["--json", "--format", "csv"], ["-0", "--json"], ["--sort", "random", "--after", "x"],
        ["--after", "garbage"],
    ):  # fmt: skip
        assert photoramd.run("query", "cat", *arguments).returncode == 2, arguments
    assert photoramd.run("query").returncode == 2
    fields = photoramd.run("query", "--fields").stdout
    assert "taken:" in fields


def test_damaged_sets_are_named_and_made_anew(photoramd: Photoramd) -> None:
    from photoramd.database import derived
    from photoramd.database.connection import Database

    with Database(photoramd.database) as database, database.transaction() as db:
        derived.fold(db, above=0)
        db.execute("UPDATE sets SET photos = x'00'")
    done = photoramd.run("query", "cat")
    assert done.returncode == 4
    assert "photoramd db check" in done.stderr
    assert "made anew" in photoramd.run("db", "check").stdout
    assert names(photoramd.run("query", "cat path:2023/").stdout) == ["cat.png"]
    assert "made anew" not in photoramd.run("db", "check").stdout


def test_a_locked_database_is_named(photoramd: Photoramd) -> None:
    with closing(sqlite3.connect(photoramd.database, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        done = photoramd.run("query", "cat")
        assert done.returncode == 4
        assert "another program holds the database" in done.stderr
        other.execute("ROLLBACK")
