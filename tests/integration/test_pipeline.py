"""The way of a photo, with real parts in one process."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from photoramd.config.schema import Config, Watch
from photoramd.daemon import assembly
from photoramd.database.connection import Database
from photoramd.database.queue import Queue
from photoramd.errors import ModelError
from photoramd.models.features import Vectors
from photoramd.models.preprocessing import Pixels
from photoramd.models.tagger import Scores
from photoramd.photo import Fingerprint
from photoramd.search import queries
from photoramd.system import beneath
from tests.support.album import Scan, keywords, snapshot, states, written
from tests.support.taggers import CountingTagger

Put = Callable[[str, str], Path]
Configure = Callable[..., Config]


def test_photos_are_tagged_stored_and_written(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put
) -> None:
    cat, cup = put("cat", "cat.png"), put("coffee", "sub/coffee.png")
    before = {path: path.read_bytes() for path in (cat, cup)}
    outcomes = scan(configure())
    assert written(outcomes) == ["cat.png", "coffee.png"]
    assert tagger.inferred == 2
    assert "cat" in keywords(cat)
    assert "cup" in keywords(cup)
    assert states(configure()) == {"written": 2}
    with closing(queries.open_readonly(configure().state.path)) as connection:
        assert [m.path for m in queries.find(connection, queries.parse("cat"))] == [cat]
    assert {path: path.read_bytes() for path in (cat, cup)} == before


def test_a_second_scan_does_nothing(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put, album: Path
) -> None:
    put("cat", "cat.png")
    put("china", "china.jpg")
    scan(configure())
    before = snapshot(album)
    assert scan(configure()) == []
    assert tagger.inferred == 2
    assert snapshot(album) == before


def test_a_touched_photo_costs_no_inference_and_no_write(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put, album: Path
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    sidecar = snapshot(album)["cat.png.xmp"]
    os.utime(photo, ns=(1, 1))
    assert written(scan(configure())) == ["cat.png"]
    assert tagger.inferred == 1
    assert snapshot(album)["cat.png.xmp"] == sidecar


def test_a_copied_photo_gets_the_same_tags_without_inference(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    copy = photo.with_name("copy.png")
    shutil.copyfile(photo, copy)
    assert written(scan(configure())) == ["copy.png"]
    assert tagger.inferred == 1
    assert keywords(copy) == keywords(photo)


def test_copies_in_one_batch_are_inferred_once(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put
) -> None:
    for name in "abc":
        put("cat", f"{name}.png")
    assert len(written(scan(configure()))) == 3
    assert tagger.inferred == 1


def test_a_renamed_photo_takes_its_tags_along_without_being_decoded(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    new = photo.with_name("renamed.png")
    photo.rename(new)
    sidecar = photo.with_name("cat.png.xmp")
    sidecar.rename(new.with_name("renamed.png.xmp"))
    before = snapshot(new.parent)
    assert written(scan(configure())) == ["renamed.png"]
    assert tagger.inferred == 1
    assert snapshot(new.parent) == before
    assert states(configure()) == {"written": 1}


def test_a_metadata_edit_by_another_program_costs_no_inference(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put, exiftool: Callable[..., str]
) -> None:
    photo = put("china", "china.jpg")
    scan(configure())
    exiftool("-overwrite_original", "-Rating=5", photo)
    assert written(scan(configure())) == ["china.jpg"]
    assert tagger.inferred == 1


def test_a_photo_with_new_content_is_tagged_anew(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put
) -> None:
    photo = put("cat", "a.png")
    scan(configure())
    put("coffee", "a.png")
    scan(configure())
    assert tagger.inferred == 2
    with closing(queries.open_readonly(configure().state.path)) as connection:
        details = queries.photo(connection, photo)
    assert details is not None
    assert "cup" in [tag.name for tag in details.tags]
    assert "cat" not in [tag.name for tag in details.tags]


def test_bad_photos_fail_with_their_reasons_and_cost_only_themselves(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put, album: Path
) -> None:
    good = put("cat", "good.png")
    (album / "empty.jpg").touch()
    (album / "text.jpg").write_text("this is no photo")
    truncated = put("china", "truncated.jpg")
    os.truncate(truncated, truncated.stat().st_size // 2)
    outcomes = scan(configure())
    assert written(outcomes) == ["good.png"]
    assert "cat" in keywords(good)
    reasons = {o.path.name: o.error.message for o in outcomes if o.error is not None}
    assert set(reasons) == {"empty.jpg", "text.jpg", "truncated.jpg"}
    assert "empty" in reasons["empty.jpg"]
    assert "truncated" in reasons["truncated.jpg"]
    assert states(configure()) == {"written": 1, "failed": 3}
    assert tagger.inferred == 1
    assert scan(configure()) == []  # their next attempt is later


def test_a_failed_photo_that_is_completed_is_tagged(
    scan: Scan, configure: Configure, put: Put
) -> None:
    photo = put("china", "a.jpg")
    whole = photo.read_bytes()
    photo.write_bytes(whole[: len(whole) // 2])
    assert written(scan(configure())) == []
    photo.write_bytes(whole)
    assert written(scan(configure())) == ["a.jpg"]


def test_a_model_that_refuses_one_picture_tags_the_others_of_the_batch(
    scan: Scan,
    configure: Configure,
    tagger: CountingTagger,
    put: Put,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for sample in ("cat", "china", "coffee"):
        put(sample, f"{sample}.png")
    real = tagger.scores_and_features
    refused: list[Pixels] = []

    def picky(batch: Sequence[Pixels]) -> tuple[Scores, Vectors | None]:
        refused[:] = refused or [batch[0]]
        if any((pixels == refused[0]).all() for pixels in batch):
            raise ModelError("numbers that are none")
        return real(batch)

    monkeypatch.setattr(tagger, "scores_and_features", picky)
    outcomes = scan(configure())
    assert len(written(outcomes)) == 2
    (failed,) = [o for o in outcomes if o.state == "failed"]
    assert failed.error is not None
    assert "numbers" in failed.error.message


def test_batches_are_no_larger_than_configured(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put, samples: dict[str, Path]
) -> None:
    for name in list(samples)[:11]:
        put(name, f"{name}.jpg")
    scan(configure(debounce={"batch_size": 4}))
    assert max(tagger.batches) <= 4
    assert tagger.inferred == 11


def test_write_mode_none_leaves_the_directory_alone(
    scan: Scan, configure: Configure, put: Put, album: Path
) -> None:
    put("cat", "cat.png")
    before = snapshot(album)
    scan(configure(write="none"))
    assert snapshot(album) == before
    assert states(configure()) == {"written": 1}


def test_photos_tagged_before_a_crash_are_written_without_inference(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put
) -> None:
    photo = put("cat", "cat.png")
    scan(configure(write="none"))
    with Database(configure().state.path) as database, database.transaction() as db:
        db.execute("UPDATE photos SET state = 'tagged', written_at = NULL")
    scan(configure())
    assert "cat" in keywords(photo)
    assert tagger.inferred == 1


def test_a_photo_deleted_while_it_is_queued_fails_quietly_and_goes_missing(
    scan: Scan, configure: Configure, put: Put
) -> None:
    photo, stays = put("cat", "cat.png"), put("china", "china.jpg")
    scan(configure())
    photo.unlink()
    for _ in range(2):
        scan(configure())
    assert states(configure()) == {"written": 1, "missing": 1}
    put("cat", "cat.png")
    scan(configure())
    assert states(configure()) == {"written": 2}
    assert stays.exists()


def test_an_empty_directory_in_place_of_a_full_one_deletes_nothing(
    scan: Scan, configure: Configure, put: Put, album: Path
) -> None:
    put("cat", "cat.png")
    put("china", "sub/china.jpg")
    scan(configure())
    shutil.move(album, album.with_name("elsewhere"))
    album.mkdir()
    for _ in range(3):
        scan(configure())
    assert states(configure()) == {"written": 2}
    with closing(queries.open_readonly(configure().state.path)) as connection:
        (root,) = queries.roots(connection)
    assert root.health == "offline"
    album.rmdir()
    shutil.move(album.with_name("elsewhere"), album)
    assert scan(configure()) == []


def test_the_newest_photos_come_first(database: Database, put: Put) -> None:
    queue = Queue(database)
    from tests.support.files import photo_at

    old, new = put("cat", "old.png"), put("china", "new.jpg")
    queue.enqueue([photo_at(old)], 1)
    queue.enqueue([photo_at(new)], 2)
    assert [job.photo.path for job in queue.due(3, 1)] == [new]


def test_a_photo_that_was_replaced_before_its_keywords_were_written_gets_its_own(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put
) -> None:
    photo = put("cat", "a.png")
    scan(configure(write="none"))
    with Database(configure().state.path) as database, database.transaction() as db:
        db.execute("UPDATE photos SET state = 'tagged', written_at = NULL")
    put("coffee", "a.png")
    scan(configure())
    assert "cup" in keywords(photo)
    assert "cat" not in keywords(photo)


def test_photos_of_a_directory_that_is_not_watched_wait_until_it_is_again(
    scan: Scan, configure: Configure, put: Put, tmp_path: Path
) -> None:
    photo = put("cat", "a.png")
    photo.with_name("a.png.xmp").write_text("broken")
    scan(configure())
    assert states(configure()) == {"tagged": 1}
    other = tmp_path.resolve() / "other"
    other.mkdir()
    elsewhere = msgspec.structs.replace(configure(), watch=(Watch(path=other),))
    scan(elsewhere)
    assert states(configure()) == {"tagged": 1}
    photo.with_name("a.png.xmp").unlink()
    assert written(scan(configure())) == ["a.png"]
    assert "cat" in keywords(photo)


def test_a_directory_above_a_watched_one_leaves_that_ones_settings_alone(
    tagger: CountingTagger, configure: Configure, put: Put, album: Path
) -> None:
    put("cat", "Export/a.png")
    outer = put("coffee", "../b.png")
    config = configure()
    config = msgspec.structs.replace(
        config, watch=(msgspec.structs.replace(config.watch[0], exclude=("Export/",)),)
    )
    with assembly.assemble(config, [album.parent]) as daemon:
        tops = [str(album.parent), str(album)]
        assert daemon.scan_once(tops, lambda _: None, handle_signals=False)
    assert states(config) == {"written": 1}
    assert "cup" in keywords(outer)


def test_a_scan_ends_beside_a_file_that_keeps_changing(
    tagger: CountingTagger,
    configure: Configure,
    put: Put,
    album: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo, webcam = put("cat", "a.png"), put("china", "webcam.jpg")
    look, times = beneath.fingerprint, itertools.count(1)

    # A thread that changes it might not get its turn between two looks.
    def change_and_look(path: str) -> Fingerprint | None:
        if path == str(webcam):
            os.utime(webcam, ns=(0, next(times)))
        return look(path)

    monkeypatch.setattr(beneath, "fingerprint", change_and_look)
    with assembly.assemble(configure()) as daemon:
        assert daemon.scan_once([str(album)], lambda _: None, handle_signals=False)
    assert "cat" in keywords(photo)
    assert not webcam.with_name("webcam.jpg.xmp").exists()


def test_a_scan_that_finds_nothing_new_loads_no_model(
    scan: Scan, configure: Configure, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("cat", "a.png")
    assert len(scan(configure())) == 1
    loaded: list[object] = []
    monkeypatch.setattr(assembly, "load_tagger", loaded.append)
    assert scan(configure()) == []
    assert loaded == []


def test_only_one_of_several_equal_pictures_counts_as_inferred(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put
) -> None:
    for name in "abc":
        put("cat", f"{name}.png")
    assert sum(outcome.inferred for outcome in scan(configure())) == 1
