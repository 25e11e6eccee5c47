from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photoramd.watch import watcher
from photoramd.watch.watcher import Inbox, Watcher

Put = Callable[[str, str], Path]


class Mailbox:
    """Collects what a real watcher says until a condition holds."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.inbox = Inbox(self.event.set)
        self.files: set[str] = set()
        self.directories: set[str] = set()
        self.lost = False

    def wait_for(self, condition: Callable[[Mailbox], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert self.event.wait(deadline - time.monotonic()), (self.files, self.directories)
            self.event.clear()
            news = self.inbox.take()
            self.files |= set(news.files)
            self.directories |= set(news.directories)
            self.lost |= news.lost


@pytest.fixture
def mail(album: Path) -> Iterator[Mailbox]:
    mailbox = Mailbox()
    with Watcher(mailbox.inbox) as watching:
        assert watching.arm(os.fspath(album)) is None
        assert watching.is_alive(os.fspath(album))
        yield mailbox


def test_written_moved_and_linked_files_are_named(
    mail: Mailbox, album: Path, put: Put, tmp_path: Path, samples: dict[str, Path]
) -> None:
    written = put("china", "written.jpg")
    outside = tmp_path / "outside.jpg"
    shutil.copyfile(samples["china"], outside)
    moved, linked, renamed = album / "moved.jpg", album / "linked.jpg", album / "renamed.jpg"
    os.link(outside, linked)
    outside.rename(moved)
    put("flower", ".tmp-name").rename(renamed)
    wanted = {os.fspath(path) for path in (written, moved, linked, renamed)}
    mail.wait_for(lambda m: wanted <= m.files)


def test_a_new_directory_is_named_and_watched(mail: Mailbox, album: Path, put: Put) -> None:
    (album / "new").mkdir()
    mail.wait_for(lambda m: os.fspath(album / "new") in m.directories)
    photo = put("china", "new/a.jpg")
    mail.wait_for(lambda m: os.fspath(photo) in m.files)


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_directory_that_took_the_path_of_another_and_left_it_ends_no_thread(
    album: Path, put: Put, tmp_path: Path, is_removed: bool
) -> None:
    mail, first, outside = Mailbox(), album / "first", tmp_path / "outside"
    with Watcher(mail.inbox) as watching:
        assert watching.arm(os.fspath(album)) is None
        for change in (
            first.mkdir,
            lambda: first.rename(outside),
            first.mkdir,
            lambda: first.rename(album / "second"),
        ):
            mail.directories.clear()
            change()
            mail.wait_for(lambda m: bool(m.directories))
        if is_removed:
            outside.rmdir()
        photo = put("china", "second/a.jpg")
        mail.wait_for(lambda m: os.fspath(photo) in m.files)
        assert watching.is_alive(os.fspath(album))


def test_a_directory_that_is_deleted_or_moved_away_is_named(
    mail: Mailbox, album: Path, tmp_path: Path
) -> None:
    for name in ("deleted", "moved"):
        (album / name).mkdir()
    mail.wait_for(lambda m: len(m.directories) == 2)
    mail.directories.clear()
    (album / "deleted").rmdir()
    (album / "moved").rename(tmp_path / "elsewhere")
    wanted = {os.fspath(album / name) for name in ("deleted", "moved")}
    mail.wait_for(lambda m: wanted == m.directories)
    mail.directories.clear()
    album.rmdir()
    mail.wait_for(lambda m: m.directories == {os.fspath(album)})


def test_a_name_that_is_not_utf8_arrives_as_it_is(mail: Mailbox, album: Path, put: Put) -> None:
    photo = put("china", os.fsdecode(b"caf\xe9.jpg"))
    mail.wait_for(lambda m: os.fspath(photo) in m.files)


def test_reading_a_photo_is_no_news(mail: Mailbox, album: Path, put: Put) -> None:
    photo = put("china", "a.jpg")
    # Events come in order: with the marker's, all of the photo's own have come.
    before = put("china", "before.jpg")
    mail.wait_for(lambda m: os.fspath(before) in m.files)
    mail.files.clear()
    photo.read_bytes()
    os.utime(photo)
    after = put("china", "after.jpg")
    mail.wait_for(lambda m: os.fspath(after) in m.files)
    assert os.fspath(photo) not in mail.files


def test_a_full_inbox_says_that_it_lost_something_and_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watcher, "CAPACITY", 3)
    inbox = Inbox(lambda: None)
    for name in "abcdef":
        inbox.put(name, is_directory=False)
    news = inbox.take()
    assert news.lost
    assert news.files == ()
    inbox.put("g", is_directory=False)
    assert inbox.take() == watcher.EventBatch(files=("g",))


def test_the_warning_of_an_overflow_in_the_kernel_is_news(mail: Mailbox) -> None:
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed")
    mail.wait_for(lambda m: m.lost)


def test_a_root_that_is_not_there_is_named_with_a_remedy(tmp_path: Path) -> None:
    with Watcher(Inbox(lambda: None)) as watching:
        problem = watching.arm(os.fspath(tmp_path / "nowhere"))
    assert problem is not None
    assert problem.remedy


def test_a_thread_that_all_roots_share_and_that_ends_is_noticed(tmp_path: Path) -> None:
    with Watcher(Inbox(lambda: None)) as watching:
        assert watching.is_well
        assert watching.arm(str(tmp_path)) is None
        assert watching.is_well
        assert watching._observer is not None
        watching._observer.stop()
        watching._observer.join()
        assert not watching.is_well
