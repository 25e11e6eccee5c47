"""The protocol of a tagger: a loaded model that turns pixels into scores for labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from photoramd.models.preprocessing import Pixels

if TYPE_CHECKING:
    from PIL import Image

    from photoramd.models.preprocessing import Crop
    from photoramd.models.vocabulary import Vocabulary


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
    def crop(self) -> Crop:
        """The preprocessing that `decode_side` and `pixels` come from."""

    @property
    def decode_side(self) -> int:
        """The decoder may shrink a photo while it decodes, to no less than this shorter side."""

    def pixels(self, image: Image.Image) -> Pixels:
        """Crop and resize an upright RGB image to the model's input. Called from many threads."""

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        """Return the scores of a batch, in its order. Called from one thread.

        Raises:
            ModelError: The model failed on this batch.
        """


def at_once(tagger: Tagger) -> int:
    """Return how many batches a tagger takes at a time, each from a thread of its own.

    That is its attribute ``at_once``. Without one it is 0: it computes on the processor, and is
    called from the thread that everything happens in. A GPU or another machine would otherwise
    wait while results are stored and files are written; each takes two, so that the next is there
    when one ends.
    """
    found: int = getattr(tagger, "at_once", 0)
    return found
