"""How the embedded model's parts are combined into keywords."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoramd.keywords import fold, is_keyword
from photoramd.models.embedded.combination import THRESHOLD, calibrated
from photoramd.models.embedded.keywords import embedded_vocabulary, read_evidence
from photoramd.models.embedded.people import group_and_portrait
from photoramd.models.imagenet import read_table
from photoramd.models.rules import Rules, select

VOCABULARY = embedded_vocabulary()
PATHS = dict(zip(VOCABULARY.labels, VOCABULARY.parents, strict=True))


def words(**scores: float) -> set[str]:
    """Keywords of stored scores; `object__dog=.5` stands for ``object: dog``."""
    stored = {name.replace("__", ": ").replace("_", " "): s for name, s in scores.items()}
    assert stored.keys() <= set(VOCABULARY.columns)
    return {tag.name for tag in select(VOCABULARY, stored, Rules())}


# The vocabulary


def test_every_keyword_is_one_singular_and_unlike_all_others() -> None:
    assert all(is_keyword(label) for label in VOCABULARY.labels)
    assert len({fold(label) for label in VOCABULARY.labels}) == len(VOCABULARY.labels)
    rows = read_evidence()
    assert all(row.keyword == row.keyword.lower() for row in rows)
    plural = {row.keyword for row in rows if row.keyword.endswith("s")}
    assert plural == {"bus", "indoors", "outdoors", "scissors", "grass", "wine glass"}


def test_every_label_has_a_column_and_a_keyword() -> None:
    assert len(set(VOCABULARY.columns)) == len(VOCABULARY.columns)
    assert len(VOCABULARY.columns) == len(read_table()) + len(read_evidence())
    everything = dict.fromkeys(VOCABULARY.columns, 1.0)
    assert VOCABULARY.combine is not None
    assert set(VOCABULARY.combine(everything)) <= set(VOCABULARY.labels)


def test_the_same_things_have_the_same_keywords_above_them() -> None:
    for row in read_evidence():
        assert PATHS[row.keyword] == row.above
    for keyword, above in PATHS.items():
        for index, kind in enumerate(above):
            assert PATHS[kind] == above[:index], keyword


@pytest.mark.parametrize(
    ("keyword", "above"),
    [
        ("golden retriever", ("animal", "dog", "retriever")),
        ("giraffe", ("animal",)),
        ("car", ("vehicle",)),
        ("beach", ("outdoors", "landscape", "coast")),
        ("kitchen", ("indoors",)),
        ("bathroom", ("indoors",)),
        ("portrait", ("person",)),
        ("mountain", ("outdoors", "landscape")),
        ("volcano", ("outdoors", "landscape", "mountain")),
        ("carrot", ("food", "vegetable")),
        ("church", ("building", "religious building")),
        ("bakery", ("shop",)),
        ("restaurant", ()),
    ],
)
def test_one_hierarchy_joins_all_parts(keyword: str, above: tuple[str, ...]) -> None:
    assert PATHS[keyword] == above


def test_every_keyword_has_the_common_threshold() -> None:
    assert set(VOCABULARY.thresholds) == {THRESHOLD}
    assert VOCABULARY.floor < min(row.threshold for row in read_evidence()) / 5


def test_the_vocabulary_can_be_sent_to_another_process() -> None:
    again = pickle.loads(pickle.dumps(VOCABULARY))  # noqa: S301
    assert again == VOCABULARY
    scores = {"object: dog": 0.9, "dog": 0.4}
    assert select(again, scores, Rules()) == select(VOCABULARY, scores, Rules())


# The common scale


@given(st.floats(0.01, 0.99))
def test_a_threshold_lies_in_the_middle_of_the_common_scale(threshold: float) -> None:
    assert calibrated(threshold, threshold) == THRESHOLD
    assert calibrated(0.0, threshold) == 0
    assert calibrated(1.0, threshold) == pytest.approx(1)
    values = [calibrated(score / 50, threshold) for score in range(51)]
    assert values == sorted(values)


# What the parts say of each other


def test_the_better_of_two_scores_counts() -> None:
    (dog,) = (
        t for t in select(VOCABULARY, {"dog": 0.6, "object: dog": 0.9}, Rules()) if t.name == "dog"
    )
    assert dog.confidence == pytest.approx(calibrated(0.9, 0.4))
    (dog,) = (
        t for t in select(VOCABULARY, {"dog": 0.97, "object: dog": 0.5}, Rules()) if t.name == "dog"
    )
    assert dog.confidence > 0.9


def test_an_object_brings_its_kind_if_it_is_sure_enough() -> None:
    assert words(object__giraffe=0.9) >= {"giraffe", "animal"}
    assert words(object__car=0.42, car=0.2) == {"car"}


def test_the_classifier_denies_objects_that_it_would_know() -> None:
    # A detector that knows ten animals takes the others for them.
    assert "horse" in words(object__horse=0.8, horse=0.3, animal=0.9)
    assert "horse" not in words(object__horse=0.8, animal=0.9, camel=0.6)
    # Where it is sure of something else, nothing else is likely.
    assert "clock" in words(object__clock=0.7)
    assert "clock" not in words(object__clock=0.7, odometer=0.8)


def test_an_object_that_the_classifier_sees_no_trace_of_must_be_surer() -> None:
    assert "bottle" in words(object__bottle=0.45, bottle=0.2)
    assert "bottle" not in words(object__bottle=0.45)
    assert "bottle" in words(object__bottle=0.65)
    assert "bottle" not in words(object__bottle=0.65, espresso=0.4)


def test_the_detector_denies_classes_that_it_would_see() -> None:
    assert "banana" in words(banana=0.6, object__banana=0.3)
    assert "banana" not in words(banana=0.6)
    assert "strawberry" in words(strawberry=0.6)  # which it does not know


def test_among_people_and_other_things_the_classifier_must_be_surer() -> None:
    assert "strawberry" in words(strawberry=0.45)
    assert "strawberry" not in words(strawberry=0.45, object__person=0.9)
    assert "strawberry" in words(strawberry=0.6, object__person=0.9)
    assert "strawberry" not in words(strawberry=0.5, object__chair=0.9, chair=0.2)


def test_a_building_is_seen_from_outside() -> None:
    assert "building" in words(building=0.8, scene__building=0.5)
    assert "building" not in words(building=0.8, scene__building=0.5, scene__indoors=0.7)
    assert "building" not in words(scene__building=0.95, scene__indoors=0.7)


def test_rooms_are_indoors_and_beaches_outdoors() -> None:
    assert "kitchen" in words(scene__kitchen=0.8, scene__indoors=0.9)
    assert "kitchen" not in words(scene__kitchen=0.8, scene__indoors=0.3)
    assert "beach" in words(scene__beach=0.8, scene__outdoors=0.95)
    assert "beach" not in words(scene__beach=0.8, scene__outdoors=0.6)


def test_a_person_needs_detector_and_head() -> None:
    assert "person" in words(object__person=0.8, scene__person=0.5)
    assert "person" in words(object__person=0.3, scene__person=0.9)
    assert "person" not in words(object__person=0.9)
    assert "person" not in words(scene__person=0.9)


def test_where_an_animal_is_a_person_must_be_surer() -> None:
    assert "person" in words(object__person=0.6, scene__person=0.6)
    assert "person" not in words(object__person=0.6, scene__person=0.6, animal=0.9)
    assert "person" in words(object__person=0.9, scene__person=0.8, animal=0.9)


def test_no_group_without_a_person() -> None:
    assert "group" in words(people__group=0.8, object__person=0.9, scene__person=0.9)
    assert "group" not in words(people__group=0.8, object__person=0.9)


@given(st.dictionaries(st.sampled_from(VOCABULARY.columns), st.floats(0.03, 1), max_size=20))
def test_any_stored_scores_give_scores_between_0_and_1(scores: dict[str, float]) -> None:
    assert VOCABULARY.combine is not None
    combined = VOCABULARY.combine(scores)
    assert all(0 <= score <= 1 for score in combined.values())
    lower = {t.name for t in select(VOCABULARY, scores, Rules(threshold=0.3, top_n=99))}
    assert {t.name for t in select(VOCABULARY, scores, Rules(top_n=99))} <= lower


def test_unknown_labels_are_left_out() -> None:
    assert select(VOCABULARY, {"object: unicorn": 0.9, "yeti": 0.9}, Rules()) == []


# Groups and portraits


def boxes(
    *rows: tuple[float, float, float, float],
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.array(rows, np.float32).reshape(-1, 4)


def five(height: float) -> list[tuple[float, float, float, float]]:
    return [(0.2, 0.2 * i, 0.2 + height, 0.2 * i + 0.1) for i in range(5)]


def test_five_persons_are_a_group_as_sure_as_the_fifth() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5], np.float32)
    assert group_and_portrait(scores, boxes(*five(0.3)))[0] == pytest.approx(0.5)
    assert group_and_portrait(scores[:4], boxes(*five(0.3)[:4]))[0] == 0
    assert group_and_portrait(scores, boxes(*five(0.05)))[0] == 0


def test_boxes_of_the_same_person_count_once() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5], np.float32)
    same = [(0.1, 0.1 + 0.001 * i, 0.9, 0.4) for i in range(5)]
    assert group_and_portrait(scores, boxes(*same))[0] == 0


def test_one_person_who_fills_the_photo_is_a_portrait() -> None:
    one = np.array([0.9], np.float32)
    assert group_and_portrait(one, boxes((0.0, 0.2, 1.0, 0.8)))[1] == pytest.approx(0.9)
    assert group_and_portrait(one, boxes((0.0, 0.2, 0.7, 0.9)))[1] == 0
    assert group_and_portrait(one, boxes((0.0, 0.2, 1.0, 0.5)))[1] == 0
    two = np.array([0.9, 0.5], np.float32)
    assert group_and_portrait(two, boxes((0.0, 0.2, 1.0, 0.8), (0.2, 0.85, 0.6, 1.0)))[1] == 0


def test_a_photo_without_persons_has_neither() -> None:
    assert group_and_portrait(np.zeros(9, np.float32), np.zeros((9, 4), np.float32)) == (0, 0)


def test_boxes_beyond_the_photo_count_as_far_as_they_are_in_it() -> None:
    one = np.array([0.9], np.float32)
    assert group_and_portrait(one, boxes((-0.5, -0.5, 1.5, 1.5)))[1] == pytest.approx(0.9)
