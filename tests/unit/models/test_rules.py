"""Scores to keywords."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoramd.config.overrides import load_overrides
from photoramd.errors import ConfigError
from photoramd.keywords import MAX_KEYWORD_BYTES, fold, is_keyword, normalise
from photoramd.models.rules import Rules, select
from photoramd.models.vocabulary import Vocabulary, kept
from photoramd.photo import Tag

ANIMALS = Vocabulary(
    labels=("tabby", "beagle", "cat", "dog", "animal", "Crème", "banned"),
    thresholds=(0.4, 0.4, 0.3, 0.3, 0.5, 0.4, 1.0),
    parents=(("animal", "cat"), ("animal", "dog"), ("animal",), ("animal",), (), (), ()),
    floor=0.05,
)


def names(scores: dict[str, float], **rules: object) -> list[str]:
    return [tag.name for tag in select(ANIMALS, scores, Rules(**rules))]  # type: ignore[arg-type]


def test_each_label_has_its_own_threshold_and_reaching_it_is_enough() -> None:
    assert names({"tabby": 0.39, "cat": 0.3, "animal": 0.5}) == ["animal", "cat"]


def test_a_number_replaces_all_thresholds() -> None:
    scores = {"tabby": 0.39, "cat": 0.3, "animal": 0.5}
    assert names(scores, threshold=0.35) == ["animal", "tabby"]
    assert names(scores, threshold=0.0) == ["animal", "tabby", "cat"]
    assert names(scores, threshold=1.0) == []


def test_a_disabled_label_stays_disabled_whatever_the_number() -> None:
    assert names({"banned": 1.0}) == []
    assert names({"banned": 1.0}, threshold=0.1) == []


def test_tags_come_by_falling_confidence_and_equal_ones_by_name() -> None:
    scores = {"tabby": 0.6, "dog": 0.9, "cat": 0.9}
    tags = select(ANIMALS, scores, Rules())
    assert tags == [
        Tag("cat", 0.9, ("animal",)),
        Tag("dog", 0.9, ("animal",)),
        Tag("tabby", 0.6, ("animal", "cat")),
    ]


def test_top_n_keeps_the_most_confident() -> None:
    assert names({"tabby": 0.6, "dog": 0.7, "cat": 0.9}, top_n=2) == ["cat", "dog"]


def test_labels_that_the_vocabulary_lost_are_passed_over() -> None:
    assert names({"unicorn": 0.99, "cat": 0.9}) == ["cat"]


def test_an_override_is_looked_up_exactly_then_without_regard_to_case() -> None:
    assert names({"tabby": 0.9}, overrides={"tabby": "Mimi", "TABBY": "no"}) == ["Mimi"]
    assert names({"tabby": 0.9}, overrides={"TABBY": "Mimi"}) == ["Mimi"]
    assert names({"Crème": 0.9}, overrides={"crE\u0300me": "Sahne"}) == ["Sahne"]


def test_an_empty_override_drops_the_label_and_its_place_in_paths() -> None:
    tags = select(ANIMALS, {"tabby": 0.9, "cat": 0.9}, Rules(overrides={"cat": " "}))
    assert tags == [Tag("tabby", 0.9, ("animal",))]


def test_an_override_that_is_no_keyword_drops_the_label() -> None:
    for bad in ("a/b", "a|b", "a,b", "a;b", "a\nb", "x" * 65, "\x7f"):
        assert names({"tabby": 0.9}, overrides={"tabby": bad}) == []


def test_two_labels_for_one_word_are_one_tag_with_the_higher_confidence() -> None:
    scores = {"tabby": 0.6, "beagle": 0.8}
    tags = select(ANIMALS, scores, Rules(overrides={"tabby": "pet", "beagle": "Pet"}))
    assert tags == [Tag("Pet", 0.8, ("animal", "dog"))]


def test_a_label_that_becomes_another_takes_that_ones_place() -> None:
    tags = select(ANIMALS, {"tabby": 0.9, "cat": 0.6}, Rules(overrides={"tabby": "CAT"}))
    assert tags == [Tag("cat", 0.9, ("animal",))]
    alone = select(ANIMALS, {"tabby": 0.9}, Rules(overrides={"tabby": "cat"}))
    assert alone == [Tag("cat", 0.9, ("animal",))]


def test_an_allow_list_keeps_only_its_words_also_in_paths() -> None:
    scores = {"tabby": 0.9, "cat": 0.9, "animal": 0.9}
    tags = select(ANIMALS, scores, Rules(allow=frozenset({"TABBY", "Animal"})))
    assert tags == [Tag("animal", 0.9), Tag("tabby", 0.9, ("animal",))]


def test_a_deny_list_removes_its_words_also_from_paths() -> None:
    scores = {"tabby": 0.9, "cat": 0.9, "animal": 0.9}
    tags = select(ANIMALS, scores, Rules(deny=frozenset({"ANIMAL"})))
    assert tags == [Tag("cat", 0.9), Tag("tabby", 0.9, ("cat",))]


def test_lists_know_a_label_by_its_own_name_and_by_its_replacement() -> None:
    overrides = {"tabby": "Mimi", "Crème": "Sahne"}
    scores = {"tabby": 0.9, "Crème": 0.8, "dog": 0.7}
    for word in ("tabby", "mimi"):
        assert names(scores, overrides=overrides, allow=frozenset({word})) == ["Mimi"]
        assert names(scores, overrides=overrides, deny=frozenset({word})) == ["Sahne", "dog"]
    decomposed = frozenset({"CRE\u0300ME"})
    assert names(scores, overrides=overrides, deny=decomposed) == ["Mimi", "dog"]


def test_the_parent_stands_above_all_others() -> None:
    tags = select(ANIMALS, {"cat": 0.9, "animal": 0.9}, Rules(parent="Auto"))
    assert tags == [Tag("animal", 0.9, ("Auto",)), Tag("cat", 0.9, ("Auto", "animal"))]


@pytest.mark.parametrize(
    "rules", [{"threshold": 1.1}, {"threshold": -0.1}, {"top_n": 0}, {"parent": "a|b"}]
)
def test_rules_out_of_range_are_refused(rules: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Rules(**rules)  # type: ignore[arg-type]


def test_kept_scores_are_those_from_the_floor_up_rounded() -> None:
    row = np.array([0.123456, 0.04999, 0.05, 0, 1, np.nan, 0.2], np.float32)
    assert kept(ANIMALS, row) == {"tabby": 0.1235, "cat": 0.05, "animal": 1.0, "banned": 0.2}


def test_kept_refuses_scores_of_another_vocabulary() -> None:
    with pytest.raises(ValueError, match="7 columns"):
        kept(ANIMALS, np.zeros(6, np.float32))


def test_a_vocabulary_with_a_label_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="unique"):
        Vocabulary(("a", "a"), (0.5, 0.5), ((), ()), 0.1)


@pytest.mark.parametrize("text", ["cat", "our cat", "crane (bird)", "été", "猫", "a" * 64, "👩‍👧"])
def test_these_are_keywords(text: str) -> None:
    assert is_keyword(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", " cat", "cat ", "e\u0301te", "a/b", "a|b", "a,b", "a;b", "a\tb", "a\nb", "\x00",
     "a\x85b", "a\u2028b", "\ud800", "\ufffe", "a" * 65, "é" * 33],
)  # fmt: skip
def test_these_are_no_keywords(text: str) -> None:
    assert not is_keyword(text)


@given(st.text())
def test_comparing_ignores_case_and_composition(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(normalise(text)) == fold(text)


_scores = st.dictionaries(st.sampled_from([*ANIMALS.labels, "unknown"]), st.floats(0, 1))
_words = st.one_of(st.sampled_from([*ANIMALS.labels, "CAT", "Dog", "pet", ""]), st.text(max_size=9))


@given(_scores, st.dictionaries(_words, _words), st.frozensets(_words), st.frozensets(_words))
def test_whatever_the_rules_tags_are_keywords_once_each_in_order(
    scores: dict[str, float],
    overrides: dict[str, str],
    allow: frozenset[str],
    deny: frozenset[str],
) -> None:
    rules = Rules(overrides=overrides, allow=allow, deny=deny, top_n=4)
    tags = select(ANIMALS, scores, rules)
    shuffled = dict(reversed(scores.items()))
    assert tags == select(ANIMALS, shuffled, rules), "the order of the scores must not matter"
    assert len(tags) <= 4
    assert [tag.confidence for tag in tags] == sorted((t.confidence for t in tags), reverse=True)
    words = [fold(tag.name) for tag in tags]
    assert len(set(words)) == len(words)
    for tag in tags:
        path = [*tag.parents, tag.name]
        assert all(is_keyword(word) for word in path)
        assert len({fold(word) for word in path}) == len(path)
        assert not {fold(word) for word in path} & {fold(word) for word in deny}


@given(_scores, st.floats(0, 1), st.floats(0, 1))
def test_a_lower_threshold_only_adds(scores: dict[str, float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    strict = {tag.name for tag in select(ANIMALS, scores, Rules(threshold=high))}
    assert strict <= {tag.name for tag in select(ANIMALS, scores, Rules(threshold=low))}


def test_overrides_are_read_also_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "overrides.json"
    path.write_text(json.dumps({"tabby": "Mimi", "dog": ""}), "utf-8-sig")
    assert load_overrides(path) == {"tabby": "Mimi", "dog": ""}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"a": ', "not JSON"),
        ('["a"]', "JSON list"),
        ('{"a": 1}', "'a' is a number"),
        ('{"a": null}', "'a' is a null"),
        ('{"a": ["b"]}', "'a' is a list"),
        ('{"a": "b, c"}', "'a' is no keyword"),
        ("[" * 100_000, "not JSON"),
        ("\xff\xfe", "not JSON"),
    ],
)
def test_overrides_that_are_none_name_file_fault_and_remedy(
    tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "overrides.json"
    path.write_text(content, "latin-1")
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_overrides(path)
    assert caught.value.path == str(path)
    assert caught.value.remedy


def test_missing_overrides_name_file_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file") as caught:
        load_overrides(tmp_path / "overrides.json")
    assert caught.value.remedy


def test_the_length_limit_is_that_of_iptc() -> None:
    assert MAX_KEYWORD_BYTES == 64


def test_keywords_import_neither_numpy_nor_torch() -> None:
    code = "import sys, photoramd.keywords; print({'numpy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
