"""Collect the paths of file system events (watchdog, inotify) in an inbox.

Events only save time: whatever they say is checked against the disk, and what they miss is
found by the next scan. The handler runs in watchdog's thread; it only adds a path to a bounded
set, because an exception there would end watchdog's thread for good.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.inotify import InotifyWatchGroup

from photoramd.errors import PhotoramdError
from photoramd.system.container import is_container

CAPACITY = 10_000
"""With more names than this, the next scan looks at everything."""

# Opened, modified and closed-without-writing events would halve the capacity of the kernel's
# queue, and the daemon's own reads would be among them. A deleted directory may be a root.
_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]

# watchdog logs here that the kernel dropped events, and does not tell handlers.
_OVERFLOW_LOGGERS = ("watchdog.observers.inotify_c", "watchdog.observers.inotify")


@dataclass(frozen=True, slots=True)
class EventBatch:
    """The events since the last call.

    Attributes:
        files: Files that were created, closed after writing, moved here, or deleted.
        directories: Directories that appeared, and had no events for files in them, or that
            disappeared.
        lost: Whether events were dropped, so that anything may have happened.
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
        """Record that events were dropped."""
        with self._lock:
            self._lost = True
        self.wake()

    def take(self) -> EventBatch:
        """Empty the inbox."""
        with self._lock:
            batch = EventBatch(tuple(self._files), tuple(self._directories), self._lost)
            self._files.clear()
            self._directories.clear()
            self._lost = False
        return batch


def _forget_quietly() -> None:
    """Work around a watchdog 7.1 KeyError when a moved directory's path is reused.

    watchdog 7.1 keeps the old path of a directory that was moved out of a root. If a new
    directory was made with that path and renamed, removing the first one raises a KeyError, which
    ends watchdog's reading thread or interrupts whatever stops the watch.
    """
    forget = getattr(InotifyWatchGroup, "_remove_watch_internally", None)
    if forget is None:
        return

    def forget_if_known(group: InotifyWatchGroup, number: int) -> None:
        with suppress(KeyError):
            forget(group, number)

    InotifyWatchGroup._remove_watch_internally = forget_if_known  # type: ignore[assignment, method-assign]


_forget_quietly()


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
    """Watches roots recursively and fills an inbox. Use it as a context manager.

    Each root is armed and disarmed separately. watchdog does not report that it could not watch
    some directories of a tree, or that its threads ended; `watched_files` and `is_alive` do.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._observer: BaseObserver | None = None
        self._watches: dict[str, ObservedWatch] = {}
        self._overflow = _OverflowHandler(inbox)

    def __enter__(self) -> Watcher:
        # After an overflow, watchdog logs a long warning for every watch that it adds twice.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")
        for name in _OVERFLOW_LOGGERS:
            logging.getLogger(name).addHandler(self._overflow)
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        for name in _OVERFLOW_LOGGERS:
            logging.getLogger(name).removeHandler(self._overflow)

    def arm(self, root: str) -> PhotoramdError | None:
        """Watch a root, again if it is watched already; return why that failed, if it did."""
        if self._observer is not None and not self._is_running():
            self._end()  # the other roots' watches end with it, which the supervisor notices
        self.disarm(root)
        try:
            observer = self._observer = self._observer or _begin()
            self._watches[root] = observer.schedule(
                _Handler(self._inbox), root, recursive=True, event_filter=_EVENTS
            )
        except OSError as error:
            return explain(root, error.errno, error.strerror or str(error))
        return None

    def disarm(self, root: str) -> None:
        """Stop watching a root; harmless if it is not watched."""
        watch = self._watches.pop(root, None)
        if watch is not None and self._observer is not None:
            # watchdog forgets a watch by itself when its thread has ended.
            with suppress(KeyError, OSError):
                self._observer.unschedule(watch)

    def is_alive(self, root: str) -> bool:
        """Return whether all threads run that a root's events pass through."""
        observer, watch = self._observer, self._watches.get(root)
        if observer is None or watch is None or not self._is_running():
            return False
        emitters = [each for each in observer.emitters if each.watch == watch]
        return bool(emitters) and all(each.is_alive() for each in emitters)

    @property
    def is_well(self) -> bool:
        """Whether no thread that all roots share has ended; the roots' own are for `is_alive`."""
        return self._observer is None or self._is_running()

    def _is_running(self) -> bool:
        """Return whether the threads run that all roots share."""
        observer = self._observer
        if observer is None:
            return False
        # The thread that reads from the kernel; watchdog has no public name for it.
        reader = getattr(observer, "_inotify_fd", observer)
        return bool(observer.is_alive() and reader.is_alive())

    def _end(self) -> None:
        self._watches.clear()
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join()


def _begin() -> BaseObserver:
    """Return a running observer; one that failed to begin leaves nothing behind."""
    observer = Observer()
    observer.start()
    return observer


def watched_files() -> set[tuple[int, int]]:
    """Return the device and inode of everything that this process's inotify instances watch.

    Format: proc_pid_fdinfo(5); the device number is the kernel's own, with the minor number in
    the lower 20 bits.
    """
    found: set[tuple[int, int]] = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}") != "anon_inode:inotify":
                continue
            content = Path(f"/proc/self/fdinfo/{name}").read_bytes()
            for inode, device in _WATCH_LINE.findall(content):
                number = int(device, 16)
                found.add((os.makedev(number >> 20, number & 0xFFFFF), int(inode, 16)))
    return found


_WATCH_LINE = re.compile(rb"^inotify wd:\S+ ino:([0-9a-f]+) sdev:([0-9a-f]+)", re.MULTILINE)


def explain(root: str, number: int | None, reason: str) -> PhotoramdError:
    """Return why a root has no events, and what to do; the number is an ``errno``."""
    if number in (errno.ENOSPC, errno.EMFILE):
        what = "max_user_watches" if number == errno.ENOSPC else "max_user_instances"
        return PhotoramdError(
            f"the system's limit of inotify {what.rsplit('_', 1)[-1]} is reached",
            path=root,
            remedy=f"raise the limit{' of the host' if is_container() else ''}:"
            f" sysctl fs.inotify.{what}=524288",
        )
    return PhotoramdError(
        f"cannot be watched: {reason}",
        path=root,
        remedy="check that the directory exists and that this user may read it",
    )
