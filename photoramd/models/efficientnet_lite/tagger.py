"""The embedded tagger: EfficientNet-Lite0 on ImageNet-1k, with keywords from WordNet.

The network knows 1,000 classes. Its keywords are those classes under readable names, and
about 170 kinds above them (cat, animal, vehicle). A kind's probability is the sum over its
classes, so that a photo whose breed is unsure is still surely one of a cat.

This module imports torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from PIL import Image

from photoramd.errors import ModelError
from photoramd.models.efficientnet_lite.folded import FoldedNetwork
from photoramd.models.efficientnet_lite.network import CLASSES, INPUT_SIDE, EfficientNetLite0
from photoramd.models.imagenet import KeywordEntry, read_table, table_bytes, vocabulary_of
from photoramd.models.preprocessing import CentralSquare, Pixels
from photoramd.models.tagger import Scores
from photoramd.models.weights.catalog import EMBEDDED
from photoramd.models.weights.verified import load_state_dict, locate, read_verified
from photoramd.system.cpu import has_bfloat16

_SHARE = 224 / 256
"""The network was trained and measured on this part of the shorter side."""

_DECODE_SIDE = 448
"""Twice the input. Against full decoding, on photos of 12 and 24 megapixels, the score that
changes most in a photo changes by .01 on average and .08 at most: see benchmarks/quality.py."""

CROP = CentralSquare(INPUT_SIDE, _SHARE, _DECODE_SIDE)

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""float32 unless asked for otherwise: quick enough, and the same scores on every machine."""

_INFERENCE_VERSION = 1
"""Raise it with any change of the network or of its crop."""


class ImagenetTagger:
    """See `photoramd.models.tagger.Tagger`."""

    name: Final = EMBEDDED.name
    crop: Final = CROP
    decode_side: Final = CROP.decode_side

    def __init__(
        self, network: FoldedNetwork, table: Sequence[KeywordEntry], revision: str
    ) -> None:
        self.revision = revision
        self.vocabulary = vocabulary_of(table)
        self._network = network
        self._members = torch.zeros(CLASSES, len(table))
        for column, entry in enumerate(table):
            self._members[list(entry.classes), column] = 1

    @classmethod
    def load(cls, *, threads: int | None = None, precision: str = "auto") -> ImagenetTagger:
        """Verify and load the weights.

        Args:
            threads: Of torch, for the whole process; None leaves torch's setting. One is
                best beside decoding threads: two that wait for each other on a busy machine
                take many times as long.
            precision: ``float32``, ``bfloat16`` or ``auto``: bfloat16 where the processor
                has it. It takes two thirds of the time and gives the same keywords for 98 of
                100 photos, and equally good ones for all (`benchmarks.quality`).

        Raises:
            IntegrityError: The weights are not the pinned bytes.
            ModelError: They are missing, or do not fit the network.
        """
        if precision == "auto":
            precision = "bfloat16" if has_bfloat16() else "float32"
        EMBEDDED.require(precision=precision)
        if threads is not None:
            torch.set_num_threads(threads)
        data = read_verified(locate(EMBEDDED.weights), EMBEDDED.weights)
        network = EfficientNetLite0()
        try:
            network.load_state_dict(load_state_dict(data))
        except RuntimeError as error:
            raise ModelError(f"the weights do not fit the network: {error}") from error
        dtype = _DTYPES[precision]
        return cls(FoldedNetwork(network.eval(), dtype), read_table(), embedded_revision(dtype))

    def pixels(self, image: Image.Image) -> Pixels:
        """Return the central square, uint8 RGB, shape (224, 224, 3)."""
        return self.crop.pixels(image)

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        """Return probabilities, float32, shape (photos, labels)."""
        if not batch:
            return np.zeros((0, len(self.vocabulary.labels)), np.float32)
        if any(pixels.shape != (INPUT_SIDE, INPUT_SIDE, 3) for pixels in batch):
            raise ModelError(f"the model {self.name} got pixels of another shape than it makes")
        try:
            with torch.inference_mode():
                logits = self._network.logits(torch.from_numpy(np.stack(batch)))
                # Sums of many classes can exceed 1 by a rounding error.
                probabilities = (logits.softmax(1) @ self._members).clamp_(max=1)
                scores: Scores = probabilities.numpy()
        except RuntimeError as error:
            raise ModelError(f"the model {self.name} failed: {error}") from error
        return scores


def embedded_revision(dtype: torch.dtype) -> str:
    """Return a digest of weights, table, code and precision: 12 hexadecimal digits."""
    digest = hashlib.sha256()
    code = f"{_INFERENCE_VERSION} {dtype}".encode()
    for part in (EMBEDDED.weights.sha256.encode(), table_bytes(), code):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:12]
