"""What is to become of one file, and who gives the keywords."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from photoramd.metadata.changes import NO_CHANGE, Change, Entries, Place
from photoramd.metadata.fields import SUBJECT
from photoramd.metadata.xmp_keywords import Provenance
from photoramd.photo import Fingerprint, Tag


@dataclass(frozen=True, slots=True)
class Origin:
    """Who gives the keywords, for the machine's mark: a model and its revision."""

    model: str
    revision: str

    def mark(self, tag: Tag, fields: tuple[str, ...], now: float) -> Provenance:
        """The mark of a tag in these fields; ``now`` in Unix seconds."""
        when = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Provenance(tag.name, tag.confidence, self.model, self.revision, when, fields)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of one file.

    Attributes:
        target: The sidecar or the photo; None if there is none and none is needed.
        content: Its new bytes; None if it stays as it is, or is to go.
        expected: What it must still look like; None: it must not exist.
        place: `ledger.SIDECAR` or `ledger.PHOTO`.
        change: What becomes of the ledger.
        rejected: Entries that were added once and that the user took out.
        created: Whether the sidecar is photoramd's own.
        is_removal: Whether the sidecar is to be removed: it was ours and holds nothing.
        outcome: What the photo is afterwards: see `ledger.Done`.
        after: What the file is once it is written.
    """

    target: Path | None = None
    content: bytes | None = None
    expected: Fingerprint | None = None
    place: Place = Place.SIDECAR
    change: Change = NO_CHANGE
    rejected: Entries = field(default_factory=dict)
    created: bool = False
    is_removal: bool = False
    outcome: str = "written"
    after: Fingerprint | None = None

    @property
    def additions(self) -> tuple[str, ...]:
        """The keywords that are new in ``dc:subject``."""
        return self.change.added.get(SUBJECT.name, ())

    @property
    def is_write(self) -> bool:
        """Whether a file changes."""
        return self.is_removal or self.content is not None
