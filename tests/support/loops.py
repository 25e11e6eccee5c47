"""Coroutines in tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from anyio.from_thread import start_blocking_portal


def run(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene in a thread: playwright leaves an event loop running in this one."""
    with start_blocking_portal() as portal:
        portal.call(scene)
