"""The other side of a worker, for tasks that need something of it."""

from __future__ import annotations

import pickle  # from the parent to a worker only  # nosec B403
import socket
from typing import Any

from photoramd.contained.frames import Kind, receive, send
from photoramd.contained.messages import Failure, Question, encode


class Parent:
    """Answers the questions of one task.

    Args:
        connection: The worker's connection to it.

    Attributes:
        reserved: How many bytes of memory the task has asked for.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.reserved = 0

    def reserve(self, needed: int) -> None:
        """Wait until there is room for so many bytes of memory."""
        self.reserved += needed
        self.ask("reserve", needed)

    def ask(self, question: str, *arguments: object) -> Any:
        """Ask the parent; return its answer.

        Raises:
            PhotoramdError: It could not be done.
        """
        send(self._connection, Kind.QUESTION, encode(Question(question, arguments)))
        _, body, _ = receive(self._connection)
        answer = pickle.loads(body)  # noqa: S301  # nosec B301
        if isinstance(answer, Failure):
            raise answer.error()
        return answer
