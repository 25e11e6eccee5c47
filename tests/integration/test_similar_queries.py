"""Similar photos and duplicates, as users ask for them, with the real model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from tests.support.daemons import Photoramd


@pytest.fixture(scope="module")
def photoramd(
    tmp_path_factory: pytest.TempPathFactory, samples: dict[str, Path]
) -> Iterator[Photoramd]:
    """Photos, copies of one, and what is nearly the same, tagged."""
    home = tmp_path_factory.mktemp("similar").resolve()
    album = home / "album"
    (album / "copies").mkdir(parents=True)
    with Image.open(samples["china"]) as opened:
        china = opened.convert("RGB")
    china.save(album / "a.jpg", quality=95)
    (album / "copies" / "b.jpg").write_bytes((album / "a.jpg").read_bytes())
    width, height = china.size
    small = ImageEnhance.Brightness(china.resize((width * 9 // 10, height * 9 // 10))).enhance(0.9)
    small.save(album / "c.jpg", quality=85)
    for name in ("cat", "coffee", "motorcycle"):
        with Image.open(samples[name]) as opened:
            opened.convert("RGB").save(album / f"{name}.jpg", quality=90)
    (album / "d\n\"é'.jpg").write_bytes((album / "cat.jpg").read_bytes())
    instance = Photoramd(home, album)
    done = instance.run("scan", album)
    assert done.returncode == 0, done.stderr
    try:
        yield instance
    finally:
        instance.close()


def names(found: list[dict[str, Any]]) -> list[str]:
    return [Path(photo["file"]).name for photo in found]


def test_photos_that_look_like_one_come_the_most_similar_first(photoramd: Photoramd) -> None:
    found = photoramd.ask("query", f"like:{photoramd.album}/a.jpg")
    assert names(found)[:3] in (["a.jpg", "b.jpg", "c.jpg"], ["b.jpg", "a.jpg", "c.jpg"])
    assert "cat.jpg" not in names(found)
    (match,) = photoramd.ask("query", f"like:{photoramd.album}/a.jpg folder:copies")
    assert names([match]) == ["b.jpg"]
    others = photoramd.ask("query", f"NOT like:{photoramd.album}/a.jpg")
    assert {"cat.jpg", "coffee.jpg"} <= set(names(others))


def test_photos_of_the_same_picture_are_found(photoramd: Photoramd) -> None:
    assert names(photoramd.ask("query", f"same:{photoramd.album}/a.jpg")) == ["a.jpg", "b.jpg"]
    assert names(photoramd.ask("query", f"same:{photoramd.album}/coffee.jpg")) == ["coffee.jpg"]


def test_duplicates_are_listed_in_groups(photoramd: Photoramd) -> None:
    groups = photoramd.ask("duplicates")
    same = [sorted(names(group["photos"])) for group in groups if group["same"]]
    assert sorted(same) == [["a.jpg", "b.jpg"], ["cat.jpg", "d\n\"é'.jpg"]]
    (near,) = [names(group["photos"]) for group in groups if not group["same"]]
    assert sorted(near) == ["a.jpg", "b.jpg", "c.jpg"]
    assert near[-1] == "c.jpg"  # the smallest
    only = photoramd.ask("duplicates", "--same", "cat")
    assert [sorted(names(group["photos"])) for group in only] == [["cat.jpg", "d\n\"é'.jpg"]]
    assert photoramd.run("duplicates", "--same", "folder:copies").returncode == 1
    done = photoramd.run("duplicates")
    assert "nearly the same:\n" in done.stdout
    assert r"d\n" in done.stdout  # on one line


@pytest.mark.parametrize("field", ["like", "same", "near"])
def test_a_photo_that_is_not_known_is_named(photoramd: Photoramd, field: str) -> None:
    done = photoramd.run("query", f"cat {field}:/nowhere/a.jpg")
    assert done.returncode == 2
    assert "position 5: photoramd does not know /nowhere/a.jpg" in done.stderr


def test_without_what_photos_look_like_only_similarity_is_lost(photoramd: Photoramd) -> None:
    features = photoramd.database.with_name("photoramd-similar.db")
    aside = features.rename(features.with_name("aside"))
    try:
        done = photoramd.run("query", f"like:{photoramd.album}/a.jpg")
        assert done.returncode == 4
        assert done.stderr
        assert photoramd.run("query", "cat").returncode == 0
        assert photoramd.run("duplicates", "--same").returncode == 0
    finally:
        aside.rename(features)
