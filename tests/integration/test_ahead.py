"""Inference some groups ahead, with a pretended model on a GPU and everything else real."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from photoramd.config.schema import Config, Similar
from photoramd.daemon import assembly
from photoramd.database.connection import Database
from photoramd.database.results import Results
from photoramd.errors import ModelError, ModelUnavailableError, UndecidedError
from photoramd.models.preprocessing import digest_of
from photoramd.models.vocabulary import kept
from photoramd.search import queries
from tests.support.album import scanned, states, written
from tests.support.clock import bound
from tests.support.pretended_gpu import PretendedGpu, scores_of

Configure = Callable[..., Config]
COUNT = 22


@pytest.fixture
def photos(album: Path, samples: dict[str, Path]) -> list[Path]:
    """Photos that are all different."""
    found = []
    with Image.open(samples["china"]) as image:
        for number in range(COUNT):
            found.append(album / f"{number:02}.jpg")
            image.crop((number, 0, 400 + number, 300)).save(found[-1])
    return found


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[PretendedGpu], None]:
    return lambda tagger: monkeypatch.setattr(assembly, "load_tagger", lambda _: tagger)


@pytest.mark.parametrize("at_once", [1, 3])
def test_each_photo_gets_its_own_scores(
    configure: Configure,
    photos: list[Path],
    use: Callable[[PretendedGpu], None],
    at_once: int,
) -> None:
    tagger = PretendedGpu(at_once, rate=20)
    use(tagger)
    config = configure()
    assert written(scanned(config)) == [path.name for path in photos]
    assert tagger.inferred == COUNT
    assert tagger.most_running == at_once
    assert max(map(len, tagger.batches)) <= config.debounce.batch_size
    with Database(config.state.path) as database:
        results = Results(database, "")
        for path in photos:
            with Image.open(path) as image:
                digest = digest_of(tagger.pixels(image))
            expected = kept(tagger.vocabulary, scores_of(digest, tagger))
            assert results.recall(digest, tagger.name, tagger.revision) == expected


def test_equal_pictures_are_looked_at_once(
    configure: Configure, photos: list[Path], use: Callable[[PretendedGpu], None]
) -> None:
    for path in photos:
        shutil.copyfile(path, path.with_name(f"copy-{path.name}"))
    tagger = PretendedGpu(2, rate=100)
    use(tagger)
    config = msgspec.structs.replace(configure(), similar=Similar(enabled=False))
    assert len(written(scanned(config))) == 2 * COUNT
    assert max(Counter(digest for batch in tagger.batches for digest in batch).values()) == 1
    assert tagger.inferred == COUNT


@pytest.mark.parametrize("others", [0, COUNT - 1])
def test_copies_of_a_picture_that_takes_long_are_not_gathered_in_memory(
    configure: Configure,
    photos: list[Path],
    use: Callable[[PretendedGpu], None],
    others: int,
) -> None:
    for path in photos[1 + others :]:
        path.unlink()
    for number in range(100):
        shutil.copyfile(photos[0], photos[0].with_name(f"copy-{number}.jpg"))
    with Image.open(photos[0]) as image:
        slow = digest_of(PretendedGpu().pixels(image))
    go, began = threading.Event(), threading.Event()

    def hang(digests: list[bytes]) -> None:
        if slow in digests:
            began.set()
            assert go.wait(60)

    tagger = PretendedGpu(2, wait=hang)
    use(tagger)
    config = configure(debounce={"batch_size": 8})
    config = msgspec.structs.replace(config, similar=Similar(enabled=False))
    with assembly.assemble(config) as daemon:
        daemon._reconciler.request(str(config.watch[0].path))
        deadline = time.monotonic() + 60
        while not began.is_set() or daemon._pipeline._decoding.ready < 2 * 8:
            assert time.monotonic() < deadline
            assert len(daemon._pipeline._tagging._held) < 2 * 8
            daemon._turn(lambda _: None, once=True)
        held = daemon._pipeline._tagging._held
        assert len({id(decoded.pixels) for _, decoded in held}) == 1
        turned = time.monotonic()
        for _ in range(4):
            daemon._turn(lambda _: None, once=True)
        assert time.monotonic() - turned > 0.7  # it waits meanwhile
        assert daemon._pipeline._in_flight
        go.set()
        while not daemon._turn(lambda _: None, once=True):
            assert time.monotonic() < deadline
    assert states(config) == {"written": 101 + others}
    assert max(Counter(digest for batch in tagger.batches for digest in batch).values()) == 1


def digest_of_photo(path: Path) -> bytes:
    """The digest of what a model is given of a photo."""
    with Image.open(path) as image:
        return digest_of(PretendedGpu(2).pixels(image))


def test_a_bad_photo_costs_only_itself(
    configure: Configure, photos: list[Path], use: Callable[[PretendedGpu], None]
) -> None:
    bad = digest_of_photo(photos[7])
    tagger = PretendedGpu(2, refuses=lambda d: ModelError("cannot") if bad in d else None)
    use(tagger)
    config = configure()
    outcomes = scanned(config)
    assert states(config) == {"written": COUNT - 1, "failed": 1}
    (failed,) = [each for each in outcomes if each.state == "failed"]
    assert failed.path == photos[7]
    assert failed.error is not None
    assert failed.error.message == "cannot"


def test_a_photo_that_is_undecided_waits_and_others_go_on(
    configure: Configure, photos: list[Path], use: Callable[[PretendedGpu], None]
) -> None:
    bad = digest_of_photo(photos[7])
    asked_alone = 0

    def refuses(digests: Sequence[bytes]) -> ModelError | None:
        nonlocal asked_alone
        asked_alone += list(digests) == [bad]
        error = UndecidedError if len(digests) == 1 else ModelError
        return error("cannot") if bad in digests else None

    use(PretendedGpu(2, refuses=refuses))
    config = configure()
    scanned(config)
    assert states(config) == {"written": COUNT - 1, "pending": 1}
    assert asked_alone == 1


def test_a_model_that_is_away_blames_nobody(
    configure: Configure, photos: list[Path], use: Callable[[PretendedGpu], None]
) -> None:
    refusals = 5

    def refuses(_: Sequence[bytes]) -> ModelError | None:
        nonlocal refusals
        refusals -= 1
        return ModelUnavailableError("away") if refusals >= 0 else None

    tagger = PretendedGpu(2, refuses=refuses)
    use(tagger)
    config = configure()
    outcomes = scanned(config)
    assert states(config) == {"written": COUNT}
    assert {str(each.state) for each in outcomes} == {"pending", "written"}


def test_a_stop_does_not_wait_for_a_call_that_hangs_and_loses_nothing(
    configure: Configure, photos: list[Path], use: Callable[[PretendedGpu], None]
) -> None:
    config = configure()
    hanging = threading.Event()

    def hang(_: list[bytes]) -> None:
        if tagger.inferred > COUNT // 2:
            hanging.set()
            threading.Event().wait()

    tagger = PretendedGpu(1, wait=hang)
    use(tagger)
    with assembly.assemble(config) as daemon:
        daemon._reconciler.request(str(config.watch[0].path))
        deadline = time.monotonic() + 60
        while not hanging.is_set():
            assert time.monotonic() < deadline
            daemon._turn(lambda _: None, once=True)
        began = time.monotonic()
        for _ in range(3):  # the loop goes on meanwhile
            daemon._turn(lambda _: None, once=True)
        assert time.monotonic() - began < bound(5)
        began = time.monotonic()
    assert time.monotonic() - began < bound(10)
    assert 0 < states(config)["written"] < COUNT
    again = PretendedGpu(1)
    use(again)
    scanned(config)
    assert states(config) == {"written": COUNT}
    with closing(queries.open_readonly(config.state.path)) as connection:
        (blamed,) = connection.execute("SELECT sum(attempts) FROM photos").fetchone()
    assert blamed == 0


@pytest.mark.parametrize("at_once", [0, 1])
def test_a_stop_within_a_group_blames_none_of_the_photos_that_it_leaves_out(
    configure: Configure, photos: list[Path], use: Callable[[PretendedGpu], None], at_once: int
) -> None:
    config = configure()

    def stop(_: list[bytes]) -> None:
        daemon._interrupts.stopped = True

    use(PretendedGpu(at_once, wait=stop))
    with assembly.assemble(config) as daemon:
        daemon._reconciler.request(str(config.watch[0].path))
        deadline = time.monotonic() + 60
        while not daemon._interrupts.stopped:
            assert time.monotonic() < deadline
            daemon._turn(lambda _: None, once=True)
    assert states(config)["pending"] > 0
    with Database(config.state.path) as database:
        assert database.rows("SELECT sum(begun) FROM photos") == [(0,)]
