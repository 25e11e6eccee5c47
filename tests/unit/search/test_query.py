from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoramd.clock import UnixTime
from photoramd.database.connection import Database, connect
from photoramd.database.health import Health, RootState
from photoramd.database.roots import HealthStore
from photoramd.errors import StoreError, UsageError
from photoramd.keywords import comparison_key
from photoramd.photo import Tag
from photoramd.search import queries
from photoramd.search.expression import And, Expression, Not, Or, Term
from photoramd.search.parser import MAX_DEPTH, MAX_TERMS, parse
from photoramd.search.queries import Match

PHOTOS = {
    b"/photos/a/1.jpg": ("written", {"dog": 0.9, "beach": 0.8}),
    b"/photos/a/2.jpg": ("written", {"cat": 0.7, "tiger cat": 0.6}),
    b"/photos/a/3.jpg": ("tagged", {"Dog": 0.5, "cat": 0.9, "Katze": 0.3}),
    b"/photos/a b/4.jpg": ("written", {"cafe\u0301": 0.4, "tiger": 0.9, "cat": 0.2}),
    b"/photos/b/caf\xe9\n.jpg": ("written", {"\u00c4rger": 0.5}),
    b"/photos/b/5.jpg": ("missing", {"dog": 0.99, "gone": 0.5}),
    b"/photos/b/6.jpg": ("failed", {}),
    b"/photos/b/7.jpg": ("failed", {}),
    b"/photos/b/8.jpg": ("pending", {}),
    b"/photos0/9.jpg": ("written", {"dog": 0.3}),
}


def fill(connection: sqlite3.Connection) -> None:
    for path, (state, keywords) in PHOTOS.items():
        directory, name = os.path.split(path)
        connection.execute("INSERT OR IGNORE INTO directories (path) VALUES (?)", [directory])
        reason = {"failed": "truncated", "pending": "waits for the disk"}.get(state)
        cursor = connection.execute(
            """INSERT INTO photos (directory_id, name, size, mtime_ns, device, inode, state,
                                   reason, attempts, found_at)
               SELECT id, ?, 10, 1, 1, 1, ?, ?, ?, 100 FROM directories WHERE path = ?""",
            [name, state, reason, int(reason is not None), directory],
        )
        photo = cursor.lastrowid
        for label, confidence in keywords.items():
            connection.execute(
                "INSERT OR IGNORE INTO labels (name, folded) VALUES (?, ?)",
                [label, comparison_key(label)],
            )
            connection.execute(
                "INSERT INTO keywords (photo_id, label_id, confidence)"
                " SELECT ?, id, ? FROM labels WHERE name = ?",
                [photo, confidence, label],
            )


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "photoramd.db"
    with closing(connect(path)) as connection:
        fill(connection)
    return path


