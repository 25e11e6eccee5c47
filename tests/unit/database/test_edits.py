"""Edits of tags as rows: asked for beside the owner, applied once, undone exactly."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from photoramd.clock import UnixTime
from photoramd.database import derived
from photoramd.database.connection import Database
from photoramd.database.editing import Editing
from photoramd.database.edits import (
    KEPT_DAYS,
    MAX_PHOTOS,
    EditProgress,
    edit_progress,
    edits_of,
    last_edit,
    request_edit,
    request_undo,
)
from photoramd.database.ledger import Done, Ledger
from photoramd.database.photos import Photos
from photoramd.database.queue import Queue
from photoramd.database.readings import Readings
from photoramd.database.results import Results, Tagged
from photoramd.errors import StoreError, UsageError
from photoramd.metadata.changes import Change, Place
from photoramd.metadata.fields import SUBJECT
from photoramd.metadata.own_keywords import FileKeywords
from photoramd.metadata.reading import Reading
from photoramd.photo import Fingerprint, Photo, Tag
from photoramd.search import queries

NOW = UnixTime(1_000_000.0)
DAY = 86_400


class Album:
    """Photos in a database, as the daemon has them: tagged, written, read."""

    def __init__(self, database: Database) -> None:
        self.database = database
        Queue(database).leave_out(lambda _: True)
        self.editing = Editing(database)

    def add(self, name: str, *tags: str, users: tuple[str, ...] = ()) -> int:
        queue = Queue(self.database)
        path = Path("/album", name)
        queue.enqueue([Photo(path, Fingerprint(1, 1, 1, len(name)))], UnixTime(1))
        (job,) = [job for job in queue.due(UnixTime(1), 9) if job.photo.path == path]
        chosen = [Tag(tag, 0.9, ("Auto",)) for tag in tags]
        reading = Reading(beside=FileKeywords({SUBJECT.name: users}))
        scores = dict.fromkeys(tags, 0.9)
        outcome = Tagged(job, name.encode(), scores, chosen, reading)
        Results(self.database, "s").save([outcome], "m", "1", UnixTime(1))
        self.write(job.id, *tags)
        return job.id

    def write(self, photo: int, *added: str, removed: tuple[str, ...] = ()) -> None:
        """Record a write of the sidecar as the writer does."""
        change = Change({SUBJECT.name: added}, removed={SUBJECT.name: removed})
        Ledger(self.database).finish([Done(photo, change=change)], NOW)

    def edit(self, *photos: int, **tags: Any) -> int:
        edit = request_edit(self.database.path, photos, **tags)
        self.apply()
        return edit

    def undo(self, edit: int) -> int:
        undo = request_undo(self.database.path, edit)
        self.apply()
        return undo

    def apply(self, now: float = NOW) -> None:
        while self.editing.step(UnixTime(now)):
            pass

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        return self.database.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3")  # noqa: S608

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that an undo must restore."""
        names = ("ledger", "keywords", "given_tags", "user_keywords")
        return {name: self.rows(name) for name in names}

    def found(self, query: str) -> list[str]:
        with closing(queries.open_readonly(self.database.path)) as connection:
            return [each.path.name for each in queries.find(connection, queries.parse(query))]

    def progress(self, edit: int) -> EditProgress:
        with closing(queries.open_readonly(self.database.path)) as connection:
            return edit_progress(connection, edit)

    def shown(self, *photos: int) -> list[tuple[str, str, str, str | None]]:
        with closing(queries.open_readonly(self.database.path)) as connection:
            return [(e.kind, e.tag, e.state, e.reason) for e in edits_of(connection, photos)]

    def state(self, photo: int) -> str:
        return str(self.database.rows("SELECT state FROM photos WHERE id = ?", (photo,))[0][0])


@pytest.fixture
def album(database: Database) -> Iterator[Album]:
    yield Album(database)
    with database.transaction() as db:
        assert derived.differences(db) == 0


def test_a_tag_that_is_added_is_found_at_once_and_pending_until_it_is_written(
    album: Album,
) -> None:
    photo, other = album.add("a.jpg", "cat"), album.add("bb.jpg")
    edit = request_edit(album.database.path, [photo], add=[" Holiday "])
    assert album.shown(photo, other) == [("add", "Holiday", "pending", None)]
    assert album.found("holiday") == []
    album.apply()
    assert album.found("holiday") == album.found("user:HOLIDAY") == ["a.jpg"]
    assert album.found("auto:holiday") == []
    assert album.state(photo) == "tagged"
    assert album.state(other) == "written"
    assert (album.progress(edit).pending, album.progress(edit).done) == (1, 0)
    album.write(photo, "Holiday")
    assert album.shown(photo) == []
    assert album.progress(edit) == EditProgress(edit, photos=1, done=1)
    # It is in the ledger, and stays the user's however often the file is read.
    Readings(album.database).save(photo, Reading(beside=FileKeywords({SUBJECT.name: ("Holiday",)})))
    assert album.found("user:holiday") == ["a.jpg"]


