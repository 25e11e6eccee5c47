"""File system events (watchdog, inotify) to paths in an inbox.

Events only save time: everything they say is checked against the disk, and what they
miss is found by the next scan. The handler runs in watchdog's thread; it puts a path
into a bounded set and does nothing else, because an exception there would end
watchdog's thread for good.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from photoramd.errors import PhotoramdError

CAPACITY = 10_000
"""More names than this mean "look at everything"."""

# Opened, modified and closed-without-writing events would halve what the kernel's queue
# can hold, and the daemon's own reads would be among them.
_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]

# Where watchdog says that the kernel dropped events; it tells handlers nothing.
_OVERFLOW_LOGGERS = ("watchdog.observers.inotify_c", "watchdog.observers.inotify")


@dataclass(frozen=True, slots=True)
class News:
    """What events said since the last look.

    Attributes:
        files: Files that were created, closed after writing, or moved here.
        directories: Directories that appeared; what is in them had no events.
        lost: Events were dropped: anything may have happened.
    """

    files: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    lost: bool = False


@dataclass(slots=True)
class Inbox:
    """A bounded set of paths, filled by watchdog's threads and emptied by the loop."""

    wake: Callable[[], None]
    _files: dict[str, None] = field(default_factory=dict)
    _directories: dict[str, None] = field(default_factory=dict)
    _lost: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, path: str, *, is_directory: bool) -> None:
        """Add a path; a full inbox forgets the paths and remembers that it did."""
        with self._lock:
            if len(self._files) + len(self._directories) >= CAPACITY:
                self._lost = True
            if self._lost:
                self._files.clear()
                self._directories.clear()
            else:
                (self._directories if is_directory else self._files)[path] = None
        self.wake()

    def lose(self) -> None:
        """Events were dropped somewhere."""
        with self._lock:
            self._lost = True
        self.wake()

    def take(self) -> News:
        """Empty the inbox."""
        with self._lock:
            news = News(tuple(self._files), tuple(self._directories), self._lost)
            self._files.clear()
            self._directories.clear()
            self._lost = False
        return news


class _Handler(FileSystemEventHandler):
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def dispatch(self, event: FileSystemEvent) -> None:
        path = event.dest_path or event.src_path
        self._inbox.put(os.fsdecode(path), is_directory=event.is_directory)


class _OverflowHandler(logging.Handler):
    def __init__(self, inbox: Inbox) -> None:
        super().__init__(logging.WARNING)
        self._inbox = inbox

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002
        self._inbox.lose()


class Watcher:
    """Watches roots recursively and fills an inbox. Use it as a context manager."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._observer = Observer()
        self._overflow = _OverflowHandler(inbox)

    def __enter__(self) -> Watcher:
        for name in _OVERFLOW_LOGGERS:
            logging.getLogger(name).addHandler(self._overflow)
        self._observer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._observer.stop()
        self._observer.join()
        for name in _OVERFLOW_LOGGERS:
            logging.getLogger(name).removeHandler(self._overflow)

    def watch(self, roots: Sequence[str]) -> dict[str, PhotoramdError]:
        """Arm the watches; returns the roots that could not be watched, with the reason."""
        failed = {}
        for root in roots:
            try:
                self._observer.schedule(
                    _Handler(self._inbox), root, recursive=True, event_filter=_EVENTS
                )
            except OSError as error:
                failed[root] = _explain(root, error)
        return failed

    @property
    def is_alive(self) -> bool:
        """Whether watchdog's threads run."""
        return self._observer.is_alive() and all(e.is_alive() for e in self._observer.emitters)


def _explain(root: str, error: OSError) -> PhotoramdError:
    if error.errno in (errno.ENOSPC, errno.EMFILE):
        what = "max_user_watches" if error.errno == errno.ENOSPC else "max_user_instances"
        return PhotoramdError(
            f"the system's limit of inotify {what.rsplit('_', 1)[-1]} is reached;"
            " new photos are found by the regular scans only",
            path=root,
            remedy=f"raise the limit: sysctl fs.inotify.{what}=524288",
        )
    return PhotoramdError(
        f"cannot be watched: {error.strerror or error};"
        " new photos are found by the regular scans only",
        path=root,
        remedy="check that the directory exists and that this user may read it",
    )
