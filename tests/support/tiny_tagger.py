"""A model of three labels that sees the first colour of a picture: for what is said of scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from photoramd.models.description import Description
from photoramd.models.features import SIZE, Vectors
from photoramd.models.preprocessing import CentralSquare, Pixels
from photoramd.models.tagger import Scores
from photoramd.models.vocabulary import Vocabulary

SIDE = 8

DESCRIPTION = Description(
    "embedded",
    "0123456789ab",
    Vocabulary(("red", "green", "blue"), (0.5, 0.5, 0.5), ((), (), ()), 0.1),
    CentralSquare(SIDE, 1.0, SIDE),
)


def picture(*colour: int) -> Pixels:
    """A picture of one colour, of three numbers from 0 to 255."""
    return np.full((SIDE, SIDE, 3), colour, np.uint8)


class TinyTagger:
    """See `photoramd.models.tagger.Tagger`."""

    name = DESCRIPTION.name
    revision = DESCRIPTION.revision
    vocabulary = DESCRIPTION.vocabulary
    crop = DESCRIPTION.crop
    decode_side = SIDE

    def pixels(self, image: Image.Image) -> Pixels:
        return self.crop.pixels(image)

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        return np.stack([each[0, 0] for each in batch]).astype(np.float32) / 255

    def scores_and_features(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        vectors = np.zeros((len(batch), SIZE), np.int8)
        vectors[:, :3] = np.stack([each[0, 0] // 2 for each in batch])
        return self.scores(batch), vectors