def test_a_rejected_tag_is_not_found_any_more_and_leaves_the_file(album: Album) -> None:
    photo = album.add("a.jpg", "cat", "dog")
    edit = album.edit(photo, reject=["CAT"])
    assert album.found("cat") == []
    assert album.found("dog") == album.found("rejected:cat") == ["a.jpg"]
    recorded = Ledger(album.database).recorded(photo, Place.SIDECAR)
    # The file has it yet, and it is ours.
    assert recorded.added[SUBJECT.name] == ("cat", "dog")
    assert recorded.rejected[SUBJECT.name] == ("cat",)
    album.write(photo, removed=("cat",))
    recorded = Ledger(album.database).recorded(photo, Place.SIDECAR)
    assert recorded.added[SUBJECT.name] == ("dog",)
    assert recorded.rejected[SUBJECT.name] == ("cat",)
    assert album.progress(edit).done == 1
    # Whatever chooses keywords later leaves it out.
    Results(album.database, "s").choose_again([(photo, [Tag("cat", 0.99), Tag("dog", 0.9)])])
    assert [tag.name for tag in Results(album.database).tags(photo)] == ["dog"]


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize(
    "change",
    [{"add": ["New"]}, {"add": ["cat"]}, {"reject": ["cat"]}, {"reject": ["unknown"]},
     {"add": ["Rex"]}, {"add": ["gone"]}, {"reject": ["gone"]}, {"reject": ["Mine"]},
     {"add": ["One", "Two"], "reject": ["cat", "dog"]}],
    ids=str,
)  # fmt: skip
def test_undo_restores_all_rows(album: Album, change: Any, is_written: bool) -> None:
    photo = album.add("a.jpg", "cat", "dog", "gone", users=("Rex",))
    Ledger(album.database).reject(photo, Place.SIDECAR, {SUBJECT.name: ("gone",)}, NOW)
    album.edit(photo, add=["Mine"])
    album.write(photo, "Mine")
    before = album.tables()
    edit = album.edit(photo, **change)
    if is_written:
        _write_as_wanted(album, photo)
    album.undo(edit)
    _write_as_wanted(album, photo)
    after = album.tables()
    assert {name: _essence(rows) for name, rows in after.items()} == {
        name: _essence(rows) for name, rows in before.items()
    }
    assert album.state(photo) == "written"
    assert album.shown(photo) == []


