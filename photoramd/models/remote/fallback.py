"""The same model on this machine, for as long as no worker can be reached."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from photoramd.errors import ModelError, ModelUnavailableError
from photoramd.models.features import Vectors, scores_and_features
from photoramd.models.preprocessing import Pixels
from photoramd.models.tagger import Scores, Tagger

log = logging.getLogger(__name__)


class Fallback:
    """Loads the model when it is first needed; for any thread, one at a time.

    Args:
        load: Loads the model.
        revision: What the workers' model is.

    Attributes:
        trouble: Why there is no model here; empty if there may be one.
    """

    def __init__(self, load: Callable[[], Tagger], revision: str) -> None:
        self.trouble = ""
        self._load = load
        self._revision = revision
        self._lock = threading.Lock()
        self._tagger: Tagger | None = None

    def scores_and_features(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        """See `photoramd.models.features.FeatureTagger`.

        Raises:
            ModelError: The model failed on this batch.
            ModelUnavailableError: It cannot be loaded, or is another one.
        """
        with self._lock:
            return scores_and_features(self._loaded(), batch)

    def _loaded(self) -> Tagger:
        if self.trouble:
            raise ModelUnavailableError(self.trouble)
        if self._tagger is None:
            log.info("No worker is available: the model is loaded here")
            try:
                self._tagger = _same(self._load(), self._revision)
            except ModelError as error:
                self.trouble = f"the model cannot run here either: {error}"
                remedy = f"; {error.remedy}" if error.remedy else ""
                log.error("The model cannot run here either: %s%s", error, remedy)
                raise ModelUnavailableError(self.trouble, remedy=error.remedy) from error
        return self._tagger


def _same(tagger: Tagger, revision: str) -> Tagger:
    if tagger.revision != revision:
        raise ModelError(
            f"the model here has the revision {tagger.revision}, and the workers' {revision}",
            remedy='set cluster.fallback to "wait", or the same model.precision and model.device',
        )
    return tagger
