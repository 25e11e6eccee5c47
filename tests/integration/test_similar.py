"""Similar photos with the real model: what it sees alike, and what becomes of it in a scan."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from photoramd.config.schema import Config
from photoramd.config.schema import Similar as SimilarSection
from photoramd.database import backups
from photoramd.database.features import Features, features_path
from photoramd.database.vectors import StoredVectors
from photoramd.errors import ModelError
from photoramd.models import registry
from photoramd.models.embedded.crop import INPUTS, split
from photoramd.models.embedded.projection import Projection, features_version
from photoramd.models.embedded.tagger import EmbeddedTagger
from photoramd.models.features import LENGTH, SIZE, gives_features, scores_and_features
from photoramd.models.isolated.tagger import UnloadingTagger
from photoramd.models.lazy import LazyTagger
from photoramd.models.preprocessing import digest_of
from photoramd.models.tagger import Tagger
from photoramd.search.near_duplicates import NEARLY_THE_SAME, near_duplicates
from photoramd.search.similar import Similar, cosines
from tests.support import misbehaving_tagger
from tests.support.album import Scan
from tests.support.taggers import CountingTagger

Configure = Callable[..., Config]
Put = Callable[[str, str], Path]


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def saved(image: Image.Image, quality: int) -> Image.Image:
    file = BytesIO()
    image.save(file, "JPEG", quality=quality)
    return opened(file)  # type: ignore[arg-type]


def cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    x, y = round(width * 0.02), round(height * 0.02)
    return image.crop((x, y, width - x, height - y))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda image: saved(image.resize((image.width * 3 // 4, image.height * 3 // 4)), 90),
    "recompressed": lambda image: saved(image, 80),
    "cropped": lambda image: saved(cropped(image), 92),
    "brighter": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.2), 92),
    "darker": lambda image: saved(ImageEnhance.Brightness(image).enhance(0.8), 92),
}


@pytest.fixture(scope="module")
def photos(samples: dict[str, Path]) -> dict[str, Image.Image]:
    """Real photos, all different, as large as the model's input or larger."""
    return {name: opened(path) for name, path in samples.items()}


def features_of(tagger: Tagger, image: Image.Image) -> bytes:
    _, vectors = scores_and_features(tagger, [tagger.pixels(image)])
    assert vectors is not None
    return vectors[0].tobytes()


def test_features_come_with_the_same_scores(
    embedded_tagger: Tagger, photos: dict[str, Image.Image]
) -> None:
    assert isinstance(embedded_tagger, EmbeddedTagger)
    batch = [embedded_tagger.pixels(photos[name]) for name in ("cat", "china", "coffee")]
    scores, vectors = embedded_tagger.scores_and_features(batch)
    assert np.array_equal(scores, embedded_tagger.scores(batch))
    assert vectors.shape == (3, SIZE)
    assert vectors.dtype == np.int8
    assert np.linalg.norm(vectors.astype(float), axis=1) == pytest.approx(LENGTH, rel=0.01)
    assert embedded_tagger.scores_and_features([])[1].shape == (0, SIZE)


def test_what_else_the_networks_return_does_not_depend_on_whether_features_are_asked_for(
    embedded_tagger: Tagger, photos: dict[str, Image.Image]
) -> None:
    assert isinstance(embedded_tagger, EmbeddedTagger)
    parts = split(embedded_tagger.pixels(photos["china"]))
    feed = dict(zip(INPUTS, (part[None] for part in parts), strict=True))
    names = ["classes", "objects", "boxes", "heads"]
    without = embedded_tagger._session.run(names, feed)
    with_features = embedded_tagger._session.run([*names, "features"], feed)
    for one, other in zip(without, with_features, strict=False):
        assert np.array_equal(one, other)
    assert with_features[-1].shape == (1, 1280)
    assert with_features[-1].min() >= 0


def test_the_projection_keeps_angles(
    embedded_tagger: Tagger, photos: dict[str, Image.Image]
) -> None:
    projection = Projection.read()
    assert projection.basis.shape == (1280, SIZE)
    inner = projection.basis.T @ projection.basis
    inner /= np.diag(inner).mean()
    assert np.abs(inner - np.eye(SIZE)).max() < 0.01
    assert isinstance(embedded_tagger, EmbeddedTagger)
    pooled = np.stack([embedded_tagger.pooled(embedded_tagger.pixels(p)) for p in photos.values()])
    whole = np.sqrt(pooled) - projection.mean
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    vectors = projection.vectors(pooled)
    off = ~np.eye(len(whole), dtype=bool)
    exact, kept = (whole @ whole.T)[off], cosines(vectors, vectors)[off]
    assert np.corrcoef(exact, kept)[0, 1] > 0.97


