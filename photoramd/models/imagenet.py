"""Keywords for ImageNet-1k's classes: labels, the kinds above them, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from photoramd.models.vocabulary import Vocabulary

CLASSES = 1000
"""How many classes ImageNet-1k has."""

_TABLE = "imagenet_keywords.tsv"


_LEAF_THRESHOLD = 0.40


_KIND_THRESHOLD = 0.40


_KIND_THRESHOLD_BY_SHARE = 0.25
"""A kind's threshold grows with its share of the classes: the probability of a photo that
shows none of them spreads over all classes, and 40 % of them are animals."""


_FLOOR = 0.03
"""A tenth of the lowest threshold. Below it scores say little (a photo has about ten labels
above it), while keeping all would cost a hundred times the space."""


@dataclass(frozen=True, slots=True)
class KeywordEntry:
    """A keyword of the table.

    Attributes:
        keyword: The label.
        is_kind: Whether it stands for several classes by meaning, not just by name.
        classes: Indices of ImageNet-1k's classes, from 0.
        parents: The keywords above it, the most general first.
    """

    keyword: str
    is_kind: bool
    classes: tuple[int, ...]
    parents: tuple[str, ...]

    @property
    def threshold(self) -> float:
        """The calibrated threshold."""
        if not self.is_kind:
            return _LEAF_THRESHOLD
        return _KIND_THRESHOLD + _KIND_THRESHOLD_BY_SHARE * len(self.classes) / CLASSES


def read_table() -> list[KeywordEntry]:
    """Return the keywords, in the order of the scores: see contrib/imagenet_keywords.py."""
    lines = table_bytes().decode("utf-8").splitlines()
    entries = []
    for line in lines[1:]:
        keyword, level, classes, parents = line.split("\t")
        entries.append(
            KeywordEntry(
                keyword=keyword,
                is_kind=level == "kind",
                classes=tuple(map(int, classes.split())),
                parents=tuple(parents.split("|")) if parents else (),
            )
        )
    return entries


def vocabulary_of(table: Sequence[KeywordEntry]) -> Vocabulary:
    """Return the vocabulary of a table."""
    return Vocabulary(
        labels=tuple(entry.keyword for entry in table),
        thresholds=tuple(entry.threshold for entry in table),
        parents=tuple(entry.parents for entry in table),
        floor=_FLOOR,
    )


def membership(table: Sequence[KeywordEntry]) -> npt.NDArray[np.float32]:
    """Return which classes each keyword stands for: 1 or 0, shape (1000, keywords).

    Probabilities of the classes, times this, are those of the keywords.
    """
    members = np.zeros((CLASSES, len(table)), np.float32)
    for column, entry in enumerate(table):
        members[list(entry.classes), column] = 1
    return members


def table_bytes() -> bytes:
    """Return the table of keywords, as the file has it."""
    return files("photoramd.models").joinpath(_TABLE).read_bytes()
