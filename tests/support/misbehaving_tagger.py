"""A FAKE tagger that goes wrong on demand, as no real model can be made to.

It is loaded in the process of a model. What the first pixel of a batch says is done.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from photoramd.errors import IntegrityError, ModelError
from photoramd.models.preprocessing import Pixels, Resize
from photoramd.models.tagger import Scores
from photoramd.models.vocabulary import Vocabulary

FINE, DIE, HANG, REFUSE, RAISE, LOG, WORK, KILL = range(8)

REMEDY = "mend it"


def pixels(order: int) -> Pixels:
    """A picture that makes the tagger do something."""
    return np.full((4, 4, 3), order, np.uint8)


class MisbehavingTagger:
    """See `photoramd.models.tagger.Tagger`."""

    name = "misbehaving"
    vocabulary = Vocabulary(("one", "two"), (0.5, 0.5), ((), ("one",)), 0.1)
    crop = Resize(4, 8)
    decode_side = 8

    def __init__(self, revision: str) -> None:
        self.revision = revision

    def pixels(self, image: Image.Image) -> Pixels:
        return self.crop.pixels(image)

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        order = int(batch[0][0, 0, 0])
        if order == DIE:
            os._exit(7)
        if order == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if order == HANG:
            time.sleep(3600)
        if order == WORK:
            used = time.process_time()
            while time.process_time() < used + 1.2:
                pass
        if order == REFUSE:
            raise ModelError("this picture is refused", path="/a", remedy=REMEDY)
        if order == RAISE:
            raise ZeroDivisionError("a bug")
        if order == LOG:
            log = logging.getLogger("photoramd.models.misbehaving")
            thread = threading.Thread(target=log.info, args=("from %s", "a thread"))
            thread.start()
            thread.join()
            log.debug("a detail")
        return np.full((len(batch), 2), 0.75, np.float32)


def load(weights: Path) -> MisbehavingTagger:
    """The tagger; its file says its revision, or "bad"."""
    revision = weights.read_text()
    if revision == "bad":
        raise IntegrityError("not the pinned bytes", path=weights, remedy=REMEDY)
    return MisbehavingTagger(revision)


class HangingTagger(MisbehavingTagger):
    """Hangs whatever it is given."""

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        logging.getLogger("photoramd.models.misbehaving").info("it hangs")
        return super().scores([pixels(HANG)])


def load_hanging() -> HangingTagger:
    """The tagger."""
    return HangingTagger("1")
