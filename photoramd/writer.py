"""What to write where: keywords into sidecars, and the ledger of what was added.

A batch is written in four steps: every new sidecar is prepared as a temporary file, one
commit records what is about to be put in place, the temporaries take their places, one
commit records that they did. A process that dies in between is cleared up after by
`Writer.recover`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from photoramd import embedded, replace, sidecar
from photoramd.errors import ChangedError, PhotoramdError, StoreError, WriteError, printable
from photoramd.keywords import fold
from photoramd.ledger import Ledger, Write
from photoramd.photo import Fingerprint, Tag
from photoramd.replace import Prepared
from photoramd.store import Job
from photoramd.xmp_keywords import Mark, add_subjects, subjects

log = logging.getLogger(__name__)

FIELD = "dc:subject"

REST_SECONDS = 60.0
"""How long a file system is left alone after it refused a write for a reason of its own."""

CHANGED_SECONDS = 5.0
"""When to try again after another program wrote the sidecar at the same time."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who gives the keywords, for the machine's mark: a model and its revision."""

    model: str
    revision: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of a photo's sidecar.

    Attributes:
        target: The sidecar; None if there is none and none is needed.
        content: Its new bytes; None if it stays as it is.
        expected: What it must still look like; None: it must not exist.
        additions: The keywords that are new in it.
        rejected: Keywords that were added once and that the user took out.
    """

    target: Path | None = None
    content: bytes | None = None
    expected: Fingerprint | None = None
    additions: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()


class Writer:
    """Writes the keywords of tagged photos and remembers what it added."""

    def __init__(self, ledger: Ledger, mode: Callable[[Path], str], origin: Origin) -> None:
        """Make a writer.

        Args:
            ledger: Where additions are recorded.
            mode: The write mode for a photo: ``sidecar`` or ``none``.
            origin: Who gives the keywords.
        """
        self._ledger = ledger
        self._mode = mode
        self._origin = origin
        # By device number: until when it rests, and why.
        self._resting: dict[int, tuple[float, PhotoramdError]] = {}
        self._unsettled: dict[int, Write] = {}

    def write(
        self, batch: Sequence[tuple[Job, Sequence[Tag]]], now: float
    ) -> list[tuple[Job, PhotoramdError | None]]:
        """Write a batch; one photo's failure costs only itself.

        Returns:
            Every job with the reason why it was not written, or None.

        Raises:
            StoreError: The database failed; files are whole, old or new.
        """
        outcomes: list[tuple[Job, PhotoramdError | None]] = []
        done: list[tuple[int, Path | None, Sequence[str]]] = []
        waiting: list[tuple[Job, Plan, Prepared]] = []

        def give_up(job: Job, error: PhotoramdError) -> None:
            self._defer(job, error, now)
            outcomes.append((job, error))

        def succeed(job: Job, plan: Plan) -> None:
            done.append((job.id, plan.target, plan.additions))
            outcomes.append((job, None))

        try:
            for job, tags in batch:
                try:
                    plan = self._plan(job, tags, now)
                    prepared = _prepare(plan, job.photo.path)
                except StoreError:
                    raise
                except PhotoramdError as error:
                    give_up(job, error)
                    continue
                except Exception as error:
                    # A bug costs one photo; the log has what is needed to find it.
                    log.exception("Unexpected error while writing")
                    unexpected = f"unexpected error: {error!r}"
                    give_up(job, PhotoramdError(unexpected, path=job.photo.path))
                    continue
                if prepared is None:
                    succeed(job, plan)
                else:
                    waiting.append((job, plan, prepared))
            if waiting:
                self._ledger.begin([_intent(*each) for each in waiting])
            while waiting:
                job, plan, prepared = waiting.pop(0)
                try:
                    replace.commit(prepared)
                except PhotoramdError as error:
                    give_up(job, error)
                else:
                    succeed(job, plan)
        finally:
            for _, _, prepared in waiting:
                replace.discard(prepared)
        if done:
            self._ledger.finish(done, FIELD, now)
        return outcomes

    def retry(self) -> None:
        """Try file systems that refused a write again without waiting."""
        self._resting.clear()

    def recover(self, now: float) -> None:
        """Clear up after a process that died while it wrote.

        What cannot be cleared up now, because the directory is not there, say, is cleared
        up before the photo is next written.
        """
        for write in self._ledger.interrupted():
            self._unsettled[write.photo_id] = write
        for write in list(self._unsettled.values()):
            try:
                self._settle(write, now)
            except PhotoramdError as error:
                log.warning("An interrupted write cannot be cleared up now: %s", error)

    def _settle(self, write: Write, now: float) -> None:
        """Find out whether an interrupted write happened, and record it if it did."""
        if not os.path.lexists(write.target) and not os.path.lexists(write.temporary):
            # A directory that is not mounted looks like this, and nothing follows from it.
            if not os.path.lexists(write.photo):
                raise ChangedError("its directory is not there", path=write.target)
            self._ledger.abandon(write.photo_id)
        elif replace.settle(write.target, write.temporary, write.after):
            done = (write.photo_id, write.target, _still_there(write))
            self._ledger.finish([done], FIELD, now)
        else:
            self._ledger.abandon(write.photo_id)
        log.info("%s: cleared up after an interrupted write", printable(write.target))
        del self._unsettled[write.photo_id]

    def _plan(self, job: Job, tags: Sequence[Tag], now: float) -> Plan:
        if self._mode(job.photo.path) == "none":
            return Plan()
        cause = self._rest(job.photo.fingerprint.device, now)
        if cause is not None:
            raise cause
        if job.id in self._unsettled:
            self._settle(self._unsettled[job.id], now)
        added = self._ledger.added(job.id, FIELD)
        rejected = self._ledger.rejected(job.id, FIELD)
        plan = plan_sidecar(job.photo.path, tags, self._origin, now, added, rejected)
        if plan.rejected:
            self._ledger.reject(job.id, FIELD, plan.rejected, now)
        return plan

    def _rest(self, device: int, now: float) -> PhotoramdError | None:
        """Why a file system is left alone now, if it is."""
        until, cause = self._resting.get(device, (now, None))
        return cause if now < until else None

    def _defer(self, job: Job, error: PhotoramdError, now: float) -> None:
        """Keep the result and try again; a file system that refuses everything gets a rest.

        The photo that found out waits longer than those that were not tried, so that each
        new try is another photo's: one bad directory must not hold up all others.
        """
        device = job.photo.fingerprint.device
        seconds = CHANGED_SECONDS if isinstance(error, ChangedError) else None
        if isinstance(error, WriteError) and error.concerns_file_system:
            if self._rest(device, now) is error:
                seconds = REST_SECONDS
            else:
                seconds = 2 * REST_SECONDS
                self._resting[device] = (now + REST_SECONDS, error)
        self._ledger.defer(job, error.message, now, seconds=seconds)


def plan_sidecar(
    photo: Path,
    tags: Sequence[Tag],
    origin: Origin,
    now: float,
    added: Collection[str] = (),
    rejected: Collection[str] = (),
) -> Plan:
    """What a photo's sidecar should become: the union of what is there and the tags.

    Args:
        photo: The photo.
        tags: Its keywords, the surest first.
        origin: Who gives them.
        now: Unix seconds.
        added: What was added to it before.
        rejected: What is never to be added again.

    Raises:
        SidecarError: The sidecar cannot be read, or must not be written.
        ChangedError: It is being written by another program.
    """
    target = sidecar.locate(photo)
    content: bytes | None = None
    expected: Fingerprint | None = None
    seed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    if target.exists:
        content, expected = sidecar.load(target.path)
        present = subjects(content, path=target.path)
        folded = {fold(value) for value in present}
        # Ours once and gone from the file: the user took it out, and it stays out.
        gone = tuple(value for value in added if fold(value) not in folded)
    elif tags:
        # A sidecar with the machine's keywords alone would hide the photo's own from
        # programs that read the sidecar in place of the photo.
        seed = present = embedded.read_keywords(photo)
    else:
        return Plan()
    unwanted = {fold(value) for value in (*present, *rejected, *gone)}
    fresh = [tag for tag in tags if fold(tag.name) not in unwanted]
    path = target.path if target.exists else None
    if not fresh:
        return Plan(path, rejected=gone)
    additions = tuple(tag.name for tag in fresh)
    when = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ours = {fold(value) for value in (*additions, *added)} - {fold(value) for value in gone}
    marks = [
        Mark(tag.name, tag.confidence, origin.model, origin.revision, when)
        for tag in tags
        if fold(tag.name) in ours
    ]
    new = add_subjects(content, (*seed, *additions), mark=marks, path=target.path)
    return Plan(target.path, new, expected, additions, gone)


def write_once(photo: Path, tags: Sequence[Tag], origin: Origin, now: float) -> Path | None:
    """Add tags to a photo's sidecar without a database; returns the sidecar, if there is one.

    Raises:
        SidecarError: The sidecar must not be written.
        ChangedError: Another program is writing it.
        WriteError: The system does not let us.
    """
    plan = plan_sidecar(photo, tags, origin, now)
    prepared = _prepare(plan, photo)
    if prepared is not None:
        replace.commit(prepared)
    return plan.target


def _prepare(plan: Plan, photo: Path) -> Prepared | None:
    if plan.target is None or plan.content is None:
        return None
    return replace.prepare(plan.target, plan.content, expected=plan.expected, beside=photo)


def _intent(job: Job, plan: Plan, prepared: Prepared) -> Write:
    return Write(
        job.id, job.photo.path, prepared.target, prepared.temporary, prepared.after, plan.additions
    )


def _still_there(write: Write) -> tuple[str, ...]:
    """What of a completed write is in the file now: others may have edited it since."""
    try:
        present = set(subjects(sidecar.load(write.target)[0], path=write.target))
    except PhotoramdError:
        return ()
    return tuple(value for value in write.additions if value in present)
