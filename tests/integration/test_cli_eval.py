"""``photoramd model eval`` on real photos."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from photoramd.cli import Settings, cli
from photoramd.errors import NoImagesError, UsageError

Put = Callable[[str, str], Path]


def evaluate(*arguments: object, ok: bool = True) -> Result:
    done = CliRunner().invoke(
        cli,
        ["model", "eval", *map(str, arguments)],
        obj=Settings(None, False),
    )
    assert (done.exit_code == 0) is ok, done.output
    return done


@pytest.fixture
def labels(album: Path, put: Put, tmp_path: Path) -> Path:
    put("cat", "cat.png")
    put("coffee", "sub/cup.png")
    put("astronaut", "anna.png")
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    path = tmp_path / "labels.csv"
    path.write_text("file,keywords\ncat.png,cat\nsub/cup.png,cup|coffee\nanna.png,person|dog\n")
    return path


def test_it_judges_each_word_and_every_threshold(album: Path, labels: Path) -> None:
    answer = json.loads(evaluate(album, "--labels", labels, "--json").stdout)
    assert answer["model"] == "embedded"
    assert answer["photos"] == 3
    assert list(answer["thresholds"]) == ["calibrated", *(f"0.{n}" for n in range(1, 10))]
    figures = answer["thresholds"]["calibrated"]
    assert figures["photos_with_right"] == 1
    assert figures["words"]["cat"]["precision"] == 1
    assert figures["words"]["person"]["recall"] == 1
    assert figures["words"]["dog"] == {
        "right": 0, "wrong": 0, "missing": 1, "precision": None, "recall": 0
    }  # fmt: skip
    recalls = [each["recall"] for each in answer["thresholds"].values()][1:]
    assert recalls == sorted(recalls, reverse=True)


def test_it_shows_tables_that_a_person_can_read(album: Path, labels: Path) -> None:
    text = evaluate(album, "--labels", labels).stdout
    assert "embedded, 3 photos" in text
    assert "calibrated" in text
    assert "with a right one" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["cat", "1", "1", "1", "1.000", "1.000"] in rows
    assert ["dog", "1", "0", "0", "-", "0.000"] in rows


def test_keywords_that_the_labels_never_mention_count_only_if_asked_for(
    album: Path, labels: Path
) -> None:
    labels.write_text("file,keywords\nanna.png,person\nsub/cup.png,\n")
    without = json.loads(evaluate(album, "--labels", labels, "--json").stdout)
    every = json.loads(evaluate(album, "--labels", labels, "--all", "--json").stdout)
    assert without["thresholds"]["calibrated"]["precision"] == 1
    assert every["thresholds"]["calibrated"]["precision"] < 0.5
    assert "cup" in every["thresholds"]["calibrated"]["wrong"]


def test_photos_that_are_missing_or_broken_are_named_and_cost_only_themselves(
    album: Path, labels: Path
) -> None:
    with labels.open("a") as file:
        file.write("broken.jpg,cat\n" + "".join(f"gone{n}.jpg,cat\n" for n in range(8)))
    done = evaluate(album, "--labels", labels, "--json")
    assert json.loads(done.stdout)["photos"] == 3
    assert "broken.jpg" in done.stderr
    assert "gone0.jpg: not there" in done.stderr
    assert "and 3 more are not there" in done.stderr


def test_without_any_of_the_photos_it_says_so(labels: Path, tmp_path: Path) -> None:
    done = evaluate(tmp_path, "--labels", labels, ok=False)
    assert isinstance(done.exception, NoImagesError)
    assert "labels.csv" in str(done.exception)


def test_labels_of_another_form_are_refused_with_the_right_ones(album: Path, labels: Path) -> None:
    labels.write_text("name;words\ncat.png;cat\n")
    done = evaluate(album, "--labels", labels, ok=False)
    assert isinstance(done.exception, UsageError)
    assert "file,keywords" in (done.exception.remedy or "")
