"""Compare two ways to run a model: their logits, probabilities and keywords.

Imports neither torch nor a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from photoramd.errors import NoImagesError
from photoramd.models.rules import Rules, select
from photoramd.models.vocabulary import Vocabulary, kept

Row = npt.NDArray[np.float32]
"""Probabilities of one photo, shape (labels,)."""

_LEAST = 1e-7
"""Probabilities nearer to 0 or 1 cannot be told from them in float32."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much two ways to run a model differ.

    Attributes:
        photos: How many were compared.
        cosine: Mean over the photos of the cosine between the two vectors of logits.
        correlation: Likewise Pearson's correlation.
        largest_difference: The largest difference of a probability.
        mean_difference: The mean difference of all probabilities.
        f1: Of the keywords of all photos together, one side taken for the truth: twice the common
            ones, by those of both sides; 1 where neither side has any.
        same_keywords: The share of photos with exactly the same keywords.
        keywords: Keywords a photo on the side that is taken for the truth.
    """

    photos: int
    cosine: float
    correlation: float
    largest_difference: float
    mean_difference: float
    f1: float
    same_keywords: float
    keywords: float

    def as_dict(self) -> dict[str, float]:
        """Return the figures by name."""
        return asdict(self)


def compare(vocabulary: Vocabulary, pairs: Iterable[tuple[Row, Row]], rules: Rules) -> Comparison:
    """Compare scores of the same photos, one photo at a time.

    Args:
        vocabulary: The labels of the columns.
        pairs: Probabilities of a photo on both sides, float32, shape (labels,); the first ones
            are taken for the truth.
        rules: How they become keywords; ``top_n`` counts too.

    Raises:
        NoImagesError: There is no pair.
    """
    figures, common, total = [], 0, 0
    for truth, other in pairs:
        difference = np.abs(truth - other)
        one, two = _logits(truth), _logits(other)
        expected, found = (_keywords(vocabulary, row, rules) for row in (truth, other))
        common += len(expected & found)
        total += len(expected) + len(found)
        figures.append(
            (
                _cosine(one, two),
                _cosine(one - one.mean(), two - two.mean()),
                difference.max(),
                difference.mean(),
                expected == found,
                len(expected),
            )
        )
    if not figures:
        raise NoImagesError(
            "no photo is left to compare on", remedy="name a directory with other photos"
        )
    cosine, correlation, largest, mean, same, keywords = np.array(figures, np.float64).T
    return Comparison(
        photos=len(figures),
        cosine=float(cosine.mean()),
        correlation=float(correlation.mean()),
        largest_difference=float(largest.max()),
        mean_difference=float(mean.mean()),
        f1=2 * common / total if total else 1.0,
        same_keywords=float(same.mean()),
        keywords=float(keywords.mean()),
    )


def spread(photos: Sequence[Path], limit: int) -> list[Path]:
    """Return at most ``limit`` photos, evenly spread."""
    if len(photos) <= limit:
        return list(photos)
    return [photos[number * len(photos) // limit] for number in range(limit)]


_Values = npt.NDArray[np.float64]


def _logits(row: Row) -> _Values:
    clipped = np.clip(row.astype(np.float64), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _cosine(one: _Values, two: _Values) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(two))
    return float(one @ two) / max(lengths, 1e-300)


def _keywords(vocabulary: Vocabulary, row: Row, rules: Rules) -> frozenset[str]:
    return frozenset(tag.name for tag in select(vocabulary, kept(vocabulary, row), rules))
