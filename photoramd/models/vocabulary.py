"""A model's labels, and which of its scores are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


_STORED_DECIMALS = 4
"""Decimals of a stored score: finer than any threshold, and a third of the bytes."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A model's labels, with their thresholds and parents.

    Attributes:
        labels: Readable keywords, unique, in the order of the scores.
        thresholds: One calibrated threshold for each label, 0 to 1; 1.0 or more disables it.
        parents: For each label the labels above it, the most general first.
        floor: Scores below it are not kept in the database, so a user's threshold
            below it has no effect.
        columns: What the model's scores are of, and stored under; the labels themselves unless
            a label's score comes from several of them.
        combine: Turns stored scores, by column, into scores by label; can be pickled.
        index: The position of each label; derived.
    """

    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    parents: tuple[tuple[str, ...], ...]
    floor: float
    columns: tuple[str, ...] = ()
    combine: Callable[[Mapping[str, float]], Mapping[str, float]] | None = None
    index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {label: position for position, label in enumerate(self.labels)}
        if not len(index) == len(self.labels) == len(self.thresholds) == len(self.parents):
            raise ValueError("labels must be unique, with one threshold and one path each")
        object.__setattr__(self, "index", MappingProxyType(index))
        if not self.columns:
            object.__setattr__(self, "columns", self.labels)

    def __reduce__(self) -> tuple[object, ...]:
        # Derived attributes cannot be pickled.
        fields = (self.labels, self.thresholds, self.parents, self.floor)
        return Vocabulary, (*fields, self.columns, self.combine)


def kept(vocabulary: Vocabulary, row: npt.NDArray[np.float32]) -> dict[str, float]:
    """Return the part of a photo's scores that is worth storing: label to probability.

    Args:
        vocabulary: The columns and labels.
        row: One row of a tagger's scores, float32, shape (columns,).

    Returns:
        Scores of at least the vocabulary's floor, rounded to four decimals, in the
        order of the columns.
    """
    if row.shape != (len(vocabulary.columns),):
        raise ValueError(f"scores of shape {row.shape} for {len(vocabulary.columns)} columns")
    positions = (row >= vocabulary.floor).nonzero()[0].tolist()
    return {vocabulary.columns[i]: round(float(row[i]), _STORED_DECIMALS) for i in positions}
