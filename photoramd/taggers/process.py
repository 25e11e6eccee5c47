"""The process that a model lives in, so that ending it gives all memory back: the other side.

`photoramd.taggers.child` is what runs there, and describes the messages.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from photoramd.errors import ModelError
from photoramd.keywords import Vocabulary
from photoramd.taggers import Pixels, Scores, Tagger

if TYPE_CHECKING:
    from photoramd.taggers.crops import Crop

log = logging.getLogger(__name__)

START_SECONDS = 1800.0
"""To verify and load a model, and to convert its weights: gigabytes, on a slow disk."""

PHOTO_SECONDS = 60.0
"""For one photo; and once more for a batch. The largest network takes 2 s on two quick cores."""

_SEND_SECONDS = 60
"""Without a byte being taken; the other side does nothing else when it is sent something."""

_LOOK_SECONDS = 0.25
"""How often a stop is looked for while waiting."""

_KILL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Description:
    """What must be known of the tagger in the other process; see `photoramd.taggers.Tagger`."""

    name: str
    revision: str
    vocabulary: Vocabulary
    crop: Crop


class ProcessError(Exception):
    """The process is gone, answered nonsense, or did not answer in time; it must be ended."""


class ModelProcess:
    """A process with a model, until `end`.

    Args:
        may_wait: Asked a few times a second whether to wait on.
        on_progress: Told while it is waited for that it has worked.

    Raises:
        ProcessError: The system has no room for one.
    """

    def __init__(
        self, may_wait: Callable[[], bool], on_progress: Callable[[], object] = lambda: None
    ) -> None:
        self._may_wait = may_wait
        self._on_progress = on_progress
        self._used_ticks = 0
        ours, theirs = socket.socketpair()
        with theirs:
            # A process that is frozen takes nothing, and must not stop this one with it.
            limit = struct.pack("ll", _SEND_SECONDS, 0)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._connection: Connection[Any, Any] = Connection(ours.detach())
            level = logging.getLogger("photoramd").getEffectiveLevel()
            command = ["-P", "-m", "photoramd.taggers.child", str(theirs.fileno()), str(level)]
            try:
                self._process = subprocess.Popen(
                    [sys.executable, *command],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    # The very modules that this process has.
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                )
            except OSError as error:
                self._connection.close()
                raise ProcessError(f"cannot be started: {error.strerror}") from error

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def load(self, load: Callable[[], Tagger]) -> Description:
        """Load the model; once, first of all.

        Args:
            load: Can be pickled.

        Raises:
            ModelError: As `load` does.
            ProcessError: See there.
        """
        description: Description = self._ask(load, Description, START_SECONDS)
        return description

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        """See `photoramd.taggers.Tagger.scores`.

        Raises:
            ModelError: The model failed on this batch.
            ProcessError: See there.
        """
        limit = PHOTO_SECONDS * (1 + len(batch))
        scores: Scores = self._ask(list(batch), np.ndarray, limit)
        return scores

    def end(self) -> None:
        """End it at once: it has nothing to lose. Nothing happens if it has ended."""
        self._connection.close()
        self._process.kill()
        try:
            self._process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired:  # in the hands of a disk; it will end
            log.warning("Process %d of the model does not end", self.pid)

    def _ask(self, message: object, kind: type[Any], seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        try:
            self._connection.send(message)
            while True:
                self._wait(deadline, seconds)
                answer = self._connection.recv()
                if not isinstance(answer, logging.LogRecord):
                    break
                logger = logging.getLogger(answer.name)
                if logger.isEnabledFor(answer.levelno):
                    logger.handle(answer)
        except BlockingIOError as error:
            raise ProcessError(f"did not react for {_SEND_SECONDS} s") from error
        except (EOFError, OSError) as error:
            raise ProcessError(self._end_in_words()) from error
        if isinstance(answer, ModelError):
            raise answer
        if not isinstance(answer, kind):
            raise ProcessError(f"answered with {type(answer).__name__}")
        return answer

    def _wait(self, deadline: float, seconds: float) -> None:
        """Wait for the next message."""
        while not self._connection.poll(_LOOK_SECONDS):
            if not self._may_wait():
                raise ProcessError("was stopped")
            before, self._used_ticks = self._used_ticks, self._read_ticks()
            if self._used_ticks > before:
                self._on_progress()
            if time.monotonic() >= deadline:
                raise ProcessError(f"did not answer within {seconds:.0f} s")

    def _read_ticks(self) -> int:
        """The processor time that it has used; the format is in proc_pid_stat(5)."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text(errors="replace").rpartition(")")[2]
        except OSError:  # it has ended
            return 0
        return sum(int(field) for field in fields.split()[11:13])

    def _end_in_words(self) -> str:
        try:
            status = self._process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired:
            return "hung up"
        if status == -signal.SIGKILL:
            return "was killed, perhaps for want of memory"
        return f"ended with signal {-status}" if status < 0 else f"ended with code {status}"
