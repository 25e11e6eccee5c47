"""The embedded tagger: network, keywords, real photos."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from photoramd.errors import ModelError
from photoramd.images.decoder import decode
from photoramd.keywords import fold, is_keyword
from photoramd.models import registry
from photoramd.models.efficientnet_lite import folded, tagger
from photoramd.models.efficientnet_lite.folded import FoldedNetwork
from photoramd.models.efficientnet_lite.network import EfficientNetLite0, same_padding
from photoramd.models.efficientnet_lite.tagger import ImagenetTagger
from photoramd.models.imagenet import read_table
from photoramd.models.preprocessing import Pixels
from photoramd.models.rules import Rules, select
from photoramd.models.tagger import Scores, Tagger
from photoramd.models.vocabulary import kept
from photoramd.models.weights.catalog import EMBEDDED
from photoramd.models.weights.verified import load_state_dict, locate, read_verified

MAX_PIXELS = 120_000_000
TABLE = {entry.keyword: entry for entry in read_table()}


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    """The network as it was published, with the real weights."""
    network = EfficientNetLite0()
    network.load_state_dict(
        load_state_dict(read_verified(locate(EMBEDDED.weights), EMBEDDED.weights))
    )
    return network.eval()


@pytest.fixture(scope="module")
def pixels(embedded_tagger: Tagger, samples: dict[str, Path]) -> dict[str, Pixels]:
    """What the model sees of the sample photos."""
    return {name: crop(embedded_tagger, path) for name, path in samples.items()}


def crop(tagger: Tagger, path: Path, side: int = 1 << 20) -> Pixels:
    return tagger.pixels(decode(path, side=side, max_pixels=MAX_PIXELS).image)


def logits(network: EfficientNetLite0, batch: list[Pixels]) -> torch.Tensor:
    """Straight from the definition."""
    x = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float().sub(127).div(128)
    with torch.inference_mode():
        result: torch.Tensor = network(x)
    return result


def stack(pixels: dict[str, Pixels], count: int = 27) -> torch.Tensor:
    return torch.from_numpy(np.stack(list(pixels.values())[:count]))


def keywords(tagger: Tagger, row: Scores) -> list[str]:
    return [t.name for t in select(tagger.vocabulary, kept(tagger.vocabulary, row), Rules())]


# The network


def test_the_network_computes_what_timm_computes(
    network: EfficientNetLite0, pixels: dict[str, Pixels]
) -> None:
    oracle = timm.create_model("tf_efficientnet_lite0").eval()
    pairs = zip(oracle.state_dict(), network.state_dict().values(), strict=True)
    oracle.load_state_dict(dict(pairs))
    x = stack(pixels, 4).permute(0, 3, 1, 2).float().sub(127).div(128)
    with torch.inference_mode():
        assert torch.equal(network(x), oracle(x))


@pytest.mark.parametrize(("side", "kernel"), [(224, 3), (112, 5), (7, 3), (6, 5), (5, 1)])
def test_same_padding_is_as_small_as_it_can_be(side: int, kernel: int) -> None:
    before, after = same_padding(side, kernel, 2)
    assert (side + before + after - kernel) // 2 + 1 == -(-side // 2)
    assert 0 <= after - before <= 1


def test_the_fast_network_computes_what_the_definition_does(
    network: EfficientNetLite0, pixels: dict[str, Pixels]
) -> None:
    expected = logits(network, list(pixels.values()))
    fast = FoldedNetwork(network)
    for count in (1, 2, 3, 8, 9, 27):
        difference = fast.logits(stack(pixels, count)) - expected[:count]
        assert difference.abs().max() < 1e-4, count


def test_without_onednn_the_result_is_the_same(
    network: EfficientNetLite0, pixels: dict[str, Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = FoldedNetwork(network)
    assert not plain.is_packed
    few = list(pixels.values())[:3]
    assert (plain.logits(stack(pixels, 3)) - logits(network, few)).abs().max() < 1e-4


def test_packed_operators_that_are_missing_or_wrong_are_not_used(
    network: EfficientNetLite0, pixels: dict[str, Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = logits(network, list(pixels.values())[:1])

    def missing(*_: object) -> torch.Tensor:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute")

    def wrong(c: folded._Convolution, x: torch.Tensor, residual: torch.Tensor | None) -> object:
        return folded._convolve_plainly(c, x, residual) * 1.01

    for replacement in (missing, wrong):
        monkeypatch.setattr(folded, "_convolve_packed", replacement)
        cautious = FoldedNetwork(network)
        assert not cautious.is_packed
        assert (cautious.logits(stack(pixels, 1)) - expected).abs().max() < 1e-4


def test_bfloat16_gives_nearly_the_same_scores(
    embedded_tagger: Tagger, pixels: dict[str, Pixels]
) -> None:
    half = registry.load("embedded", precision="bfloat16")
    batch = list(pixels.values())
    difference = np.abs(half.scores(batch) - embedded_tagger.scores(batch))
    assert 0 < difference.max() < 0.1
    assert half.revision != embedded_tagger.revision


# Real photos


def test_real_photos_get_the_keywords_a_person_would_give(
    embedded_tagger: Tagger, pixels: dict[str, Pixels]
) -> None:
    expected = {
        "cat": {"cat", "animal"},
        "coffee": {"cup", "espresso", "coffee", "drink"},
        "motorcycle": {"motorcycle", "vehicle"},
        "china": {"building"},
        "rocket": {"rocket"},
        "imagenet_99": {"goose", "bird", "animal"},
        "imagenet_949": {"strawberry", "fruit", "food"},
        "imagenet_559": {"folding chair", "chair", "furniture"},
        "imagenet_471": {"cannon", "gun", "weapon"},
    }
    for name, words in expected.items():
        got = keywords(embedded_tagger, embedded_tagger.scores([pixels[name]])[0])
        assert words <= set(got), (name, got)


def test_most_labelled_photos_get_a_right_keyword_and_few_wrong_ones(
    embedded_tagger: Tagger, pixels: dict[str, Pixels]
) -> None:
    labelled = {name: p for name, p in pixels.items() if name.startswith("imagenet_")}
    scores = embedded_tagger.scores(list(labelled.values()))
    right = wrong = photos_with_right = 0
    for name, row in zip(labelled, scores, strict=True):
        index = int(name.split("_")[1])
        verdicts = [index in TABLE[word].classes for word in keywords(embedded_tagger, row)]
        right += sum(verdicts)
        wrong += verdicts.count(False)
        photos_with_right += any(verdicts)
    assert photos_with_right >= 0.85 * len(labelled)
    assert right >= 0.9 * (right + wrong)


def test_a_kind_is_as_probable_as_its_classes_together(
    embedded_tagger: Tagger, pixels: dict[str, Pixels], network: EfficientNetLite0
) -> None:
    row = embedded_tagger.scores([pixels["cat"]])[0]
    classes = logits(network, [pixels["cat"]]).softmax(1)[0].numpy()
    for column, entry in enumerate(read_table()):
        assert row[column] == pytest.approx(classes[list(entry.classes)].sum(), abs=1e-5)
    breeds = {word: row[list(TABLE).index(word)] for word in TABLE if "cat" in TABLE[word].parents}
    assert max(breeds.values()) < 0.6 < 0.9 < row[list(TABLE).index("cat")]


def test_scores_do_not_depend_on_the_company_in_a_batch(
    embedded_tagger: Tagger, pixels: dict[str, Pixels]
) -> None:
    batch = list(pixels.values())
    together = embedded_tagger.scores(batch)
    assert together.shape == (len(batch), len(TABLE))
    assert together.dtype == np.float32
    assert together.min() >= 0
    assert together.max() <= 1
    alone = np.concatenate([embedded_tagger.scores([picture]) for picture in batch])
    assert np.abs(together - alone).max() < 1e-5


def test_no_photos_have_no_scores(embedded_tagger: Tagger) -> None:
    assert embedded_tagger.scores([]).shape == (0, len(TABLE))


def test_pixels_of_another_size_are_a_model_error(embedded_tagger: Tagger) -> None:
    with pytest.raises(ModelError, match="embedded"):
        embedded_tagger.scores([np.zeros((100, 100, 3), np.uint8)])


# Pixels


def test_the_model_sees_the_central_square(embedded_tagger: Tagger) -> None:
    for size in ((512, 256), (256, 512)):
        image = Image.new("RGB", size, "red")
        image.paste("blue", ((size[0] - 224) // 2, (size[1] - 224) // 2, size[0], size[1]))
        image.paste("red", ((size[0] + 224) // 2, 0, size[0], size[1]))
        image.paste("red", (0, (size[1] + 224) // 2, size[0], size[1]))
        pixels = embedded_tagger.pixels(image)
        assert pixels.shape == (224, 224, 3)
        assert pixels.dtype == np.uint8
        assert (pixels == (0, 0, 255)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 3), (223, 225)])
def test_photos_of_odd_sizes_have_pixels(embedded_tagger: Tagger, size: tuple[int, int]) -> None:
    pixels = embedded_tagger.pixels(Image.new("RGB", size, (10, 200, 30)))
    assert pixels.shape == (224, 224, 3)
    assert (pixels == (10, 200, 30)).all()


def test_the_quick_way_to_shrink_a_large_photo_changes_next_to_nothing(
    embedded_tagger: Tagger, samples: dict[str, Path]
) -> None:
    with Image.open(samples["china"]) as opened:
        large = opened.convert("RGB").resize((3000, 2000), Image.Resampling.BICUBIC)
    box = (625, 125, 2375, 1875)
    slow = np.asarray(large.resize((224, 224), Image.Resampling.BICUBIC, box)).astype(int)
    assert np.abs(embedded_tagger.pixels(large) - slow).max() <= 4


def test_reducing_a_jpeg_while_decoding_keeps_its_keywords(
    embedded_tagger: Tagger, samples: dict[str, Path], tmp_path: Path
) -> None:
    for name in ("china", "imagenet_99"):
        path = tmp_path / f"{name}.jpg"
        with Image.open(samples[name]) as opened:
            scale = 3600 / min(opened.size)
            size = (round(opened.width * scale), round(opened.height * scale))
            opened.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
        full = crop(embedded_tagger, path)
        reduced = crop(embedded_tagger, path, embedded_tagger.decode_side)
        assert not np.array_equal(full, reduced), "nothing was reduced"
        one, other = embedded_tagger.scores([full, reduced])
        assert np.abs(one - other).max() < 0.1
        assert keywords(embedded_tagger, one) == keywords(embedded_tagger, other)


# Keywords


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


def test_thresholds_grow_with_the_share_of_the_classes(embedded_tagger: Tagger) -> None:
    thresholds = dict(
        zip(embedded_tagger.vocabulary.labels, embedded_tagger.vocabulary.thresholds, strict=True)
    )
    assert thresholds["tiger cat"] < thresholds["cat"] < thresholds["dog"] < thresholds["animal"]
    assert thresholds["animal"] < 0.6
    assert embedded_tagger.vocabulary.floor < min(thresholds.values()) / 5


def test_wordnet_s_notice_is_shipped() -> None:
    notice = files("photoramd.models").joinpath("imagenet_keywords.NOTICE").read_text("utf-8")
    assert "Copyright 2006 by Princeton University" in notice


# Loading


def test_the_revision_follows_weights_table_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    revision = tagger.embedded_revision(torch.float32)
    assert re.fullmatch("[0-9a-f]{12}", revision)
    seen = {revision, tagger.embedded_revision(torch.bfloat16)}
    for name, value in (("_INFERENCE_VERSION", 99), ("table_bytes", lambda: b"other")):
        with monkeypatch.context() as patch:
            patch.setattr(tagger, name, value)
            seen.add(tagger.embedded_revision(torch.float32))
    assert len(seen) == 4
    assert tagger.embedded_revision(torch.float32) == revision


def test_threads_are_set_only_if_asked_for() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        ImagenetTagger.load(threads=1)
        assert torch.get_num_threads() == 1
        ImagenetTagger.load()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_an_unknown_model_or_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match="'clip'") as caught:
        registry.load("clip")
    assert (caught.value.remedy or "").startswith("known models: embedded")
    with pytest.raises(ModelError, match="'int4'") as caught:
        registry.load("embedded", precision="int4")
    assert caught.value.remedy == "set model.precision to one of: auto, float32, bfloat16"


def test_taggers_can_be_named_without_importing_torch() -> None:
    code = "import sys, photoramd.models.registry; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
