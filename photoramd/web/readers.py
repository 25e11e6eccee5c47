"""Ask the database in threads, a bounded number at a time, and never for long."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from anyio import CapacityLimiter, move_on_after, sleep, to_thread
from starlette.exceptions import HTTPException

from photoramd.database.readonly import open_readonly, snapshot, uri_options
from photoramd.errors import PhotoramdError, UsageError
from photoramd.search.sets import Sets
from photoramd.search.situation import Situation

T = TypeVar("T")

SECONDS = 2.0
"""A question that takes longer is given up."""

_THREADS = 4

_PREPARING_SECONDS = 20.0
"""So long questions that need all sets wait for them after the start."""

_LOOK_SECONDS = 0.02

_STEPS = 10_000
"""SQLite looks at the clock after so many steps of its machine: some 0.1 ms."""


class SlowQuestionError(PhotoramdError):
    """A question took too long and was given up."""


def identity(database: Path) -> object:
    """Return what is another one as soon as a connection no longer sees what is written.

    That is so when another file is in the database's place; and, where SQLite may not create files
    beside it (`uri_options`), when a writer comes, goes, or writes.
    """
    try:
        status = database.stat()
        is_own = status.st_uid == os.geteuid() and os.access(database.parent, os.W_OK)
        options = uri_options(database, is_own)
        found = (status.st_dev, status.st_ino, options)
        if is_own:
            return found
        if "immutable" in options:
            return (*found, status.st_size, status.st_mtime_ns)
        return (*found, database.with_name(database.name + "-wal").stat().st_ino)
    except OSError:
        return None


class Reader:
    """A read-only connection with the sets that it has read. One thread at a time uses it.

    Args:
        database: The file.

    Raises:
        StoreError: The database cannot be read.
    """

    def __init__(self, database: Path) -> None:
        self.identity = identity(database)
        self.connection = open_readonly(database)
        try:
            self._ends_at: float | None = None
            self.connection.set_progress_handler(self._is_late, _STEPS)
            self.sets = Sets(self.connection)
            self._is_prepared = False
        except BaseException:
            self.connection.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def share(self, identity: object, prepared: Sets) -> None:
        """Use what another reader of a database has read, if it is the same one."""
        if identity == self.identity and not self._is_prepared:
            self.sets = Sets(self.connection, like=prepared)
            self._is_prepared = True

    @contextmanager
    def situation(self) -> Iterator[Situation]:
        """Let a ``with`` block ask one state of the database, with its sets."""
        with snapshot(self.connection):
            self.sets.refresh()
            yield Situation(self.connection, self.sets)

    def ask(self, question: Callable[[Reader], T], seconds: float) -> T:
        """Return the answer to a question.

        Raises:
            SlowQuestionError: It took longer than that.
            PhotoramdError: From the question.
        """
        self._ends_at = time.monotonic() + seconds
        try:
            self.sets.refresh()
            return question(self)
        except (PhotoramdError, sqlite3.Error) as error:
            if time.monotonic() > self._ends_at:
                raise SlowQuestionError(
                    f"the answer would take longer than {seconds:g} s",
                    remedy="narrow the query down, with a tag, a date or a folder",
                ) from error
            raise
        finally:
            self._ends_at = None

    def _is_late(self) -> bool:
        return self._ends_at is not None and time.monotonic() > self._ends_at


class Readers:
    """A few readers of one database, opened as they are needed and again after trouble.

    Args:
        database: The file.
        seconds: How long a question may take.
    """

    def __init__(self, database: Path, seconds: float = SECONDS) -> None:
        self._database = database
        self._seconds = seconds
        self._idle: list[Reader] = []
        self._lock = threading.Lock()
        self._limiter: CapacityLimiter | None = None
        self._prepared: tuple[object, Sets] | None = None
        self._is_ready = threading.Event()
        self._is_ready.set()

    async def ask(self, question: Callable[[Reader], T], *, needs_all: bool = False) -> T:
        """Return the answer to a question, which a thread asks.

        Args:
            question: What is asked.
            needs_all: Whether it needs most sets, for which it waits if they are being read.

        Raises:
            SlowQuestionError: It took too long.
            StoreError: The database cannot be read.
            PhotoramdError: From the question.
        """
        if self._limiter is None:  # it belongs to the event loop
            self._limiter = CapacityLimiter(_THREADS)
        if needs_all:
            with move_on_after(_PREPARING_SECONDS):
                while not self._is_ready.is_set():
                    await sleep(_LOOK_SECONDS)
        return await to_thread.run_sync(self.ask_here, question, limiter=self._limiter)

    def ask_here(self, question: Callable[[Reader], T]) -> T:
        """Return the answer to a question, asked in this thread; raises as `ask` does."""
        return self._answer(question, self._seconds)

    def begin(self) -> None:
        """Have questions that need most sets wait for the first `prepare`."""
        self._is_ready.clear()

    def prepare(self, read: Callable[[Reader], object]) -> None:
        """Read what questions need, however long it takes; all readers share it from then on.

        Raises:
            StoreError: The database cannot be read.
        """

        def share(reader: Reader) -> None:
            read(reader)
            self._prepared = reader.identity, Sets(reader.connection, like=reader.sets)

        try:
            self._answer(share, math.inf)
        finally:
            self._is_ready.set()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()

    def _answer(self, question: Callable[[Reader], T], seconds: float) -> T:
        with self._lock:
            reader = self._idle.pop() if self._idle else None
        if reader is not None and reader.identity != identity(self._database):
            reader.close()
            reader = None
        if reader is None:
            reader = Reader(self._database)
        try:
            if (prepared := self._prepared) is not None:
                reader.share(*prepared)
            answer = reader.ask(question, seconds)
        except (UsageError, HTTPException, SlowQuestionError):
            self._give_back(reader)
            raise
        except BaseException:
            # A damaged or replaced database must not stay open.
            with closing(reader):
                raise
        self._give_back(reader)
        return answer

    def _give_back(self, reader: Reader) -> None:
        with self._lock:
            self._idle.append(reader)
