"""Keywords judged by labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from photoramd.errors import UsageError
from photoramd.models.evaluation import (
    Hierarchy,
    Truth,
    Verdict,
    evaluate,
    mentioned,
    read_labels,
)
from photoramd.models.rules import Rules
from photoramd.models.vocabulary import Vocabulary
from photoramd.photo import Tag

VOCABULARY = Vocabulary(
    ("animal", "dog", "beagle", "cat", "Beach"),
    (0.5,) * 5,
    ((), ("animal",), ("animal", "dog"), ("animal",), ()),
    0.1,
)


def truth(*shown: str, absent: tuple[str, ...] | None = None) -> Truth:
    return Truth(frozenset(shown), None if absent is None else frozenset(absent))


def labels(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


# Labels


def test_a_list_of_keywords_says_that_all_others_are_wrong(tmp_path: Path) -> None:
    path = labels(tmp_path, "file,keywords\na.jpg,Dog | beach\nsub/b.jpg,\n")
    assert read_labels(path) == {"a.jpg": truth("dog", "beach"), "sub/b.jpg": truth()}


def test_a_column_for_each_word_leaves_the_others_open(tmp_path: Path) -> None:
    path = labels(tmp_path, "file,source,dog,beach\na.jpg,mine,1,\nb.jpg,mine,0,1\n")
    assert read_labels(path) == {
        "a.jpg": truth("dog", absent=()),
        "b.jpg": truth("beach", absent=("dog",)),
    }


def test_what_a_spreadsheet_puts_before_the_text_is_no_part_of_it(tmp_path: Path) -> None:
    assert read_labels(labels(tmp_path, "\ufefffile,keywords\na.jpg,dog\n")).keys() == {"a.jpg"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no labels"),
        ("photo,keywords\na.jpg,dog\n", "no labels"),
        ("file\na.jpg\n", "no labels"),
        ("file,dog\na.jpg,yes\n", "'yes' for dog, line 2"),
        ("file,keywords\na.jpg,dog\na.jpg,cat\n", "a.jpg twice, line 3"),
        ("file,dog,cat\na.jpg,1\nb.jpg,1,2\n", "'2' for cat, line 3"),
    ],
)
def test_other_files_are_refused_with_what_is_wrong(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_labels(labels(tmp_path, text))


def test_a_picture_in_place_of_labels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UsageError, match="cannot be read"):
        read_labels(path)


# Verdicts


@pytest.mark.parametrize(
    ("keyword", "known", "verdict"),
    [
        ("dog", truth("dog"), Verdict.RIGHT),
        ("animal", truth("dog"), Verdict.RIGHT),
        ("beagle", truth("dog"), Verdict.RIGHT),
        ("Dog", truth("dog"), Verdict.RIGHT),
        ("cat", truth("dog"), Verdict.WRONG),
        ("beach", truth("dog", absent=()), Verdict.UNKNOWN),
        ("dog", truth(absent=("dog",)), Verdict.WRONG),
        ("beagle", truth(absent=("dog",)), Verdict.WRONG),
        ("animal", truth(absent=("dog",)), Verdict.UNKNOWN),
        ("cat", truth("animal", absent=("cat",)), Verdict.WRONG),
        ("cat", truth("animal", absent=()), Verdict.RIGHT),
    ],
)
def test_what_is_shown_what_is_above_it_and_what_is_below_it_are_right(
    keyword: str, known: Truth, verdict: Verdict
) -> None:
    parents = dict(zip(VOCABULARY.labels, VOCABULARY.parents, strict=True)).get(keyword, ())
    assert Hierarchy(VOCABULARY).judge(Tag(keyword, 0.9, parents), known) is verdict


def test_the_words_that_labels_can_judge_are_theirs_and_those_above_and_below() -> None:
    assert mentioned(VOCABULARY, [truth("dog")]) == {"animal", "dog", "beagle"}
    assert mentioned(VOCABULARY, [truth("beach", absent=("animal",))]) == {
        *("beach", "animal", "dog", "beagle", "cat"),
    }


# Figures


PHOTOS = [
    ({"animal": 0.9, "dog": 0.8, "beagle": 0.6}, truth("dog", "beach")),
    ({"cat": 0.7, "Beach": 0.9}, truth("beach")),
    ({"dog": 0.2}, truth("dog")),
    ({"cat": 0.9}, truth()),
]


def test_the_figures_are_those_of_a_count_by_hand() -> None:
    result = evaluate(VOCABULARY, PHOTOS, Rules())
    assert result.photos == 4
    assert result.keywords.right == 4
    assert result.keywords.wrong == 2
    assert result.wrong == {"cat": 2}
    figures = result.as_dict()
    assert figures["precision"] == pytest.approx(4 / 6)
    assert figures["recall"] == pytest.approx(2 / 4)
    assert figures["photos_with_right"] == 0.5
    assert figures["photos_with_any"] == 0.75
    assert figures["keywords"] == 1.5
    dog, beach = result.words["dog"], result.words["beach"]
    assert (dog.right, dog.wrong, dog.missing) == (1, 0, 1)
    assert (beach.right, beach.wrong, beach.missing) == (1, 0, 1)


def test_other_thresholds_need_no_other_scores() -> None:
    assert evaluate(VOCABULARY, PHOTOS, Rules(threshold=0.1)).as_dict()["recall"] == 0.75
    assert evaluate(VOCABULARY, PHOTOS, Rules(threshold=0.95)).as_dict()["precision"] is None


def test_words_that_the_labels_do_not_mention_can_be_left_out() -> None:
    among = mentioned(VOCABULARY, [known for _, known in PHOTOS])
    result = evaluate(VOCABULARY, PHOTOS, Rules(), among=among)
    assert result.keywords.wrong == 0
    assert result.unknown == 2
    assert result.as_dict()["precision"] == 1


def test_a_word_is_wrong_also_where_it_comes_before_it_is_right() -> None:
    photos = [({"cat": 0.9}, truth("dog")), ({"cat": 0.9}, truth("cat"))]
    cat = evaluate(VOCABULARY, photos, Rules()).words["cat"]
    assert (cat.right, cat.wrong, cat.missing) == (1, 1, 0)


def test_a_word_is_found_by_what_is_below_it_and_wrong_where_it_is_absent() -> None:
    photos = [
        ({"beagle": 0.9}, truth("dog", absent=("cat",))),
        ({"beagle": 0.9}, truth("cat", absent=("dog",))),
        ({"beagle": 0.9}, truth(absent=())),
    ]
    words = evaluate(VOCABULARY, photos, Rules()).words
    assert words["dog"].precision == 0.5
    assert words["dog"].recall == 1
    assert words["cat"].precision is None
    assert words["cat"].recall == 0
