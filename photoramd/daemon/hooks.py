"""Announce tagged photos to the user's program or server, beside the loop.

The loop only puts photos into a bounded queue; a thread delivers them. The queue is in memory, so
that across crashes a photo is delivered at most once; within a run what failed is tried again,
though it may have had an effect. Whoever needs every photo asks the database.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic

from photoramd.config.hooks import Hooks
from photoramd.daemon.delivery import DeliveryError, TaggedPhoto, deliver
from photoramd.errors import StoppedError
from photoramd.photo import PhotoState
from photoramd.pipeline.pipeline import Outcome

log = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""So many photos wait at most, some 10 MB."""

ATTEMPTS = 5
"""How often a delivery is tried."""

FIRST_PAUSE_SECONDS = 1.0
"""The pause after the first attempt; each further one is twice as long."""

STOP_SECONDS = 3.0
"""How long a stop waits for what is under way."""

_KILL_SECONDS = 1.0


class Announcer:
    """Delivers photos in a thread of its own. Use it as a context manager.

    Args:
        most_waiting: How many photos wait at most; more are dropped.
        first_pause_seconds: The pause after the first attempt.
    """

    def __init__(
        self,
        *,
        most_waiting: int = MOST_WAITING,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._most_waiting = most_waiting
        self._first_pause_seconds = first_pause_seconds
        self._hooks = Hooks()
        self._changed = threading.Condition()
        # Each with the time when it came.
        self._waiting: deque[tuple[float, TaggedPhoto]] = deque()
        self._dropped = 0
        self._is_closing = False
        self._is_ended = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Announcer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def configure(self, hooks: Hooks) -> None:
        """Use these settings from now on, for what waits and what is tried again, too."""
        with self._changed:
            if hooks == self._hooks:
                return
            self._hooks = hooks
            if not hooks.tagged:
                self._waiting.clear()
            self._changed.notify_all()

    def put(self, outcomes: Sequence[Outcome]) -> None:
        """Have those photos announced whose keywords were written; never wait."""
        photos = [
            TaggedPhoto(os.fspath(outcome.path), outcome.tags)
            for outcome in outcomes
            if outcome.state == PhotoState.WRITTEN and not outcome.is_undone
        ]
        now = monotonic()
        with self._changed:
            if not photos or not self._hooks.tagged or self._is_closing:
                return
            room = self._most_waiting - len(self._waiting)
            self._waiting.extend((now, photo) for photo in photos[:room])
            self._dropped += max(0, len(photos) - room)
            self._changed.notify_all()
            if self._thread is None:
                # A program that cannot be ended, on a failing disk, must not keep the process.
                thread = threading.Thread(target=self._run, name="hooks", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # no more threads; the next photo tries again
                    log.warning("Photos cannot be announced now: %s", error)
                else:
                    self._thread = thread

    def close(self, patience_seconds: float | None = STOP_SECONDS) -> None:
        """Deliver what waits, without waiting for more; then end what is still under way.

        Args:
            patience_seconds: How long that may take; None: until everything was delivered, or
                something was given up.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._thread is None:
            return
        try:
            self._thread.join(patience_seconds)
        finally:
            with self._changed:
                self._is_ended = True
                self._changed.notify_all()
            self._thread.join(_KILL_SECONDS)

    def _run(self) -> None:
        left = 0
        while batch := self._next_batch():
            try:
                is_delivered = self._deliver(batch)
            except StoppedError:
                left = len(batch)
                break
            self._report_dropped()
            if self._is_closing and not is_delivered:
                break  # the others would fail as well, and somebody waits
        left += len(self._waiting)
        if left:
            log.warning("Not announced before photoramd stopped: %s", _count(left))

    def _report_dropped(self) -> None:
        with self._changed:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            log.warning("Not announced: %s, as too many waited for the hook", _count(dropped))

    def _next_batch(self) -> list[TaggedPhoto]:
        """Wait until photos are due and take them; return none when it is time to end."""
        with self._changed:
            while not self._is_ended:
                if not self._waiting:
                    if self._is_closing:
                        return []
                    self._changed.wait()
                    continue
                since, _ = self._waiting[0]
                pause = since + self._hooks.wait_seconds - monotonic()
                is_full = len(self._waiting) >= self._hooks.max_photos
                if is_full or self._is_closing or pause <= 0:
                    return self._take()
                self._changed.wait(pause)
        return []

    def _take(self) -> list[TaggedPhoto]:
        """Take photos that can be told of together: one whose path is no text goes alone."""
        batch: list[TaggedPhoto] = []
        while self._waiting and len(batch) < self._hooks.max_photos:
            _, photo = self._waiting[0]
            if batch and not (batch[0].is_utf8 and photo.is_utf8):
                break
            batch.append(photo)
            self._waiting.popleft()
        return batch

    def _deliver(self, batch: Sequence[TaggedPhoto]) -> bool:
        """Deliver photos, in several attempts if need be; return whether that is settled.

        Raises:
            StoppedError: It was time to end first.
        """
        for attempt in range(1, ATTEMPTS + 1):
            hooks = self._hooks
            if not hooks.tagged:
                return True  # switched off meanwhile
            try:
                deliver(hooks, batch, lambda: not self._is_ended)
            except DeliveryError as error:
                if error.is_final or attempt == ATTEMPTS:
                    log.warning("Not announced: %s: %s", _count(len(batch)), error)
                    return False
                log.debug("Attempt %d to announce photos failed: %s", attempt, error)
            except StoppedError:
                raise
            except Exception:
                # A bug costs these photos, not the thread.
                log.exception("Unexpected error while photos were announced")
                return False
            else:
                log.debug("Announced: %s", _count(len(batch)))
                return True
            self._pause(self._first_pause_seconds * 2 ** (attempt - 1), hooks)
        raise AssertionError("the last attempt returns")

    def _pause(self, seconds: float, hooks: Hooks) -> None:
        """Wait, unless there are other settings; raise a StoppedError if it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_ended or self._hooks is not hooks, seconds)
        if self._is_ended:
            raise StoppedError("photoramd stops")


def _count(photos: int) -> str:
    return "1 photo" if photos == 1 else f"{photos} photos"
