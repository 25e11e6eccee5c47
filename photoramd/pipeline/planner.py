"""Plan which of a photo's files is written next: the photo, its sidecar, or both in turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as altered
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.contained.client import Contained, shared
from photoramd.database.ledger import Ledger
from photoramd.database.photos import Job
from photoramd.errors import (
    ChangedError,
    EmbeddingError,
    LostError,
    PhotoramdError,
    SidecarError,
    StoppedError,
    printable,
)
from photoramd.keywords import fold
from photoramd.metadata import sidecar
from photoramd.metadata.changes import NO_CHANGE, Place, Recorded, WriteOutcome
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.fields import SUBJECT
from photoramd.metadata.plan import Origin, Plan, PlanRequest
from photoramd.metadata.sidecar import KnownSidecar
from photoramd.photo import Fingerprint, Tag
from photoramd.system import beneath

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriteSettings:
    """How keywords are written.

    Attributes:
        mode: Returns the write mode of a photo: ``sidecar``, ``embed`` or ``none``.
        origin: Returns what gives the keywords.
        create: Names of hierarchical fields to create where they are missing.
        lightroom_names: Returns whether a new sidecar of this RAW is ``IMG.xmp``.
    """

    mode: Callable[[Path], str]
    origin: Callable[[], Origin]
    create: Collection[str] = ()
    lightroom_names: Callable[[Path], bool] = lambda _: False


class Planner:
    """Makes plans from the write mode, the ledger and the state of the files.

    Args:
        ledger: What was added where.
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
        self._settings = settings
        self._contained = contained or shared()
        self._exiftool = exiftool or ExifTool()
        # By reason: how many photos, and the first of them.
        self._fallbacks: dict[str, tuple[int, Path]] = {}

    def plan(
        self, job: Job, tags: Sequence[Tag], now: UnixTime, *, refused: SidecarError | None = None
    ) -> Plan:
        """Return the plan for the file to write; when that is done, for the other one.

        The other one is written after a change of the mode, which takes ours out of it, and
        where a sidecar would hide keywords inside the photo, so that it gets them too.

        Args:
            job: The photo.
            tags: Its keywords.
            now: The present time.
            refused: Why a new file cannot take the photo's place, for example because nobody
                may give it the photo's group.
        """
        is_embedding = self._settings.mode(job.photo.path) == "embed"
        fallback = None
        try:
            if refused is not None:
                raise EmbeddingError(refused.message, path=job.photo.path)
            plan = self._embedded(job, tags, now) if is_embedding else None
        except EmbeddingError as error:
            plan, fallback = None, error.message
            count, first = self._fallbacks.get(fallback, (0, job.photo.path))
            self._fallbacks[fallback] = (count + 1, first)
        if plan is None:
            plan = altered(self._plan_sidecar(job, tags, now), fallback=fallback)
        if plan.outcome == WriteOutcome.AGAIN:
            return plan
        other = Place.SIDECAR if plan.place == Place.PHOTO else Place.PHOTO
        is_hidden = plan.place == Place.PHOTO and self._is_hidden(job)
        if not is_hidden and self._ledger.recorded(job.id, other).is_empty:
            return plan
        if plan.is_write or (is_hidden and plan.change != NO_CHANGE):
            return altered(plan, outcome=WriteOutcome.AGAIN)
        if other == Place.SIDECAR:
            self.reject(job, plan, now)
            return self._plan_sidecar(job, tags if is_hidden else (), now)
        if is_embedding:
            return plan  # what is inside can no longer be changed
        try:
            return self._embedded(job, (), now)
        except EmbeddingError as error:
            log.warning("%s; our keywords stay inside", error)
            return plan

    def wanted(self, job: Job, tags: Sequence[Tag]) -> list[Tag]:
        """Return the machine's keywords and those that the user had us add, each once."""
        given = self._ledger.recorded(job.id, Place.SIDECAR).given
        theirs = {fold(name): name for name in given}
        known = {fold(tag.name) for tag in tags}
        return [
            *(altered(tag, is_given=fold(tag.name) in theirs) for tag in tags),
            *(Tag(name, 1.0, is_given=True) for key, name in theirs.items() if key not in known),
        ]

    def undo_plans(self, job: Job, now: UnixTime) -> Iterator[Plan]:
        """Yield plans that take everything of the machine's out of a photo's files, one by one.

        What the user had us add stays where it is.
        """
        recorded = self._ledger.recorded(job.id, Place.SIDECAR)
        # Where the user took out all of ours, the provenance record is still there.
        if not recorded.is_empty or recorded.rejected:
            yield self._plan_sidecar(job, _given_in(recorded), now, is_undo=True)
        recorded = self._ledger.recorded(job.id, Place.PHOTO)
        if not recorded.is_empty or recorded.rejected:
            # Whether it was edited since or not.
            yield self._plan_photo(job, _given_in(recorded), now, known=None, is_undo=True)

    def next_undo_plan(self, job: Job, now: UnixTime) -> Plan:
        """Return the plan for the next file of an undone photo that holds something of ours."""
        for plan in self.undo_plans(job, now):
            self.reject(job, plan, now)
            if plan.is_write or plan.change.removed:
                return altered(plan, outcome=WriteOutcome.AGAIN)
        return Plan(place=Place.PHOTO)

    def orphan_plan(self, job: Job, now: UnixTime) -> Plan:
        """Return the plan for the sidecar of a photo that is gone: removed if it is ours alone.

        Raises:
            ChangedError: Its directory is gone, or the photo is back.
            SidecarError: The sidecar cannot be read or removed.
        """
        photo = job.photo.path
        if beneath.exists(photo) or not photo.parent.is_dir():
            raise ChangedError("it cannot be told whether it is gone", path=photo)
        path, created = self._ledger.sidecar(job.id)
        recorded = self._ledger.recorded(job.id, Place.SIDECAR)
        is_ours = created and not _given_in(recorded)
        if path is None or not is_ours or not self._is_ours_alone(path, recorded):
            return Plan(path)  # what is somebody else's stays, and so do our keywords in it
        return self._plan_sidecar(job, (), now, is_undo=True)

    def reject(self, job: Job, plan: Plan, now: UnixTime) -> None:
        """Record what the user took out, as a plan found it."""
        if plan.rejected:
            self._ledger.reject(job.id, plan.place, plan.rejected, now)

    def report_fallbacks(self) -> None:
        """Log why photos got sidecars instead of keywords inside, each reason once and counted."""
        for reason, (count, first) in self._fallbacks.items():
            log.warning("%d photos get a sidecar: %s (such as %s)", count, reason, printable(first))
        self._fallbacks.clear()

    def _is_hidden(self, job: Job) -> bool:
        """Return whether a sidecar with the user's keywords hides those inside the photo."""
        recorded = self._ledger.recorded(job.id, Place.SIDECAR)
        try:
            target = sidecar.locate(job.photo.path, known=self._ledger.sidecar(job.id)[0])
            if not target.exists:
                return False
            content, _ = sidecar.read(target.path)
            return self._contained.hides(content, target.path, recorded)
        except (LostError, StoppedError):
            raise
        except PhotoramdError:
            return False  # what cannot be read hides nothing

    def _recorded(self, job: Job, place: Place) -> Recorded:
        """Return what the ledger has of a place; what was rejected in one stays out of both."""
        own = self._ledger.recorded(job.id, place)
        other = self._ledger.recorded(
            job.id, Place.SIDECAR if place == Place.PHOTO else Place.PHOTO
        )
        name = SUBJECT.name
        refused = (*own.rejected.get(name, ()), *other.rejected.get(name, ()))
        return altered(own, rejected={**own.rejected, name: refused}) if refused else own

    def _embedded(self, job: Job, tags: Sequence[Tag], now: UnixTime) -> Plan:
        return self._plan_photo(job, tags, now, known=job.photo.fingerprint)

    def _plan_photo(
        self,
        job: Job,
        tags: Sequence[Tag],
        now: UnixTime,
        *,
        known: Fingerprint | None,
        is_undo: bool = False,
    ) -> Plan:
        request = self._request(job, tags, now, is_undo=is_undo)
        recorded = self._recorded(job, Place.PHOTO)
        return self._contained.plan_photo(request, recorded, self._exiftool, known=known)

    def _request(
        self, job: Job, tags: Sequence[Tag], now: UnixTime, *, is_undo: bool
    ) -> PlanRequest:
        settings = self._settings
        return PlanRequest(job.photo.path, tags, settings.origin(), now, settings.create, is_undo)

    def _inherit(self, job: Job, now: UnixTime) -> None:
        """Take over from another photo what it has in this one's sidecar."""
        known, photo = self._ledger.sidecar(job.id)[0], job.photo.path
        target = sidecar.locate(photo, known=known)
        if not target.exists or target.path.name.startswith(photo.name):
            return  # not shared
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
        path, created = self._ledger.sidecar(job.id)
        recorded = self._recorded(job, Place.SIDECAR)
        was_left = path is not None and not is_undo and _was_left(path, job.photo.path)
        if path is not None and was_left and not (created and self._is_ours_alone(path, recorded)):
            # It moved without its sidecar. What is somebody else's stays where it is.
            path, created = None, False
        known = KnownSidecar(path, created, recorded)
        photo = job.photo.path
        names = self._settings.lightroom_names(photo)
        found = sidecar.find(photo, known, is_undo=is_undo, lightroom_names=names)
        request = self._request(job, tags, now, is_undo=is_undo)
        inside = self._ledger.recorded(job.id, Place.PHOTO)
        return self._contained.plan_sidecar(found, request, known, inside)

    def _is_ours_alone(self, path: Path, recorded: Recorded) -> bool:
        """Return whether nobody but us has written a sidecar that we made."""
        try:
            return self._contained.is_only_ours(sidecar.read(path)[0], path, recorded)
        except (LostError, StoppedError):
            raise
        except PhotoramdError:
            return False


def _given_in(recorded: Recorded) -> list[Tag]:
    """Return what the user had us add to a place, and is there by the ledger."""
    added = set(map(fold, recorded.added.get(SUBJECT.name, ())))
    return [Tag(name, 1.0, is_given=True) for name in recorded.given if fold(name) in added]


def _was_left(path: Path, photo: Path) -> bool:
    """Return whether a sidecar has neither the name nor the place of a photo's."""
    return path.parent != photo.parent or not path.name.startswith(photo.stem)
