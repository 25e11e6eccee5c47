"""How long answers may take, on both sides."""

from __future__ import annotations

import pytest

from photoramd.models.remote.pace import Rates


def rates(*seconds_a_picture: float) -> Rates:
    made = Rates()
    for each in seconds_a_picture:
        made.learn(8, 8 * each)
    return made


def test_answers_may_take_some_times_as_long_as_lately() -> None:
    assert rates().limit(4) == 60 + 4 * 15
    assert rates(0.5).limit(16) == 2 * 64 + 15
    assert rates(0.5).limit(1) == 2 * 30 + 15
    assert rates(0.5, 2, 1).limit(8) == 2 * 128 + 15
    assert rates(2, *[0.01] * 16).limit(8) == 75


def test_what_is_forgotten_may_have_become_slower() -> None:
    made = rates(0.01)
    made.forget()
    assert made.limit(4) == 120


@pytest.mark.parametrize("pictures", [1, 2, 8, 16, 64])
@pytest.mark.parametrize("seconds", [0.01, 0.1, 1, 3, 7, 20])
def test_a_model_has_hung_before_its_answer_is_given_up(pictures: int, seconds: float) -> None:
    model = rates(seconds)
    for asks in (rates(seconds), rates(2 * seconds), rates()):
        # With the time that passes until its process is ended and the loss is told.
        assert model.hangs_after(pictures) + 15 <= asks.limit(pictures)
    assert model.hangs_after(pictures) >= 30


def test_the_first_run_is_no_hang_however_long_it_takes() -> None:
    assert rates().hangs_after(2) == float("inf")


@pytest.mark.parametrize("seconds", [0.05, 1, 4])
def test_a_model_that_takes_as_long_as_ever_has_not_hung(seconds: float) -> None:
    for pictures in (1, 2, 4, 8, 15):
        if pictures * seconds <= 15:  # groups are as large as that
            assert rates(seconds).hangs_after(pictures) >= 2 * pictures * seconds
