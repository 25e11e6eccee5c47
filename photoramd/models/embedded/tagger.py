"""The embedded tagger: a classifier, a detector and heads in one file, for ONNX Runtime.

- EfficientNet-Lite0 knows the 1,000 classes of ImageNet. Its keywords are those classes under
  readable names, and about 170 kinds above them (cat, animal, vehicle). A kind's probability is
  the sum over its classes, so that a photo whose breed is unsure is still surely one of a cat.
- SSDLite-MobileNetV2 finds the 80 objects of COCO, people among them.
- Linear heads on what the two see know people and places.

contrib/embedded_model.py makes the file. This module imports ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from PIL import Image

from photoramd.errors import ModelError
from photoramd.models.embedded.crop import CROP, INPUTS, split
from photoramd.models.embedded.identity import embedded_revision
from photoramd.models.embedded.keywords import embedded_vocabulary
from photoramd.models.embedded.people import Array, group_and_portrait
from photoramd.models.embedded.projection import Projection
from photoramd.models.embedded.runtime import onnxruntime
from photoramd.models.features import Vectors
from photoramd.models.imagenet import membership, read_table
from photoramd.models.preprocessing import Pixels
from photoramd.models.tagger import Scores
from photoramd.models.weights.catalog import EMBEDDED
from photoramd.models.weights.verified import locate, read_verified
from photoramd.system.memory import trim_memory

_OUTPUTS = ("classes", "objects", "boxes", "heads", "features")

_PERSON = 0
"""The column of persons among the detector's objects."""


class EmbeddedTagger:
    """See `photoramd.models.tagger.Tagger` and `photoramd.models.features.FeatureTagger`.

    Args:
        session: The networks.
        threads: How many photos are inferred at a time.
    """

    name: Final = EMBEDDED.name
    crop: Final = CROP
    decode_side: Final = CROP.decode_side

    def __init__(self, session: onnxruntime.InferenceSession, threads: int = 1) -> None:
        self.revision = embedded_revision()
        self.vocabulary = embedded_vocabulary()
        self._session = session
        self._members = membership(read_table())
        self._projection = Projection.read()
        # One photo at a time stays in the processor's cache, and memory does not grow.
        self._pool = ThreadPoolExecutor(threads, "infer") if threads > 1 else None

    @classmethod
    def load(cls, *, threads: int | None = None, precision: str = "auto") -> EmbeddedTagger:
        """Verify and load the weights.

        Args:
            threads: How many photos are inferred at a time, each by one thread; None for one.
            precision: ``float32`` (also ``auto``).

        Raises:
            IntegrityError: The weights are not the pinned bytes.
            ModelError: They are missing, or cannot be loaded.
        """
        EMBEDDED.require(precision=precision)
        data = read_verified(locate(EMBEDDED.weights), EMBEDDED.weights)
        try:
            session = onnxruntime.InferenceSession(
                data, _options(), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common class
            raise ModelError(f"the weights cannot be loaded: {error}") from error
        del data
        trim_memory()  # 50 MB of what loading took
        return cls(session, threads or 1)

    def pixels(self, image: Image.Image) -> Pixels:
        """Return the networks' inputs, uint8 RGB, shape (140176, 3)."""
        return self.crop.pixels(image)

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        """Return probabilities, float32, shape (photos, columns).

        Raises:
            ModelError: The runtime failed, or the pixels have another shape.
        """
        return self.scores_and_features(batch)[0]

    def scores_and_features(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors]:
        """Return probabilities as `scores` does, and features, int8, shape (photos, SIZE).

        Raises:
            ModelError: The runtime failed, or the pixels have another shape.
        """
        run = map if self._pool is None or len(batch) == 1 else self._pool.map
        try:
            seen = list(run(self._see, batch))
        except ValueError as error:
            raise ModelError(f"the model {self.name} got {error}") from error
        except Exception as error:  # its exceptions have no common class
            raise ModelError(f"the model {self.name} failed: {error}") from error
        width, depth = len(self.vocabulary.columns), len(self._projection.mean)
        scores = np.array([row for row, _ in seen], np.float32).reshape(-1, width)
        pooled = np.array([features for _, features in seen], np.float32).reshape(-1, depth)
        return scores, self._projection.vectors(pooled)

    def pooled(self, pixels: Pixels) -> Array:
        """Return the classifier's pooled features of a photo, float32, shape (1280,)."""
        return self._see(pixels)[1]

    def _see(self, pixels: Pixels) -> tuple[Array, Array]:
        feed = dict(zip(INPUTS, (part[None] for part in split(pixels)), strict=True))
        outputs = self._session.run(_OUTPUTS, feed)
        classes, objects, boxes, heads, features = (output[0] for output in outputs)
        # Sums of many classes can exceed 1 by a rounding error.
        keywords = np.minimum(classes @ self._members, 1)
        people = group_and_portrait(objects[:, _PERSON], boxes)
        row: Array = np.concatenate([keywords, objects.max(0), heads, people], dtype=np.float32)
        return row, features


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return options
