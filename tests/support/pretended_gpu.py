"""A PRETENDED model on a GPU or another machine: it takes its time without using the processor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from photoramd.errors import ModelError
from photoramd.models.embedded.identity import describe
from photoramd.models.preprocessing import Pixels, digest_of
from photoramd.models.tagger import Scores


class PretendedGpu:
    """See `photoramd.models.tagger.Tagger`. Its scores are made from the pictures' digests.

    Args:
        at_once: So many batches are with it at a time; it works on one of them.
        rate: Pictures a second; 0: it takes no time.
        refuses: Tells which batches it fails on, by the digests in it.
        wait: Called with each batch, in its thread.
    """

    name = "embedded"

    def __init__(
        self,
        at_once: int = 1,
        rate: float = 0.0,
        refuses: Callable[[list[bytes]], ModelError | None] = lambda _: None,
        wait: Callable[[list[bytes]], object] = lambda _: None,
    ) -> None:
        known = describe()
        self.at_once = at_once
        self.revision = "pretended"
        self.vocabulary = known.vocabulary
        self.crop = known.crop
        self.decode_side = known.crop.decode_side
        self.batches: list[list[bytes]] = []
        self.most_running = 0
        self.busy_seconds = 0.0
        self.began: float | None = None
        self.ended = 0.0
        self._rate = rate
        self._refuses = refuses
        self._wait = wait
        self._running = 0
        self._lock = threading.Lock()
        self._gpu = threading.Lock()

    def pixels(self, image: Image.Image) -> Pixels:
        return self.crop.pixels(image)

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        digests = [digest_of(pixels) for pixels in batch]
        with self._lock:
            self.batches.append(digests)
            self._running += 1
            self.most_running = max(self.most_running, self._running)
        try:
            self._wait(digests)
            if (error := self._refuses(digests)) is not None:
                raise error
            with self._gpu:
                began = time.monotonic()
                time.sleep(len(batch) / self._rate if self._rate else 0)
                self.ended = time.monotonic()
                self.began = self.began or began
                self.busy_seconds += self.ended - began
            return np.stack([scores_of(digest, self) for digest in digests])
        finally:
            with self._lock:
                self._running -= 1

    @property
    def busy(self) -> float:
        """The share of the time that it worked, from its first picture to its last."""
        return self.busy_seconds / (self.ended - (self.began or 0.0))

    @property
    def inferred(self) -> int:
        return sum(map(len, self.batches))


def scores_of(digest: bytes, tagger: PretendedGpu) -> Scores:
    """The scores of a picture, which no other picture has."""
    generator = np.random.default_rng(int.from_bytes(digest, "little"))
    return generator.random(len(tagger.vocabulary.columns), np.float32)
