"""One worker: confined, it does one task after another until its parent ends; see `server`."""

from __future__ import annotations

import faulthandler
import logging
import os
import pickle  # from the parent to a worker only  # nosec B403
import socket
import traceback
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from photoramd.contained.frames import ClosedError, Kind, receive, send
from photoramd.contained.messages import MOST_WARNINGS, Failure, clean, encode
from photoramd.contained.parent import Parent
from photoramd.contained.tasks import TASKS
from photoramd.errors import DecodeError, PhotoramdError
from photoramd.system import beneath, sandbox
from photoramd.system.memory import trim_memory

MEMORY_BYTES = 2 << 30
"""Address space; 119 megapixels of 16-bit RGBA need it."""

_LARGE_BYTES = 32 << 20
"""A task that takes at least this much leaves so much free memory behind that giving it back to
the system pays."""

PROCESSOR_SECONDS = 30
"""The processor time for one task."""


class Warnings(logging.Handler):
    """Keeps the warnings of one task, as text."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning, if there are not too many."""
        if len(self.texts) < MOST_WARNINGS:
            self.texts.append(clean(record.getMessage()))

    def take(self) -> tuple[str, ...]:
        """Return the warnings so far, once."""
        found, self.texts = tuple(self.texts), []
        return found


def serve(connection: socket.socket, parent: int) -> None:
    """Confine this process and do tasks until the other side ends.

    Args:
        connection: To the parent; its first message is what holds for this process.
        parent: The process id of the parent in the system's sense.
    """
    confined = sandbox.confine(MEMORY_BYTES, parent)
    warnings = Warnings()
    logging.getLogger("photoramd").addHandler(warnings)
    faulthandler.enable()
    try:
        send(connection, Kind.RESULT, encode(confined))
        while True:
            _do_one(connection, warnings)
    except ClosedError:
        return


def _do_one(connection: socket.socket, warnings: Warnings) -> None:
    _, body, descriptors = receive(connection)
    try:
        send(connection, Kind.TAKEN)
        sandbox.limit_processor_time(PROCESSOR_SECONDS)
        name, arguments, paths = pickle.loads(body)  # noqa: S301  # nosec B301
        beneath.allow_only(dict(zip(paths, descriptors, strict=True)))
        parent = Parent(connection)
        kind, answer = _result(TASKS[name], parent, arguments, warnings)
        size = parent.reserved + sum(os.fstat(each).st_size for each in descriptors)
    finally:
        for each in descriptors:
            os.close(each)
    if size >= _LARGE_BYTES:
        trim_memory()
    send(connection, kind, answer)


def _result(
    task: Callable[..., object], parent: Parent, arguments: tuple[Any, ...], warnings: Warnings
) -> tuple[Kind, bytes]:
    try:
        result = task(parent, *arguments)
        return Kind.RESULT, encode((warnings.take(), result))
    except ClosedError:
        raise
    except PhotoramdError as error:
        failure = Failure.of(error, warnings.take())
        if isinstance(error.__cause__, MemoryError):
            failure = replace(failure, is_out_of_memory=True)
    except MemoryError:
        lack = DecodeError("there is not enough memory to decode it")
        failure = replace(Failure.of(lack, warnings.take()), is_out_of_memory=True)
    except Exception as error:
        # A bug costs one photo; the log has what is needed to find it.
        text = clean(traceback.format_exc())
        failure = Failure.of(
            PhotoramdError(f"unexpected error: {error!r}"), (*warnings.take(), text)
        )
    return Kind.FAILURE, encode(failure)