@pytest.fixture
def connection(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(queries.open_readonly(database)) as connection:
        yield connection


def names(connection: sqlite3.Connection, text: str, **options: object) -> list[str]:
    matches = queries.find(connection, parse(text), **options)  # type: ignore[arg-type]
    return [match.path.name for match in matches]


# The language


def test_words_and_operators_become_a_tree() -> None:
    dog, cat = Term(("dog",)), Term(("cat",))
    assert parse("dog") == dog
    assert parse("dog and cat") == parse("dog & cat") == parse("dog cat") == And((dog, cat))
    assert parse("dog OR cat") == parse("dog|cat") == parse("dog || cat") == Or((dog, cat))
    assert parse("NOT dog") == parse("!dog") == parse("-dog") == parse("not not not dog")
    assert parse("NOT dog") == Not(dog)
    assert parse("not not dog") == dog


def test_not_binds_closer_than_and_and_and_closer_than_or() -> None:
    dog, cat, fish = Term(("dog",)), Term(("cat",)), Term(("fish",))
    assert parse("dog OR cat NOT fish") == Or((dog, And((cat, Not(fish)))))
    assert parse("(dog OR cat) NOT fish") == And((Or((dog, cat)), Not(fish)))
    assert parse("NOT (dog cat)") == Not(And((dog, cat)))


def test_quotes_make_one_tag_of_anything() -> None:
    assert parse('"tiger cat"') == Term(("tiger cat",))
    assert parse('"and"') == Term(("and",))
    assert parse(r'"say \"a\\b\""') == Term((r'say "a\b"',))
    assert parse('"50*"') == Term(("50*",))
    assert parse('cat"dog"') == And((Term(("cat",)), Term(("dog",))))
    assert parse("t-shirt jack-o'-lantern") == And((Term(("t-shirt",)), Term(("jack-o'-lantern",))))


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("", None, "empty"),
        ("  ", None, "empty"),
        ("dog AND", 8, "missing before the end"),
        ("AND dog", 1, "missing before AND"),
        ("dog OR OR cat", 8, "missing before OR"),
        ("dog NOT", 8, "missing before the end"),
        ("(dog", 5, "no ) for the ( at position 1"),
        ("dog)", 4, ") without a ("),
        ("()", 2, "missing before )"),
        ('dog "cat', 5, "quotes that do not end"),
        ('dog ""', 5, "empty quotes"),
        ("dog, cat", 4, "unexpected ,"),
        ("dog - cat", 5, "unexpected -"),
        ("dog;", 4, "unexpected ;"),
    ],
)
def test_an_error_names_the_position_and_a_remedy(
    text: str, position: int | None, words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert words in caught.value.message
    assert position is None or f"position {position}:" in caught.value.message
    assert caught.value.remedy
    assert caught.value.exit_code == 2


def test_deep_and_long_queries_are_refused_and_the_largest_allowed_one_runs(
    connection: sqlite3.Connection,
) -> None:
    with pytest.raises(UsageError, match="parentheses"):
        parse("(" * 2000 + "dog" + ")" * 2000)
    with pytest.raises(UsageError, match="more than 200 tags"):
        parse("dog " * (MAX_TERMS + 1))
    with pytest.raises(UsageError, match="longer than 4096"):
        parse("dog" + " " * 4094)
    assert parse("!" * 4000 + "dog") == Term(("dog",))
    left = right = "dog"
    for _ in range(MAX_DEPTH):
        left = f"NOT ({left} AND NOT cat OR tiger)"
        right = f"cat OR tiger AND NOT ({right})"
    assert queries.count(connection, parse(left)) + queries.count(connection, parse(right)) > 0
    assert queries.find(connection, parse(right), under=Path("/photos"))
    queries.count(connection, parse("NOT cat " * MAX_TERMS))


@given(st.text(alphabet='ab*"()&|!-, \\ \u0130ßNOTand\n', max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except UsageError as error:
        assert error.remedy  # noqa: PT017


EXPRESSIONS = st.recursive(
    st.sampled_from(["dog", "cat", "tiger", "beach", "gone", "ca*"]).map(
        lambda text: Term(tuple(text.split("*")))
    ),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=8,
)


def holds(expression: Expression, keywords: set[str]) -> bool:
    if isinstance(expression, Term):
        return any(expression.matches(keyword) for keyword in keywords)
    if isinstance(expression, Not):
        return not holds(expression.operand, keywords)
    each = (holds(operand, keywords) for operand in expression.operands)
    return all(each) if isinstance(expression, And) else any(each)


def test_a_query_finds_what_its_logic_says(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "photoramd.db")) as connection:
        fill(connection)

        @given(EXPRESSIONS)
        def agree(expression: Expression) -> None:
            expected = {
                os.fsdecode(path)
                for path, (_, keywords) in PHOTOS.items()
                if holds(expression, {comparison_key(keyword) for keyword in keywords})
            }
            found = queries.find(connection, expression, missing=True)
            assert {str(match.path) for match in found} == expected
            assert queries.count(connection, expression, missing=True) == len(expected)

        agree()


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("cat*", ["cat", "cathedral", "cat flap"], ["tiger cat"]),
        ("*cat", ["cat", "tiger cat"], ["cathedral"]),
        ("*at*e*", ["cathedral", "water"], ["cat"]),
        ("a*a", ["aa", "aba"], ["a"]),
        ("ab*b*ba", ["abbba", "abxbyba"], ["abba", "aba"]),
        ("*", ["anything"], []),
        ("**", ["anything"], []),
    ],
)
def test_a_star_stands_for_any_letters(pattern: str, matching: list[str], other: list[str]) -> None:
    term = parse(pattern)
    assert isinstance(term, Term)
    assert [name for name in [*matching, *other] if term.matches(name)] == matching


