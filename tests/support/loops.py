"""Coroutines in tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from anyio.from_thread import start_blocking_portal

T = TypeVar("T")


def run(scene: Callable[[], Awaitable[T]]) -> T:
    """Run a scene in a thread: playwright leaves an event loop running in this one."""
    with start_blocking_portal() as portal:
        return portal.call(scene)
