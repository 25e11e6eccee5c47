"""Have the same thing done once for all who want it at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from photoramd.errors import BusyError

T = TypeVar("T")


class Flights(Generic[T]):
    """What is being done now; used from any thread.

    Args:
        most: How many things may be done, or wait for their turn, at a time.
        threads: How many are done at a time.
        wait_seconds: How long to wait for a turn, or for another thread's result.
    """

    def __init__(self, most: int, threads: int, wait_seconds: float) -> None:
        self._most = most
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(threads)
        self._flying: dict[Hashable, Future[T]] = {}

    def do(self, name: Hashable, work: Callable[[], T]) -> T:
        """Return the result of work, or of the same work of another thread.

        Args:
            name: Work of the same name has the same result.
            work: Does it; what it raises is raised in all threads that wait for it.

        Raises:
            BusyError: Too much is being done, or it takes too long.
        """
        with self._lock:
            others = self._flying.get(name)
            if others is None:
                if len(self._flying) >= self._most:
                    raise _busy()
                ours: Future[T] = Future()
                self._flying[name] = ours
        if others is not None:
            try:
                return others.result(self._wait_seconds)
            except TimeoutError as error:
                raise _busy() from error
        try:
            result = self._done(work)
        except BaseException as error:
            ours.set_exception(error)
            raise
        else:
            ours.set_result(result)
            return result
        finally:
            with self._lock:
                del self._flying[name]

    def _done(self, work: Callable[[], T]) -> T:
        if not self._turns.acquire(timeout=self._wait_seconds):
            raise _busy()
        try:
            return work()
        finally:
            self._turns.release()


def _busy() -> BusyError:
    return BusyError("too many pictures are being made", remedy="ask again in some seconds")
