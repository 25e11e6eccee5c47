"""Load a model and run it, in a process of its own; `client` is the other side.

    python -P -m photoramd.models.isolated.worker DESCRIPTOR LEVEL

`photoramd.models.isolated.client` starts it and talks to it over the connection of that
descriptor, with `multiprocessing.connection`'s frames and pickles. The first message is a
function that loads a tagger, and the answer a `Description`. Then come batches, each as the
number of photos followed by the photos, answered by their scores and, where the model knows
them, their features. A `ModelError` may stand for any answer. Log records from LEVEL on come in
between.

The process ends when the other end is closed, for whatever reason, even while it works.
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
from photoramd.models.description import Description
from photoramd.models.features import scores_and_features

if TYPE_CHECKING:
    from photoramd.models.tagger import Tagger

T = TypeVar("T")

log = logging.getLogger("photoramd.models.isolated.worker")


class Line:
    """The connection, shared by log records and answers: it sends one at a time.

    The method's name is the one that `QueueHandler` calls.
    """

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._lock = Lock()

    def put_nowait(self, message: object) -> None:
        """Send a message."""
        with self._lock:
            self._connection.send(message)


def main() -> None:
    """Serve until the other end is closed."""
    # The process that started this one decides when it ends, and also has these signals.
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
        # Nothing is left to do, and torch would take a while to clean up.
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
        answer(_result(scores_and_features, tagger, batch))


def _result(work: Callable[..., T], *arguments: object) -> T | ModelError:
    """Return the result, or the error."""
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
