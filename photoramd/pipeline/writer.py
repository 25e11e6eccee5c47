"""Write keywords into sidecars and photos, and record in the ledger what was added.

A batch is written in four steps: every new file is prepared as a temporary, one commit records
which files are about to be replaced, the temporaries replace them, one commit records that they
did. `Writer.recover` clears up after a process that died in between.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace as altered
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.contained.client import Contained, shared
from photoramd.database.ledger import Done, Ledger, Write
from photoramd.database.photos import Job
from photoramd.errors import (
    ChangedError,
    LostError,
    PhotoramdError,
    SidecarError,
    StoppedError,
    StoreError,
    WriteError,
    printable,
)
from photoramd.metadata import sidecar
from photoramd.metadata.changes import NOTHING_RECORDED, Change, Entries, Place, WriteOutcome
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.fields import BY_NAME
from photoramd.metadata.plan import Origin, Plan, PlanRequest
from photoramd.photo import Tag
from photoramd.pipeline.planner import Planner, WriteSettings
from photoramd.system import atomic, beneath
from photoramd.system.atomic import Prepared

log = logging.getLogger(__name__)

REST_SECONDS = 60.0
"""How long a file system that refused a write for a reason of its own is left alone."""

CHANGED_SECONDS = 5.0
"""When to try again after another program wrote the file at the same time."""


class Writer:
    """Writes the keywords of tagged photos and records what it added.

    Args:
        ledger: Where additions are recorded.
        settings: How keywords are written.
        exiftool: What embeds; needed where a photo's mode is ``embed`` or was.
        contained: What looks into photos and sidecars; None takes what all commands share.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: WriteSettings,
        exiftool: ExifTool | None = None,
        contained: Contained | None = None,
    ) -> None:
        self._ledger = ledger
        self._mode = settings.mode
        self._contained = contained or shared()
        self._planner = Planner(ledger, settings, exiftool, self._contained)
        # By device number: until when it rests, and why.
        self._resting: dict[int, tuple[float, PhotoramdError]] = {}
        self._unsettled: dict[int, Write] = {}

    def write(
        self, batch: Sequence[tuple[Job, Sequence[Tag]]], now: UnixTime
    ) -> list[tuple[Job, PhotoramdError | None]]:
        """Write a batch; one photo's failure costs only itself.

        Returns:
            The jobs with the reason why each was not written, or None. A photo with more files
            to write stays tagged and comes again before it is among them.

        Raises:
            StoreError: The database failed; files are whole, old or new.
        """
        outcomes: list[tuple[Job, PhotoramdError | None]] = []
        done: list[Done] = []
        waiting: list[tuple[Job, Plan, Prepared]] = []

        def give_up(job: Job, error: PhotoramdError) -> None:
            self._defer(job, error, now)
            outcomes.append((job, error))

        def succeed(job: Job, plan: Plan) -> None:
            done.append(_done(job, plan))
            if plan.outcome != WriteOutcome.AGAIN:
                outcomes.append((job, None))

        try:
            lost: set[int] = set()
            turns = deque(batch)
            while turns:
                job, tags = turns.popleft()
                try:
                    plan, prepared = self._prepared(job, tags, now)
                except StoreError:
                    raise
                except StoppedError as error:
                    outcomes += [(left, error) for left, _ in ((job, tags), *turns)]
                    break
                except LostError as error:
                    if job.id in lost:
                        give_up(job, error)
                        continue
                    # Something else may have ended the worker: it is tried once more, last.
                    lost.add(job.id)
                    turns.append((job, tags))
                    continue
                except PhotoramdError as error:
                    give_up(job, error)
                    continue
                except Exception as error:
                    # A bug costs one photo; the log has the traceback.
                    log.exception("Unexpected error while writing")
                    unexpected = f"unexpected error: {error!r}"
                    give_up(job, PhotoramdError(unexpected, path=job.photo.path))
                    continue
                if prepared is None:
                    succeed(job, plan)
                else:
                    # The bytes are on the disk: a batch of photos need not stay in memory.
                    waiting.append((job, altered(plan, content=b""), prepared))
            if waiting:
                self._ledger.begin([_intent(*each) for each in waiting])
            while waiting:
                job, plan, prepared = waiting.pop(0)
                try:
                    plan = _commit(plan, prepared)
                except PhotoramdError as error:
                    give_up(job, error)
                else:
                    succeed(job, plan)
        finally:
            for _, _, prepared in waiting:
                atomic.discard(prepared)
        if done:
            self._ledger.finish(done, now)
        return outcomes

    def _prepared(
        self, job: Job, tags: Sequence[Tag], now: UnixTime
    ) -> tuple[Plan, Prepared | None]:
        """Plan what is written next, and prepare it."""
        tags = self._planner.wanted(job, tags)
        plan = self._plan(job, tags, now)
        try:
            return plan, _prepare(plan, job.photo.path)
        except SidecarError as error:
            if plan.place != Place.PHOTO or not tags:
                raise
            plan = self._planner.plan(job, tags, now, refused=error)
            return plan, _prepare(plan, job.photo.path)

    def report_fallbacks(self) -> None:
        """See `Planner.report_fallbacks`."""
        self._planner.report_fallbacks()

    def retry(self) -> None:
        """Try file systems that refused a write again at once."""
        self._resting.clear()

    def undo(self, job: Job, now: UnixTime, *, dry_run: bool = False) -> tuple[Plan, ...]:
        """Take back exactly what the ledger has of a photo.

        Returns:
            What was done, or would be done, file by file.

        Raises:
            PhotoramdError: It could not be done; what was done before is recorded.
        """
        plans = []
        if job.id in self._unsettled:
            self._settle(self._unsettled[job.id], now)
        for plan in self._planner.undo_plans(job, now):
            if dry_run:
                plans.append(plan)
                continue
            self._planner.reject(job, plan, now)
            prepared = _prepare(plan, job.photo.path)
            if prepared is not None:
                self._ledger.begin([_intent(job, plan, prepared)])
                try:
                    plan = _commit(plan, prepared)
                except PhotoramdError:
                    self._ledger.abandon(job.id)
                    raise
            self._ledger.record(_done(job, plan), now)
            plans.append(plan)
        if not dry_run:
            self._ledger.finish([Done(job.id, Place.PHOTO, outcome=WriteOutcome.UNDONE)], now)
        return tuple(plans)

    def remove_orphan(self, job: Job, now: UnixTime) -> Path | None:
        """Remove the sidecar of a photo that is gone if it is ours alone; return it if so.

        Raises:
            ChangedError: It cannot be told whether the photo is gone.
            SidecarError: It cannot be read or removed.
            WriteError: The system does not let us.
            StoreError: The database failed.
        """
        plan = self._planner.orphan_plan(job, now)
        if plan.is_removal:
            _prepare(plan, job.photo.path)
        # From now on it has no sidecar of ours: if it comes back, it gets another.
        self._ledger.record(altered(_done(job, plan), sidecar=None, after=None), now)
        return plan.target if plan.is_removal else None

    def recover(self, now: UnixTime) -> None:
        """Clear up after a process that died while it wrote.

        What cannot be cleared up now, for example because the directory is missing, is cleared
        up before the photo is next written.
        """
        for write in self._ledger.interrupted():
            self._unsettled[write.photo_id] = write
        for write in list(self._unsettled.values()):
            try:
                self._settle(write, now)
            except PhotoramdError as error:
                log.warning("An interrupted write cannot be cleared up now: %s", error)

    def _settle(self, write: Write, now: UnixTime) -> None:
        """Find out whether an interrupted write happened, and record it if it did."""
        if not beneath.exists(write.target) and not beneath.exists(write.temporary):
            # A directory that is not mounted looks like this: conclude nothing.
            if not beneath.exists(write.photo):
                raise ChangedError("its directory is not there", path=write.target)
            self._ledger.abandon(write.photo_id)
        elif atomic.settle(write.target, write.temporary, write.after):
            self._ledger.record(self._settled(write), now)
        else:
            self._ledger.abandon(write.photo_id)
        log.info("%s: cleared up after an interrupted write", printable(write.target))
        del self._unsettled[write.photo_id]

    def _settled(self, write: Write) -> Done:
        """Return the record of a write that a killed process completed, as far as it is there."""
        if write.place == Place.PHOTO:
            # An edit before this is recorded makes the photo differ from the record, and then it
            # is read again.
            return Done(write.photo_id, Place.PHOTO, write.change, after=write.after)
        present: Mapping[str, tuple[str, ...]] = {}
        with suppress(PhotoramdError):
            present = self._contained.values(sidecar.read(write.target)[0], write.target)

        def there(entries: Entries) -> Entries:
            return {
                name: tuple(v for v in found if name not in BY_NAME or v in present.get(name, ()))
                for name, found in entries.items()
            }

        change = Change(there(write.change.added), there(write.change.seeded), write.change.removed)
        return Done(write.photo_id, write.place, change, write.target, write.created, write.after)

    def _plan(self, job: Job, tags: Sequence[Tag], now: UnixTime) -> Plan:
        is_undone = self._ledger.is_undone(job.id)
        is_written = self._mode(job.photo.path) != "none"
        if not is_undone and not is_written:
            return Plan(place=Place.PHOTO)
        cause = self._rest(job.photo.fingerprint.device, now)
        if cause is not None:
            raise cause
        if job.id in self._unsettled:
            self._settle(self._unsettled[job.id], now)
        if is_undone:
            plan = self._planner.next_undo_plan(job, now)
            # The machine's are gone then; what the user had us add is written all the same.
            if plan.outcome == WriteOutcome.AGAIN or not tags or not is_written:
                return plan
        plan = self._planner.plan(job, tags, now)
        self._planner.reject(job, plan, now)
        return plan

    def _rest(self, device: int, now: UnixTime) -> PhotoramdError | None:
        """Return why a file system is left alone now; None if it is not."""
        until, cause = self._resting.get(device, (now, None))
        return cause if now < until else None

    def _defer(self, job: Job, error: PhotoramdError, now: UnixTime) -> None:
        """Keep the result and try again later, and leave alone a file system that refuses writes.

        The photo that failed waits longer than those that were not tried, so each new attempt
        is another photo's: one bad directory must not hold up all others.
        """
        if job.id not in self._unsettled:
            # Whether an interrupted write happened is still open: its record stays.
            self._ledger.abandon(job.id)
        device = job.photo.fingerprint.device
        seconds = CHANGED_SECONDS if isinstance(error, ChangedError) else None
        if isinstance(error, WriteError) and error.concerns_file_system:
            if self._rest(device, now) is error:
                seconds = REST_SECONDS
            else:
                seconds = 2 * REST_SECONDS
                self._resting[device] = (now + REST_SECONDS, error)
                self._ledger.rest(device, error.message, UnixTime(now + REST_SECONDS))
        self._ledger.defer(job, error.message, now, seconds=seconds)


