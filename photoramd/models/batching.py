"""Run a network over a batch of any size, within the memory there is.

On a CPU each of a few threads takes one image at a time and uses one torch thread. That is
faster than several torch threads on one image, which wait for each other after every layer, and
memory does not grow with the batch. The last images, too few for all threads, share torch's
threads. On a GPU images go in batches; when memory runs out, the batch is halved from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from photoramd.errors import ModelError
from photoramd.models.preprocessing import Pixels

log = logging.getLogger(__name__)

GPU_BATCH = 16

Infer = Callable[[Tensor], Tensor]
"""From pixels, uint8, shape (B, height, width, 3), to float32 on the CPU, shape (B, outputs)."""


class CpuRunner:
    """Runs a network on the CPU.

    Args:
        infer: The network; called from several threads.
        threads: How many images run at a time, and how many threads a single one gets.
    """

    def __init__(self, infer: Infer, threads: int) -> None:
        self._infer = infer
        self._threads = max(1, threads)
        self._pool: ThreadPoolExecutor | None = None

    def run(self, batch: Sequence[Pixels]) -> Tensor:
        """Return outputs in the order of the batch, shape (len(batch), outputs).

        Raises:
            ModelError: There is too little memory even for one image.
        """
        while True:
            try:
                return self._run(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self._threads == 1:
                    raise ModelError("too little memory for one image") from error
                self._threads //= 2
                self._pool = None
                log.warning("Out of memory; %d images at a time from now on", self._threads)

    def _run(self, batch: Sequence[Pixels]) -> Tensor:
        together = len(batch) - len(batch) % self._threads if self._threads > 1 else 0
        rows = list(self._workers().map(self._one, batch[:together])) if together else []
        if together < len(batch) and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        rows += [self._one(pixels) for pixels in batch[together:]]
        return torch.cat(rows)

    def _one(self, pixels: Pixels) -> Tensor:
        return self._infer(torch.from_numpy(np.stack([pixels])))

    def _workers(self) -> ThreadPoolExecutor:
        if self._pool is None:
            # torch's number of threads belongs to the thread that sets it.
            self._pool = ThreadPoolExecutor(
                self._threads, "infer", initializer=torch.set_num_threads, initargs=(1,)
            )
        return self._pool


class GpuRunner:
    """Runs a network on a GPU, in batches.

    Args:
        infer: The network.
        batch: Images at a time.
    """

    def __init__(self, infer: Infer, batch: int = GPU_BATCH) -> None:
        self._infer = infer
        self._at_once = batch

    def run(self, batch: Sequence[Pixels]) -> Tensor:
        """See `CpuRunner.run`."""
        rows: list[Tensor] = []
        done = 0
        while done < len(batch):
            part = batch[done : done + self._at_once]
            try:
                rows.append(self._infer(torch.from_numpy(np.stack(part))))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise ModelError("too little memory for one image") from error
                self._at_once = len(part) // 2
                log.warning("Out of memory; %d images at a time from now on", self._at_once)
            else:
                done += len(part)
                continue
            # Not earlier: the exception held references to tensors.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return torch.cat(rows)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that memory ran out, on whatever device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text
