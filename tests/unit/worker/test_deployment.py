"""What is known of the replicas, and what of it ends the worker."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from photoramd.clock import Monotonic
from photoramd.worker import run
from photoramd.worker.cluster import Cluster
from photoramd.worker.deployment import Deployment
from photoramd.worker.scorer import UnavailableError
from tests.support import loops

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""Ray Serve's own, while it is imported."""


class Serve:
    """In place of Ray Serve: says how many replicas are ready, and why none is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from ray import serve

        monkeypatch.setattr(serve, "status", self._status)
        self.now = Monotonic(1000.0)
        self._ready = 0
        self._message = ""
        self.deployment = Deployment(None, lambda: self.now)

    def says(self, ready: int, message: str = "", *, after: float = 1.0) -> None:
        self._ready, self._message = ready, message
        self.now = Monotonic(self.now + after)
        self.deployment._look()

    def _status(self) -> SimpleNamespace:
        states = {"RUNNING": self._ready, "STARTING": 1 - self._ready}
        one = SimpleNamespace(replica_states=states, message=self._message)
        application = SimpleNamespace(deployments={"photoramd": one})
        return SimpleNamespace(applications={"photoramd": application})


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    return Serve(monkeypatch)


def trouble(serve: Serve) -> str | None:
    return run._trouble(Cluster({}), serve.deployment)


def test_the_start_of_a_replica_that_hangs_ends_the_worker(serve: Serve) -> None:
    for _ in range(700):
        serve.says(1)
    assert trouble(serve) is None
    for _ in range(600):
        serve.says(0, "A replica's health check failed.")
        assert trouble(serve) is None
    serve.says(0, "A replica's health check failed.")
    serve.says(0, "A replica's health check failed.")
    assert trouble(serve) == "no replica has been ready for 10 minutes: the start of one hangs"
    serve.says(1)
    assert trouble(serve) is None


def test_starts_that_fail_are_serve_s_to_repeat(serve: Serve) -> None:
    serve.says(1)
    for count in range(100):
        serve.says(0, f"The deployment failed to start {count} times in a row.", after=20.0)
        assert trouble(serve) is None


def test_serve_that_tells_nothing_ends_the_worker(serve: Serve) -> None:
    serve.says(1)
    serve.now = Monotonic(serve.now + 31)
    assert trouble(serve) == "Ray Serve has not answered for 31 seconds"


def test_what_ray_takes_not_was_lost_by_no_replica(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray import exceptions
    from ray.serve.exceptions import RayServeException

    pictures = np.zeros((1, 2, 2, 3), np.uint8)
    for error in (exceptions.OutOfDiskError("full"), exceptions.ObjectStoreFullError("full")):
        monkeypatch.setattr(ray, "put", _raising(error))
        with pytest.raises(UnavailableError):
            loops.run(lambda: serve.deployment.scores(pictures))
    for error in (exceptions.RaySystemError("gone"), RayServeException("gone")):
        monkeypatch.setattr(serve.deployment, "_handle", SimpleNamespace(remote=_raising(error)))
        with pytest.raises(UnavailableError):
            loops.run(lambda: serve.deployment._call(None, 1))


def _raising(error: Exception) -> Callable[[object], object]:
    def call(_: object) -> object:
        raise error

    return call
