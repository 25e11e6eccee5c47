"""Plans for one file of a photo, and what they are made from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from photoramd.clock import UnixTime
from photoramd.metadata.changes import NO_CHANGE, Change, Entries, Place, Recorded, WriteOutcome
from photoramd.metadata.fields import SUBJECT
from photoramd.metadata.merge import MergeRequest
from photoramd.metadata.xmp_keywords import Provenance
from photoramd.photo import Fingerprint, Tag


@dataclass(frozen=True, slots=True)
class Origin:
    """The model that gives the keywords, and its revision."""

    model: str
    revision: str


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The keywords that a photo should have, for `plan_sidecar` and `plan_embedding`.

    Attributes:
        photo: The photo.
        tags: Its keywords, the most confident first; none takes everything of ours out.
        origin: What gives them.
        now: When.
        create: Names of hierarchical fields to create where they are missing.
        is_undo: See `merge.MergeRequest`.
    """

    photo: Path
    tags: Sequence[Tag]
    origin: Origin
    now: UnixTime
    create: Collection[str] = ()
    is_undo: bool = False

    def provenance(self, tag: Tag, fields: tuple[str, ...]) -> Provenance:
        """Return the provenance of a tag that is in these fields."""
        when = datetime.fromtimestamp(self.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        origin = self.origin
        return Provenance(tag.name, tag.confidence, origin.model, origin.revision, when, fields)

    def merge_request(
        self, recorded: Recorded, others: Callable[[], Iterable[str]]
    ) -> MergeRequest:
        """Return what one file should hold; for the arguments see `merge.MergeRequest`."""
        return MergeRequest(self.tags, recorded, self.provenance, self.create, others, self.is_undo)


@dataclass(frozen=True, slots=True)
class Plan:
    """What should become of one file.

    Attributes:
        target: The sidecar or the photo; None if there is none and none is needed.
        content: Its new bytes; None if it stays as it is, or is removed.
        expected: The fingerprint it must still have; None if it must not exist.
        place: Which of the photo's files it is.
        change: What changes in the ledger.
        rejected: Entries that were added once and that the user took out.
        created: Whether the sidecar was made by photoramd.
        is_removal: Whether the sidecar is removed: it is ours and holds nothing.
        outcome: What the photo is afterwards.
        after: The fingerprint of the file once it is written.
        fallback: Why this is the sidecar although keywords should be inside the photo.
    """

    target: Path | None = None
    content: bytes | None = None
    expected: Fingerprint | None = None
    place: Place = Place.SIDECAR
    change: Change = NO_CHANGE
    rejected: Entries = field(default_factory=dict)
    created: bool = False
    is_removal: bool = False
    outcome: WriteOutcome = WriteOutcome.WRITTEN
    after: Fingerprint | None = None
    fallback: str | None = None

    @property
    def additions(self) -> tuple[str, ...]:
        """The keywords that are new in ``dc:subject``."""
        return self.change.added.get(SUBJECT.name, ())

    @property
    def is_write(self) -> bool:
        """Whether a file changes."""
        return self.is_removal or self.content is not None