# Finding


def test_photos_are_found_with_their_tags_the_most_confident_first(
    connection: sqlite3.Connection,
) -> None:
    assert queries.find(connection, parse("beach")) == [
        Match(Path("/photos/a/1.jpg"), (Tag("dog", 0.9), Tag("beach", 0.8)), "written")
    ]


def test_tags_are_compared_without_case_and_unicode_form(connection: sqlite3.Connection) -> None:
    assert names(connection, "DOG") == ["1.jpg", "3.jpg", "9.jpg"]
    assert names(connection, "CAF\u00c9") == names(connection, "cafe\u0301") == ["4.jpg"]
    assert names(connection, unicodedata.normalize("NFD", "\u00e4rger")) == ["caf\udce9\n.jpg"]
    assert names(connection, '"tiger   CAT"') == ["2.jpg"]


def test_operators_combine_whole_photos(connection: sqlite3.Connection) -> None:
    assert names(connection, "dog cat") == ["3.jpg"]
    assert names(connection, "beach OR tiger") == ["1.jpg", "4.jpg"]
    assert names(connection, "cat NOT tiger*") == ["3.jpg"]
    assert names(connection, "cat -(dog OR tiger)") == ["2.jpg"]
    assert names(connection, "NOT *") == ["6.jpg", "7.jpg", "8.jpg"]
    assert names(connection, "unicorn") == []
    assert len(names(connection, "NOT unicorn")) == 9


def test_results_are_sorted_by_directory_and_name_and_limited(
    connection: sqlite3.Connection,
) -> None:
    found = [os.fsencode(match.path) for match in queries.find(connection, parse("*"))]
    assert found == sorted(found, key=os.path.split)
    assert names(connection, "*", limit=2) == [Path(os.fsdecode(each)).name for each in found[:2]]
    assert names(connection, "*", limit=0) == []


def test_missing_photos_are_left_out_unless_asked_for(connection: sqlite3.Connection) -> None:
    assert names(connection, "gone") == []
    assert queries.count(connection, parse("gone")) == 0
    [match] = queries.find(connection, parse("gone"), missing=True)
    assert match.state == "missing"
    assert queries.count(connection, parse("gone"), missing=True) == 1


