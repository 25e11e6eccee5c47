"""The real tagger with a count."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from photoramd.models.features import Vectors, scores_and_features
from photoramd.models.preprocessing import Pixels
from photoramd.models.tagger import Scores, Tagger


class CountingTagger:
    """The real embedded tagger, with a count of the pictures it was asked about.

    Args:
        tagger: That.
        at_once: See `photoramd.models.tagger.at_once`.
    """

    def __init__(self, tagger: Tagger, at_once: int = 0) -> None:
        self._tagger = tagger
        self.at_once = at_once
        self.inferred = 0
        self.batches: list[int] = []
        self.name = tagger.name
        self.revision = tagger.revision
        self.vocabulary = tagger.vocabulary
        self.crop = tagger.crop
        self.decode_side = tagger.decode_side

    def pixels(self, image: Image.Image) -> Pixels:
        return self._tagger.pixels(image)

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        return self.scores_and_features(batch)[0]

    def scores_and_features(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        self.inferred += len(batch)
        self.batches.append(len(batch))
        return scores_and_features(self._tagger, batch)
