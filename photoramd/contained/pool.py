"""Keep as many workers as are busy at a time, and have each do one task at a time.

A worker's end is the end of one task and of nothing else: it did nothing else meanwhile.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from photoramd.contained import process
from photoramd.contained.frames import ClosedError, Kind
from photoramd.contained.messages import Failure, Question, decode
from photoramd.contained.process import LateError, Worker
from photoramd.errors import LostError, PhotoramdError, StoppedError, ToolError
from photoramd.system.sandbox import Sandbox

log = logging.getLogger(__name__)

T = TypeVar("T")

TASK_SECONDS = 60.0
"""The limit for one task, without the time in which it waits for its parent."""

STOP_SECONDS = 2.0
"""How long a task may go on once nobody waits for it any longer."""

_MOST_TASKS = 500
"""A worker is renewed after so many, so that leaks and what a file may have left are gone."""

_MOST_RESIDENT_BYTES = 256 << 20
"""A worker that keeps more than this is renewed."""

_STARTS = 3
"""How often a task is given to a new worker because the one before had not taken it."""

Answers = Mapping[str, Callable[..., object]]
"""What answers the questions of a task, by name."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task for a worker.

    Attributes:
        name: One of `photoramd.contained.tasks.TASKS`.
        arguments: What it is called with; can be pickled.
        files: The open files that it may read, by the paths that it knows them by.
        answers: What it may ask.
        modules: What its arguments need to be unpickled.
    """

    name: str
    arguments: Sequence[object] = ()
    files: Mapping[str, int] = field(default_factory=dict)
    answers: Answers = field(default_factory=dict)
    modules: Sequence[str] = ()


class Pool:
    """Workers that are started when they are needed; used from any thread.

    Args:
        seconds: The limit for a task; None is `TASK_SECONDS`.

    Attributes:
        started: How many workers were started.
        lost: How many were lost with a task.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = TASK_SECONDS if seconds is None else seconds
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._is_stopped = threading.Event()
        self.started = 0
        self.lost = 0

    def sandbox(self) -> Sandbox:
        """Return what holds for workers, by starting one.

        Raises:
            ToolError: None can be started.
        """
        worker = self._worker(())
        self._give_back(worker)
        return worker.sandbox

    def call(self, task: Task, kind: type[T], is_wanted: Callable[[], bool] | None = None) -> T:
        """Have a worker do a task; return its result.

        Args:
            task: The task.
            kind: The type of its result.
            is_wanted: Asked several times a second; once it returns False, the task has
                `STOP_SECONDS` left.

        Raises:
            LostError: The worker was lost with the task: it crashed, took too long or too much.
            StoppedError: Nobody wanted the result any longer.
            ToolError: No worker can be started.
            PhotoramdError: As the task does.
        """
        starts = 0
        while starts < _STARTS:
            worker = self._worker(task.modules)
            starts += not worker.tasks  # idle ones may all have been killed
            try:
                worker.begin(task.name, task.arguments, dict(task.files))
            except ClosedError:
                worker.end()
                continue
            try:
                return self._finish(worker, task, kind, is_wanted)
            except LostError:
                with self._lock:
                    self.lost += 1
                raise
        raise ToolError("workers end before they begin")

    def is_running(self) -> bool:
        """Return whether it was not stopped."""
        return not self._is_stopped.is_set()

    def stop(self) -> None:
        """Give up all tasks: their calls raise StoppedError, and later ones, too."""
        self._is_stopped.set()

    def close(self) -> None:
        """End idle workers; busy ones end with their calls."""
        self.stop()
        self._end_idle()

    def rest(self) -> None:
        """Give back the memory of idle workers; others are started when they are needed."""
        self._end_idle()
        process.rest()

    def _end_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()

    def _worker(self, modules: Sequence[str]) -> Worker:
        if self._is_stopped.is_set():
            raise _stopped()
        with self._lock:
            for number, idle in enumerate(self._idle):
                if idle.modules.issuperset(modules):
                    return self._idle.pop(number)
        error: Exception | None = None
        for _ in range(_STARTS):
            try:
                worker = Worker(modules)
                with self._lock:
                    self.started += 1
                _warn_unless_sealed(worker.sandbox)
                return worker
            except (OSError, ClosedError) as caught:
                error = caught
        raise ToolError(
            f"no process for reading photos can be started: {str(error) or 'it ends at once'}",
            remedy="see what free memory and the limit of processes (TasksMax, ulimit -u) are",
        ) from error

    def _give_back(self, worker: Worker) -> None:
        is_spent = worker.tasks >= _MOST_TASKS or worker.resident_bytes > _MOST_RESIDENT_BYTES
        with self._lock:
            if not is_spent and not self._is_stopped.is_set():
                self._idle.append(worker)
                return
        worker.end()

    def _finish(
        self, worker: Worker, task: Task, kind: type[T], is_wanted: Callable[[], bool] | None
    ) -> T:
        timer = _Timer(self._seconds, lambda: self._wants(is_wanted))
        result: tuple[tuple[str, ...], T] | Failure | None = None
        try:
            result = self._answer(worker, task, kind, timer)
        except LateError as error:
            if timer.is_unwanted:
                raise _stopped() from error
            raise LostError(f"looking into it took over {self._seconds:g} s") from error
        except ClosedError as error:
            code, said = worker.end()
            log.debug("A worker ended with %d: %s", code, said)
            raise LostError(_in_words(code)) from error
        except ValueError as error:
            log.warning("A worker answered nonsense: %s", error)
            raise LostError("looking into it gave an answer that makes no sense") from error
        finally:
            if result is None or (isinstance(result, Failure) and result.is_out_of_memory):
                worker.end()
            else:
                self._give_back(worker)
        if isinstance(result, Failure):
            _warn(result.warnings)
            raise result.error()
        warnings, value = result
        _warn(warnings)
        return value

    def _wants(self, is_wanted: Callable[[], bool] | None) -> bool:
        return not self._is_stopped.is_set() and (is_wanted is None or is_wanted())

    def _answer(
        self, worker: Worker, task: Task, kind: type[T], timer: _Timer
    ) -> tuple[tuple[str, ...], T] | Failure:
        while True:
            message, body = worker.receive(timer.left)
            if message == Kind.RESULT:
                return decode(body, tuple[tuple[str, ...], kind])  # type: ignore[valid-type]
            if message == Kind.FAILURE:
                return decode(body, Failure)
            if message != Kind.QUESTION:
                raise ValueError(f"a message of kind {message}")
            question = decode(body, Question)
            answer = task.answers.get(question.name)
            if answer is None:
                raise ValueError(f"a question {question.name!r}")
            with timer.paused():
                worker.reply(_answered(answer, question.arguments))


