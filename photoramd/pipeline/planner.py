"""Which of a photo's files is to be written next: the photo, its sidecar, or both in turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace as altered
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.database.ledger import Ledger
from photoramd.database.photos import Job
from photoramd.errors import ChangedError, EmbeddingError, PhotoramdError
from photoramd.metadata import sidecar
from photoramd.metadata.changes import NO_CHANGE, Place, Recorded
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.fields import SUBJECT
from photoramd.metadata.plan import Origin, Plan
from photoramd.metadata.plan_sidecar import plan_sidecar
from photoramd.metadata.xmp_keywords import values
from photoramd.photo import Fingerprint, Tag

log = logging.getLogger(__name__)


class Planner:
    """Makes plans by the write mode, the ledger and what the files are."""

    def __init__(
        self,
        ledger: Ledger,
        mode: Callable[[Path], str],
        origin: Origin,
        *,
        create: Collection[str] = (),
        exiftool: ExifTool | None = None,
        lightroom_names: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        """Make a planner; the arguments are those of `writer.Writer`."""
        self._ledger = ledger
        self._mode = mode
        self._origin = origin
        self._create = create
        self._exiftool = exiftool or ExifTool()
        self._lightroom_names = lightroom_names
        self._named: set[str] = set()

    def plan(self, job: Job, tags: Sequence[Tag], now: UnixTime) -> Plan:
        """The file to write; when this is done, the other one.

        That is so after a change of the mode, to take ours out of it; and where keywords
        inside the photo would be hidden by a sidecar, which then gets them too.
        """
        is_embedding = self._mode(job.photo.path) == "embed"
        plan = self._embedding_plan(job, tags, now) if is_embedding else None
        if plan is None:
            plan = self._plan_sidecar(job, tags, now)
        if plan.outcome == "again":
            return plan
        other = Place.SIDECAR if plan.place == Place.PHOTO else Place.PHOTO
        is_hidden = plan.place == Place.PHOTO and self._is_hidden(job)
        if not is_hidden and self._ledger.recorded(job.id, other).is_empty:
            return plan
        if plan.is_write or (is_hidden and plan.change != NO_CHANGE):
            return altered(plan, outcome="again")
        if other == Place.SIDECAR:
            self.reject(job, plan, now)
            return self._plan_sidecar(job, tags if is_hidden else (), now)
        if is_embedding:
            return plan  # what is inside cannot be changed any more
        return self._embedding_plan(job, (), now) or plan

    def undo_plans(self, job: Job, now: UnixTime) -> Iterator[Plan]:
        """What takes everything of ours out of a photo's files, one after the other."""
        recorded = self._ledger.recorded(job.id, Place.SIDECAR)
        # Where the user took out all of ours, the mark is still there.
        if not recorded.is_empty or recorded.rejected:
            yield self._plan_sidecar(job, (), now, is_undo=True)
        recorded = self._ledger.recorded(job.id, Place.PHOTO)
        if not recorded.is_empty or recorded.rejected:
            # Edited since or not: ours goes.
            yield self._plan_photo(job, (), now, known=None, is_undo=True)

    def next_undo_plan(self, job: Job, now: UnixTime) -> Plan:
        """The next file of an undone photo that still holds something of ours."""
        for plan in self.undo_plans(job, now):
            self.reject(job, plan, now)
            if plan.is_write or plan.change.removed:
                return altered(plan, outcome="again")
        return Plan(place=Place.PHOTO)

    def reject(self, job: Job, plan: Plan, now: UnixTime) -> None:
        """Record what a plan found taken out by the user."""
        if plan.rejected:
            self._ledger.reject(job.id, plan.place, plan.rejected, now)

    def _is_hidden(self, job: Job) -> bool:
        """Whether a sidecar has keywords of the user's, which some programs read instead."""
        ours = self._ledger.recorded(job.id, Place.SIDECAR).ours
        try:
            target = sidecar.locate(job.photo.path, known=self._ledger.sidecar(job.id)[0])
            found = values(sidecar.load(target.path)[0]) if target.exists else {}
        except PhotoramdError:
            return False  # what cannot be read, or not now, hides nothing
        return any(set(entries) - set(ours(name)) for name, entries in found.items())

    def _recorded(self, job: Job, place: Place) -> Recorded:
        """What the ledger has of a place; what was taken out in one stays out of both."""
        own = self._ledger.recorded(job.id, place)
        other = self._ledger.recorded(
            job.id, Place.SIDECAR if place == Place.PHOTO else Place.PHOTO
        )
        name = SUBJECT.name
        refused = (*own.rejected.get(name, ()), *other.rejected.get(name, ()))
        return altered(own, rejected={**own.rejected, name: refused}) if refused else own

    def _embedding_plan(self, job: Job, tags: Sequence[Tag], now: UnixTime) -> Plan | None:
        """The photo itself; None where it must not be written."""
        try:
            return self._plan_photo(job, tags, now, known=job.photo.fingerprint)
        except EmbeddingError as error:
            self._name_once(error)
            return None

    def _name_once(self, error: EmbeddingError) -> None:
        """Each reason once: a directory of hard links must not fill the log."""
        if error.message not in self._named:
            self._named.add(error.message)
            log.warning("%s; its keywords go into a sidecar, and so for others like it", error)

    def _plan_photo(
        self,
        job: Job,
        tags: Sequence[Tag],
        now: UnixTime,
        *,
        known: Fingerprint | None,
        is_undo: bool = False,
    ) -> Plan:
        # Brings Pillow with it, which commands that only ask do not need.
        from photoramd.metadata.plan_embedding import plan_photo

        return plan_photo(
            job.photo.path,
            tags,
            self._origin,
            now,
            self._recorded(job, Place.PHOTO),
            self._exiftool,
            known=known,
            create=self._create,
            is_undo=is_undo,
        )

    def _inherit(self, job: Job, now: UnixTime) -> None:
        """Take over what another photo has in this one's sidecar."""
        known, photo = self._ledger.sidecar(job.id)[0], job.photo.path
        target = sidecar.locate(photo, known=known)
        if not target.exists or target.path.name.startswith(photo.name):
            return  # nobody else's
        if not self._ledger.inherit(job, target.path, now):
            raise ChangedError(
                "another photo's keywords are in its sidecar",
                path=target.path,
                remedy="nothing; they are taken out, and it is tried again",
            )

    def _plan_sidecar(
        self, job: Job, tags: Sequence[Tag], now: UnixTime, *, is_undo: bool = False
    ) -> Plan:
        if not is_undo:
            self._inherit(job, now)
        known, created = self._ledger.sidecar(job.id)
        return plan_sidecar(
            job.photo.path,
            tags,
            self._origin,
            now,
            self._recorded(job, Place.SIDECAR),
            embedded_ours=self._ledger.recorded(job.id, Place.PHOTO).added.get(SUBJECT.name, ()),
            create=self._create,
            created=created,
            known=known,
            lightroom_names=self._lightroom_names(job.photo.path),
            is_undo=is_undo,
        )
