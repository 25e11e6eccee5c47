"""Taggers: models that turn pixels into scores for the labels of a vocabulary.

A tagger is loaded once and stays resident. Nothing here imports torch; the modules of
the models do, when `load` asks for one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from photoramd.checkpoint import EMBEDDED, known_model
from photoramd.errors import ModelError

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


def load(name: str, *, threads: int | None = None, precision: str = "auto") -> Tagger:
    """Load a model by its name in the configuration; takes seconds.

    Args:
        name: Such as ``embedded``.
        threads: Of the model's library, for the whole process; None leaves its setting.
        precision: Of weights and activations, such as ``float32``; ``auto`` leaves it to the model.

    Raises:
        IntegrityError: The weights are not the pinned bytes.
        ModelError: There is no such model, or its weights or libraries are missing.
    """
    model = known_model(name)
    if model is EMBEDDED:
        with _libraries(name):
            from photoramd.taggers.imagenet import ImagenetTagger
        return ImagenetTagger.load(threads=threads, precision=precision)
    if name.startswith("torchvision:"):
        with _libraries(name):
            from photoramd.taggers.zoo import ZooTagger
        return ZooTagger.load(model, threads=threads, precision=precision)
    raise ModelError(f"the model {name} cannot be loaded yet")


@contextmanager
def _libraries(name: str) -> Iterator[None]:
    """Around the import of a model's module, which imports its libraries."""
    try:
        yield
    except (ImportError, OSError) as error:
        raise ModelError(
            f"the model {name} needs torch and torchvision: {error}",
            remedy="install them into the same environment: pip install torch torchvision",
        ) from error
