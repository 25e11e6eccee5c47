"""ImageNet's keywords: the table and what it says of the classes."""

from __future__ import annotations

from itertools import pairwise

from photoramd.keywords import fold, is_keyword
from photoramd.models.imagenet import read_table, vocabulary_of

TABLE = {entry.keyword: entry for entry in read_table()}


def test_every_label_is_a_keyword_and_unlike_all_others() -> None:
    labels = [entry.keyword for entry in read_table()]
    assert all(is_keyword(label) for label in labels)
    assert len({fold(label) for label in labels}) == len(labels)


def test_every_class_has_a_label() -> None:
    assert {index for entry in read_table() for index in entry.classes} == set(range(1000))


def test_words_of_two_meanings_are_told_apart() -> None:
    assert TABLE["crane (bird)"].parents[:2] == ("animal", "bird")
    assert "animal" not in TABLE["crane (machine)"].parents
    assert "crane" not in TABLE


def test_classes_that_look_the_same_share_a_label() -> None:
    for name in ("sunglasses", "laptop", "missile"):
        assert len(TABLE[name].classes) == 2


def test_a_label_s_parents_are_kinds_with_all_its_classes_the_most_general_first() -> None:
    for entry in read_table():
        path = [TABLE[name] for name in entry.parents] + [entry]
        for above, below in pairwise(path):
            assert above.is_kind
            assert set(above.classes) > set(below.classes), (above.keyword, below.keyword)
        assert path[0].parents == ()


def test_a_breed_stands_below_its_animal() -> None:
    assert TABLE["tiger cat"].parents == ("animal", "cat")
    assert TABLE["Border collie"].parents == ("animal", "dog", "sheepdog")


def test_useful_kinds_exist() -> None:
    kinds = {entry.keyword for entry in read_table() if entry.is_kind}
    wanted = {"animal", "bird", "building", "cat", "dog", "flower", "food", "furniture", "vehicle"}
    assert wanted <= kinds
    assert len(kinds) >= 150


def test_thresholds_grow_with_the_share_of_the_classes() -> None:
    vocabulary = vocabulary_of(read_table())
    thresholds = dict(zip(vocabulary.labels, vocabulary.thresholds, strict=True))
    assert thresholds["tiger cat"] < thresholds["cat"] < thresholds["dog"] < thresholds["animal"]
    assert thresholds["animal"] < 0.6
    assert vocabulary.floor < min(thresholds.values()) / 5
