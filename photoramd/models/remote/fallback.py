"""The same model on this machine, for as long as no worker can be reached."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from photoramd.errors import ModelError, ModelUnavailableError
from photoramd.models.features import Vectors, scores_and_features
from photoramd.models.known import known_pictures
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
        self._is_closed = False

    def scores_and_features(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        """See `photoramd.models.features.FeatureTagger`.

        Raises:
            ModelError: The model failed on this batch.
            ModelUnavailableError: It cannot be loaded, is another one, or fails with any batch.
        """
        with self._lock:
            tagger = self._loaded()
            try:
                return scores_and_features(tagger, batch)
            except ModelUnavailableError:
                raise
            except Exception:
                self._require_well(tagger)
                raise

    def close(self) -> None:
        """Drop the model; one that is running ends its batch first, which is not waited for."""
        self._is_closed = True
        self._tagger = None

    def _loaded(self) -> Tagger:
        if self.trouble:
            raise ModelUnavailableError(self.trouble)
        if self._is_closed:
            raise ModelUnavailableError("photoramd is being stopped")
        found = self._tagger
        if found is None:
            log.info("No worker is available: the model is loaded here")
            try:
                found = _same(self._load(), self._revision)
            except ModelError as error:
                raise self._give_up(str(error), error.remedy) from error
            except Exception as error:
                # No picture is to blame, whatever it is.
                log.exception("Unexpected error while the model was loaded here")
                raise self._give_up(f"unexpected error: {error!r}") from error
            self._tagger = found
            if self._is_closed:
                self._tagger = None
        return found

    def _require_well(self, tagger: Tagger) -> None:
        """Give the model up if it fails with known pictures, too."""
        try:
            scores_and_features(tagger, known_pictures(tagger.crop))
        except Exception as error:
            self._tagger = None
            reason = str(error) or repr(error)
            raise self._give_up(f"it fails with every picture: {reason}") from error

    def _give_up(self, reason: str, remedy: str | None = None) -> ModelUnavailableError:
        self.trouble = f"the model cannot run here either: {reason}"
        log.error("T%s%s", self.trouble[1:], f"; {remedy}" if remedy else "")
        return ModelUnavailableError(self.trouble, remedy=remedy)


def _same(tagger: Tagger, revision: str) -> Tagger:
    if tagger.revision != revision:
        raise ModelError(
            f"the model here has the revision {tagger.revision}, and the workers' {revision}",
            remedy='set cluster.fallback to "wait", or the same model.precision and model.device',
        )
    return tagger
