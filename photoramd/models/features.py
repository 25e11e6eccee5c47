"""What makes pictures look alike, as short vectors: the protocol of the taggers that know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from photoramd.models.preprocessing import Pixels
from photoramd.models.tagger import Scores, Tagger

SIZE = 512
"""How many numbers a vector has."""

LENGTH = 512
"""The length of every vector: a dot product divided by its square is a cosine."""

Vectors = npt.NDArray[np.int8]
"""Features, int8, shape (photos, SIZE)."""


class FeatureTagger(Protocol):
    """A `Tagger` that also returns features."""

    def scores_and_features(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        """Return what `Tagger.scores` does, and features from the same run, if there are any.

        Raises:
            ModelError: The model failed on this batch.
        """


class DigestTagger(Protocol):
    """A `Tagger` that identifies pictures by their digests where it asks about them."""

    def scores_of(self, pictures: Mapping[bytes, Pixels]) -> tuple[Scores, Vectors | None]:
        """Return what `FeatureTagger.scores_and_features` does.

        Args:
            pictures: By `photoramd.models.preprocessing.digest_of` of each.

        Raises:
            ModelError: The model failed on this batch.
        """


def gives_features(tagger: Tagger) -> bool:
    """Return whether a tagger may return features: it is a `FeatureTagger`."""
    # Of the class, so that a model is not loaded for it.
    return hasattr(type(tagger), "scores_and_features")


def scores_and_features(tagger: Tagger, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
    """Return the scores of a batch and, of a tagger that knows them, the features.

    Raises:
        ModelError: The model failed on this batch.
    """
    if gives_features(tagger):
        return cast(FeatureTagger, tagger).scores_and_features(batch)
    return tagger.scores(batch), None


def scores_of(tagger: Tagger, pictures: Mapping[bytes, Pixels]) -> tuple[Scores, Vectors | None]:
    """Return the same for pictures whose digests are known: none is computed twice.

    Raises:
        ModelError: The model failed on this batch.
    """
    if hasattr(type(tagger), "scores_of"):
        return cast(DigestTagger, tagger).scores_of(pictures)
    return scores_and_features(tagger, list(pictures.values()))


def quantised(values: npt.NDArray[np.float32]) -> Vectors:
    """Return vectors, shape (photos, SIZE), as int8 of the same length; their sizes are lost."""
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    scaled = values * (LENGTH / np.maximum(lengths, 1e-12))
    # A number is 23 on average: few reach the limit, and rounding costs a cosine .001.
    vectors: Vectors = np.clip(np.rint(scaled), -127, 127).astype(np.int8)
    return vectors
