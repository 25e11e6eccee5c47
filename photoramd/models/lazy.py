"""A tagger that is loaded when it is first needed.

A scan that finds nothing new then costs neither the time nor the memory of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from photoramd.clock import Monotonic
from photoramd.models.availability import Availability, availability
from photoramd.models.features import Vectors, scores_and_features
from photoramd.models.preprocessing import Crop, Pixels
from photoramd.models.tagger import Scores, Tagger, at_once
from photoramd.models.vocabulary import Vocabulary

if TYPE_CHECKING:
    from PIL import Image


class LazyTagger:
    """See `Tagger` and `Availability`; `load` it in the thread that can bear its errors.

    It has more than 12 methods because it passes on those of both.

    Args:
        name: The model's name in the configuration.
        load: Loads the model.
        on_load: Called before that.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], Tagger],
        on_load: Callable[[], object] = lambda: None,
    ) -> None:
        self.name = name
        self._load = load
        self._on_load = on_load

    def load(self) -> None:
        """Load the model if that has not been done.

        Raises:
            IntegrityError: The weights are not the pinned bytes.
            ModelError: It cannot be loaded.
        """
        self._tagger  # noqa: B018  the property loads

    @property
    def is_available(self) -> bool:
        """See `Availability`; it may be loaded until it is."""
        return self._varying is None or self._varying.is_available

    @property
    def trouble(self) -> str:
        """See `Availability`."""
        return self._varying.trouble if self._varying else ""

    @property
    def is_hopeless(self) -> bool:
        """See `Availability`."""
        return self._varying is not None and self._varying.is_hopeless

    def step(self, now: Monotonic) -> None:
        """See `Availability`."""
        if self._varying:
            self._varying.step(now)

    def deadline(self) -> Monotonic:
        """See `Availability`."""
        return self._varying.deadline() if self._varying else Monotonic(math.inf)

    def close(self) -> None:
        """See `Availability`."""
        if self._varying:
            self._varying.close()

    @property
    def _varying(self) -> Availability | None:
        """That of the model, if it is loaded and not always available."""
        loaded: Tagger | None = vars(self).get("_tagger")
        return None if loaded is None else availability(loaded)

    @cached_property
    def _tagger(self) -> Tagger:
        self._on_load()
        return self._load()

    @property
    def revision(self) -> str:
        """See `Tagger`."""
        return self._tagger.revision

    @property
    def vocabulary(self) -> Vocabulary:
        """See `Tagger`."""
        return self._tagger.vocabulary

    @property
    def crop(self) -> Crop:
        """See `Tagger`."""
        return self._tagger.crop

    @property
    def decode_side(self) -> int:
        """See `Tagger`."""
        return self._tagger.decode_side

    @property
    def at_once(self) -> int:
        """See `photoramd.models.tagger.at_once`."""
        return at_once(self._tagger)

    def pixels(self, image: Image.Image) -> Pixels:
        """See `Tagger`."""
        return self._tagger.pixels(image)

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        """See `Tagger`.

        Raises:
            ModelError: The model failed on this batch.
        """
        return self._tagger.scores(batch)

    def scores_and_features(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        """See `photoramd.models.features.FeatureTagger`.

        Raises:
            ModelError: The model failed on this batch.
        """
        return scores_and_features(self._tagger, batch)
