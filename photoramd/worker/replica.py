"""A process of Ray Serve's in which the model runs."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from photoramd.errors import ModelError
from photoramd.models import registry
from photoramd.models.features import Vectors, scores_and_features
from photoramd.models.tagger import Scores
from photoramd.worker import loopback
from photoramd.worker.scorer import Stack

_CALL_SECONDS = 60.0
_PICTURE_SECONDS = 15.0
"""A call may take so long, and so long for each picture, before the process counts as hung."""


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


class Replica:
    """The deployment's class.

    Args:
        options: What is loaded; its weights are verified.

    Raises:
        IntegrityError: The weights are not the pinned bytes.
        ModelError: It cannot be loaded, or is another one than described.
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
        # The model is called from one thread; Serve's own goes on answering meanwhile.
        self._thread = ThreadPoolExecutor(1, "model")
        self._ends_by: float | None = None

    async def scores(self, pictures: Stack) -> tuple[Scores, Vectors | None] | str:
        """Return scores and features, or why the model refused these pictures."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, pictures)

    def check_health(self) -> None:
        """Raise an error if the model hangs; Serve then ends the process and starts another."""
        ends_by = self._ends_by
        if ends_by is not None and time.monotonic() > ends_by:
            raise RuntimeError("the model does not answer")

    def _run(self, pictures: Stack) -> tuple[Scores, Vectors | None] | str:
        self._ends_by = time.monotonic() + _CALL_SECONDS + _PICTURE_SECONDS * len(pictures)
        try:
            return scores_and_features(self._tagger, list(pictures))
        except ModelError as error:
            return str(error)
        finally:
            self._ends_by = None
