"""The writer with a real database, real sidecars and a photo's real neighbours."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from photoramd.clock import UnixTime
from photoramd.database.connection import Database
from photoramd.database.ledger import Ledger, Write
from photoramd.database.photos import Job, Photos
from photoramd.database.queue import Queue
from photoramd.database.results import Results, Tagged
from photoramd.errors import PhotoramdError, WriteError
from photoramd.metadata.changes import Place
from photoramd.metadata.fields import SUBJECT
from photoramd.metadata.plan import Origin, PlanRequest
from photoramd.metadata.plan_sidecar import plan_sidecar
from photoramd.metadata.xmp_packet import EMPTY_PACKET
from photoramd.photo import Tag
from photoramd.pipeline.planner import WriteSettings
from photoramd.pipeline.writer import REST_SECONDS, Writer, write_once
from photoramd.system import atomic
from tests.support.files import photo_at, sidecar_of
from tests.support.xmp import add_subjects, provenance, remove_subjects, subjects

Put = Callable[[str, str], Path]
ORIGIN = Origin("embedded", "1")
TAGS = [Tag("animal", 0.9), Tag("cat", 0.8)]


class Desk:
    """A writer and what it works with."""

    def __init__(self, database: Database, mode: str = "sidecar") -> None:
        self.lightroom_names = False
        self.photos, self.queue = Photos(database), Queue(database)
        self.results = Results(database)
        self.ledger = Ledger(database)
        settings = WriteSettings(
            lambda _: mode, lambda: ORIGIN, lightroom_names=lambda _: self.lightroom_names
        )
        self.writer = Writer(self.ledger, settings)

    def tagged(self, photo: Path, tags: Sequence[Tag] = TAGS) -> Job:
        """A photo that waits to be written."""
        self.queue.enqueue([photo_at(photo)], 1)
        job = next(j for j in self.queue.due(1000, 99) if j.photo.path == photo)
        digest = os.fsencode(photo)
        self.results.save([Tagged(job, digest, {}, tags)], "m", "1", 2)
        return job

    def write(self, now: float = 10) -> list[tuple[str, PhotoramdError | None]]:
        """Write what is due."""
        batch = [(job, self.results.tags(job.id)) for job in self.queue.due_writes(now, 99)]
        return [(job.photo.path.name, error) for job, error in self.writer.write(batch, now)]


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def added(desk: Desk, job: Job) -> tuple[str, ...]:
    """What the ledger says was added to dc:subject."""
    return tuple(desk.ledger.recorded(job.id, Place.SIDECAR).added.get(SUBJECT.name, ()))


def test_the_ledger_holds_what_was_added_and_not_what_was_there(desk: Desk, put: Put) -> None:
    photo = put("cat", "a.png")
    sidecar_of(photo).write_bytes(add_subjects(None, ["Oma", "Animal"]) or b"")
    job = desk.tagged(photo)
    assert desk.write() == [("a.png", None)]
    assert subjects(sidecar_of(photo).read_bytes()) == ("Oma", "Animal", "cat")
    assert added(desk, job) == ("cat",)
    assert [mark.tag for mark in provenance(sidecar_of(photo).read_bytes())] == ["cat"]


def test_a_tag_that_the_user_takes_out_stays_out_on_any_later_run(desk: Desk, put: Put) -> None:
    photo = put("cat", "a.png")
    job = desk.tagged(photo)
    desk.write()
    sidecar = sidecar_of(photo)
    sidecar.write_bytes(remove_subjects(sidecar.read_bytes(), ["animal"]))
    for now in (20, 30):
        desk.tagged(photo, [*TAGS, Tag(f"pet {now}", 0.7)])
        assert desk.write(now) == [("a.png", None)]
    # What is no longer wanted goes, what is new comes.
    assert subjects(sidecar.read_bytes()) == ("cat", "pet 30")
    assert set(desk.ledger.recorded(job.id, Place.SIDECAR).rejected[SUBJECT.name]) == {"animal"}
    # Not even after the whole sidecar is gone.
    sidecar.unlink()
    desk.tagged(photo)
    desk.write(40)
    assert subjects(sidecar.read_bytes()) == ("cat",)


def test_a_new_sidecar_takes_up_the_keywords_in_the_photo(
    desk: Desk, put: Put, exiftool: Callable[..., str]
) -> None:
    photo = put("china", "a.jpg")
    exiftool("-overwrite_original", "-IPTC:Keywords=Oma", "-XMP-dc:Subject=Cat", photo)
    job = desk.tagged(photo)
    desk.write()
    assert sorted(subjects(sidecar_of(photo).read_bytes())) == ["Cat", "Oma", "animal"]
    assert added(desk, job) == ("animal",)


@pytest.mark.parametrize(("lightroom_names", "name"), [(True, "IMG.xmp"), (False, "IMG.CR2.xmp")])
def test_another_setting_of_sidecar_names_makes_no_second_sidecar(
    desk: Desk, put: Put, album: Path, lightroom_names: bool, name: str
) -> None:
    photo, jpeg = put("china", "IMG.CR2"), put("china", "IMG.JPG")
    desk.lightroom_names = lightroom_names
    desk.tagged(photo)
    desk.tagged(jpeg)
    assert desk.write() == [("IMG.JPG", None), ("IMG.CR2", None)]
    assert {path.name for path in album.glob("*.xmp")} == {name, "IMG.JPG.xmp"}
    desk.lightroom_names = not lightroom_names
    put("china", "IMG.DNG")  # a rival for the shorter name
    desk.tagged(photo, [*TAGS, Tag("dog", 0.9)])
    assert desk.write() == [("IMG.CR2", None)]
    assert {path.name for path in album.glob("*.xmp")} == {name, "IMG.JPG.xmp"}
    assert subjects((album / name).read_bytes()) == ("animal", "cat", "dog")


def test_no_tags_make_no_sidecar(desk: Desk, put: Put) -> None:
    photo = put("cat", "a.png")
    desk.tagged(photo, [])
    assert desk.write() == [("a.png", None)]
    assert not sidecar_of(photo).exists()


def test_a_photo_without_tags_leaves_the_sidecar_of_another_photoramd_alone(
    desk: Desk, put: Put
) -> None:
    photo = put("cat", "a.png")
    write_once(photo, TAGS, ORIGIN, 5)
    before = sidecar_of(photo).read_bytes()
    desk.tagged(photo, [])
    assert desk.write() == [("a.png", None)]
    assert sidecar_of(photo).read_bytes() == before


def test_what_is_in_another_sidecar_than_ours_is_the_users(desk: Desk, put: Put) -> None:
    photo = put("cat", "a.png")
    ours = photo.with_suffix(".xmp")
    ours.write_bytes(add_subjects(None, ["Oma"]) or b"")
    job = desk.tagged(photo)
    desk.write()
    assert added(desk, job) == ("animal", "cat")
    # Of another program, which found out for itself that this is a cat.
    sidecar_of(photo).write_bytes(add_subjects(None, ["cat"]) or b"")
    desk.tagged(photo, [*TAGS, Tag("pet", 0.7)])
    assert desk.write(20) == []
    assert subjects(ours.read_bytes()) == ("Oma",)
    assert desk.write(30) == [("a.png", None)]
    assert subjects(sidecar_of(photo).read_bytes()) == ("cat", "animal", "pet")
    assert added(desk, job) == ("animal", "pet")
    desk.writer.undo(job, 30)
    assert subjects(sidecar_of(photo).read_bytes()) == ("cat",)


@pytest.mark.parametrize("first", ["jpg", "cr2"])
def test_a_raw_that_comes_later_gets_its_sidecar_without_the_jpegs_keywords(
    desk: Desk, put: Put, first: str
) -> None:
    jpeg, raw = put("china", "a.jpg"), put("china", "a.cr2")
    raw.rename(raw.with_suffix(".later"))
    shared = jpeg.with_suffix(".xmp")
    users = add_subjects(None, ["Oma", "lake"]) or b""
    shared.write_bytes(users)
    jpegs = desk.tagged(jpeg, [Tag("animal", 0.9), Tag("cat", 0.8), Tag("lake", 0.7)])
    desk.write()
    assert subjects(shared.read_bytes()) == ("Oma", "lake", "animal", "cat")
    raw.with_suffix(".later").rename(raw)
    raws = desk.tagged(raw, [Tag("cat", 0.9), Tag("pet", 0.8)])
    if first == "jpg":  # which is written anew for a reason of its own
        desk.tagged(jpeg)
    for now in range(20, 100, 10):
        desk.write(now)
    assert subjects(shared.read_bytes()) == ("Oma", "lake", "cat", "pet")
    assert subjects(sidecar_of(jpeg).read_bytes())[:2] == ("animal", "cat")
    for job in (jpegs, raws):
        assert not desk.ledger.recorded(job.id, Place.SIDECAR).rejected
        desk.writer.undo(job, 200)
    assert shared.read_bytes() == users
    assert not sidecar_of(jpeg).exists()


def test_a_raw_waits_for_no_jpeg_that_cannot_be_written(desk: Desk, put: Put) -> None:
    jpeg = put("china", "a.jpg")
    shared = jpeg.with_suffix(".xmp")
    shared.write_bytes(add_subjects(None, ["Oma"]) or b"")
    desk.tagged(jpeg)
    desk.write()
    raw = put("china", "a.cr2")
    jpegs, raws = desk.tagged(jpeg), desk.tagged(raw, [Tag("cat", 0.9)])
    jpeg.unlink()
    desk.queue.postpone(jpegs, 1000)
    assert desk.write(20) == [("a.cr2", None)]
    assert subjects(shared.read_bytes()) == ("Oma", "cat")
    assert added(desk, raws) == ("cat",)


def test_a_jpeg_that_failed_waits_on_when_a_raw_takes_its_sidecar(desk: Desk, put: Put) -> None:
    jpeg = put("china", "a.jpg")
    jpeg.with_suffix(".xmp").write_bytes(add_subjects(None, ["Oma"]) or b"")
    jpegs = desk.tagged(jpeg)
    desk.write()
    desk.queue.fail(jpegs, "truncated", 20)
    due = desk.queue.next_due(("failed",))
    desk.tagged(put("china", "a.cr2"))
    assert desk.write(20) == [("a.cr2", None)]
    assert not added(desk, jpegs)
    assert desk.queue.next_due(("failed",)) == due


def test_all_that_the_user_took_out_of_a_sidecar_stays_out_when_a_raw_takes_it(
    desk: Desk, put: Put
) -> None:
    jpeg = put("china", "a.jpg")
    shared = jpeg.with_suffix(".xmp")
    users = add_subjects(None, ["Oma"]) or b""
    shared.write_bytes(users)
    desk.tagged(jpeg)
    desk.write()
    shared.write_bytes(users)
    desk.tagged(jpeg)
    desk.write(20)
    desk.tagged(put("china", "a.cr2"), [*TAGS, Tag("pet", 0.7)])
    desk.write(30)
    assert subjects(shared.read_bytes()) == ("Oma", "pet")


def test_a_raw_takes_over_the_sidecar_of_one_that_is_gone(desk: Desk, put: Put) -> None:
    old = put("china", "a.cr2")
    desk.lightroom_names = True
    olds = desk.tagged(old, [*TAGS, Tag("pet", 0.7)])
    desk.write()
    shared = old.with_suffix(".xmp")
    # The user takes one out, and has the RAW made into a DNG.
    shared.write_bytes(remove_subjects(shared.read_bytes(), ["animal"]))
    desk.tagged(old, [*TAGS, Tag("pet", 0.7)])
    desk.write(20)
    new = old.rename(old.with_suffix(".dng"))
    os.utime(new)
    desk.photos.missed([olds.id], 30)
    desk.photos.missed([olds.id], 40)
    news = desk.tagged(new)
    desk.write(50)
    assert subjects(shared.read_bytes()) == ("cat",)
    assert added(desk, news) == ("cat",)
    desk.writer.undo(news, 60)
    assert not shared.exists()


def test_copies_of_the_users_keywords_are_the_users_in_another_sidecar(
    desk: Desk, put: Put, exiftool: Callable[..., str]
) -> None:
    photo = put("china", "a.jpg")
    exiftool("-q", "-overwrite_original", "-XMP-dc:Subject=Oma", photo)
    ours = photo.with_suffix(".xmp")
    desk.tagged(photo)
    desk.write()
    sidecar_of(photo).rename(ours)
    desk.tagged(photo)
    desk.write(20)
    assert subjects(ours.read_bytes()) == ("Oma", "animal", "cat")
    users = add_subjects(None, ["Oma"]) or b""
    sidecar_of(photo).write_bytes(users)
    job = desk.tagged(photo)
    desk.write(30)
    desk.writer.undo(job, 40)
    assert subjects(sidecar_of(photo).read_bytes()) == ("Oma",)


def test_undo_finds_ours_where_it_was_written(desk: Desk, put: Put) -> None:
    photo = put("cat", "a.png")
    known, newer = photo.with_suffix(".xmp"), sidecar_of(photo)
    users = add_subjects(None, ["Oma", "cat"]) or b""
    known.write_bytes(users)
    job = desk.tagged(photo)
    desk.write()
    newer.write_bytes(users)
    desk.writer.undo(job, 20)
    assert known.read_bytes() == newer.read_bytes() == users
    assert desk.ledger.recorded(job.id, Place.SIDECAR).is_empty


def test_a_sidecar_under_another_name_stays_ours_and_the_users(desk: Desk, put: Put) -> None:
    photo = put("cat", "a.png")
    job = desk.tagged(photo)
    desk.write()
    edited = remove_subjects(sidecar_of(photo).read_bytes(), ["animal"])
    sidecar_of(photo).rename(photo.with_suffix(".xmp"))
    photo.with_suffix(".xmp").write_bytes(edited)
    desk.tagged(photo)
    desk.write(20)
    assert photo.with_suffix(".xmp").read_bytes() == edited
    assert added(desk, job) == ("cat",)
    desk.writer.undo(job, 30)
    assert not photo.with_suffix(".xmp").exists()


def test_an_empty_sidecar_of_the_users_outlives_one_that_photoramd_made(
    desk: Desk, put: Put
) -> None:
    photo = put("cat", "a.png")
    job = desk.tagged(photo)
    desk.write()
    sidecar_of(photo).unlink()
    users = photo.with_suffix(".xmp")
    users.write_bytes(EMPTY_PACKET.replace(b"photoramd", b"of the user's"))
    desk.writer.undo(job, 20)
    assert users.exists()


def test_a_broken_sidecar_is_left_alone_named_and_tried_again(desk: Desk, put: Put) -> None:
    photo = put("cat", "a.png")
    sidecar_of(photo).write_text("<x:xmpmeta>")
    desk.tagged(photo)
    ((_, error),) = desk.write(10)
    assert error is not None
    assert sidecar_of(photo).read_text() == "<x:xmpmeta>"
    assert desk.write(11) == []
    sidecar_of(photo).unlink()
    assert desk.write(10 + 60) == [("a.png", None)]


def test_one_bad_directory_does_not_hold_up_the_others_on_its_disk(
    desk: Desk, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bad/a.png", "good/b.png", "good/c.png"):
        desk.tagged(put("cat", name))
    real = atomic.prepare

    def prepare(target: Path, *arguments: object, **options: object) -> atomic.Prepared:
        if target.parent.name == "bad":
            raise WriteError("I/O error", 5, path=target)
        return real(target, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(atomic, "prepare", prepare)
    now, written = 10.0, set()
    while now < 10 + 4 * REST_SECONDS:
        written |= {name for name, error in desk.write(now) if error is None}
        now += 1
    assert written == {"b.png", "c.png"}


def test_a_file_system_that_refuses_everything_is_tried_once_a_rest(
    desk: Desk, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        desk.tagged(put("cat", f"{number}.png"))

    def prepare(target: Path, *_: object, **__: object) -> atomic.Prepared:
        raise WriteError("Read-only file system", 30, path=target)

    monkeypatch.setattr(atomic, "prepare", prepare)
    outcomes = []
    for now in range(10, 130):
        due = desk.queue.due_writes(now, 4)
        outcomes += desk.writer.write([(job, desk.results.tags(job.id)) for job in due], now)
    assert len(outcomes) <= 2 * 4
    monkeypatch.undo()
    assert len(desk.write(400)) == 20


def interrupt(desk: Desk, photo: Path) -> tuple[Job, atomic.Prepared]:
    """The state just before the rename of a write that a crash then interrupts."""
    job = desk.tagged(photo)
    plan = plan_sidecar(PlanRequest(photo, TAGS, ORIGIN, UnixTime(10)))
    assert plan.target is not None
    assert plan.content is not None
    prepared = atomic.prepare(plan.target, plan.content, expected=None, beside=photo)
    write = Write(
        job.id,
        photo,
        prepared.target,
        prepared.temporary,
        prepared.after,
        plan.place,
        plan.change,
        plan.created,
    )
    desk.ledger.begin([write])
    return job, prepared


def test_a_write_that_was_interrupted_before_the_rename_begins_anew(
    desk: Desk, put: Put, album: Path
) -> None:
    photo = put("cat", "a.png")
    interrupt(desk, photo)
    desk.writer.recover(20)
    assert sorted(path.name for path in album.iterdir()) == ["a.png"]
    assert desk.ledger.interrupted() == []
    assert desk.write(21) == [("a.png", None)]


def test_a_write_that_was_interrupted_after_the_rename_is_ours(desk: Desk, put: Put) -> None:
    photo = put("cat", "a.png")
    job, prepared = interrupt(desk, photo)
    atomic.commit(prepared)
    desk.writer.recover(20)
    assert added(desk, job) == ("animal", "cat")
    before = sidecar_of(photo).stat()
    assert desk.write(21) == [("a.png", None)]
    assert sidecar_of(photo).stat() == before


def test_of_a_sidecar_that_was_edited_after_an_interrupted_write_what_is_left_is_ours(
    desk: Desk, put: Put
) -> None:
    photo = put("cat", "a.png")
    job, prepared = interrupt(desk, photo)
    atomic.commit(prepared)
    sidecar = sidecar_of(photo)
    sidecar.write_bytes(remove_subjects(sidecar.read_bytes(), ["animal"]))
    desk.writer.recover(20)
    assert added(desk, job) == ("cat",)


def test_an_interrupted_write_in_a_directory_that_is_away_waits_until_it_is_back(
    desk: Desk, put: Put, album: Path
) -> None:
    photo = put("cat", "a.png")
    job, prepared = interrupt(desk, photo)
    atomic.commit(prepared)
    away = album.with_name("away")
    album.rename(away)
    album.mkdir()
    desk.writer.recover(20)
    assert len(desk.ledger.interrupted()) == 1
    ((_, error),) = desk.write(21)
    assert error is not None
    # The next process must know of it, too.
    assert len(desk.ledger.interrupted()) == 1
    album.rmdir()
    away.rename(album)
    assert desk.write(200) == [("a.png", None)]
    assert added(desk, job) == ("animal", "cat")
    assert subjects(sidecar_of(photo).read_bytes()) == ("animal", "cat")


def test_mode_none_writes_nothing(database: Database, put: Put, album: Path) -> None:
    desk = Desk(database, mode="none")
    desk.tagged(put("cat", "a.png"))
    assert desk.write() == [("a.png", None)]
    assert [path.name for path in album.iterdir()] == ["a.png"]
