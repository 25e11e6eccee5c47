"""Run the model on groups of photos, some groups ahead of what is stored.

A GPU or another machine must not wait while results are stored and files are written. Each group
goes to one of a few threads, and one more group waits for the first that is free. A model on the
processor runs when a group is submitted: it would gain nothing.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from photoramd.database.photos import Job
from photoramd.pipeline.inference import Decoded
from photoramd.pipeline.scorer import Recalled, Scored
from photoramd.system.ending import NativeThread

_END_SECONDS = 1.0
"""How long `Groups.close` waits for calls that are under way, in all."""


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    members: Sequence[tuple[Job, Decoded]]
    pictures: Mapping[bytes, Decoded]
    result: Future[Scored]


class Groups:
    """The groups that the model works on. Belongs to one thread, which submits and takes.

    Args:
        infer: Runs the model on a group; called from several threads.
        at_once: Returns how many groups it is called with at a time; 0: when they are submitted.
    """

    def __init__(self, infer: Callable[[Recalled], Scored], at_once: Callable[[], int]) -> None:
        self._infer = infer
        self._at_once = at_once
        self._in_flight: list[_Group] = []
        self._waiting: queue.SimpleQueue[tuple[Recalled, Future[Scored]] | None] = (
            queue.SimpleQueue()
        )
        self._threads: list[NativeThread] = []

    def __len__(self) -> int:
        """Return how many groups were submitted and not taken."""
        return len(self._in_flight)

    @property
    def has_room(self) -> bool:
        """Whether another group may be submitted."""
        return len(self._in_flight) <= self._at_once()

    @property
    def is_any_done(self) -> bool:
        """Whether `take` would return something."""
        return any(each.result.done() for each in self._in_flight)

    @property
    def is_idle(self) -> bool:
        """Whether the model would begin with another group at once."""
        return sum(not each.result.done() for each in self._in_flight) < max(1, self._at_once())

    @property
    def futures(self) -> list[Future[Scored]]:
        """What is done when a group is."""
        return [each.result for each in self._in_flight]

    def find(self, digest: bytes) -> Decoded | None:
        """Return a picture that is in a group that was not taken, or None."""
        for each in self._in_flight:
            if digest in each.pictures:
                return each.pictures[digest]
        return None

    def submit(self, members: Sequence[tuple[Job, Decoded]], recalled: Recalled) -> None:
        """Have the model run on a group."""
        result: Future[Scored] = Future()
        pictures = {decoded.digest: decoded for _, decoded in members}
        self._in_flight.append(_Group(members, pictures, result))
        if not self._at_once() or not recalled.unseen:
            self._run(recalled, result)
            return
        if len(self._threads) < self._at_once():
            # A daemon's end must not wait for a call that hangs, as those of a pool would have it.
            thread = NativeThread(self._work, "infer")
            thread.start()
            self._threads.append(thread)
        self._waiting.put((recalled, result))

    def take(self) -> list[tuple[Sequence[tuple[Job, Decoded]], Scored]]:
        """Return the groups that are done, in the order in which they were submitted.

        Raises:
            Exception: What `infer` raised.
        """
        done = [each for each in self._in_flight if each.result.done()]
        self._in_flight = [each for each in self._in_flight if each not in done]
        return [(each.members, each.result.result()) for each in done]

    def close(self) -> None:
        """Give up what was not taken; a call that hangs is left behind."""
        for each in self._in_flight:
            each.result.cancel()
        self._in_flight.clear()
        for _ in self._threads:
            self._waiting.put(None)
        end = time.monotonic() + _END_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _work(self) -> None:
        while (asked := self._waiting.get()) is not None:
            self._run(*asked)

    def _run(self, recalled: Recalled, result: Future[Scored]) -> None:
        if not result.set_running_or_notify_cancel():
            return
        try:
            result.set_result(self._infer(recalled))
        except BaseException as error:
            result.set_exception(error)
