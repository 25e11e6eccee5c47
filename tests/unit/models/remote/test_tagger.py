"""Calls find a worker that is well, and nobody is blamed for one that is not."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from photoramd.clock import Monotonic, monotonic
from photoramd.errors import ModelError, ModelUnavailableError, UndecidedError
from photoramd.models.availability import availability
from photoramd.models.features import Vectors, gives_features, scores_of
from photoramd.models.preprocessing import digest_of
from photoramd.models.remote.answers import Expected
from photoramd.models.remote.failures import (
    FailedPicturesError,
    Kind,
    LostPicturesError,
    WorkerError,
)
from photoramd.models.remote.protocol import MOST_PHOTOS, ModelAnswer
from photoramd.models.remote.suspects import Picture
from photoramd.models.remote.tagger import RemoteTagger
from photoramd.models.tagger import Scores, Tagger
from tests.support.clock import bound
from tests.support.daemons import wait_for
from tests.support.tiny_tagger import DESCRIPTION, TinyTagger, picture

OFF = WorkerError(Kind.UNREACHABLE, "off", "start it")

BATCH = [picture(255, 0, 0), picture(0, 102, 51), picture(1, 2, 3)]


class FakeWorker:
    """What asks a worker, without one: it answers, or fails with what ``error`` is."""

    def __init__(self, name: str = "a") -> None:
        self.url = f"https://{name}:1"
        self.error: Exception | None = None
        self.look_error: Exception | None = None
        self.seconds_a_picture = 0.0
        self.groups: list[int] = []
        self.in_flight = self.most_in_flight = 0
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._gpu = threading.Lock()

    def model(self) -> ModelAnswer:
        if self.look_error is not None:
            raise self.look_error
        identity = Expected.of(DESCRIPTION).identity
        return ModelAnswer(identity=identity, version="1", device="cpu", at_once=1)

    def scores(self, pictures: Sequence[Picture], seconds: float) -> tuple[Scores, Vectors | None]:
        with self._lock:
            self.groups.append(len(pictures))
            self.in_flight += 1
            self.most_in_flight = max(self.in_flight, self.most_in_flight)
        try:
            with self._gpu:
                if self.seconds_a_picture:
                    self.ended.wait(self.seconds_a_picture * len(pictures))
            if self.ended.is_set():
                raise WorkerError(Kind.UNREACHABLE, "cut")
            if self.error is not None:
                raise self.error
            return TinyTagger().scores_and_features([pixels for _, pixels in pictures])
        finally:
            with self._lock:
                self.in_flight -= 1

    def cut(self) -> None:
        self.ended.set()

    def close(self) -> None:
        self.ended.set()


Make = Callable[..., RemoteTagger]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make a tagger that knows its workers."""
    made: list[RemoteTagger] = []

    def tagger(*workers: FakeWorker, **given: Callable[[], Tagger]) -> RemoteTagger:
        found = RemoteTagger(DESCRIPTION, workers, **given)
        made.append(found)
        found.step(monotonic())
        wait_for(lambda: all(each.is_known for each in found._links))
        return found

    yield tagger
    for each in made:
        each.close()


def expected(batch: Sequence[np.ndarray] = BATCH) -> tuple[Scores, Vectors | None]:
    return TinyTagger().scores_and_features(batch)