def write_once(
    photo: Path,
    tags: Sequence[Tag],
    origin: Origin,
    now: UnixTime,
    *,
    lightroom_names: bool = False,
) -> Path | None:
    """Add tags to a photo's sidecar without a database; return the sidecar, if there is one.

    Raises:
        SidecarError: The sidecar must not be written.
        ChangedError: Another program is writing it.
        WriteError: The system does not let us.
    """
    known = sidecar.KnownSidecar()
    found = sidecar.find(photo, known, lightroom_names=lightroom_names)
    request = PlanRequest(photo, tags, origin, now)
    plan = shared().plan_sidecar(found, request, known, NOTHING_RECORDED)
    prepared = _prepare(plan, photo)
    if prepared is not None:
        atomic.commit(prepared)
    return plan.target


def _prepare(plan: Plan, photo: Path) -> Prepared | None:
    if plan.is_removal and plan.target is not None and plan.expected is not None:
        # Nothing to record first: a removed file is found removed after a crash.
        atomic.remove(plan.target, plan.expected)
        return None
    if plan.target is None or plan.content is None:
        return None
    return atomic.prepare(
        plan.target,
        plan.content,
        expected=plan.expected,
        beside=photo,
        keep_date=plan.place == Place.PHOTO,
    )


def _commit(plan: Plan, prepared: Prepared) -> Plan:
    after = atomic.commit(prepared)
    return altered(plan, after=after)


def _done(job: Job, plan: Plan) -> Done:
    path = None if plan.is_removal else plan.target
    after = plan.after
    if plan.place == Place.SIDECAR and not plan.is_write:
        after = plan.expected
    return Done(
        job.id, plan.place, plan.change, path, plan.created, after, plan.outcome, plan.fallback
    )


def _intent(job: Job, plan: Plan, prepared: Prepared) -> Write:
    return Write(
        job.id,
        job.photo.path,
        prepared.target,
        prepared.temporary,
        prepared.after,
        plan.place,
        plan.change,
        plan.created,
    )