def test_a_directory_limits_to_what_is_below_it_and_not_to_its_namesakes(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert names(connection, "cat", under=Path("/photos/a")) == ["2.jpg", "3.jpg"]
    assert names(connection, "dog", under=Path("/photos/")) == ["1.jpg", "3.jpg"]
    assert names(connection, "dog", under=Path("/")) == ["1.jpg", "3.jpg", "9.jpg"]
    assert queries.count(connection, parse("dog"), under=Path("/photos0")) == 1
    assert names(connection, "dog", under=Path("/nowhere")) == []
    monkeypatch.chdir("/")
    assert names(connection, "cat", under=Path("photos/a/../a b")) == ["4.jpg"]


def test_a_tag_is_a_value_and_never_sql(connection: sqlite3.Connection) -> None:
    assert names(connection, "\"dog' OR '1'='1\"") == []
    assert names(connection, '"\'); DROP TABLE photos; --"') == []
    assert len(names(connection, "dog")) == 3


def test_thousands_of_labels_fit_in_one_query(tmp_path: Path) -> None:
    path = tmp_path / "photoramd.db"
    with closing(connect(path)) as connection:
        fill(connection)
        labels = [(f"dog {number}",) for number in range(40_000)]
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO labels (name) VALUES (?)", labels)
        connection.execute("COMMIT")
    with closing(queries.open_readonly(path)) as connection:
        assert names(connection, "dog*") == ["1.jpg", "3.jpg", "9.jpg"]


# Looking up


def test_a_photo_shows_all_that_is_known(database: Path) -> None:
    with closing(connect(database)) as connection:
        connection.execute(
            """INSERT INTO results (id, digest, model, revision, created_at)
               VALUES (7, x'00', 'embedded', 'r1', 0)"""
        )
        connection.execute(
            "INSERT INTO scores SELECT 7, id, 0.25 FROM labels WHERE name IN ('cat', 'dog')"
        )
        connection.execute(
            """UPDATE photos SET result_id = 7, tagged_at = 101, written_at = 102,
                                 sidecar = CAST('/photos/a/1.jpg.xmp' AS BLOB)
               WHERE name = CAST('1.jpg' AS BLOB)"""
        )
    with closing(queries.open_readonly(database)) as connection:
        details = queries.photo(connection, Path("/photos/a/../a/1.jpg"))
    assert details == queries.Details(
        path=Path("/photos/a/1.jpg"),
        state="written",
        tags=(Tag("dog", 0.9), Tag("beach", 0.8)),
        scores=(Tag("cat", 0.25), Tag("dog", 0.25)),
        model="embedded",
        revision="r1",
        sidecar=Path("/photos/a/1.jpg.xmp"),
        reason=None,
        attempts=0,
        next_attempt=0,
        size=10,
        found_at=100,
        tagged_at=101,
        written_at=102,
    )


def test_a_photo_with_any_name_is_found_and_an_unknown_one_is_none(
    connection: sqlite3.Connection,
) -> None:
    details = queries.photo(connection, Path(os.fsdecode(b"/photos/b/caf\xe9\n.jpg")))
    assert details is not None
    assert [tag.name for tag in details.tags] == ["\u00c4rger"]
    failed = queries.photo(connection, Path("/photos/b/6.jpg"))
    assert failed is not None
    assert (failed.state, failed.reason, failed.attempts) == ("failed", "truncated", 1)
    assert (failed.model, failed.sidecar, failed.tags) == (None, None, ())
    assert queries.photo(connection, Path("/photos/a/none.jpg")) is None
    assert queries.photo(connection, Path("/")) is None


def test_states_are_counted_with_none_left_out(connection: sqlite3.Connection) -> None:
    assert queries.counts(connection) == {
        "pending": 1,
        "tagged": 1,
        "written": 5,
        "failed": 2,
        "missing": 1,
    }


def test_reasons_are_counted_with_an_example(connection: sqlite3.Connection) -> None:
    assert queries.reasons(connection) == [
        queries.Reason("truncated", 2, Path("/photos/b/6.jpg")),
        queries.Reason("waits for the disk", 1, Path("/photos/b/8.jpg")),
    ]
    assert len(queries.reasons(connection, limit=1)) == 1


def test_tags_in_use_are_counted_without_missing_photos(connection: sqlite3.Connection) -> None:
    found = queries.tags(connection)
    assert found[:2] == [("cat", 3), ("dog", 3)]  # one of them is a Dog
    assert found == sorted(found, key=lambda each: (-each[1], each[0]))
    assert "gone" not in dict(found)


def test_watched_directories_are_told_as_the_daemon_saw_them(database: Path) -> None:
    with closing(connect(database)) as connection:
        connection.execute(
            "INSERT INTO roots (path, health, reason, since, scanned_at)"
            " VALUES (CAST('/photos' AS BLOB), 'offline', 'not there', 1, 2)"
        )
    with closing(queries.open_readonly(database)) as connection:
        assert queries.roots(connection) == [
            queries.RootStatus(Path("/photos"), RootState.OFFLINE, "not there", None, 1.0, 2.0)
        ]


def test_how_far_a_scan_is_can_be_asked_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with Database(path) as database:
        health = HealthStore(database, ["/photos"])
        health.record("/photos", Health(RootState.ONLINE), UnixTime(1.0))
        health.record_progress("/photos", UnixTime(5.0), 1234)
        with closing(queries.open_readonly(path)) as connection:
            (root,) = queries.roots(connection)
            assert (root.scanning_since, root.scanned_photos) == (5.0, 1234)
        health.record_scan("/photos", UnixTime(9.0))
        with closing(queries.open_readonly(path)) as connection:
            (root,) = queries.roots(connection)
            assert (root.scanning_since, root.scanned_photos, root.scanned_at) == (None, None, 9.0)


def test_the_time_left_follows_from_the_last_minutes(database: Path) -> None:
    with closing(connect(database)) as connection:
        connection.execute("UPDATE photos SET tagged_at = 0")
        connection.execute(
            "UPDATE photos SET tagged_at = 900 + id WHERE id IN (SELECT id FROM photos LIMIT 12)"
        )
        ((tagged, first),) = connection.execute(
            "SELECT count(*), min(tagged_at) FROM photos WHERE tagged_at > 700"
        )
    with closing(queries.open_readonly(database)) as connection:
        found = queries.seconds_left(connection, 100, UnixTime(1000.0))
        assert found == (None if tagged < 10 else 100 * (1000.0 - first) / tagged)
        assert queries.seconds_left(connection, 100, UnixTime(1e9)) is None


def test_an_unknown_tag_gets_suggestions(connection: sqlite3.Connection) -> None:
    assert queries.suggest(connection, "TIGRE")[0] == "tiger"
    assert queries.suggest(connection, "tiger")[:2] == ["tiger", "tiger cat"]
    assert queries.suggest(connection, "xylophone") == []
    assert queries.suggest(connection, "*") == []
    assert len(queries.suggest(connection, "a", limit=2)) == 2


def test_advice_names_unknown_tags_and_forgotten_quotes(connection: sqlite3.Connection) -> None:
    assert queries.advise(connection, parse("dog")) == []
    [unknown] = queries.advise(connection, parse("beech NOT beech"))
    assert 'no photo is tagged "beech"' in unknown
    assert '"beach"' in unknown
    [quotes] = queries.advise(connection, parse("(beach OR dog Tiger CAT)"))
    assert quotes == '"tiger cat" is a tag: write it in quotes'
    assert queries.advise(connection, parse("nothinglikeit"))[0].endswith('"nothinglikeit"')


# Opening


def test_without_a_database_nothing_has_been_tagged_yet(tmp_path: Path) -> None:
    for path in (tmp_path / "none.db", tmp_path / "none" / "none.db"):
        with pytest.raises(StoreError, match="nothing has been tagged yet") as caught:
            queries.open_readonly(path)
        assert "photoramd scan" in (caught.value.remedy or "")
        assert not path.exists()
    empty = tmp_path / "empty.db"
    empty.touch()
    with pytest.raises(StoreError, match="nothing has been tagged yet"):
        queries.open_readonly(empty)


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="not a database"):
        queries.open_readonly(text)
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as other:
        other.execute("CREATE TABLE photos (id)")
    with pytest.raises(StoreError, match="not a photoramd database"):
        queries.open_readonly(foreign)
    with pytest.raises(StoreError, match="Is a directory"):
        queries.open_readonly(tmp_path)


