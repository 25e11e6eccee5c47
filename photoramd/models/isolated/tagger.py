"""A tagger that returns its memory to the system when it has been idle for long.

Torch alone holds half a gigabyte once it is imported, whatever a process frees. So the model
runs in a process of its own, which is ended when idle and started again when photos come.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from photoramd.clock import Monotonic
from photoramd.errors import ModelError, ModelUnavailableError
from photoramd.models.description import Description
from photoramd.models.features import Vectors
from photoramd.models.isolated.client import ModelProcess, NotTakenError, ProcessError
from photoramd.models.preprocessing import Pixels
from photoramd.models.tagger import Scores, Tagger

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

REST_SECONDS = (0.0, 10.0, 30.0, 120.0, 600.0)
"""How long the model is left alone after each failure in a row; the last value repeats."""


class UnloadingTagger:
    """See `Tagger` and `FeatureTagger`. Use it as a context manager or `close` it; for one thread.

    If the first start fails, the error is that of loading in this process. If a later one
    fails, for example because the weights are no longer the pinned bytes, or the process
    fails twice in a row, the start is tried again after a rest; until then there are no scores.

    Args:
        load: Loads the model; can be pickled.
        idle_seconds: How long without a batch until the process is ended.
        is_stopped: Whether a batch or a start under way may finish only if that is soon.
        beat: Called when the process makes progress while this one waits.

    Attributes:
        trouble: Why the model is not available, as a sentence; usually empty.

    Raises:
        ModelError: As `load` does.
    """

    def __init__(
        self,
        load: Callable[[], Tagger],
        *,
        idle_seconds: float,
        is_stopped: Callable[[], bool] = lambda: False,
        beat: Callable[[], object] = lambda: None,
    ) -> None:
        self.trouble = ""
        self._load = load
        self._idle_seconds = idle_seconds
        self._is_stopped = is_stopped
        self._beat = beat
        self._now = Monotonic(-math.inf)
        self._idle_since = math.inf
        self._resting_until = -math.inf
        self._failures = 0
        self._process: ModelProcess | None
        try:
            self._process, description = self._start()
        except ProcessError as error:
            raise ModelError(f"the process of the model {error}") from error
        self.name = description.name
        self.revision = description.revision
        self.vocabulary = description.vocabulary
        self.crop = description.crop
        self.decode_side = self.crop.decode_side

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; harmless if repeated."""
        self._end()

    def pixels(self, image: Image.Image) -> Pixels:
        """Crop and resize, in this process."""
        return self.crop.pixels(image)

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        """See `photoramd.models.tagger.Tagger.scores`.

        Raises:
            ModelError: The model failed on this batch, or its process did.
            ModelUnavailableError: There is no model now.
        """
        return self.scores_and_features(batch)[0]

    def scores_and_features(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        """See `photoramd.models.features.FeatureTagger`.

        Raises:
            ModelError: The model failed on this batch, or its process did.
            ModelUnavailableError: There is no model now.
        """
        self._idle_since = math.inf  # until `step` tells the time
        try:
            try:
                seen = self._running().scores_and_features(batch)
            except NotTakenError:  # a process that ends looks alive to its last moment
                seen = self._running().scores_and_features(batch)
        except ProcessError as error:
            self._end()
            self._refuse_if_stopped()
            self._rest()
            self.trouble = f"the process of the model {error}"
            log.warning("%s", self.trouble)
            raise ModelError(f"the process of the model {error}") from error
        self._failures = 0
        self.trouble = ""
        return seen

    def step(self, now: Monotonic) -> None:
        """Unload the model if it has been idle for long; the loop calls this in each turn."""
        self._now = now
        if self._process is None:
            return
        if self._idle_since == math.inf:
            self._idle_since = now
        if now >= self.deadline():
            self._end()
            log.info("Unloaded the model, idle for %g minutes", self._idle_seconds / 60)

    def deadline(self) -> Monotonic:
        """Return when `step` will have something to do if nothing else happens."""
        due = math.inf if self._process is None else self._idle_since + self._idle_seconds
        return Monotonic(due)

    @property
    def is_available(self) -> bool:
        """Whether the model takes photos: it does not rest after failures."""
        return self._now >= self._resting_until

    @property
    def is_hopeless(self) -> bool:
        """See `photoramd.models.availability.Availability`: it is tried again by itself."""
        return False

    def _running(self) -> ModelProcess:
        """Return the process; started if need be."""
        self._refuse_if_stopped()
        if self._process is not None and self._process.is_alive:
            return self._process
        if not self.is_available:
            raise ModelUnavailableError("the model rests after failures")
        if self._process is not None:
            log.warning("The process of the model ended while it was idle")
            self._end()
        started = time.monotonic()
        try:
            process, description = self._start()
        except (ModelError, ProcessError) as error:
            self._refuse_if_stopped()
            raise self._unavailable(error) from error
        if description.revision != self.revision:
            process.end()
            raise self._unavailable(
                ModelError("it is not the same as before", remedy="start photoramd again")
            )
        log.info("Loaded the model again in %.1f s", time.monotonic() - started)
        self._process = process
        return process

    def _start(self) -> tuple[ModelProcess, Description]:
        process = ModelProcess(self._is_stopped, self._beat)
        try:
            return process, process.load(self._load)
        except BaseException:  # also a signal that ends this process
            process.end()
            raise

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _rest(self) -> None:
        pause = REST_SECONDS[min(self._failures, len(REST_SECONDS) - 1)]
        self._failures += 1
        self._resting_until = self._now + pause

    def _unavailable(self, error: Exception) -> ModelUnavailableError:
        self._failures = max(self._failures, 1)  # trying at once would gain nothing
        self._rest()
        self.trouble = f"the model cannot be loaded: {error}"
        remedy = getattr(error, "remedy", None)
        log.error("The model cannot be loaded again: %s%s", error, f" ({remedy})" if remedy else "")
        return ModelUnavailableError(self.trouble, remedy=remedy)

    def _refuse_if_stopped(self) -> None:
        if self._is_stopped():
            raise ModelUnavailableError("photoramd is being stopped")
