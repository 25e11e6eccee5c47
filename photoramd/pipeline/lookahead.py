"""Work ahead on photos in a few threads, and hand the results out in order."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from photoramd.errors import DecodeError, PhotoramdError

log = logging.getLogger(__name__)

T = TypeVar("T")


R = TypeVar("R")


class LookAhead(Generic[T, R]):
    """Works ahead on items in a few threads, and hands the results out in the items' order.

    Belongs to one thread, which submits and takes. Use it as a context manager.

    Args:
        work: Called with each item, from several threads at once. What it raises becomes the
            result of that item.
        threads: How many items are worked on at a time.
        depth: How many items may be submitted and not yet taken: the bound on memory.
        name: What the threads' names begin with.
    """

    def __init__(
        self, work: Callable[[T], R], *, threads: int, depth: int, name: str = "decode"
    ) -> None:
        self._work = work
        self._depth = depth
        self._in_flight: deque[tuple[T, Future[R | PhotoramdError]]] = deque()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    def __enter__(self) -> LookAhead[T, R]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Return how many items were submitted and not taken."""
        return len(self._in_flight)

    @property
    def room(self) -> int:
        """How many more items may be submitted now."""
        return self._depth - len(self._in_flight)

    @property
    def ready(self) -> int:
        """How many results are there and were not taken."""
        return sum(future.done() for _, future in self._in_flight)

    @property
    def futures(self) -> list[Future[R | PhotoramdError]]:
        """What is done when a result is there, in the items' order."""
        return [future for _, future in self._in_flight]

    def submit(self, item: T) -> None:
        """Begin work on an item as soon as a thread is free; does not wait.

        Raises:
            RuntimeError: There is no room, or the pool is closed.
        """
        if self.room <= 0:
            raise RuntimeError(f"no room: {self._depth} items are in flight")
        self._in_flight.append((item, self._pool.submit(self._run, item)))

    def take(self) -> tuple[T, R | PhotoramdError]:
        """Return the oldest item not yet taken and its result: what work returned, or its error.

        Raises:
            IndexError: There is no item.
        """
        item, future = self._in_flight[0]
        result = future.result()
        self._in_flight.popleft()
        return item, result

    def take_done(self, timeout: float) -> tuple[T, R | PhotoramdError]:
        """Return the oldest item whose result is there, and the result: one may take long.

        Args:
            timeout: Seconds to wait for a result.

        Raises:
            IndexError: There is no item.
            TimeoutError: No result is there yet; the items stay.
        """
        if not self._in_flight:
            raise IndexError("no item is in flight")
        wait(self.futures, timeout, FIRST_COMPLETED)
        for number, (item, future) in enumerate(self._in_flight):
            if future.done():
                del self._in_flight[number]
                return item, future.result()
        raise TimeoutError

    def results(self, items: Iterable[T]) -> Iterator[tuple[T, R | PhotoramdError]]:
        """Work on all items; yield each with its result, in order, as `take` returns it."""
        rest = iter(items)
        while True:
            for _, item in zip(range(self.room), rest, strict=False):
                self.submit(item)
            if not len(self):
                return
            yield self.take()

    def close(self) -> None:
        """Drop what was not taken and end the threads; waits for items being worked on."""
        for _, future in self._in_flight:
            future.cancel()
        self._in_flight.clear()
        self._pool.shutdown(wait=True)

    def _run(self, item: T) -> R | PhotoramdError:
        try:
            return self._work(item)
        except PhotoramdError as error:
            return error
        except Exception as error:
            # A bug, here or in a model, costs one photo; the log has what is needed to find it.
            log.exception("unexpected error while decoding")
            path = item if isinstance(item, str | os.PathLike) else None
            return DecodeError(f"unexpected error: {error!r}", path=path)
