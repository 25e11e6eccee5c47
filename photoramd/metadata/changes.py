"""Which keywords in a file are the machine's: the ledger's record, and what a write changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Entries = Mapping[str, tuple[str, ...]]
"""Entries by the name of their field."""


SEED = "seed"
"""The ledger's name for `meaning.digest` of what a sidecar of ours began with: see `seed`."""


class Place(StrEnum):
    """Where keywords are written to."""

    SIDECAR = "sidecar"
    PHOTO = "photo"


class WriteOutcome(StrEnum):
    """What a photo is after a write."""

    WRITTEN = "written"
    UNDONE = "undone"
    AGAIN = "again"
    """There is more to write: the photo's other file."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger has of one photo in one place, by field.

    Attributes:
        added: The keywords that we added: the machine's, and those that the user had us add.
        seeded: The user's own keywords, copied from other fields when a field was made.
        rejected: What was added once and taken out by the user, and what the user rejected by an
            edit; that may be in the file, and among what was added, yet.
        until: Unix time of the last write it knows of; 0 if there was none.
        is_of_another: Whether it is about another file than the one that is there now. Then
            only the provenance record in the file can tell what is ours.
        given: The tags that the user had us add, by name: no provenance names them.
        withdrawn: Those of them that were taken back and may be in the file yet.
    """

    added: Entries = field(default_factory=dict)
    seeded: Entries = field(default_factory=dict)
    rejected: Entries = field(default_factory=dict)
    until: float = 0.0
    is_of_another: bool = False
    given: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the file holds nothing of ours."""
        return not any(self.added.values()) and not any(self.seeded.values())

    def ours(self, name: str) -> tuple[str, ...]:
        """Return all that was put into a field."""
        return self.added.get(name, ()) + self.seeded.get(name, ())


NOTHING_RECORDED = Recorded()


@dataclass(frozen=True, slots=True)
class Change:
    """What a write changes in the ledger, by field; see `Recorded`."""

    added: Entries = field(default_factory=dict)
    seeded: Entries = field(default_factory=dict)
    removed: Entries = field(default_factory=dict)


NO_CHANGE = Change()
