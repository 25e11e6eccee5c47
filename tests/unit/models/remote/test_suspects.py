"""Pictures that a model's process was lost with are asked about alone."""

from __future__ import annotations

from photoramd.models.preprocessing import digest_of
from photoramd.models.remote.protocol import MOST_PHOTOS
from photoramd.models.remote.suspects import Picture, Suspects
from tests.support.tiny_tagger import picture


def made(count: int) -> list[Picture]:
    pictures = [picture(number % 256, number // 256, 0) for number in range(count)]
    return [(digest_of(each), each) for each in pictures]


def sizes(parts: list[list[Picture]]) -> list[int]:
    return [len(each) for each in parts]


def test_groups_stay_whole_up_to_what_a_request_may_have() -> None:
    assert sizes(Suspects().parts(made(5))) == [5]
    assert sizes(Suspects().parts(made(2 * MOST_PHOTOS + 1))) == [MOST_PHOTOS, MOST_PHOTOS, 1]


def test_suspects_are_alone_and_the_order_stays() -> None:
    suspects, pictures = Suspects(), made(6)
    suspects.note_lost(pictures[2:4])
    parts = suspects.parts(pictures)
    assert sizes(parts) == [2, 1, 1, 2]
    assert [digest for part in parts for digest, _ in part] == [digest for digest, _ in pictures]


def test_only_who_was_alone_is_guilty_and_only_of_two() -> None:
    suspects, pictures = Suspects(), made(3)
    for _ in range(5):
        suspects.note_lost(pictures)
    assert not any(suspects.is_guilty(each) for each in pictures)
    suspects.note_lost(pictures[:1])
    assert not suspects.is_guilty(pictures[0])
    suspects.note_lost(pictures[:1])
    assert [suspects.is_guilty(each) for each in pictures] == [True, False, False]


def test_an_answer_clears() -> None:
    suspects, pictures = Suspects(), made(3)
    suspects.note_lost(pictures)
    suspects.clear(pictures[1:])
    assert sizes(suspects.parts(pictures)) == [1, 2]


def test_their_number_is_bounded() -> None:
    suspects, pictures = Suspects(), made(3000)
    suspects.note_lost(pictures)
    assert sizes(suspects.parts(pictures)).count(1) <= 1100
    assert sizes(suspects.parts(pictures[-1000:])) == [1] * 1000