def _essence(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows without times: what was written twice was added later."""
    return sorted(tuple(v if v is None or v != NOW else 1.0 for v in row) for row in rows)


def _write_as_wanted(album: Album, photo: int) -> None:
    """Write the sidecar as the writer would: what is wanted and ours, no more and no less."""
    recorded = Ledger(album.database).recorded(photo, Place.SIDECAR)
    present = recorded.added.get(SUBJECT.name, ())
    tags = {tag.name for tag in Results(album.database).tags(photo)} | set(recorded.given)
    added = sorted(tags - set(present))
    album.write(photo, *added, removed=tuple(v for v in present if v not in tags))


def test_the_users_own_keyword_is_never_rejected(album: Album) -> None:
    own, ours = album.add("a.jpg", users=("Oma",)), album.add("bb.jpg", "oma")
    before = album.tables()
    edit = album.edit(own, ours, reject=["oma"])
    ((kind, tag, state, reason),) = album.shown(own)
    assert (kind, tag, state) == ("reject", "oma", "failed")
    assert "your own keyword" in str(reason)
    assert album.found("user:oma") == ["a.jpg"]
    assert [row for row in album.rows("ledger") if row[0] == own] == [
        row for row in before["ledger"] if row[0] == own
    ]
    # The other photo is not held up.
    progress = album.progress(edit)
    assert (progress.failed, progress.pending) == (1, 1)
    assert progress.reasons[0].is_final
    assert progress.reasons[0].example == Path("/album/a.jpg")
    # Undone, the failure is shown no more.
    album.undo(edit)
    assert [row for row in album.shown(own) if row[2] == "failed"] == []


def test_a_failure_is_shown_until_another_edit_takes_its_place(album: Album) -> None:
    photo = album.add("a.jpg", users=("Oma",))
    album.edit(photo, reject=["Oma"])
    album.apply(NOW + 2 * KEPT_DAYS * DAY)
    assert len(album.shown(photo)) == 1
    album.edit(photo, add=["OMA"])
    assert album.shown(photo) == []


def test_of_our_word_and_the_users_ours_goes(album: Album) -> None:
    photo = album.add("a.jpg", "cat", users=())
    # The user wrote it into the photo, we into the sidecar.
    reading = Reading(inside=FileKeywords({SUBJECT.name: ("cat",)}))
    Readings(album.database).save(photo, reading)
    edit = album.edit(photo, reject=["cat"])
    assert album.progress(edit).failed == 0
    assert album.found("auto:cat") == []
    assert album.found("user:cat") == ["a.jpg"]


def test_an_added_tag_can_be_rejected_and_that_be_undone(album: Album) -> None:
    photo = album.add("a.jpg")
    album.edit(photo, add=["Sommer"])
    rejected = album.edit(photo, reject=["sommer"])
    assert album.found("sommer") == []
    album.undo(rejected)
    assert album.found("user:sommer") == ["a.jpg"]


def test_what_the_user_took_out_of_the_file_is_not_added_again(album: Album) -> None:
    photo = album.add("a.jpg")
    album.edit(photo, add=["Sommer"])
    album.write(photo, "Sommer")
    Ledger(album.database).reject(photo, Place.SIDECAR, {SUBJECT.name: ("Sommer",)}, NOW)
    assert album.found("sommer") == []
    assert Ledger(album.database).recorded(photo, Place.SIDECAR).given == ()
    # Asked for once more, it comes back.
    album.edit(photo, add=["Sommer"])
    assert album.found("sommer") == ["a.jpg"]
    assert Ledger(album.database).recorded(photo, Place.SIDECAR).rejected == {}


def test_an_edit_is_not_undone_below_a_later_one(album: Album) -> None:
    photo = album.add("a.jpg", "cat")
    first = album.edit(photo, add=["cat"])
    second = album.edit(photo, reject=["cat"])
    undo = album.undo(first)
    assert f"edit {second} changed this tag later" in album.progress(undo).reasons[0].reason
    assert album.found("cat") == []
    album.undo(second)
    album.undo(first)
    assert album.found("auto:cat") == ["a.jpg"]
    assert album.found("user:cat") == []


def test_undo_after_a_retag_has_keywords_chosen_again(album: Album) -> None:
    photo = album.add("a.jpg", "cat")
    edit = album.edit(photo, reject=["cat"])
    album.write(photo, removed=("cat",))
    Results(album.database, "other").choose_again([(photo, [])])
    album.undo(edit)
    assert album.editing.is_outdated
    assert album.found("cat") == []
    (outdated,) = Results(album.database, "other").outdated("m", "1", 0, 9)
    assert outdated.scores == {"cat": pytest.approx(0.9)}


def test_undo_brings_no_machine_tags_back_that_were_taken_back_since(album: Album) -> None:
    photo = album.add("a.jpg", "cat")
    edit = album.edit(photo, reject=["cat"])
    with album.database.transaction() as db:
        db.execute("UPDATE photos SET undone_at = 5")
    album.undo(edit)
    assert album.rows("keywords") == []


def test_photos_that_cannot_be_edited_cost_only_themselves(album: Album) -> None:
    photos = [album.add("a" * (n + 1) + ".jpg", "cat") for n in range(4)]
    with album.database.transaction() as db:
        db.execute("UPDATE photos SET state = 'missing' WHERE id = ?", (photos[0],))
        db.execute(
            "UPDATE photos SET state = 'failed', reason = 'truncated' WHERE id = ?", (photos[1],)
        )
    edit = album.edit(*photos[:2], photos[3], add=["x"])
    progress = album.progress(edit)
    assert (progress.photos, progress.failed, progress.pending) == (3, 2, 1)
    reasons = {each.reason for each in progress.reasons}
    assert "the photo is not there any more" in reasons
    assert any("truncated" in each for each in reasons)
    Queue(album.database).leave_out(lambda _: False)
    edit = album.edit(photos[2], add=["x"])
    assert "not watched" in album.progress(edit).reasons[0].reason


def test_what_cannot_be_written_now_waits_with_its_reason(album: Album) -> None:
    photo = album.add("a.jpg", "cat")
    edit = album.edit(photo, add=["x"])
    (job,) = Photos(album.database).under(Path("/album"))
    Ledger(album.database).defer(job, "the directory is read-only", NOW, seconds=None)
    assert album.shown(photo) == [("add", "x", "pending", "the directory is read-only")]
    progress = album.progress(edit)
    assert (progress.pending, progress.waiting) == (1, 1)
    assert not progress.reasons[0].is_final
    album.write(photo, "x")
    assert album.progress(edit) == EditProgress(edit, photos=1, done=1)


def test_many_photos_are_applied_some_at_a_time(album: Album) -> None:
    photos = [album.add("a" * (n + 1) + ".jpg") for n in range(130)]
    edit = request_edit(album.database.path, photos, add=["x"])
    assert album.editing.step(NOW)
    assert len(album.found("x")) == 100
    assert album.editing.step(NOW)
    assert not album.editing.step(NOW)
    assert len(album.found("x")) == 130
    assert album.progress(edit).pending == 130


def test_the_last_edit_is_the_one_that_is_to_be_undone_next(album: Album) -> None:
    def last() -> int | None:
        with closing(queries.open_readonly(album.database.path)) as connection:
            return last_edit(connection)

    photo = album.add("a.jpg", "cat")
    assert last() is None
    first, second = album.edit(photo, add=["x"]), album.edit(photo, add=["y"])
    assert last() == second
    request_undo(album.database.path, second)
    assert last() == first, "asked for twice in a row, before the daemon has seen the first"
    album.apply()
    with pytest.raises(UsageError, match="nothing of edit"):
        request_undo(album.database.path, second)
    album.undo(first)
    assert last() is None
    with pytest.raises(UsageError):
        request_undo(album.database.path, 999)


def test_an_edit_can_be_undone_for_some_of_its_photos(album: Album) -> None:
    photos = [album.add("a.jpg"), album.add("bb.jpg")]
    edit = album.edit(*photos, add=["x"])
    request_undo(album.database.path, edit, photo_ids=photos[:1])
    album.apply()
    assert album.found("x") == ["bb.jpg"]
    assert album.undo(edit)
    assert album.found("x") == []


def test_old_edits_are_forgotten_when_new_ones_come(album: Album) -> None:
    photo = album.add("a.jpg")
    edit = album.edit(photo, add=["x"])
    album.write(photo, "x")
    with album.database.transaction() as db:
        db.execute("UPDATE edits SET asked_at = ?", (NOW,))
    request_edit(album.database.path, [photo], add=["y"])
    album.apply(NOW + KEPT_DAYS * DAY + 1)
    assert album.progress(edit) == EditProgress(edit)
    assert [row[0] for row in album.rows("edits")] == [edit + 1]
    assert album.found("x") == ["a.jpg"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "no tag"),
        ({"add": ["a/b"]}, "cannot be a tag"),
        ({"add": [""]}, "cannot be a tag"),
        ({"reject": ["x" * 65]}, "cannot be a tag"),
        ({"add": ["Cat"], "reject": ["cat"]}, "added and rejected"),
        ({"add": [str(n) for n in range(51)]}, "too many"),
    ],
)
def test_senseless_edits_are_refused(album: Album, arguments: Any, said: str) -> None:
    photo = album.add("a.jpg")
    with pytest.raises(UsageError, match=said):
        request_edit(album.database.path, [photo], **arguments)
    assert album.rows("edits") == []


def test_unknown_and_too_many_photos_are_refused(album: Album) -> None:
    album.add("a.jpg")
    with pytest.raises(UsageError, match="no photo 7"):
        request_edit(album.database.path, [7], add=["x"])
    with pytest.raises(UsageError, match="1,001 photos are too many"):
        request_edit(album.database.path, range(MAX_PHOTOS + 1), add=["x"])
    with pytest.raises(UsageError, match="no photo"):
        request_edit(album.database.path, [], add=["x"])
    assert album.rows("edits") == []


def test_a_row_about_no_photo_does_not_stop_the_daemon(album: Album) -> None:
    with closing(sqlite3.connect(album.database.path)) as other, other:
        other.execute("INSERT INTO edits (asked_by, asked_at) VALUES ('x', 1)")
        other.execute(
            "INSERT INTO edit_changes (edit_id, photo_id, kind, tag, folded)"
            " VALUES (1, 99, 'add', 'x', 'x')"
        )
    album.apply()
    assert album.rows("edit_changes")[0][7] == "failed"


def test_photos_that_are_forgotten_take_their_edits_with_them(album: Album) -> None:
    photo = album.add("a.jpg")
    album.edit(photo, add=["x"])
    with album.database.transaction() as db:
        db.execute("DELETE FROM photos")
    assert album.rows("edit_changes") == album.rows("given_tags") == []


def test_a_database_of_an_earlier_version_has_no_edits(album: Album) -> None:
    photo = album.add("a.jpg")
    with album.database.transaction() as db:
        db.execute("DROP TABLE edit_changes")
    assert album.shown(photo) == []
    assert album.progress(1) == EditProgress(1)
    with pytest.raises(StoreError, match="earlier version"):
        request_edit(album.database.path, [photo], add=["x"])
    with closing(queries.open_readonly(album.database.path)) as connection:
        assert last_edit(connection) is None


def test_asking_is_light() -> None:
    code = (
        "import sys, photoramd.database.edits\n"
        "print({'numpy', 'PIL', 'torch', 'sqlite_utils'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
