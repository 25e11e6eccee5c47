"""A process with the model: what is the pictures' fault, and what is its own."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from photoramd.errors import ModelError
from photoramd.models import registry
from photoramd.models.features import Vectors
from photoramd.models.preprocessing import Pixels
from photoramd.models.tagger import Scores
from photoramd.worker import loopback
from photoramd.worker.deployment import Deployment
from photoramd.worker.replica import Options, Refusal, Replica
from photoramd.worker.scorer import FailedError, LostError, UnavailableError
from tests.support import loops
from tests.support.tiny_tagger import TinyTagger, picture

OPTIONS = Options("embedded", TinyTagger.revision, "auto", "cpu", None)

BAD = picture(13, 13, 13)

BATCH = np.stack([picture(255, 0, 0), picture(1, 2, 3)])


class FailingTagger(TinyTagger):
    """A model that fails with one picture, or as a broken GPU does: with all."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.is_broken = False

    def scores_and_features(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        scores, features = super().scores_and_features(batch)
        if self.is_broken or any((each == BAD).all() for each in batch):
            if self.error is not None:
                raise self.error
            scores = np.full_like(scores, math.nan)
        return scores, features


Make = Callable[[FailingTagger], Replica]


@pytest.fixture
def replica(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make a replica with a model."""

    def make(tagger: FailingTagger) -> Replica:
        monkeypatch.setattr(loopback, "require", lambda: None)
        monkeypatch.setattr(registry, "load", lambda *_, **__: tagger)
        return Replica(OPTIONS)

    return make


def ask(replica: Replica, batch: np.ndarray) -> tuple[Scores, Vectors | None] | Refusal:
    return loops.run(lambda: replica.scores(batch))


ERRORS = [None, ModelError("odd"), RuntimeError("CUDA error: misaligned address")]


@pytest.mark.parametrize("error", ERRORS)
def test_pictures_that_a_well_model_fails_with(replica: Make, error: Exception | None) -> None:
    made = replica(FailingTagger(error))
    for _ in range(3):
        refusal = ask(made, np.stack([BATCH[0], BAD]))
        assert isinstance(refusal, Refusal)
        assert refusal.blames == "pictures"
        assert refusal.reason == str(error or "the model gave scores that are no numbers")
        made.check_health()
        scores, _ = ask(made, BATCH)  # type: ignore[misc]
        np.testing.assert_array_equal(scores, TinyTagger().scores(BATCH))


@pytest.mark.parametrize("error", ERRORS)
def test_a_process_that_breaks_is_ended(replica: Make, error: Exception | None) -> None:
    tagger = FailingTagger(error)
    made = replica(tagger)
    tagger.is_broken = True
    blamed = [ask(made, BATCH) for _ in range(4)]
    # The first ones may have broken it; the others came too late for that.
    assert [each.blames for each in blamed if isinstance(each, Refusal)] == [
        "process", "nobody", "nobody", "nobody"
    ]  # fmt: skip
    with pytest.raises(RuntimeError, match="fails with every picture"):
        made.check_health()


def test_a_model_that_hangs_is_noticed(replica: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = FailingTagger()
    made = replica(tagger)
    hangs, goes_on = threading.Event(), threading.Event()

    def scores(batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        hangs.set()
        goes_on.wait(60)
        return TinyTagger().scores_and_features(batch)

    tagger.scores_and_features = scores  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(made._run, BATCH)
        assert hangs.wait(10)
        made.check_health()
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 29)
        made.check_health()
        monkeypatch.setattr(time, "monotonic", lambda: now + 46)
        with pytest.raises(RuntimeError, match="does not answer"):
            made.check_health()
        goes_on.set()
        assert not isinstance(call.result(10), Refusal)
    made.check_health()


class SlowTagger(FailingTagger):
    """A model that takes some seconds for its first call, and others for each picture."""

    def __init__(self, first: float, each: float) -> None:
        super().__init__()
        self.now = 0.0
        self._first, self._each = first, each

    def scores_and_features(self, batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        self.now += self._first + self._each * len(batch)
        self._first = 0.0
        return super().scores_and_features(batch)


def test_the_first_run_says_nothing_about_when_a_model_hangs(
    replica: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagger = SlowTagger(first=20, each=0.1)
    monkeypatch.setattr(time, "monotonic", lambda: tagger.now)
    assert replica(tagger)._rates.hangs_after(64) < 60


@pytest.mark.parametrize("seconds", [21, 23, 45])
def test_one_that_would_be_taken_for_hung_never_is_ready(
    replica: Make, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    tagger = SlowTagger(first=0, each=seconds)
    monkeypatch.setattr(time, "monotonic", lambda: tagger.now)
    if seconds < 22:
        replica(tagger)
    else:
        with pytest.raises(ModelError, match=f"takes {2 * seconds} seconds for 2 pictures"):
            replica(tagger)


def test_one_that_is_broken_from_the_start_never_is_ready(replica: Make) -> None:
    tagger = FailingTagger(RuntimeError("CUDA error"))
    tagger.is_broken = True
    with pytest.raises(RuntimeError, match="CUDA error"):
        replica(tagger)


of_serve = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""Ray Serve's own, while it is imported."""


@of_serve
@pytest.mark.parametrize(
    ("blames", "error"),
    [("pictures", FailedError), ("process", LostError), ("nobody", UnavailableError)],
)
def test_what_is_said_of_a_refusal(blames: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        call(lambda: Refusal("odd", blames))  # type: ignore[arg-type]


@of_serve
def test_what_is_said_of_ray_s_errors() -> None:
    from ray import exceptions
    from ray.serve.exceptions import RayServeException

    cause = ValueError("odd")
    raised: list[tuple[Exception, type[Exception]]] = [
        (exceptions.RayActorError(), LostError),
        (exceptions.WorkerCrashedError(), LostError),
        (exceptions.RayTaskError("scores", "ValueError: odd", cause), FailedError),
        (RayServeException("there is none"), UnavailableError),
    ]
    for error, expected in raised:
        with pytest.raises(expected):
            call(lambda error=error: _raise(error))  # type: ignore[misc]


def call(answer: Callable[[], object]) -> object:
    """Ask a deployment whose only replica says something."""

    class Response:
        def __await__(self):  # type: ignore[no-untyped-def]
            yield from ()
            return answer()

    class Handle:
        def remote(self, _: object) -> Response:
            return Response()

    async def run() -> object:
        return await Deployment(Handle())._call(None, 2)

    return loops.run(run)


def _raise(error: Exception) -> object:
    raise error
