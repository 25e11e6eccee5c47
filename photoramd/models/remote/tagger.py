"""A tagger whose model runs on other machines.

Each call takes a place at the worker that is likely to answer first, and another worker's if that
one fails. Workers that are away are looked at in threads of their own, so that nobody waits for
them. What goes wrong on the way is no picture's fault: it stays pending, and the model is
unavailable until a worker is well.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

from photoramd.clock import Monotonic, UnixTime, monotonic, unix_time
from photoramd.errors import ModelError, ModelUnavailableError, UndecidedError
from photoramd.models.description import Description
from photoramd.models.features import Vectors
from photoramd.models.known import known_pictures
from photoramd.models.preprocessing import Pixels, digest_of
from photoramd.models.remote.client import PROBE_SECONDS
from photoramd.models.remote.failures import (
    FailedPicturesError,
    Kind,
    LostPicturesError,
    WorkerError,
)
from photoramd.models.remote.fallback import Fallback
from photoramd.models.remote.link import Link
from photoramd.models.remote.protocol import ModelAnswer
from photoramd.models.remote.state import WorkerState
from photoramd.models.remote.suspects import Picture, Suspects
from photoramd.models.tagger import Scores, Tagger

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

T = TypeVar("T")


class Asks(Protocol):
    """What asks a worker: `photoramd.models.remote.client.Client`."""

    @property
    def url(self) -> str:
        """Its address."""

    def model(self) -> ModelAnswer:
        """Return what it is."""

    def scores(self, pictures: Sequence[Picture], seconds: float) -> tuple[Scores, Vectors | None]:
        """Return the scores of pictures."""

    def cut(self) -> None:
        """End what is under way."""

    def close(self) -> None:
        """End it for good."""


class RemoteTagger:
    """See `Tagger`, `FeatureTagger` and `Availability`; scores are asked for from any thread.

    No worker is asked before `step`, and `close` it at the end.

    Args:
        description: What the workers' model is.
        workers: What asks them.
        local: Loads the same model here, for when there is none; None: photos wait.
        wake: Called when a worker is well again, from any thread.
        clock: Returns the present time, for how long answers take.
    """

    def __init__(
        self,
        description: Description,
        workers: Sequence[Asks],
        *,
        local: Callable[[], Tagger] | None = None,
        wake: Callable[[], object] = lambda: None,
        clock: Callable[[], Monotonic] = monotonic,
        wall_clock: Callable[[], UnixTime] = unix_time,
    ) -> None:
        self.name = description.name
        self.revision = description.revision
        self.vocabulary = description.vocabulary
        self.crop = description.crop
        self.decode_side = self.crop.decode_side
        self._wake = wake
        self._clock = clock
        self._wall_clock = wall_clock
        self._fallback = None if local is None else Fallback(local, description.revision)
        self._suspects = Suspects()
        self._changed = threading.Condition()
        self._is_closed = False
        now, wall = clock(), wall_clock()
        self._links = {Link(each.url, now, wall): each for each in workers}

    @cached_property
    def _known(self) -> list[Picture]:
        return [(digest_of(each), each) for each in known_pictures(self.crop)]

    @property
    def at_once(self) -> int:
        """How many batches it takes at a time, each from a thread of its own."""
        with self._changed:
            places = [each.places for each in self._links if each.is_available]
        return sum(places) or 2 * len(self._links)

    @property
    def workers(self) -> tuple[WorkerState, ...]:
        """The workers as people are told of them, in the order of the configuration."""
        with self._changed:
            return tuple(each.state for each in self._links)

    @property
    def is_available(self) -> bool:
        """Whether a worker takes pictures, or this machine does in their place."""
        with self._changed:
            return any(each.is_available for each in self._links) or self._is_local

    @property
    def trouble(self) -> str:
        """Why no pictures are taken, as a sentence; empty if they are, or that is not known yet."""
        with self._changed:
            if self._is_local or any(e.is_available or not e.is_known for e in self._links):
                return ""
            states = [each.state for each in self._links]
        reasons = "; ".join(f"{each.url}: {each.reason}" for each in states)
        local = self._fallback.trouble if self._fallback else ""
        return "; ".join(filter(None, (f"no worker is available: {reasons}", local)))

    @property
    def is_hopeless(self) -> bool:
        """Whether no worker was ever available, or none has been for minutes."""
        now = self._clock()
        with self._changed:
            return not self._is_local and all(each.is_hopeless(now) for each in self._links)

    def step(self, now: Monotonic) -> None:
        """Look at the workers that are due, and give up late answers; does not wait."""
        with self._changed:
            due = [] if self._is_closed else [e for e in self._links if e.probe_due() <= now]
            for each in due:
                each.begin_probe(now)
            late = [each for each in self._links if each.late.take_late(now)]
        for each in late:
            self._links[each].cut()
        for each in due:
            # Its end does not wait for a name server or a machine that is away.
            threading.Thread(target=self._probe, args=(each,), name="worker", daemon=True).start()

    def deadline(self) -> Monotonic:
        """Return when `step` will have something to do if nothing else happens."""
        with self._changed:
            return min(each.deadline() for each in self._links)

    def close(self) -> None:
        """Cut what is under way; harmless if repeated."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for each in self._links.values():
            each.close()
        if self._fallback is not None:
            self._fallback.close()

    def pixels(self, image: Image.Image) -> Pixels:
        """Crop and resize, in this process."""
        return self.crop.pixels(image)

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        """See `photoramd.models.tagger.Tagger.scores`.

        Raises:
            ModelError: The model failed on this batch.
            ModelUnavailableError: No worker is available, or it went away.
        """
        return self.scores_and_features(batch)[0]

    def scores_and_features(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        """See `photoramd.models.features.FeatureTagger`.

        Raises:
            ModelError: The model failed on this batch.
            ModelUnavailableError: No worker is available, or it went away.
        """
        return self._scores([(digest_of(pixels), pixels) for pixels in batch])

    def scores_of(self, batch: Mapping[bytes, Pixels]) -> tuple[Scores, Vectors | None]:
        """See `photoramd.models.features.DigestTagger`.

        Raises:
            ModelError: The model failed on this batch.
            ModelUnavailableError: No worker is available, or it went away.
        """
        return self._scores(list(batch.items()))

    def _scores(self, pictures: list[Picture]) -> tuple[Scores, Vectors | None]:
        import numpy as np

        if any(self._suspects.is_guilty(each) for each in pictures):
            if len(pictures) == 1:
                self._suspects.clear(pictures)  # whoever asks once more gets another try
            raise ModelError("the model's process was lost with this picture, twice")
        found = [self._ask(part) for part in self._suspects.parts(pictures)]
        if len(found) == 1:
            return found[0]
        vectors = [each for _, each in found if each is not None]
        together = np.concatenate(vectors) if len(vectors) == len(found) else None
        return np.concatenate([scores for scores, _ in found]), together

    def _ask(self, pictures: list[Picture]) -> tuple[Scores, Vectors | None]:
        """Ask one worker after the other about pictures, until one answers."""
        asked: set[Link] = set()
        refusals: list[tuple[Link, FailedPicturesError]] = []
        while (link := self._take_place(asked)) is not None:
            try:
                return self._ask_one(link, pictures)
            except LostPicturesError as error:
                self._suspects.note_lost(pictures)
                raise ModelUnavailableError(f"{link.url}: {error.reason}") from error
            except FailedPicturesError as error:
                asked.add(link)
                refusals.append((link, error))
            except WorkerError:
                # Noted; another one may be well. One that is just busy may be asked again.
                if not link.is_available:
                    asked.add(link)
        if refusals:
            link, refusal = refusals[0]
            reason = f"the model failed on {link.url}: {refusal}"
            # A group is not decided about: each of it is asked about alone.
            if len(pictures) == 1 and self._has_hope_beside({each for each, _ in refusals}):
                raise UndecidedError(reason) from refusal
            raise ModelError(reason) from refusal
        if self._fallback is not None and not self._is_closed:
            return self._fallback.scores_and_features([pixels for _, pixels in pictures])
        raise ModelUnavailableError(self.trouble or "no worker is available")

    def _has_hope_beside(self, refused: set[Link]) -> bool:
        """Return whether another worker than those that refused pictures may soon be asked."""
        now = self._clock()
        with self._changed:
            return not all(each in refused or each.is_hopeless(now) for each in self._links)

    def _take_place(self, asked: set[Link]) -> Link | None:
        """Return a worker with a place for a request, waiting for one; None: none is available."""
        with self._changed:
            while not self._is_closed:
                now = self._clock()
                able = [e for e in self._links if e.is_available and e not in asked]
                free = [each for each in able if each.has_place(now)]
                if free:
                    link = min(free, key=lambda each: each.burden)
                    link.in_flight += 1
                    return link
                if not able and not any(each.is_new for each in self._links):
                    return None
                due = min((each.place_due(now) for each in able), default=math.inf)
                self._changed.wait(due if math.isfinite(due) else None)
        return None

    def _ask_one(self, link: Link, pictures: list[Picture]) -> tuple[Scores, Vectors | None]:
        """Ask a worker about pictures, in its place for a request."""
        failure: WorkerError | None = None
        try:
            found = self._try(link, pictures)
            self._suspects.clear(pictures)
            return found
        except WorkerError as error:
            failure = error
            raise
        finally:
            now, wall = self._clock(), self._wall_clock()
            with self._changed:
                link.in_flight -= 1
                if failure is None:
                    link.answered(now, wall)
                elif not self._is_closed:
                    link.failed(failure, now, wall)
                self._changed.notify_all()

    def _try(self, link: Link, pictures: list[Picture]) -> tuple[Scores, Vectors | None]:
        """Ask a worker about pictures; known ones show whether these are to blame.

        Raises:
            FailedPicturesError: They are: it answers well what it is asked about known ones.
            WorkerError: It is away, or fails with any picture.
        """
        try:
            return self._call(link, pictures)
        except FailedPicturesError as error:
            self._require_well(link, error)
            raise
        except WorkerError as error:
            if error.kind is not Kind.ANSWER:
                raise
            self._require_well(link, error)
        # It may have been the answer of one that was ending, or had too many connections.
        try:
            return self._call(link, pictures)
        except WorkerError as error:
            if error.kind is not Kind.ANSWER:
                raise
            raise FailedPicturesError(str(error)) from error

    def _require_well(self, link: Link, failure: Exception) -> None:
        """Ask a worker that failed with some pictures about known ones.

        Raises:
            WorkerError: It is away, or fails with any picture.
        """
        try:
            self._call(link, self._known)
        except FailedPicturesError as error:
            raise WorkerError(
                Kind.ANSWER, f"its model fails with every picture: {error}", "see its log"
            ) from failure
        except LostPicturesError as error:
            # That is no more the fault of these pictures than of the known ones.
            raise WorkerError(error.kind, error.reason, error.remedy) from failure

    def _call(self, link: Link, pictures: list[Picture]) -> tuple[Scores, Vectors | None]:
        with self._changed:
            limit, began = link.rates.limit(len(pictures)), self._clock()
            end = link.late.expect(Monotonic(began + limit))
        try:
            found = _only_ours(lambda: self._links[link].scores(pictures, limit))
            with self._changed:
                link.rates.learn(len(pictures), self._clock() - began)
            return found
        finally:
            with self._changed:
                end()

    def _probe(self, link: Link) -> None:
        with self._changed:
            end = link.late.expect(Monotonic(self._clock() + PROBE_SECONDS))
        answer: ModelAnswer | WorkerError
        try:
            answer = _only_ours(self._links[link].model)
        except WorkerError as error:
            answer = error
        with self._changed:
            end()
            if self._is_closed:
                return
            now, wall = self._clock(), self._wall_clock()
            if isinstance(answer, WorkerError):
                link.missed(answer, now, wall)
            else:
                link.found(answer, now, wall)
            self._changed.notify_all()
        self._wake()

    @property
    def _is_local(self) -> bool:
        """Whether this machine takes pictures, after all workers were looked at."""
        if self._fallback is None or self._fallback.trouble:
            return False
        return all(each.is_known and not each.is_available for each in self._links)


def _only_ours(ask: Callable[[], T]) -> T:
    """Return an answer; a bug costs it, not the thread that waits for it.

    Raises:
        FailedPicturesError: As `ask` does.
        WorkerError: As `ask` does, or it failed otherwise.
    """
    try:
        return ask()
    except (WorkerError, FailedPicturesError):
        raise
    except Exception as error:
        log.exception("Unexpected error while a worker was asked")
        raise WorkerError(Kind.ANSWER, f"unexpected error: {error!r}") from error
