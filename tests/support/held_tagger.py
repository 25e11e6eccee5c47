"""A FAKE in front of a real model: its calls wait until they are let go, as on a hung machine."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from PIL import Image

from photoramd.errors import ModelError
from photoramd.models.features import Vectors, scores_and_features
from photoramd.models.preprocessing import Pixels
from photoramd.models.tagger import Scores, Tagger
from tests.support.daemons import TIMEOUT_SECONDS, wait_for


class HeldTagger:
    """The real tagger, called from several threads.

    Args:
        tagger: The real one.
        at_once: How many batches it takes at a time.

    Attributes:
        calls: The batches, in the order in which the calls began.
        errors: What calls raise instead, by their number.
    """

    def __init__(self, tagger: Tagger, at_once: int) -> None:
        self.at_once = at_once
        self.calls: list[Sequence[Pixels]] = []
        self.errors: dict[int, ModelError] = {}
        self.threads: set[int] = set()
        self.name = tagger.name
        self.revision = tagger.revision
        self.vocabulary = tagger.vocabulary
        self.crop = tagger.crop
        self.decode_side = tagger.decode_side
        self._tagger = tagger
        self._held: list[threading.Event] = []
        self._is_free = False
        self._one = threading.Lock()

    def pixels(self, image: Image.Image) -> Pixels:
        return self.crop.pixels(image)

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        return self.scores_and_features(batch)[0]

    def scores_and_features(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        with self._one:
            number = len(self.calls)
            self.threads.add(threading.get_ident())
            self._held.append(held := threading.Event())
            if self._is_free:
                held.set()
            self.calls.append(batch)
        assert held.wait(TIMEOUT_SECONDS)
        if number in self.errors:
            raise self.errors[number]
        with self._one:
            return scores_and_features(self._tagger, batch)

    def wait_for_calls(self, count: int) -> None:
        """Wait until so many calls have begun."""
        wait_for(lambda: len(self.calls) >= count, f"call {count} of the model")

    def let_go(self, number: int) -> None:
        """Let a call that has begun go on."""
        self._held[number].set()

    def let_all_go(self) -> None:
        """Hold no call any more."""
        with self._one:
            self._is_free = True
            for held in self._held:
                held.set()