def test_a_path_with_special_characters_is_no_uri(tmp_path: Path) -> None:
    directory = tmp_path / "a ?mode=rwc#%41&"
    directory.mkdir()
    path = directory / os.fsdecode(b"caf\xe9.db")
    with closing(connect(path)) as connection:
        fill(connection)
    with closing(queries.open_readonly(path)) as connection:
        assert queries.count(connection, parse("dog")) == 3


def test_nothing_can_be_written(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM photos")


def test_a_reader_sees_what_a_writer_committed_and_does_not_hold_it_up(database: Path) -> None:
    with closing(connect(database)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE photos SET state = 'written'")
        with closing(queries.open_readonly(database)) as reader:
            assert queries.counts(reader)["written"] == 5
            writer.execute("COMMIT")
            assert queries.counts(reader)["written"] == len(PHOTOS)
            found = queries.find(reader, parse("dog"))
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("DELETE FROM keywords")
            writer.execute("COMMIT")
            assert len(found) == 4
            assert queries.find(reader, parse("dog")) == []


def test_a_damaged_database_is_our_error(database: Path) -> None:
    with closing(connect(database)) as connection:
        [page_bytes] = connection.execute("PRAGMA page_size").fetchone()
        [page] = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'labels_folded'"
        ).fetchone()
    with database.open("r+b") as file:
        file.seek((page - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)
    with (
        closing(queries.open_readonly(database)) as connection,
        pytest.raises(StoreError, match="malformed") as caught,
    ):
        queries.find(connection, parse("dog"))
    assert "photoramd db check" in (caught.value.remedy or "")


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Be a user to whom permissions apply, also where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def readable() -> Iterator[Path]:
    """A directory that others can read, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="photoramd-test-"))
    directory.chmod(0o755)
    yield directory
    directory.chmod(0o755)
    shutil.rmtree(directory)


def test_another_user_can_ask_after_the_daemon_has_stopped(readable: Path) -> None:
    path = readable / "photoramd.db"
    with closing(connect(path)) as connection:
        fill(connection)
    assert [each.name for each in readable.iterdir()] == ["photoramd.db"]
    path.chmod(0o444)
    readable.chmod(0o555)
    with ordinary_user(), closing(queries.open_readonly(path)) as connection:
        assert queries.count(connection, parse("dog")) == 3
        assert len(queries.find(connection, parse("dog"))) == 3
    assert [each.name for each in readable.iterdir()] == ["photoramd.db"]


def test_another_user_can_ask_while_the_daemon_writes(readable: Path) -> None:
    path = readable / "photoramd.db"
    with closing(connect(path)) as writer:
        fill(writer)
        for each in readable.iterdir():
            each.chmod(0o444)
        readable.chmod(0o555)
        with ordinary_user(), closing(queries.open_readonly(path)) as reader:
            assert queries.count(reader, parse("dog")) == 3
            writer.execute("DELETE FROM keywords")
            assert queries.count(reader, parse("dog")) == 0


def test_another_user_sees_all_that_was_committed_before_a_crash(readable: Path) -> None:
    path = readable / "photoramd.db"
    with closing(connect(readable / "live.db")) as writer:
        fill(writer)
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(readable / f"live.db{suffix}", readable / f"photoramd.db{suffix}")
    for each in readable.iterdir():
        each.chmod(0o444)
    readable.chmod(0o555)
    with ordinary_user(), closing(queries.open_readonly(path)) as connection:
        assert queries.count(connection, parse("dog")) == 3


def test_a_log_that_cannot_be_used_is_an_error_and_not_ignored(readable: Path) -> None:
    path = readable / "photoramd.db"
    with closing(connect(readable / "live.db")) as writer:
        fill(writer)
        for suffix in ("", "-wal"):
            shutil.copy(readable / f"live.db{suffix}", readable / f"photoramd.db{suffix}")
    for each in readable.iterdir():
        each.chmod(0o444)
    readable.chmod(0o555)
    with ordinary_user(), pytest.raises(StoreError, match="cannot use the database"):
        queries.open_readonly(path)


def let_all_read(directory: Path) -> None:
    """Open the database to others, as an administrator may."""
    for each in directory.iterdir():
        each.chmod(0o644)


def test_a_question_leaves_no_file_that_the_daemon_could_not_use(readable: Path) -> None:
    path = readable / "photoramd.db"
    with closing(connect(path)) as connection:
        fill(connection)
    readable.chmod(0o777)
    let_all_read(readable)
    with ordinary_user():
        for _ in range(2):
            with closing(queries.open_readonly(path)) as connection:
                assert queries.count(connection, parse("dog")) == 3
    assert {each.stat().st_uid for each in readable.iterdir()} == {path.stat().st_uid}
    with closing(connect(path)):
        let_all_read(readable)
        with ordinary_user(), closing(queries.open_readonly(path)) as connection:
            assert queries.count(connection, parse("dog")) == 3
        assert {each.stat().st_uid for each in readable.iterdir()} == {path.stat().st_uid}
    with closing(connect(path)) as connection:
        connection.execute("DELETE FROM keywords")


def test_an_unreadable_database_is_our_error_with_a_remedy(readable: Path) -> None:
    path = readable / "photoramd.db"
    connect(path).close()
    with ordinary_user(), pytest.raises(StoreError, match="Permission denied") as caught:
        queries.open_readonly(path)
    assert "sudo -u" in (caught.value.remedy or "")
