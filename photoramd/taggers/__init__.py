"""Taggers: models that turn pixels into scores for the labels of a vocabulary.

A tagger is loaded once and stays resident. Nothing here imports torch; the modules of
the models do, when `load` asks for one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

    from photoramd.keywords import Vocabulary

Pixels = npt.NDArray[np.uint8]
"""What a model sees of one photo: uint8 RGB, shape (height, width, 3)."""

Scores = npt.NDArray[np.float32]
"""Probabilities, float32, shape (photos, labels)."""


class Tagger(Protocol):
    """A loaded model."""

    @property
    def name(self) -> str:
        """The name of the model in the configuration, such as ``embedded``."""

    @property
    def revision(self) -> str:
        """Changes whenever equal pixels could get other scores: weights, network, labels."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The labels, in the order of the scores' columns, and what is known of them."""

    @property
    def decode_side(self) -> int:
        """The decoder may shrink a photo while it decodes, to no less than this shorter side."""

    def pixels(self, image: Image.Image) -> Pixels:
        """Crop and resize an upright RGB image to the model's input. Called from many threads."""

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        """Scores of a batch, in its order. Called from one thread.

        Raises:
            ModelError: The model failed on this batch.
        """
