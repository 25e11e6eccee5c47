"""What is known of the replicas, and what of it ends the worker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from photoramd.clock import Monotonic
from photoramd.worker import run
from photoramd.worker.cluster import Cluster
from photoramd.worker.deployment import Deployment

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