def same(found: tuple[Scores, Vectors | None], batch: Sequence[np.ndarray] = BATCH) -> None:
    for ours, theirs in zip(found, expected(batch), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def look_again(tagger: RemoteTagger, condition: Callable[[], object]) -> None:
    """Step as a loop does, until something holds."""

    def holds() -> object:
        tagger.step(monotonic())
        return condition()

    wait_for(holds)


def test_it_is_a_tagger_with_features_and_an_availability(make: Make) -> None:
    tagger = make(FakeWorker())
    assert gives_features(tagger)
    assert availability(tagger) is tagger
    assert tagger.revision == DESCRIPTION.revision
    assert tagger.is_available
    assert tagger.trouble == ""
    assert tagger.at_once == 2
    same(tagger.scores_and_features(BATCH))
    np.testing.assert_array_equal(tagger.scores(BATCH), expected()[0])


def test_nobody_is_asked_before_the_first_step() -> None:
    worker = FakeWorker()
    tagger = RemoteTagger(DESCRIPTION, [worker])
    assert not tagger.is_available
    assert tagger.trouble == ""  # nothing is known yet
    with pytest.raises(ModelUnavailableError):
        tagger.scores(BATCH)
    assert worker.groups == []
    tagger.close()


def test_a_call_waits_for_the_first_look() -> None:
    worker = FakeWorker()
    go_on = threading.Event()
    look = worker.model
    worker.model = lambda: go_on.wait() and look()  # type: ignore[method-assign,return-value]
    tagger = RemoteTagger(DESCRIPTION, [worker])
    tagger.step(monotonic())
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(tagger.scores_and_features, BATCH)
        assert not found.done()
        go_on.set()
        same(found.result(10))
    tagger.close()


def test_digests_that_are_known_are_not_computed_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = FakeWorker()
    tagger = make(worker)
    pictures = {digest_of(each): each for each in BATCH}
    same(scores_of(tagger, pictures))
    monkeypatch.setattr("photoramd.models.remote.tagger.digest_of", None)
    same(scores_of(tagger, pictures))
    same(scores_of(TinyTagger(), pictures))


def test_equal_pictures_have_a_row_each(make: Make) -> None:
    batch = [BATCH[0], BATCH[0].copy(), BATCH[1]]
    same(make(FakeWorker()).scores_and_features(batch), batch)


def test_large_groups_go_in_parts(make: Make) -> None:
    worker = FakeWorker()
    batch = [picture(number, 0, 0) for number in range(MOST_PHOTOS + 3)]
    same(make(worker).scores_and_features(batch), batch)
    assert worker.groups == [MOST_PHOTOS, 3]


def test_features_are_those_of_all_or_none(make: Make) -> None:
    worker = FakeWorker()
    tagger = make(worker)
    tiny = TinyTagger()
    worker.scores = lambda pictures, _: (tiny.scores([p for _, p in pictures]), None)  # type: ignore[method-assign]
    scores, features = tagger.scores_and_features(BATCH)
    assert features is None
    assert len(scores) == len(BATCH)


def test_another_worker_takes_over_at_once(make: Make) -> None:
    first, second = FakeWorker("a"), FakeWorker("b")
    tagger = make(first, second)
    first.error = OFF
    for _ in range(3):
        same(tagger.scores_and_features(BATCH))
    assert first.groups == [3]
    assert second.groups == [3, 3, 3]
    assert [each.is_available for each in tagger.workers] == [False, True]
    assert tagger.is_available


def test_without_any_the_model_is_unavailable_and_says_why(make: Make) -> None:
    workers = FakeWorker("a"), FakeWorker("b")
    tagger = make(*workers)
    for each in workers:
        each.error = OFF
    with pytest.raises(ModelUnavailableError, match=r"https://a:1: off; https://b:1: off"):
        tagger.scores(BATCH)
    assert not tagger.is_available
    assert "no worker is available" in tagger.trouble


def test_the_loop_is_woken_when_one_is_well_again(make: Make) -> None:
    worker = FakeWorker()
    worker.look_error = OFF
    woken = threading.Event()
    tagger = make(worker, wake=woken.set)
    assert woken.wait(10)
    woken.clear()
    worker.look_error = None
    assert tagger.deadline() < monotonic() + 2
    look_again(tagger, lambda: tagger.is_available)
    assert woken.wait(10)
    assert tagger.deadline() == float("inf")
    same(tagger.scores_and_features(BATCH))


def test_a_bug_costs_no_picture_and_no_worker_for_ever(make: Make) -> None:
    worker = FakeWorker()
    tagger = make(worker)
    worker.error = ZeroDivisionError()
    with pytest.raises(ModelUnavailableError):
        tagger.scores(BATCH)
    worker.error = None
    worker.look_error = ZeroDivisionError()
    look_again(tagger, lambda: "ZeroDivisionError" in tagger.trouble)
    worker.look_error = None
    look_again(tagger, lambda: tagger.is_available)


def fails_with(worker: FakeWorker, bad: np.ndarray, error: Exception) -> None:
    """Have a worker fail with a picture; with others it is well."""
    ask = worker.scores

    def scores(pictures: Sequence[Picture], seconds: float) -> tuple[Scores, Vectors | None]:
        if any(pixels is bad for _, pixels in pictures):
            worker.groups.append(len(pictures))
            raise error
        return ask(pictures, seconds)

    worker.scores = scores  # type: ignore[method-assign]


REFUSED = FailedPicturesError("odd")
INVALID = WorkerError(Kind.ANSWER, "its answer has scores that are no probabilities")


@pytest.mark.parametrize("error", [REFUSED, INVALID, ZeroDivisionError("odd")])
def test_pictures_that_a_well_worker_fails_with_are_an_error_and_it_stays(
    make: Make, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    worker = FakeWorker()
    tagger = make(worker)
    fails_with(worker, BATCH[1], error)
    for _ in range(5):
        with pytest.raises(ModelError, match=r"the model failed on https://a:1: ") as caught:
            tagger.scores(BATCH)
        assert not isinstance(caught.value, ModelUnavailableError)
        assert tagger.is_available
    # What was no answer is asked for once more.
    assert worker.groups == ([3, 2] if error is REFUSED else [3, 2, 3]) * 5
    same(tagger.scores_and_features(BATCH[:1]), BATCH[:1])
    assert not [each for each in caplog.messages if "is not available" in each]


def test_one_answer_that_is_invalid_blames_nobody(make: Make) -> None:
    worker = FakeWorker()
    tagger = make(worker)
    ask, errors = worker.scores, iter([INVALID])

    def scores(pictures: Sequence[Picture], seconds: float) -> tuple[Scores, Vectors | None]:
        found = ask(pictures, seconds)
        if (error := next(errors, None)) is not None:
            raise error
        return found

    worker.scores = scores  # type: ignore[method-assign]
    same(tagger.scores_and_features(BATCH))
    assert worker.groups == [3, 2, 3]
    assert tagger.is_available


@pytest.mark.parametrize("lost", [False, True])
def test_a_worker_that_goes_away_when_asked_once_more_blames_nobody(make: Make, lost: bool) -> None:
    worker = FakeWorker()
    tagger = make(worker)
    gone = LostPicturesError(Kind.NO_MODEL, "lost") if lost else OFF
    ask, errors = worker.scores, iter([INVALID, None, gone])

    def scores(pictures: Sequence[Picture], seconds: float) -> tuple[Scores, Vectors | None]:
        if (error := next(errors, None)) is not None:
            raise error
        return ask(pictures, seconds)

    worker.scores = scores  # type: ignore[method-assign]
    with pytest.raises(ModelUnavailableError):
        tagger.scores(BATCH)
    assert not tagger.is_available


@pytest.mark.parametrize("error", [REFUSED, INVALID])
def test_a_worker_that_fails_with_all_pictures_is_away(make: Make, error: Exception) -> None:
    worker = FakeWorker()
    tagger = make(worker)
    worker.error = error
    with pytest.raises(ModelUnavailableError):
        tagger.scores(BATCH)
    assert not tagger.workers[0].is_available
    assert str(error) in tagger.workers[0].reason
    # Not blamed, the pictures are asked about together when it is well again.
    worker.error = None
    look_again(tagger, lambda: tagger.is_available)
    worker.groups.clear()
    same(tagger.scores_and_features(BATCH))
    assert worker.groups == [3]


def test_a_worker_that_dies_of_known_pictures_costs_no_other_picture(make: Make) -> None:
    worker = FakeWorker()
    tagger = make(worker)
    fails_with(worker, BATCH[1], REFUSED)
    refuses = worker.scores

    def scores(pictures: Sequence[Picture], seconds: float) -> tuple[Scores, Vectors | None]:
        if any(pixels is BATCH[1] for _, pixels in pictures):
            return refuses(pictures, seconds)
        raise LostPicturesError(Kind.NO_MODEL, "lost")

    worker.scores = scores  # type: ignore[method-assign]
    for _ in range(4):
        with pytest.raises(ModelUnavailableError):
            tagger.scores([BATCH[1]])
        look_again(tagger, lambda: tagger.is_available)


def test_a_broken_worker_beside_a_well_one_costs_no_picture(make: Make) -> None:
    broken, well = FakeWorker("a"), FakeWorker("b")
    well.seconds_a_picture = 0.001  # the broken one is the faster
    tagger = make(broken, well)
    broken.error = FailedPicturesError("CUDA error: an illegal memory access was encountered")
    batches = [[picture(n, m, 0) for m in range(4)] for n in range(100)]
    with ThreadPoolExecutor(4) as pool:
        for batch, found in zip(
            batches, pool.map(tagger.scores_and_features, batches), strict=True
        ):
            same(found, batch)
    assert sum(well.groups) >= 400
    assert len(broken.groups) < 20
    assert "illegal memory" in tagger.workers[0].reason


def test_the_pictures_are_blamed_when_no_worker_can_look_at_them(make: Make) -> None:
    first, second = FakeWorker("a"), FakeWorker("b")
    tagger = make(first, second)
    fails_with(first, BATCH[1], INVALID)
    same(tagger.scores_and_features(BATCH))
    assert [each.is_available for each in tagger.workers] == [True, True]
    fails_with(second, BATCH[1], REFUSED)
    with pytest.raises(ModelError, match="the model failed on"):
        tagger.scores(BATCH)
    assert [each.is_available for each in tagger.workers] == [True, True]


@pytest.mark.parametrize("error", [OFF, WorkerError(Kind.NO_MODEL, "no model is loaded now")])
def test_a_picture_is_not_blamed_while_another_worker_may_soon_be_back(
    make: Make, error: WorkerError
) -> None:
    now = monotonic()
    first, second = FakeWorker("a"), FakeWorker("b")
    tagger = make(first, second, clock=lambda: Monotonic(now))
    fails_with(first, BATCH[1], REFUSED)
    second.error = error
    with pytest.raises(UndecidedError, match="the model failed on https://a:1: odd"):
        tagger.scores([BATCH[1]])
    # With the others of a group it is no decision.
    with pytest.raises(ModelError) as caught:
        tagger.scores(BATCH)
    assert not isinstance(caught.value, UndecidedError)
    # One that is away for long is not waited for.
    now += 301
    with pytest.raises(ModelError) as caught:
        tagger.scores([BATCH[1]])
    assert not isinstance(caught.value, UndecidedError)
    second.error = None
    look_again(tagger, lambda: all(each.is_available for each in tagger._links))
    same(tagger.scores_and_features([BATCH[1]]), [BATCH[1]])


def test_a_worker_that_never_was_there_saves_no_picture(make: Make) -> None:
    first, second = FakeWorker("a"), FakeWorker("b")
    second.look_error = OFF
    tagger = make(first, second)
    fails_with(first, BATCH[1], REFUSED)
    with pytest.raises(ModelError) as caught:
        tagger.scores([BATCH[1]])
    assert not isinstance(caught.value, UndecidedError)


def test_a_worker_that_has_too_much_to_do_is_asked_again_in_a_moment(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    worker = FakeWorker()
    tagger = make(worker)
    ask = worker.scores
    refusals = iter([True, True])

    def scores(pictures: Sequence[Picture], seconds: float) -> tuple[Scores, Vectors | None]:
        if next(refusals, False):
            raise WorkerError(Kind.BUSY, "too much is asked for at once")
        return ask(pictures, seconds)

    worker.scores = scores  # type: ignore[method-assign]
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(tagger.scores_and_features, [BATCH] * 6):
            same(found)
    assert time.monotonic() - began > 0.9
    assert tagger.is_available
    assert tagger.at_once == 1
    assert not [each for each in caplog.messages if "not available" in each]


def test_a_picture_that_is_lost_twice_alone_fails_alone(make: Make) -> None:
    worker = FakeWorker()
    tagger = make(worker)
    killer = BATCH[1]
    ask = worker.scores

    def dies(pictures: Sequence[Picture], seconds: float) -> tuple[Scores, Vectors | None]:
        if any(pixels is killer for _, pixels in pictures):
            worker.groups.append(len(pictures))
            raise LostPicturesError(Kind.NO_MODEL, "lost")
        return ask(pictures, seconds)

    worker.scores = dies  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(ModelUnavailableError):
            tagger.scores(BATCH)
        look_again(tagger, lambda: tagger.is_available)
    assert worker.groups == [3, 1, 1, 1, 1]
    with pytest.raises(ModelError) as caught:
        tagger.scores(BATCH)
    assert not isinstance(caught.value, ModelUnavailableError)
    # What the pipeline does then.
    asked = len(worker.groups)
    same(tagger.scores_and_features(BATCH[:1]), BATCH[:1])
    same(tagger.scores_and_features(BATCH[2:]), BATCH[2:])
    with pytest.raises(ModelError, match="twice"):
        tagger.scores([killer])
    assert len(worker.groups) == asked + 2
    # Whoever has it tagged again gets another try.
    worker.scores = ask  # type: ignore[method-assign]
    same(tagger.scores_and_features([killer]), [killer])


def test_no_more_are_in_flight_than_there_are_places(make: Make) -> None:
    workers = FakeWorker("a"), FakeWorker("b")
    for each in workers:
        each.seconds_a_picture = 0.001
    tagger = make(*workers)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(tagger.scores_and_features, [BATCH] * 40):
            same(found)
    assert [each.most_in_flight for each in workers] == [2, 2]


def test_a_slow_worker_does_not_hold_up_the_others(make: Make) -> None:
    fast, slow = FakeWorker("a"), FakeWorker("b")
    fast.seconds_a_picture, slow.seconds_a_picture = 0.002, 0.05
    tagger = make(fast, slow)
    began = time.monotonic()

    def work() -> None:
        while time.monotonic() < began + 2:
            tagger.scores(BATCH)

    with ThreadPoolExecutor(tagger.at_once) as pool:
        for each in [pool.submit(work) for _ in range(tagger.at_once)]:
            each.result()
    # In turns they would get as many; 25 times as many is too much to ask of a busy machine.
    assert len(fast.groups) >= 3 * len(slow.groups)
    assert slow.most_in_flight == 2


def test_close_ends_what_waits(make: Make) -> None:
    worker = FakeWorker()
    worker.seconds_a_picture = 60
    tagger = make(worker)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(tagger.scores, BATCH) for _ in range(4)]
        wait_for(lambda: worker.in_flight == 2)
        began = time.monotonic()
        tagger.close()
        for each in calls:
            with pytest.raises(ModelUnavailableError):
                each.result(10)
    assert time.monotonic() - began < bound(5)
    tagger.close()
    with pytest.raises(ModelUnavailableError):
        tagger.scores(BATCH)
    tagger.step(monotonic())
    assert tagger.workers[0].is_available  # a stop is no fault


def test_answers_in_drops_are_cut(make: Make) -> None:
    worker = FakeWorker()
    worker.seconds_a_picture = 60
    tagger = make(worker)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(tagger.scores, BATCH)
        wait_for(lambda: worker.in_flight)
        assert tagger.deadline() < monotonic() + 120
        tagger.step(tagger.deadline())
        with pytest.raises(ModelUnavailableError):
            call.result(10)


# The model on this machine


def test_it_runs_here_while_no_worker_is_there(make: Make) -> None:
    worker = FakeWorker()
    worker.look_error = OFF
    loaded: list[Tagger] = []

    def load() -> Tagger:
        loaded.append(TinyTagger())
        return loaded[-1]

    tagger = make(worker, local=load)
    assert tagger.is_available
    assert tagger.trouble == ""
    assert loaded == []
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(tagger.scores_and_features, [BATCH] * 8):
            same(found)
    assert len(loaded) == 1
    worker.look_error = None
    look_again(tagger, lambda: tagger.workers[0].is_available)
    same(tagger.scores_and_features(BATCH))
    assert worker.groups == [3]
    worker.error = OFF  # in the midst of a call
    same(tagger.scores_and_features(BATCH))


def test_it_does_not_run_here_before_the_workers_were_looked_at() -> None:
    tagger = RemoteTagger(DESCRIPTION, [FakeWorker()], local=TinyTagger)
    assert not tagger.is_available
    tagger.close()


def test_another_revision_does_not_run_here(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    worker = FakeWorker()
    worker.look_error = OFF
    other = TinyTagger()
    other.revision = "fedcba987654"
    tagger = make(worker, local=lambda: other)
    for _ in range(3):
        with pytest.raises(ModelUnavailableError, match=r"fedcba987654.*0123456789ab"):
            tagger.scores(BATCH)
    assert not tagger.is_available
    assert "fedcba987654" in tagger.trouble
    assert len([each for each in caplog.messages if "fedcba987654" in each]) == 1


def test_a_model_that_cannot_be_loaded_here_is_said_once(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    worker = FakeWorker()
    worker.look_error = OFF

    def load() -> Tagger:
        raise ModelError("not installed", remedy="fetch it")

    tagger = make(worker, local=load)
    for _ in range(3):
        with pytest.raises(ModelUnavailableError, match="not installed"):
            tagger.scores(BATCH)
    assert len([each for each in caplog.messages if "not installed" in each]) == 1
    worker.look_error = None
    look_again(tagger, lambda: tagger.is_available)
    same(tagger.scores_and_features(BATCH))


def test_an_unexpected_error_while_it_is_loaded_here_blames_nobody(make: Make) -> None:
    worker = FakeWorker()
    worker.look_error = OFF

    def load() -> Tagger:
        raise OSError("libcuda.so.1: cannot open shared object file")

    tagger = make(worker, local=load)
    with pytest.raises(ModelUnavailableError, match="libcuda"):
        tagger.scores(BATCH)
    assert "libcuda" in tagger.trouble


class FailingTagger(TinyTagger):
    """A model that fails with a picture, or with all."""

    def __init__(self, bad: np.ndarray | None = None) -> None:
        self.bad = bad

    def scores_and_features(self, batch: Sequence[np.ndarray]) -> tuple[Scores, Vectors | None]:
        if self.bad is None or any(each is self.bad for each in batch):
            raise ModelError("too little memory for one image")
        return super().scores_and_features(batch)


def test_a_model_here_that_fails_with_all_pictures_blames_none(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    worker = FakeWorker()
    worker.look_error = OFF
    tagger = make(worker, local=FailingTagger)
    for _ in range(3):
        with pytest.raises(ModelUnavailableError, match="every picture: too little memory"):
            tagger.scores(BATCH)
    assert not tagger.is_available
    assert "too little memory" in tagger.trouble
    assert len([each for each in caplog.messages if "too little memory" in each]) == 1


def test_a_model_here_that_fails_with_some_pictures_stays(make: Make) -> None:
    worker = FakeWorker()
    worker.look_error = OFF
    tagger = make(worker, local=lambda: FailingTagger(BATCH[1]))
    for _ in range(3):
        with pytest.raises(ModelError, match="too little memory") as caught:
            tagger.scores(BATCH)
        assert not isinstance(caught.value, ModelUnavailableError)
    assert tagger.is_available
    same(tagger.scores_and_features(BATCH[:1]), BATCH[:1])


def test_a_model_here_is_not_kept_after_the_end(make: Make) -> None:
    worker = FakeWorker()
    worker.look_error = OFF
    loaded: list[weakref.ref[TinyTagger]] = []

    def load() -> Tagger:
        model = TinyTagger()
        loaded.append(weakref.ref(model))
        return model

    tagger = make(worker, local=load)
    tagger.scores(BATCH)
    assert loaded[0]() is not None
    tagger.close()
    assert loaded[0]() is None
    with pytest.raises(ModelUnavailableError):
        tagger.scores(BATCH)
    assert len(loaded) == 1


def test_a_description_is_all_that_is_needed() -> None:
    other = replace(DESCRIPTION, name="ram++")
    tagger = RemoteTagger(other, [FakeWorker()])
    assert tagger.name == "ram++"
    assert tagger.decode_side == DESCRIPTION.crop.decode_side
    tagger.close()
