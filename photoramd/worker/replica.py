"""A process of Ray Serve's in which the model runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from photoramd.errors import ModelError
from photoramd.models import registry
from photoramd.models.features import Vectors, scores_and_features
from photoramd.models.known import known_pictures
from photoramd.models.preprocessing import Pixels
from photoramd.models.remote.pace import Rates
from photoramd.models.tagger import Scores
from photoramd.worker import loopback
from photoramd.worker.scorer import Stack

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What is loaded.

    Attributes:
        model: Its name in the configuration.
        revision: What it must be.
        precision: See `photoramd.models.registry.LoadOptions`.
        device: Likewise.
        threads: Likewise.
    """

    model: str
    revision: str
    precision: str
    device: str
    threads: int | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there are no scores.

    Attributes:
        reason: For people.
        blames: What is to blame: ``pictures``; ``process``, which was well before it had these
            pictures; ``nobody``: the process was not well before.
    """

    reason: str
    blames: Literal["pictures", "process", "nobody"]


class Replica:
    """The deployment's class.

    Args:
        options: What is loaded; its weights are verified.

    Raises:
        IntegrityError: The weights are not the pinned bytes.
        ModelError: It cannot be loaded, is another one than described, or is too slow.
    """

    def __init__(self, options: Options) -> None:
        loopback.require()
        self._tagger = registry.load(
            options.model,
            threads=options.threads,
            precision=options.precision,
            device=options.device,
        )
        if self._tagger.revision != options.revision:
            raise ModelError(
                f"the model {options.model} was loaded as revision {self._tagger.revision}, "
                f"and should be {options.revision}"
            )
        self._known = known_pictures(self._tagger.crop)
        self._rates = Rates()
        self._ends_by: float | None = None
        self._trouble = ""
        # A broken GPU is found here: the process then never counts as ready.
        self._scores(self._known)
        # The first run starts the GPU, too, and says nothing about how long others take.
        self._rates.forget()
        self._scores(self._known)
        count = len(self._known)
        seconds = self._rates.slowest * count
        if seconds > self._rates.hangs_after(count):
            raise ModelError(
                f"the model takes {seconds:.0f} seconds for {count} pictures here, which is too "
                "slow for a worker: it would be taken for hung"
            )
        # The model is called from one thread; Serve's own goes on answering meanwhile.
        self._thread = ThreadPoolExecutor(1, "model")

    async def scores(self, pictures: Stack) -> tuple[Scores, Vectors | None] | Refusal:
        """Return scores and features, or why there are none."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, pictures)

    def check_health(self) -> None:
        """Raise an error if the model hangs or fails with everything.

        Serve then ends the process and starts another.
        """
        ends_by = self._ends_by
        if ends_by is not None and time.monotonic() > ends_by:
            raise RuntimeError("the model does not answer")
        if self._trouble:
            raise RuntimeError(self._trouble)

    def _run(self, pictures: Stack) -> tuple[Scores, Vectors | None] | Refusal:
        if self._trouble:
            return Refusal(self._trouble, "nobody")
        try:
            return self._scores(list(pictures))
        except Exception as error:
            if not isinstance(error, ModelError):
                log.exception("Unexpected error in the model")
            reason = str(error) or repr(error)
        try:
            self._scores(self._known)
        except Exception as error:
            self._trouble = f"the model fails with every picture: {error}"
            return Refusal(self._trouble, "process")
        return Refusal(reason, "pictures")

    def _scores(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        """Run the model.

        Raises:
            ModelError: It failed, or its scores are no numbers.
        """
        began = time.monotonic()
        self._ends_by = began + self._rates.hangs_after(len(batch))
        try:
            scores, features = scores_and_features(self._tagger, batch)
        finally:
            self._ends_by = None
        if not np.isfinite(scores).all():
            raise ModelError("the model gave scores that are no numbers")
        self._rates.learn(len(batch), time.monotonic() - began)
        return scores, features
