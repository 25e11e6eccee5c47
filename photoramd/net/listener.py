"""A listening socket with a limit: nobody's memory may depend on how many clients come.

asyncio tells a protocol of a connection only when TLS's first messages have been exchanged, and
clients that send none cost hundreds of kilobytes each until then.
"""

from __future__ import annotations

import socket
import weakref
from typing import Any

MOST_CONNECTIONS = 256
"""Clients of HTTP at a time."""

MOST_SOCKETS = MOST_CONNECTIONS + 64
"""Sockets at a time; the rest is for clients that have yet to speak TLS, or that are refused."""


class Listener(socket.socket):
    """A listening socket that drops clients at once while too many others are connected.

    Attributes:
        most: How many may be connected.
    """

    most = MOST_SOCKETS
    # Not the sockets themselves: what loses its connection without closing it would stay.
    _accepted: weakref.WeakSet[socket.socket] | None = None

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a client.

        Raises:
            ConnectionAbortedError: It was dropped; there may be others.
            OSError: There is none, or it cannot be accepted.
        """
        client, address = super().accept()
        if self._accepted is None:
            self._accepted = weakref.WeakSet()
        if len(self._accepted) >= self.most:
            self._accepted = weakref.WeakSet(e for e in self._accepted if e.fileno() >= 0)
        if len(self._accepted) >= self.most:
            client.close()
            raise ConnectionAbortedError("too many connections")
        self._accepted.add(client)
        return client, address