def test_copies_are_nearly_the_same_and_other_photos_are_not(
    embedded_tagger: Tagger, photos: dict[str, Image.Image], tmp_path: Path
) -> None:
    path = features_path(tmp_path / "photoramd.db")
    names: dict[bytes, str] = {}
    expected = set()
    with closing(Features(path, "1")) as features:
        for name, photo in list(photos.items())[:12]:
            pictures = {"itself": photo, **{kind: make(photo) for kind, make in COPIES.items()}}
            for kind, picture in pictures.items():
                digest = digest_of(embedded_tagger.pixels(picture))
                names[digest] = name
                expected.add((name, kind))
                features.save({digest: features_of(embedded_tagger, picture)})
    assert len(names) == len(expected)
    with StoredVectors(path, "1") as stored:
        similar = Similar.load(stored)
        groups = near_duplicates(similar)
        block = next(stored.blocks())
        of = np.array([names[each.tobytes()] for each in block.digests])
        table = cosines(block.vectors, block.vectors)
        assert table[of[:, None] != of[None]].max() < NEARLY_THE_SAME
        # Of each photo, what is most like it are its copies.
        nearest = similar.nearest(block.vectors[0], 1 + len(COPIES))
        assert {names[each.digest] for each in nearest} == {of[0]}
    for group in groups:
        assert len({names[each] for each in group}) == 1
    grouped = sum(map(len, groups))
    assert grouped >= 0.95 * len(names), f"{grouped} of {len(names)}"


def test_kinds_of_things_are_similar(
    embedded_tagger: Tagger, photos: dict[str, Image.Image]
) -> None:
    def cosine(one: str, other: str) -> float:
        vectors = [
            np.frombuffer(features_of(embedded_tagger, photos[name]), np.int8)[None]
            for name in (one, other)
        ]
        return float(cosines(*vectors)[0, 0])

    pairs = [(name, f"{name}_2") for name in photos if f"{name}_2" in photos]
    assert pairs
    others = [cosine(a, b) for (a, _), (_, b) in combinations(pairs, 2)] or [0.0]
    assert min(cosine(a, b) for a, b in pairs) > max(others)


def load_embedded() -> Tagger:
    return registry.load("embedded", threads=1)


def test_a_model_in_a_process_of_its_own_gives_the_same(
    embedded_tagger: Tagger, photos: dict[str, Image.Image], tmp_path: Path
) -> None:
    batch = [embedded_tagger.pixels(photos[name]) for name in ("cat", "coffee")]
    scores, vectors = scores_and_features(embedded_tagger, batch)
    with UnloadingTagger(load_embedded, idle_seconds=300) as isolated:
        isolated.step(0)
        got = scores_and_features(isolated, batch)
    assert np.array_equal(got[0], scores)
    assert vectors is not None
    assert got[1] is not None
    assert np.array_equal(got[1], vectors)


def test_a_model_without_features_gives_none(tmp_path: Path) -> None:
    tagger = misbehaving_tagger.MisbehavingTagger("1")
    batch = [misbehaving_tagger.pixels(misbehaving_tagger.FINE)]
    assert not gives_features(tagger)
    lazy = LazyTagger("misbehaving", lambda: tagger)
    for each in (tagger, lazy):
        scores, vectors = scores_and_features(each, batch)
        assert scores.shape == (1, 2)
        assert vectors is None


# In a scan


@pytest.fixture
def state(configure: Configure) -> Path:
    return configure().state.path


def kept(state: Path) -> set[bytes]:
    with StoredVectors(features_path(state), features_version()) as stored:
        return {each.tobytes() for block in stored.blocks() for each in block.digests}


def test_a_scan_keeps_the_features_of_what_it_tags(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put, state: Path
) -> None:
    put("cat", "cat.png")
    put("cat", "copy.png")
    put("china", "china.jpg")
    assert len(scan(configure())) == 3
    with Image.open(put("cat", "another.png")) as image:
        pixels = tagger.pixels(image.convert("RGB"))
    assert digest_of(pixels) in kept(state)
    assert len(kept(state)) == 2
    # A copy costs no inference.
    scan(configure())
    assert tagger.inferred == 2
    assert not any("similar" in each.name for each in backups.copies(state))


def test_without_the_section_nothing_is_kept(scan: Scan, configure: Configure, put: Put) -> None:
    put("cat", "cat.png")
    config = msgspec.structs.replace(configure(), similar=SimilarSection(enabled=False))
    assert [each.state for each in scan(config)] == ["written"]
    assert not features_path(config.state.path).exists()


def test_features_that_were_lost_come_back_when_a_picture_is_met_again(
    scan: Scan, configure: Configure, tagger: CountingTagger, put: Put, state: Path
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    (digest,) = kept(state)
    features_path(state).unlink()
    shutil.copy(photo, photo.with_name("copy.png"))
    outcomes = scan(configure())
    assert [(each.path.name, each.inferred) for each in outcomes] == [("copy.png", False)]
    assert tagger.inferred == 2
    assert kept(state) == {digest}


def test_a_model_that_fails_to_give_lost_features_again_costs_no_photo(
    scan: Scan,
    configure: Configure,
    tagger: CountingTagger,
    put: Put,
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    features_path(state).unlink()
    shutil.copy(photo, photo.with_name("copy.png"))

    def refuse(_: object) -> None:
        raise ModelError("not now")

    monkeypatch.setattr(tagger, "scores_and_features", refuse)
    assert [each.state for each in scan(configure())] == ["written"]


def test_features_that_cannot_be_kept_cost_no_photo(
    scan: Scan, configure: Configure, put: Put, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put("cat", "cat.png")
    put("china", "china.jpg")
    features_path(state).mkdir(parents=True)
    assert [each.state for each in scan(configure())] == ["written"] * 2
    messages = [each.message for each in caplog.records if "similar" in each.message]
    assert len(messages) == 1
