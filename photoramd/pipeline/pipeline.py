"""Take photos through the pipeline in batches: decode -> tag -> save -> write.

Decoding runs ahead in a small pool; the model, the database and the writer belong to
the thread that calls `Pipeline.step`. Memory is bounded by the look-ahead, whatever the
number of photos.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.contained.client import Contained
from photoramd.database.photos import Job
from photoramd.database.queue import Queue
from photoramd.database.results import Results
from photoramd.errors import (
    ChangedError,
    LostError,
    ModelUnavailableError,
    PhotoramdError,
    StoppedError,
    StoreError,
    ToolError,
    UndecidedError,
    printable,
)
from photoramd.models.lazy import LazyTagger
from photoramd.models.rules import select
from photoramd.photo import Photo, PhotoState, Tag
from photoramd.pipeline.inference import BatchSizer, Decoded, decode_input
from photoramd.pipeline.lookahead import LookAhead
from photoramd.pipeline.renewal import Renewal
from photoramd.pipeline.tagging import KeywordSource, Tagging
from photoramd.pipeline.writer import Writer
from photoramd.system import beneath

log = logging.getLogger(__name__)

ABSENT_SECONDS = 60.0
"""When what is absent now, a photo or a machine that looks at it, is looked for again."""

ORPHAN_SECONDS = 3600.0
"""When a sidecar that could not be removed with its photo is looked at again."""

_LOOK_SECONDS = 0.25  # how often to look for a stop while a photo is decoded

REST_SECONDS = 60.0
"""When the memory of workers is given back after the last photo."""

WRITES_TOGETHER = 8
"""Photos whose files are written together: a stop waits for them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one photo in one step.

    Attributes:
        path: The photo.
        state: ``WRITTEN``; ``TAGGED``: not written yet, see the error; ``FAILED``;
            ``PENDING``: it changed and is looked at again, or the model is not available.
        tags: Its keywords, the surest first.
        error: Why it was not written, or failed, or waits.
        inferred: Whether the model ran for it; equal pictures share one result.
        seconds: Its share of the time that the step took.
        is_undone: Whether its tags were taken back, not written.
    """

    path: Path
    state: PhotoState
    tags: Sequence[Tag] = ()
    error: PhotoramdError | None = None
    inferred: bool = False
    seconds: float = 0.0
    is_undone: bool = False


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """The limits of a pipeline.

    Attributes:
        max_pixels: Photos with more are refused.
        batch_size: How many photos a step takes.
        threads: How many photos are decoded at a time.
        quiet_seconds: How long a photo that changed is left alone.
        renews: Whether photos that an earlier revision of the model tagged are tagged again.
    """

    max_pixels: int
    batch_size: int
    threads: int
    quiet_seconds: float = 5
    renews: bool = False


class Pipeline:
    """Takes due photos from the queue through all steps. Use it as a context manager.

    Args:
        queue: The photos that wait.
        results: Scores and keywords.
        writer: Writes the keywords.
        source: The model and the rules.
        settings: The limits.
        contained: What decodes; it is stopped with the pipeline. It is asked whether to go on
            after each part of a step that may take long, and while one is awaited; if not, the
            rest of the batch stays in the queue.
    """

    def __init__(
        self,
        queue: Queue,
        results: Results,
        writer: Writer,
        source: KeywordSource,
        settings: PipelineSettings,
        contained: Contained,
    ) -> None:
        self._queue = queue
        self._results = results
        self._writer = writer
        self._tagger = tagger = source.tagger
        self._rules = source.rules
        self._batch_size = settings.batch_size
        self._quiet_seconds = settings.quiet_seconds
        self._proceed = contained.is_wanted
        self._tagging = Tagging(source, results, settings.batch_size, self._proceed)
        self._in_flight: set[int] = set()
        self._busy_at = time.monotonic()
        # Whether the one photo in flight may be what an earlier process died of.
        self._is_quarantined = False
        self._is_checked = False
        # Photos that the model ran for and that were not reported yet.
        self._unreported: set[int] = set()
        # The last photo whose settings were checked; None if all were.
        self._checked_until: int | None = 0
        self._renewal = Renewal(
            results, self._tagging.scorer, tagger, 2 * settings.batch_size, renews=settings.renews
        )

        self._contained = contained
        # What a worker was lost with gets no thumbnail: perhaps that was what it died of.
        self._without_thumbnail = without_thumbnail = set[int]()

        def work(job: Job) -> Decoded:
            thumbnails = None if job.id in without_thumbnail else source.thumbnails
            most = settings.max_pixels
            return decode_input(tagger, job.photo.path, most, contained, thumbnails)

        self._decoding = LookAhead(work, threads=settings.threads, depth=2 * settings.batch_size)

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as closing:
            # Whatever fails here: no photo that is only left out is one that this process died of.
            closing.callback(self._abandon)
            closing.callback(self._contained.close)
            closing.callback(self._decoding.close)
            closing.callback(self._tagging.close)
            self._contained.stop()  # the next process begins with what is being decoded

    def _abandon(self) -> None:
        if self._in_flight:
            self._queue.abandon(self._in_flight)

    @property
    def pace(self) -> BatchSizer:
        """How many pictures the model was given, and how long it took."""
        return self._tagging.pace

    def step(
        self, now: UnixTime, *, infers: bool = True, scans: bool = False, renews: bool = False
    ) -> list[Outcome]:
        """Take one batch as far as it goes; return an empty list if nothing is due.

        Args:
            now: The present time.
            infers: Whether photos may be decoded and tagged; if not, only what is already
                tagged is written.
            scans: Whether a scan may yet find photos, which come before those that an earlier
                process may have died of.
            renews: Whether nothing else is to be done, so that photos may be renewed.

        Raises:
            StoreError: The database failed; nothing is lost.
        """
        began = time.monotonic()
        if not self._is_checked:
            self._is_checked = True
            for job in self._queue.convict(now):
                log.warning("%s: photoramd has died of it twice", printable(job.photo.path))
        if infers:
            self._fill(now, may_try_suspects=not scans)
        outcomes = self._begin(self._take(), now)
        if self._proceed() and not self._can_begin:
            self._tagging.wait(_LOOK_SECONDS, self._decoding.futures)
        outcomes += self._finish(now)
        outcomes += self._write(now)
        if outcomes or self._in_flight:
            self._busy_at = began
        elif began - self._busy_at > REST_SECONDS:
            self._contained.rest()
        if not outcomes:
            self._writer.report_fallbacks()
            self._remove_orphans(now)
            if infers and renews:
                self._renewal.step()
        seconds = (time.monotonic() - began) / max(1, len(outcomes))
        return [replace(outcome, seconds=seconds) for outcome in outcomes]

    def retry(self) -> None:
        """Retry file systems that refused a write, at the operator's request."""
        self._writer.retry()

    def _fill(self, now: UnixTime, *, may_try_suspects: bool) -> None:
        room = self._decoding.room
        self._is_quarantined &= bool(self._in_flight)
        if room and not self._is_quarantined:
            jobs = self._queue.due(now, room, skip=self._in_flight)
            if may_try_suspects and not jobs and not self._in_flight:
                jobs = list(filter(None, [self._queue.suspect(now)]))
                self._is_quarantined = bool(jobs)
                self._without_thumbnail.clear()
                self._without_thumbnail.update(job.id for job in jobs)
            if jobs and isinstance(self._tagger, LazyTagger):
                self._tagger.load()  # here: its errors are no photo's
            if jobs:
                self._queue.begin(jobs)
            for job in jobs:
                self._in_flight.add(job.id)
                self._decoding.submit(job)

    @property
    def _can_begin(self) -> bool:
        return self._tagging.can_begin(self._decoding.ready)

    def _take(self) -> list[tuple[Job, Decoded | PhotoramdError]]:
        """Take what is decoded; wait for it if the model has nothing else to do."""
        taken: list[tuple[Job, Decoded | PhotoramdError]] = []
        patience = _LOOK_SECONDS if self._tagging.is_waiting else 0.0
        if not patience and not self._can_begin:
            return taken
        while len(taken) < self._batch_size and len(self._decoding) and self._proceed():
            try:
                job, decoded = self._decoding.take_done(patience)
            except TimeoutError:
                if taken or not patience:
                    break  # the others need not wait for one that takes long
                continue
            if isinstance(decoded, StoppedError):
                break
            taken.append((job, decoded))
        return taken

    def _begin(
        self, batch: Sequence[tuple[Job, Decoded | PhotoramdError]], now: UnixTime
    ) -> list[Outcome]:
        """Give a batch to the model; one bad photo costs only itself."""
        outcomes = []
        good: list[tuple[Job, Decoded]] = []
        for job, decoded in batch:
            if (
                not isinstance(decoded, PhotoramdError)
                and decoded.fingerprint == job.photo.fingerprint
            ):
                good.append((job, decoded))
                continue
            self._in_flight.remove(job.id)
            if isinstance(decoded, PhotoramdError):
                outcomes.append(self._give_up(job, decoded, now))
            else:
                changed = Photo(job.photo.path, decoded.fingerprint)
                outcomes.append(self._look_again(changed, now))
        self._tagging.begin(good)
        return outcomes

    def _finish(self, now: UnixTime) -> list[Outcome]:
        """Take what the model is done with."""
        finished = self._tagging.finish(now)
        if finished.left_out:
            self._queue.abandon([job.id for job in finished.left_out])
        self._in_flight.difference_update(job.id for job in finished.jobs)
        self._unreported |= finished.fresh
        return [self._give_up(job, error, now) for job, error in finished.failed]

    def _write(self, now: UnixTime) -> list[Outcome]:
        due = self._queue.due_writes(now, self._batch_size)
        if not due and self._choose_again():
            due = self._queue.due_writes(now, self._batch_size)
        outcomes = []
        for start in range(0, len(due), WRITES_TOGETHER):
            if self._proceed():
                outcomes += self._write_some(due[start : start + WRITES_TOGETHER], now)
        return outcomes

    def _write_some(self, due: Sequence[Job], now: UnixTime) -> list[Outcome]:
        outcomes = []
        tags: dict[int, list[Tag]] = {}
        batch = []
        for job in due:
            present = beneath.fingerprint(job.photo.path)
            if present is None:
                # Moved, removed, or its disk is gone: write no sidecar there.
                self._queue.postpone(job, UnixTime(now + ABSENT_SECONDS))
            elif present != job.photo.fingerprint:
                # The keywords are those of another picture.
                outcomes.append(self._look_again(Photo(job.photo.path, present), now))
            else:
                tags[job.id] = self._results.tags(job.id)
                batch.append((job, tags[job.id]))
        for job, error in self._writer.write(batch, now):
            state = PhotoState.WRITTEN if error is None else PhotoState.TAGGED
            is_new = job.id in self._unreported
            self._unreported.discard(job.id)
            outcomes.append(
                Outcome(job.photo.path, state, tags[job.id], error, is_new, is_undone=job.is_undone)
            )
        return outcomes

    def _remove_orphans(self, now: UnixTime) -> None:
        """Remove sidecars of ours alone whose photos are gone."""
        for job in self._queue.orphans(now, self._batch_size):
            try:
                removed = self._writer.remove_orphan(job, now)
            except StoreError:
                raise
            except PhotoramdError as error:
                log.debug("An orphaned sidecar stays for now: %s", error)
                self._queue.postpone(job, UnixTime(now + ORPHAN_SECONDS))
            else:
                if removed is not None:
                    log.info("%s: removed, as its photo is gone", printable(removed))

    def choose_again(self) -> None:
        """Check all photos again for keywords that were chosen with old settings."""
        self._checked_until = 0

    def _choose_again(self) -> bool:
        """Choose keywords with the present settings for one batch of photos that need it."""
        if self._checked_until is None:
            return False
        tagger = self._tagger
        if not self._results.has_outdated(self._checked_until):
            self._checked_until = None
            return False
        outdated = self._results.outdated(
            tagger.name, tagger.revision, self._checked_until, self._batch_size
        )
        self._checked_until = outdated[-1].photo_id if outdated else None
        self._results.choose_again(
            [
                (each.photo_id, None)
                if each.scores is None
                else (each.photo_id, select(tagger.vocabulary, each.scores, self._rules))
                for each in outdated
            ]
        )
        return bool(outdated)

    def _give_up(self, job: Job, error: PhotoramdError, now: UnixTime) -> Outcome:
        if isinstance(error, ChangedError):
            return self._look_again(job.photo, now)
        if isinstance(error, ModelUnavailableError):
            # The model goes on with others, so an undecided one would be tried again at once.
            is_undecided = isinstance(error, UndecidedError)
            self._queue.postpone(job, UnixTime(now + ABSENT_SECONDS) if is_undecided else now)
            return Outcome(job.photo.path, PhotoState.PENDING, error=error)
        is_suspect = isinstance(error, LostError) and not self._is_quarantined
        if is_suspect or isinstance(error, ToolError):
            # Lost, it is tried once more, alone. Without workers nothing can be decoded now.
            until = now if is_suspect else UnixTime(now + ABSENT_SECONDS)
            self._queue.postpone(job, until, is_suspect=is_suspect)
            return Outcome(job.photo.path, PhotoState.PENDING, error=error)
        if not beneath.exists(job.photo.path):
            # Removed, or its disk is gone, which a scan finds out: not a failure of the photo.
            self._queue.postpone(job, UnixTime(now + ABSENT_SECONDS))
            return Outcome(job.photo.path, PhotoState.PENDING)
        self._queue.fail(job, error.message, now, is_suspect=isinstance(error, LostError))
        return Outcome(job.photo.path, PhotoState.FAILED, error=error)

    def _look_again(self, photo: Photo, now: UnixTime) -> Outcome:
        """Queue a file that changed while it waited or was read, for after the quiet period."""
        self._queue.enqueue([photo], now, not_before=UnixTime(now + self._quiet_seconds))
        return Outcome(photo.path, PhotoState.PENDING)
