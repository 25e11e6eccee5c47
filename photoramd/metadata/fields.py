"""The keyword fields of photo metadata that photoramd knows.

``dc:subject`` holds the keywords themselves. The others hold paths from the most general
keyword to the keyword; each program has its own and its own separator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from photoramd.keywords import fold

DC = "{http://purl.org/dc/elements/1.1/}"


@dataclass(frozen=True, slots=True)
class Field:
    """A keyword field of XMP.

    Attributes:
        name: What it is called in the ledger, in the provenance record and in the configuration.
        tags: Its names in lxml's notation; the first is the one to create.
        prefix: The usual prefix of its namespace.
        container: ``Bag`` or ``Seq``.
        separator: What is between the keywords of a path; empty: the field has no paths.
    """

    name: str
    tags: tuple[str, ...]
    prefix: str
    container: str = "Bag"
    separator: str = ""

    def leaf(self, value: str) -> str:
        """Return the keyword itself, the last of a path."""
        return value.rpartition(self.separator)[2] if self.separator else value

    def path(self, value: str) -> tuple[str, ...]:
        """Return the keywords of an entry, the most general first."""
        return tuple(value.split(self.separator)) if self.separator else (value,)

    def entry(self, path: Sequence[str]) -> str:
        """Return the entry for a keyword and those above it."""
        return self.separator.join(path) if self.separator else path[-1]


SUBJECT = Field("dc:subject", (f"{DC}subject",), "dc")

HIERARCHICAL = (
    Field(
        "lr:hierarchicalSubject",
        ("{http://ns.adobe.com/lightroom/1.0/}hierarchicalSubject",),
        "lr",
        separator="|",
    ),
    Field(
        "digiKam:TagsList",
        ("{http://www.digikam.org/ns/1.0/}TagsList",),
        "digiKam",
        container="Seq",
        separator="/",
    ),
    Field(
        "MicrosoftPhoto:LastKeywordXMP",
        # Microsoft's documentation has no slash at its end, most programs have one.
        (
            "{http://ns.microsoft.com/photo/1.0/}LastKeywordXMP",
            "{http://ns.microsoft.com/photo/1.0}LastKeywordXMP",
        ),
        "MicrosoftPhoto",
        separator="/",
    ),
    Field(
        "mediapro:CatalogSets",
        ("{http://ns.iview-multimedia.com/mediapro/1.0/}CatalogSets",),
        "mediapro",
        separator="|",
    ),
)

FIELDS = (SUBJECT, *HIERARCHICAL)

BY_NAME = {field.name: field for field in FIELDS}


def folded_leaves(field: Field, values: Sequence[str]) -> set[str]:
    """Return the keywords of entries, as they are compared."""
    return {fold(field.leaf(value)) for value in values}
