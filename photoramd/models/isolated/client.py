"""Start and ask the process that a model runs in; `worker` is its other side.

`photoramd.models.isolated.worker` describes the messages.
"""

from __future__ import annotations

import logging
import math
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from photoramd.errors import ModelError
from photoramd.models.description import Description
from photoramd.models.features import Vectors
from photoramd.models.preprocessing import Pixels
from photoramd.models.tagger import Scores, Tagger
from photoramd.system import child

log = logging.getLogger(__name__)

START_SECONDS = 1800.0
"""The limit for verifying and loading a model and converting its weights: gigabytes, on a slow
disk."""

PHOTO_SECONDS = 60.0
"""The limit for a batch, for each of its photos and once more. The largest network takes 2 s a
photo on two fast cores."""

_SEND_SECONDS = 60
"""How long the other side may take no byte; it does nothing else when it is sent something."""

STOP_SECONDS = 20.0
"""How long a batch or a start under way may still take once a stop is asked for."""

_LOOK_SECONDS = 0.25
"""How often to look for a stop and for progress while waiting."""

_KILL_SECONDS = 10.0


class ProcessError(Exception):
    """The process ended, answered nonsense, or did not answer in time; it must be ended."""


class NotTakenError(ProcessError):
    """The process ended before it had taken what it was sent."""


class ModelProcess:
    """A process with a model, until `end`.

    Args:
        is_stopped: Whether to wait for an answer only `STOP_SECONDS` more.
        beat: Called when the process makes progress while this one waits.

    Raises:
        ProcessError: It cannot be started.
    """

    def __init__(self, is_stopped: Callable[[], bool], beat: Callable[[], object]) -> None:
        self._is_stopped = is_stopped
        self._beat = beat
        ours, theirs = socket.socketpair()
        with theirs:
            # A frozen process takes nothing, and must not freeze this one.
            limit = struct.pack("ll", _SEND_SECONDS, 0)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._connection: Connection[Any, Any] = Connection(ours.detach())
            level = logging.getLogger("photoramd").getEffectiveLevel()
            try:
                self._process = child.start_module(
                    "photoramd.models.isolated.worker", theirs.fileno(), str(level)
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
        """Load the model. Call it once, before anything else.

        Args:
            load: Loads the model in the other process; can be pickled.

        Raises:
            ModelError: As `load` does.
            ProcessError: See there.
        """
        description: Description = self._ask([load], Description, START_SECONDS)
        return description

    def scores_and_features(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        """See `photoramd.models.features.FeatureTagger`.

        Raises:
            ModelError: The model failed on this batch.
            NotTakenError: The batch is not to blame.
            ProcessError: See there.
        """
        limit = PHOTO_SECONDS * (1 + len(batch))
        # One by one: all in one message would take six times as long.
        scores, features = self._ask([len(batch), *batch], tuple, limit)
        return scores, features

    def end(self) -> None:
        """End it at once, as it has nothing to lose; do nothing if it has ended."""
        self._connection.close()
        if not child.end(self._process, _KILL_SECONDS):
            log.warning("Process %d of the model does not end", self.pid)

    def _ask(self, messages: Sequence[object], kind: type[Any], seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        try:
            for message in messages:
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
        # The other end is closed, or was with something unread there: see unix(7).
        except (BrokenPipeError, ConnectionResetError) as error:
            raise NotTakenError(self._end_in_words()) from error
        except (EOFError, OSError) as error:
            raise ProcessError(self._end_in_words()) from error
        if isinstance(answer, ModelError):
            raise answer
        if not isinstance(answer, kind):
            raise ProcessError(f"answered with {type(answer).__name__}")
        return answer

    def _wait(self, deadline: float, seconds: float) -> None:
        """Wait for the next message."""
        stop_by, used = math.inf, self._processor_ticks()
        while not self._connection.poll(_LOOK_SECONDS):
            now = time.monotonic()
            if stop_by == math.inf and self._is_stopped():
                stop_by = now + STOP_SECONDS
            if now >= stop_by:
                raise ProcessError("was stopped")
            if now >= deadline:
                raise ProcessError(f"did not answer within {seconds:.0f} s")
            before, used = used, self._processor_ticks()
            if used > before:
                self._beat()

    def _processor_ticks(self) -> int:
        """Return the processor time it has used: utime and stime of proc_pid_stat(5)."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
            return sum(map(int, stat.rpartition(")")[2].split()[11:13]))
        except (OSError, ValueError):
            return 0

    def _end_in_words(self) -> str:
        try:
            status = self._process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired:
            return "hung up"
        if status == -signal.SIGKILL:
            return "was killed, perhaps for want of memory"
        return f"ended with signal {-status}" if status < 0 else f"ended with code {status}"
