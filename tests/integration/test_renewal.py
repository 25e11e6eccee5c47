"""A daemon of today on what an earlier version left: its tags are replaced in the background."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from photoramd.models.embedded.identity import embedded_revision
from tests.support.daemons import Photoramd, wait_for
from tests.support.files import sidecar_of
from tests.support.xmp import subjects

Put = Callable[[str, str], Path]


@pytest.fixture
def photoramd(tmp_path: Path, album: Path) -> Iterator[Photoramd]:
    instance = Photoramd(tmp_path, album)
    try:
        yield instance
    finally:
        instance.close()


def make_old(instance: Photoramd, *, words: dict[str, str]) -> None:
    """Make the tags those of an earlier revision of the model, with other words for some."""
    with closing(sqlite3.connect(instance.database)) as connection, connection:
        connection.execute("UPDATE results SET revision = 'earlier', digest = randomblob(16)")
        for word, old in words.items():
            connection.execute("UPDATE labels SET name = ? WHERE name = ?", (old, word))
            connection.execute("UPDATE ledger SET value = ? WHERE value = ?", (old, word))
    for sidecar in instance.album.rglob("*.xmp"):
        text = sidecar.read_text(encoding="utf-8")
        for word, old in words.items():
            text = text.replace(f">{word}<", f">{old}<").replace(f"|{word}<", f"|{old}<")
        times = sidecar.stat()
        sidecar.write_text(text, encoding="utf-8")
        os.utime(sidecar, ns=(times.st_atime_ns, times.st_mtime_ns))


def keywords(photo: Path) -> tuple[str, ...]:
    return subjects(sidecar_of(photo).read_bytes())


def renewed(instance: Photoramd) -> bool:
    status = instance.ask("status")
    return bool(status) and status["to_renew"] == 0 and status["photos"]["pending"] == 0


def test_tags_of_an_earlier_version_are_replaced_and_the_users_stay(
    photoramd: Photoramd, put: Put
) -> None:
    cat, cup = put("cat", "cat.png"), put("coffee", "cup.png")
    undone = put("motorcycle", "undone.png")
    assert photoramd.run("scan", photoramd.album).returncode == 0
    assert photoramd.run("undo", undone).returncode == 0
    make_old(photoramd, words={"animal": "beast"})
    # The user adds a keyword, and takes one of ours out.
    text = sidecar_of(cup).read_text(encoding="utf-8")
    text = text.replace("<rdf:li>drink</rdf:li>", "<rdf:li>Oma</rdf:li>")
    sidecar_of(cup).write_text(text, encoding="utf-8")
    assert "beast" in keywords(cat)
    assert "Oma" in keywords(cup)

    photoramd.start()
    wait_for(lambda: renewed(photoramd), "the photos to be renewed")
    wait_for(lambda: "beast" not in keywords(cat), "the old tag to be removed")
    assert photoramd.stop() == 0
    assert {"cat", "animal"} <= set(keywords(cat))
    assert "Oma" in keywords(cup)
    assert "cup" in keywords(cup)
    assert "drink" not in keywords(cup)
    assert not sidecar_of(undone).exists()
    details = photoramd.ask("show", cat)
    assert details["revision"] == embedded_revision()
    with closing(sqlite3.connect(photoramd.database)) as connection:
        rows = connection.execute("SELECT count(*) FROM results WHERE revision = 'earlier'")
        assert rows.fetchone() == (1,)  # of the photo whose tags were taken back


def test_what_a_user_does_not_want_renewed_is_left_alone(photoramd: Photoramd, put: Put) -> None:
    cat = put("cat", "cat.png")
    assert photoramd.run("scan", photoramd.album).returncode == 0
    make_old(photoramd, words={"animal": "beast"})
    photoramd.configure(model="retag_on_change = false")
    before = sidecar_of(cat).read_bytes()
    photoramd.start()
    new = put("coffee", "cup.png")
    wait_for(lambda: sidecar_of(new).exists(), "a new photo")
    assert photoramd.ask("status")["to_renew"] == 0
    assert photoramd.stop() == 0
    assert sidecar_of(cat).read_bytes() == before


def test_a_photo_that_cannot_be_decoded_any_more_keeps_its_tags(
    photoramd: Photoramd, put: Put
) -> None:
    cat = put("cat", "cat.png")
    assert photoramd.run("scan", photoramd.album).returncode == 0
    make_old(photoramd, words={})
    times = cat.stat()
    size = times.st_size
    with cat.open("r+b") as file:
        file.write(bytes(size))
    os.utime(cat, ns=(times.st_atime_ns, times.st_mtime_ns))
    before = sidecar_of(cat).read_bytes()
    photoramd.start()
    wait_for(lambda: photoramd.ask("status")["photos"]["failed"] == 1, "the photo to fail")
    assert photoramd.stop() == 0
    assert sidecar_of(cat).read_bytes() == before
    assert "cat" in photoramd.ask("show", cat)["tags"]


def test_a_scan_by_hand_renews_nothing(photoramd: Photoramd, put: Put) -> None:
    cat = put("cat", "cat.png")
    assert photoramd.run("scan", photoramd.album).returncode == 0
    make_old(photoramd, words={"animal": "beast"})
    shutil.copyfile(cat, cat.with_name("copy.png"))
    assert photoramd.run("scan", photoramd.album).returncode == 0
    assert "beast" in keywords(cat)
    assert "animal" in keywords(cat.with_name("copy.png"))


def test_known_photos_get_what_similar_ones_are_found_by(photoramd: Photoramd, put: Put) -> None:
    """As after an update from a version that kept no features; nothing is written for it."""
    cat, cup = put("cat", "cat.png"), put("coffee", "cup.png")
    assert photoramd.run("scan", photoramd.album).returncode == 0
    features = photoramd.database.with_name("photoramd-similar.db")
    features.unlink()
    before = sidecar_of(cat).read_bytes(), sidecar_of(cat).stat().st_mtime_ns
    photoramd.start()
    wait_for(lambda: photoramd.ask("query", f"like:{cat}"), "the cat's features")
    wait_for(lambda: photoramd.ask("query", f"like:{cup}"), "the cup's features")
    assert photoramd.stop() == 0
    assert (sidecar_of(cat).read_bytes(), sidecar_of(cat).stat().st_mtime_ns) == before
    assert photoramd.ask("show", cat)["state"] == "written"
