"""How long a command waits for a model that is not available, before it gives up."""

from __future__ import annotations

from photoramd.clock import Monotonic
from photoramd.errors import ModelUnavailableError
from photoramd.models.availability import Availability

PATIENCE_SECONDS = 300.0
"""A worker that is started again is back sooner."""


class Patience:
    """Ends a scan that would wait for another machine for ever.

    Args:
        model: Its availability; None: it is always available.
    """

    def __init__(self, model: Availability | None) -> None:
        self._model = model
        self._available_at = Monotonic(float("-inf"))

    def require(self, now: Monotonic) -> None:
        """Require a model that is available, was lately, or may become so at once.

        Raises:
            ModelUnavailableError: It never was, or has not been for long.
        """
        if self._model is None:
            return
        trouble = self._model.trouble
        if self._model.is_available:
            self._available_at = now
        elif trouble and now - self._available_at > PATIENCE_SECONDS:
            raise ModelUnavailableError(
                trouble, remedy="what was found waits; start a worker, and run this again"
            )
