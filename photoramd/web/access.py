"""Who may see the gallery: whoever shows the token, or logged in with it.

A browser that has logged in keeps a random number in a cookie, not the token. The server keeps the
number's digest in memory: it ends with the server, or by logging out.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from photoramd.clock import Monotonic
from photoramd.system.token import Token

SESSION_SECONDS = 30 * 86400.0
"""A browser forgets the number so long after it logged in, the server after its last request."""

_MOST_SESSIONS = 1000


class Sessions:
    """The browsers that have logged in."""

    def __init__(self) -> None:
        self._last_seen: OrderedDict[bytes, Monotonic] = OrderedDict()

    def begin(self, now: Monotonic) -> str:
        """Return the secret number of a new session."""
        number = secrets.token_urlsafe(32)
        self._last_seen[_digest(number)] = now
        while len(self._last_seen) > _MOST_SESSIONS:
            self._last_seen.popitem(last=False)
        return number

    def has(self, number: str, now: Monotonic) -> bool:
        """Return whether there is a session of this number, which then lasts on."""
        # A digest is looked up: how long that takes tells nothing of the numbers.
        key = _digest(number)
        seen = self._last_seen.pop(key, None)
        if seen is None or now - seen > SESSION_SECONDS:
            return False
        self._last_seen[key] = now
        return True

    def end(self, number: str) -> None:
        """Forget a session, if there is one."""
        self._last_seen.pop(_digest(number), None)


def _digest(number: str) -> bytes:
    return hashlib.sha256(number.encode("utf-8", "surrogatepass")).digest()


PERIOD_SECONDS = 60.0
MOST_FAILURES = 10
"""Failures in a period; after that nothing is compared for an address until some are older."""

_MOST_ADDRESSES = 1000


class Failures:
    """Wrong tokens by the address that they came from. Nobody guesses 128 bits; this tells so."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, list[Monotonic]] = OrderedDict()

    def note(self, address: str, now: Monotonic) -> None:
        """Take note of a wrong token."""
        key = _network(address)
        times = [*self._recent(key, now), now]
        self._times[key] = times[-MOST_FAILURES:]
        self._times.move_to_end(key)
        while len(self._times) > _MOST_ADDRESSES:
            self._times.popitem(last=False)

    def seconds_to_wait(self, address: str, now: Monotonic) -> float:
        """Return how long an address has to wait; 0 if it may try."""
        times = self._recent(_network(address), now)
        return times[0] + PERIOD_SECONDS - now if len(times) >= MOST_FAILURES else 0.0

    def _recent(self, key: str, now: Monotonic) -> list[Monotonic]:
        return [each for each in self._times.get(key, ()) if now - each < PERIOD_SECONDS]


def _network(address: str) -> str:
    """Return what one host has of addresses: in IPv6 it is a network of 64 bits at least."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


@dataclass(frozen=True, slots=True)
class Access:
    """What tells who may see the gallery.

    Attributes:
        token: The token.
        sessions: The browsers that have logged in with it.
        failures: The wrong ones that were tried.
    """

    token: Token
    sessions: Sessions = field(default_factory=Sessions)
    failures: Failures = field(default_factory=Failures)
