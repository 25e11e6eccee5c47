"""What a worker's start asks of Ray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from photoramd.system.token import Token
from photoramd.worker import cluster
from photoramd.worker.deployment import CALLS
from photoramd.worker.run import Progress, Settings, run

LARGEST = 64 * 140176 * 3
"""Bytes of pixels in a request: the embedded model's pictures, as many as there may be."""

IN_MEMORY = 2 * CALLS
"""Requests that the front takes for each replica."""


class _AskedError(Exception):
    """What is asked of Ray is known."""


@pytest.mark.parametrize("replicas", [1, 2, 8])
def test_ray_s_memory_holds_what_the_front_takes_for_all_replicas(
    replicas: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    @contextmanager
    def started(_: Path, *, has_gpu: bool, held_bytes: int) -> Iterator[None]:
        asked.append(cluster._store_bytes(held_bytes))
        raise _AskedError
        yield

    monkeypatch.setattr(cluster, "started", started)
    settings = Settings(
        model="embedded", precision="auto", device="cpu", threads=1, replicas=replicas
    )
    with pytest.raises(_AskedError):
        run(settings, [], Token("f" * 32), None, Progress())
    (store,) = asked
    assert store >= max(200 << 20, 1.2 * IN_MEMORY * replicas * LARGEST)
