"""Comparing precisions: the figures, and the command on real photos."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from photoramd.cli import Settings, cli
from photoramd.errors import NoImagesError
from photoramd.models import registry
from photoramd.models.comparison import compare, spread
from photoramd.models.embedded.tagger import EmbeddedTagger
from photoramd.models.preprocessing import Pixels
from photoramd.models.rules import Rules
from photoramd.models.tagger import Scores, Tagger
from photoramd.models.vocabulary import Vocabulary

# A small random network stands for RAM++: the command needs a model with several precisions.
pytestmark = pytest.mark.usefixtures("tag_files", "one_torch_thread")

BFLOAT16 = ("--model", "ram++", "--precision", "bfloat16")


@pytest.fixture(autouse=True)
def every_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let bfloat16 be emulated: the network is small."""
    monkeypatch.setattr("photoramd.models.ram_plus.tagger.has_bfloat16", lambda: True)


VOCABULARY = Vocabulary(("cat", "dog", "sky"), (0.5, 0.5, 0.5), ((), (), ()), 0.1)


def scores(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_equal_scores_differ_in_nothing() -> None:
    same = scores([0.9, 0.2, 0.6], [0.1, 0.7, 0.3])
    found = compare(VOCABULARY, zip(same, same.copy(), strict=True), Rules())
    assert found.cosine == pytest.approx(1)
    assert found.correlation == pytest.approx(1)
    assert found.largest_difference == found.mean_difference == 0
    assert found.f1 == found.same_keywords == 1
    assert found.keywords == 1.5


def test_the_figures_are_those_of_a_calculation_by_hand() -> None:
    truth = scores([0.9, 0.6, 0.2], [0.7, 0.1, 0.1])
    other = scores([0.9, 0.4, 0.2], [0.7, 0.1, 0.8])
    found = compare(VOCABULARY, zip(truth, other, strict=True), Rules())
    # Common: cat, cat. Three on the one side, three on the other.
    assert found.f1 == pytest.approx(2 * 2 / 6)
    assert found.same_keywords == 0
    assert found.largest_difference == pytest.approx(0.7)
    assert found.mean_difference == pytest.approx(0.9 / 6)
    one, two = (np.log(s / (1 - s)).astype(float) for s in (truth, other))
    cosines = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in zip(one, two, strict=True)]
    assert found.cosine == pytest.approx(np.mean(cosines), abs=1e-5)
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(one, two, strict=True)]
    assert found.correlation == pytest.approx(np.mean(correlations), abs=1e-5)


def test_without_any_keyword_nothing_is_lost() -> None:
    nothing = scores([0.2, 0.2, 0.2])
    assert compare(VOCABULARY, [(nothing[0], nothing[0])], Rules()).f1 == 1


def test_scores_of_zero_and_one_have_logits_too() -> None:
    found = compare(VOCABULARY, zip(scores([0, 1, 0.5]), scores([0, 1, 0.4]), strict=True), Rules())
    assert np.isfinite(found.cosine)


def test_a_selection_is_spread_evenly() -> None:
    photos = [Path(str(number)) for number in range(10)]
    assert spread(photos, 20) == photos
    assert spread(photos, 3) == [Path("0"), Path("3"), Path("6")]


def test_the_command_compares_on_real_photos(album: Path, put: object, tmp_path: Path) -> None:
    for name in ("cat", "coffee", "china"):
        put(name, f"{name}.jpg")  # type: ignore[operator]
    (album / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    arguments = ["model", "compare", str(album), *BFLOAT16, "--json"]
    done = CliRunner().invoke(cli, arguments, obj=Settings(None, False), catch_exceptions=False)
    assert done.exit_code == 0
    figures = json.loads(done.stdout)
    assert figures["model"] == "ram++"
    assert figures["photos"] == 3
    assert 0.99 < figures["correlation"] < 1
    assert 0 < figures["largest_difference"] < 0.2
    assert "broken.jpg" in done.stderr
    for name in ("coffee", "china"):
        (album / f"{name}.jpg").unlink()
    text = CliRunner().invoke(cli, arguments[:-1], obj=Settings(None, False)).stdout
    assert "correlation of the logits" in text


def test_the_models_are_loaded_on_the_configured_device(
    album: Path, put: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("cat", "cat.jpg")  # type: ignore[operator]
    load, devices = registry.load, []

    def record(name: str, *, threads: int, precision: str, device: str = "auto") -> Tagger:
        devices.append(device)
        return load(name, threads=threads, precision=precision, device=device)

    monkeypatch.setattr(registry, "load", record)
    path = tmp_path / "config.toml"
    path.write_text('[model]\ndevice = "cpu"\n')
    arguments = ["--config", str(path), "model", "compare", str(album), *BFLOAT16]
    CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert set(devices) == {"cpu"}


def test_memory_does_not_grow_with_the_number_of_photos(
    album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        Image.new("RGB", (64, 64), (4 * number, 0, 0)).save(album / f"{number}.png")
    made: list[weakref.ref[np.ndarray]] = []
    alive: list[int] = []

    class Watched(EmbeddedTagger):
        def pixels(self, image: Image.Image) -> Pixels:
            pixels = super().pixels(image)
            made.append(weakref.ref(pixels))
            return pixels

        def scores(self, batch: Sequence[Pixels]) -> Scores:
            alive.append(sum(pixels() is not None for pixels in made))
            return super().scores(batch)

    def load(*_: object, threads: int, precision: str, device: str) -> Tagger:
        return Watched.load(threads=threads)

    monkeypatch.setattr(registry, "load", load)
    arguments = ["model", "compare", str(album), *BFLOAT16, "--json"]
    done = CliRunner().invoke(cli, arguments, obj=Settings(None, False), catch_exceptions=False)
    assert json.loads(done.stdout)["photos"] == 60
    # Two batches decoded ahead, the one at hand, and the last of the model.
    assert max(alive) <= 4 * 8


def test_equal_pictures_count_once(album: Path, put: Callable[[str, str], Path]) -> None:
    for name in ("one.jpg", "two.jpg"):
        put("cat", name)
    arguments = ["model", "compare", str(album), *BFLOAT16, "--json"]
    done = CliRunner().invoke(cli, arguments, obj=Settings(None, False), catch_exceptions=False)
    assert json.loads(done.stdout)["photos"] == 1


def test_without_photos_the_command_says_so(album: Path) -> None:
    with pytest.raises(NoImagesError):
        CliRunner().invoke(
            cli,
            ["model", "compare", str(album), *BFLOAT16],
            catch_exceptions=False,
        )
