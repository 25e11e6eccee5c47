"""The process that a model lives in, so that ending it gives all memory back: its side.

    python -P -m photoramd.models.isolated.worker DESCRIPTOR LEVEL

`photoramd.models.isolated.client` starts it and speaks with it over the connection of that
descriptor, with `multiprocessing.connection`'s frames and pickles. First comes a function that
loads a tagger, answered by a `Description`; then batches, a number of photos and each of them,
answered by their scores. An answer may be a `ModelError` instead. Log records, from LEVEL on,
come in between.

It ends when the other end is closed, by whatever, even in the middle of its work.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
from collections.abc import Callable
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from photoramd.errors import ModelError
from photoramd.models.isolated.client import Description

if TYPE_CHECKING:
    from photoramd.models.tagger import Tagger

T = TypeVar("T")

log = logging.getLogger("photoramd.models.isolated.worker")


class Line:
    """The connection, for the log's records and for answers: one at a time.

    Its method is named as `QueueHandler` wants it.
    """

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._lock = Lock()

    def put_nowait(self, message: object) -> None:
        """Send a message."""
        with self._lock:
            self._connection.send(message)


def main() -> None:
    """Serve until the other end is gone."""
    # A terminal sends these to all of its processes; the one that started this decides.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    descriptor, level = map(int, sys.argv[1:])
    Thread(target=_end_with, args=(descriptor,), daemon=True).start()
    connection: Connection[Any, Any] = Connection(descriptor)
    line = Line(connection)
    # Not with basicConfig: its format would become part of the messages.
    logging.getLogger().addHandler(QueueHandler(line))  # type: ignore[arg-type]
    logging.getLogger("photoramd").setLevel(level)
    try:
        serve(connection.recv, line.put_nowait)
    except (EOFError, ConnectionError):
        # Nobody wants the rest; torch would take a while to end in order.
        os._exit(0)


def serve(receive: Callable[[], Any], answer: Callable[[object], None]) -> None:
    """Load a tagger and run it on batches, until `receive` raises EOFError.

    It returns if the tagger cannot be loaded.
    """
    load: Callable[[], Tagger] = receive()
    tagger = _result(load)
    if isinstance(tagger, ModelError):
        answer(tagger)
        return
    answer(Description(tagger.name, tagger.revision, tagger.vocabulary, tagger.crop))
    while True:
        batch = [receive() for _ in range(receive())]
        answer(_result(tagger.scores, batch))


def _result(work: Callable[..., T], *arguments: object) -> T | ModelError:
    """Return what comes of it, or the error."""
    try:
        return work(*arguments)
    except ModelError as error:
        return error
    except Exception as error:
        # The same as in the process of the daemon: see `photoramd.pipeline.inference.infer`.
        log.exception("Unexpected error in the model")
        return ModelError(f"unexpected error in the model: {error!r}")


def _end_with(descriptor: int) -> None:
    """End this process when the other end of a connection is closed."""
    poll = select.poll()
    poll.register(descriptor, 0)  # that it was hung up is told without being asked for
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    main()