def _answered(answer: Callable[..., object], arguments: tuple[Any, ...]) -> object:
    try:
        return answer(*arguments)
    except StoppedError:
        raise
    except PhotoramdError as error:
        return Failure.of(error)
    except TypeError as error:
        raise ValueError(f"a question with {len(arguments)} arguments") from error


def _warn(texts: Sequence[str]) -> None:
    for text in texts:
        log.warning("%s", text)


@cache
def _warn_unless_sealed(sandbox: Sandbox) -> None:
    """Say once what this system cannot do for workers."""
    if not sandbox.is_sealed:
        log.warning(
            "Photos are read by processes that could open files, as this system lets them give up"
            " too little; photoramd doctor says more"
        )


def _stopped() -> StoppedError:
    return StoppedError("photoramd is stopping")


_ENDS = {
    signal.SIGXCPU: "looking into it took too much processor time",
    signal.SIGKILL: "looking into it was ended from outside, perhaps for want of memory",
    signal.SIGSYS: "looking into it made the decoder do what no decoder has to do",
}


def _in_words(code: int) -> str:
    if code >= 0:
        return f"looking into it ended the process with code {code}"
    number = signal.Signals(-code)
    return _ENDS.get(number, f"looking into it crashed the decoder ({number.name})")


class _Timer:
    """The time that is left for a task."""

    def __init__(self, seconds: float, is_wanted: Callable[[], bool]) -> None:
        self._until = time.monotonic() + seconds
        self._is_wanted = is_wanted
        self.is_unwanted = False

    def left(self) -> float:
        """Return the seconds that are left, fewer once nobody wants the result."""
        now = time.monotonic()
        if not self.is_unwanted and not self._is_wanted():
            self.is_unwanted = True
            self._until = min(self._until, now + STOP_SECONDS)
        return self._until - now

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time of this block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._until += time.monotonic() - began
