"""The protocol of the taggers that are not always available: one in a process, those elsewhere."""

from __future__ import annotations

from typing import Protocol, cast

from photoramd.clock import Monotonic
from photoramd.errors import ModelUnavailableError
from photoramd.models.tagger import Tagger


class Availability(Protocol):
    """What a loop must know of a tagger, and do for it, to use it for months."""

    @property
    def is_available(self) -> bool:
        """Whether the model takes photos now."""

    @property
    def trouble(self) -> str:
        """Why the model is not available, as a sentence; usually empty."""

    @property
    def is_hopeless(self) -> bool:
        """Whether only those should wait for it who wait for ever."""

    def step(self, now: Monotonic) -> None:
        """Do what is due; does not wait. The loop calls this in each turn."""

    def deadline(self) -> Monotonic:
        """Return when `step` will have something to do if nothing else happens."""

    def close(self) -> None:
        """End what belongs to the model, without waiting for its answers; harmless if repeated."""


def availability(tagger: Tagger) -> Availability | None:
    """Return how to ask for a tagger's availability; None of one that is always available."""
    # Of the class, so that a model is not loaded for it.
    return cast(Availability, tagger) if hasattr(type(tagger), "is_available") else None


def require_hope(model: Availability | None) -> None:
    """Require a model that is available, or may soon be.

    Raises:
        ModelUnavailableError: Neither.
    """
    if model is not None and model.is_hopeless:
        raise ModelUnavailableError(
            model.trouble, remedy="what was found waits; start a worker, and run this again"
        )
