"""The beat that systemd's watchdog waits for."""

from __future__ import annotations

import time

import pytest

from photoramd.clock import Monotonic
from photoramd.net.connections import BoundedProtocol
from photoramd.net.server import Server, bounded
from tests.support import loops


def test_a_wall_clock_that_is_set_back_stops_no_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    now, beats = 1000.0, []
    server = Server(
        bounded(None, BoundedProtocol, lifespan="off"),
        lambda: None,
        lambda: beats.append(now),
        clock=lambda: Monotonic(now),
    )
    server.config.load()

    async def ticks(count: int) -> None:
        nonlocal now
        for counter in range(count):
            assert not await server.on_tick(counter)
            now += 0.125

    loops.run(lambda: ticks(200))
    before = len(beats)
    assert before == 5
    hour_ago = time.time() - 3600
    monkeypatch.setattr(time, "time", lambda: hour_ago)
    loops.run(lambda: ticks(200))
    assert len(beats) == 2 * before
