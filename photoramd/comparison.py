"""How far two ways to run a model lie apart: in logits, probabilities and keywords.

Imports neither torch nor a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from photoramd.keywords import Rules, Vocabulary, kept, select
from photoramd.taggers import Scores

_LEAST = 1e-7
"""Probabilities nearer to 0 or 1 cannot be told from them in float32."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures.

    Attributes:
        photos: How many were compared.
        cosine: Mean over the photos of the cosine between the two vectors of logits.
        correlation: Likewise Pearson's correlation.
        largest_difference: Of any probability.
        mean_difference: Of probabilities.
        f1: Of the keywords of all photos together, one side taken for the truth: twice the common
            ones, by those of both sides; 1 where neither side has any.
        same_keywords: Part of the photos with exactly the same keywords.
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
        """The figures by name."""
        return asdict(self)


def compare(vocabulary: Vocabulary, truth: Scores, other: Scores, rules: Rules) -> Comparison:
    """Compare scores of the same photos.

    Args:
        vocabulary: The labels of the columns.
        truth: Probabilities, float32, shape (photos, labels), at least one photo.
        other: Likewise.
        rules: How they become keywords; ``top_n`` counts too.
    """
    difference = np.abs(truth - other)
    one, two = _logits(truth), _logits(other)
    pairs = [
        (_keywords(vocabulary, a, rules), _keywords(vocabulary, b, rules))
        for a, b in zip(truth, other, strict=True)
    ]
    common = sum(len(a & b) for a, b in pairs)
    total = sum(len(a) + len(b) for a, b in pairs)
    return Comparison(
        photos=len(truth),
        cosine=float(_cosines(one, two).mean()),
        correlation=float(_cosines(_centred(one), _centred(two)).mean()),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        f1=2 * common / total if total else 1.0,
        same_keywords=sum(a == b for a, b in pairs) / len(pairs),
        keywords=sum(len(a) for a, _ in pairs) / len(pairs),
    )


def spread(photos: Sequence[Path], limit: int) -> list[Path]:
    """At most so many of them, evenly spread."""
    if len(photos) <= limit:
        return list(photos)
    return [photos[number * len(photos) // limit] for number in range(limit)]


_Values = npt.NDArray[np.float64]


def _logits(scores: Scores) -> _Values:
    clipped = np.clip(scores.astype(np.float64), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _centred(values: _Values) -> _Values:
    return np.asarray(values - values.mean(axis=1, keepdims=True))


def _cosines(one: _Values, two: _Values) -> _Values:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    return np.asarray((one * two).sum(axis=1) / np.maximum(lengths, 1e-300))


def _keywords(vocabulary: Vocabulary, row: npt.NDArray[np.float32], rules: Rules) -> frozenset[str]:
    return frozenset(tag.name for tag in select(vocabulary, kept(vocabulary, row), rules))
