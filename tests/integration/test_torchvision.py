"""torchvision's models as taggers. Random weights, served by a local server."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models
from torchvision.transforms import functional

import photoramd
from photoramd.config import loader
from photoramd.errors import ConfigError, IntegrityError, ModelError
from photoramd.models import registry
from photoramd.models.imagenet import read_table, vocabulary_of
from photoramd.models.tagger import Tagger
from photoramd.models.torchvision import ZooTagger, crop_of
from photoramd.models.weights import install, verified
from photoramd.models.weights.catalog import MODELS, Model
from photoramd.models.weights.download import Downloader
from photoramd.models.weights.store import ModelStore
from tests.support.hub_server import HubServer, serve

ZOO = [model for model in MODELS.values() if model.name.startswith("torchvision:")]
each_model = pytest.mark.parametrize("model", ZOO, ids=lambda model: model.name)


def architecture(model: Model) -> str:
    return model.name.removeprefix("torchvision:")


def pictures(samples: dict[str, Path]) -> list[Image.Image]:
    """Five real photos."""
    found = []
    for path in list(samples.values())[:5]:
        with Image.open(path) as image:
            found.append(image.convert("RGB"))
    return found


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    store = ModelStore(tmp_path.resolve() / "models")
    monkeypatch.setattr(verified, "search_stores", lambda: (store,))
    return store


@pytest.fixture(scope="module")
def network(samples: dict[str, Path]) -> torch.nn.Module:
    """The smallest of them, with random weights whose scores depend on the picture."""
    torch.manual_seed(1)
    built: torch.nn.Module = models.get_model("mobilenet_v3_large", weights=None)
    for layer in built.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the statistics of what it is shown below
    with torch.no_grad():
        preset = models.MobileNet_V3_Large_Weights.IMAGENET1K_V2.transforms()
        built.train()(torch.stack([preset(image) for image in pictures(samples)]))
        built.classifier[3].weight.mul_(300)  # type: ignore[index, union-attr, operator]
    return built.eval()


@pytest.fixture(scope="module")
def weights(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("weights") / "w.pth"
    torch.save(network.state_dict(), path)
    return path.read_bytes()


def published(model: Model, data: bytes) -> Model:
    """The model as if these bytes were what torchvision publishes."""
    digest = hashlib.sha256(data).hexdigest()
    pin = replace(model.weights, sha256=digest[:8], about_bytes=len(data))
    return replace(model, weights=pin)


@pytest.fixture
def server(weights: bytes) -> Iterator[HubServer]:
    with serve() as running:
        name = MODELS["torchvision:mobilenet_v3_large"].weights.name
        running.mirrored[f"download.pytorch.org/models/{name}"] = weights
        yield running


@pytest.fixture
def model(server: HubServer, store: ModelStore, weights: bytes) -> Model:
    """The model, fetched and installed."""
    fetched = published(MODELS["torchvision:mobilenet_v3_large"], weights)
    downloader = Downloader(mirror=server.mirror)
    [installed] = install.fetch(fetched, store, downloader)
    assert installed.how == "fetched"
    return fetched


# What torchvision publishes


@each_model
def test_the_pins_are_what_torchvision_publishes(model: Model) -> None:
    entries = {entry.url: entry for entry in models.get_model_weights(architecture(model))}
    meta = entries[model.weights.url].meta
    assert model.weights.url.endswith(f"-{model.weights.sha256}.pth")
    assert model.weights.about_bytes == round(meta["_file_size"] * 2**20)
    accuracy = meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert f"{accuracy:.1f} % top-1" in model.description
    operations = f"{meta['_ops']:.0f}" if meta["_ops"] > 10 else f"{meta['_ops']:.1f}"
    assert f"{operations} GFLOP" in model.description


@each_model
def test_every_listed_network_fits_its_transforms_and_the_classes(model: Model) -> None:
    [entry] = [
        entry
        for entry in models.get_model_weights(architecture(model))
        if entry.url == model.weights.url
    ]
    with torch.device("meta"):
        built = models.get_model(architecture(model), weights=None).eval()
        side = entry.transforms().crop_size[0]
        assert built(torch.empty(1, 3, side, side)).shape == (1, 1000)
    parameters = sum(value.numel() for value in built.state_dict().values())
    assert 4 * parameters == pytest.approx(model.weights.about_bytes, rel=0.02)


@each_model
def test_the_classes_are_those_of_the_keywords(model: Model) -> None:
    categories = models.get_model_weights(architecture(model)).DEFAULT.meta["categories"]
    keywords = {entry.keyword: entry.classes for entry in read_table()}
    for name in ("goldfish", "tiger cat", "espresso", "steam locomotive", "daisy"):
        assert categories.index(name) in keywords[name]


def test_small_and_large_models_are_listed() -> None:
    sizes = [model.weights.about_bytes for model in ZOO]
    assert min(sizes) < 30e6
    assert max(sizes) > 500e6


# Loading


def test_its_scores_are_those_of_torchvisions_own_transforms_and_network(
    model: Model, network: torch.nn.Module, samples: dict[str, Path]
) -> None:
    tagger: Tagger = ZooTagger.load(model, threads=1)
    preset = models.MobileNet_V3_Large_Weights.IMAGENET1K_V2.transforms()
    images = pictures(samples)
    scores = tagger.scores([tagger.pixels(image) for image in images])
    with torch.inference_mode():
        expected = network(torch.stack([preset(image) for image in images])).softmax(1).numpy()
    labels = tagger.vocabulary.labels
    assert scores.shape == (5, len(labels))
    assert scores.dtype == np.float32
    for column, entry in enumerate(read_table()):
        assert labels[column] == entry.keyword
        assert np.allclose(scores[:, column], expected[:, list(entry.classes)].sum(1), atol=1e-4)
    # The weights do tell pictures apart.
    assert all(abs(one - other).max() > 0.01 for one, other in pairwise(scores))
    for image in images:
        seen = torch.from_numpy(tagger.pixels(image).copy()).permute(2, 0, 1) / 255
        mean, deviation = (torch.tensor(each)[:, None, None] for each in (preset.mean, preset.std))
        assert torch.allclose((seen - mean) / deviation, preset(image), atol=1e-6)


def test_it_has_imagenet_s_keywords_and_kinds(model: Model) -> None:
    tagger = ZooTagger.load(model)
    assert tagger.vocabulary == vocabulary_of(read_table())
    assert tagger.name == "torchvision:mobilenet_v3_large"
    assert tagger.decode_side == 2 * 232


@pytest.mark.parametrize("size", [(1, 1), (500, 20), (224, 224), (1, 60_000), (60_001, 2)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pictures_of_any_shape_become_its_input(
    model: Model, size: tuple[int, int], mode: str
) -> None:
    pixels = ZooTagger.load(model).pixels(Image.new(mode, size, 128))
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8


@each_model
def test_crops_are_byte_for_byte_those_of_torchvisions_transforms(
    model: Model, samples: dict[str, Path]
) -> None:
    entries = models.get_model_weights(architecture(model))
    [preset] = [each.transforms() for each in entries if each.url == model.weights.url]
    crop = crop_of(preset)
    noise = np.random.default_rng(1).integers(0, 256, (7, 11, 3), np.uint8)
    images = [*pictures(samples), Image.fromarray(noise), Image.fromarray(noise).resize((331, 257))]
    # One whose sides come out with a fraction, and one that is as wanted already.
    images += [images[0].resize((399, 640)), images[0].resize((500, preset.resize_size[0]))]
    for image in images:
        small = functional.resize(
            image, preset.resize_size, preset.interpolation, antialias=preset.antialias
        )
        expected = np.asarray(functional.center_crop(small, preset.crop_size))
        assert np.array_equal(crop.pixels(image), expected)


def test_a_stripe_is_seen_in_its_middle(model: Model) -> None:
    stripe = Image.new("RGB", (4000, 20), "black")
    stripe.paste("white", (1000, 0, 3000, 20))
    assert ZooTagger.load(model).pixels(stripe).min() == 255


def test_an_empty_batch_has_no_scores(model: Model) -> None:
    tagger = ZooTagger.load(model)
    assert tagger.scores([]).shape == (0, len(tagger.vocabulary.labels))


def test_pixels_of_another_size_are_a_model_error(model: Model) -> None:
    tagger = ZooTagger.load(model)
    with pytest.raises(ModelError, match="failed"):
        tagger.scores([np.zeros((224, 224, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)])


def test_the_revision_follows_the_weights(
    model: Model, store: ModelStore, network: torch.nn.Module, tmp_path: Path
) -> None:
    before = ZooTagger.load(model).revision
    assert ZooTagger.load(model).revision == before
    other = {name: value.clone() for name, value in network.state_dict().items()}
    other["classifier.3.bias"] += 1
    torch.save(other, tmp_path / "other.pth")
    data = (tmp_path / "other.pth").read_bytes()
    changed = published(model, data)
    install.import_file(tmp_path / "other.pth", [changed], store)
    assert ZooTagger.load(changed).revision != before


def test_weights_that_are_missing_name_the_command(store: ModelStore) -> None:
    with pytest.raises(ModelError, match="not installed") as caught:
        registry.load("torchvision:convnext_large")
    assert caught.value.remedy == "photoramd model fetch torchvision:convnext_large"
    assert caught.value.exit_code == 3


def test_a_model_is_loaded_by_its_name_in_the_configuration(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "known_model", {model.name: model}.__getitem__)
    assert registry.load(model.name, threads=1).name == model.name


def test_weights_changed_since_they_were_installed_are_refused_unparsed(
    model: Model, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.path(model.weights.folder, model.weights.name)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    parsed: list[object] = []
    monkeypatch.setattr(torch, "load", lambda *a, **k: parsed.append((a, k)))
    with pytest.raises(IntegrityError, match="SHA-256"):
        ZooTagger.load(model)
    assert parsed == []


def test_weights_of_another_network_are_refused(
    model: Model, store: ModelStore, tmp_path: Path
) -> None:
    torch.save({"features.0.0.weight": torch.zeros(1)}, tmp_path / "w.pth")
    other = published(model, (tmp_path / "w.pth").read_bytes())
    install.import_file(tmp_path / "w.pth", [other], store)
    with pytest.raises(ModelError, match="do not fit the network"):
        ZooTagger.load(other)


def test_weights_that_torchvision_does_not_describe_are_refused(
    model: Model, store: ModelStore
) -> None:
    other = replace(model, weights=replace(model.weights, url="https://example.org/w.pth"))
    with pytest.raises(ModelError, match="does not describe"):
        ZooTagger.load(other)
    with pytest.raises(ModelError, match="does not know"):
        ZooTagger.load(replace(model, name="torchvision:no_such_network"))


def test_precisions_that_it_does_not_have_are_refused(model: Model) -> None:
    with pytest.raises(ModelError, match="no precision 'int8'") as caught:
        ZooTagger.load(model, precision="int8")
    assert caught.value.remedy == "set model.precision to one of: auto, float32"


# Around it


@each_model
def test_the_configuration_takes_the_names(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[model]\nname = "{model.name}"\n')
    assert loader.load(path).model.name == model.name


@pytest.mark.parametrize("name", ["torchvision:", "torchvision:nothing", "convnext_tiny"])
def test_the_configuration_refuses_other_names(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[model]\nname = "{name}"\n')
    with pytest.raises(ConfigError, match="photoramd model list"):
        loader.load(path)


def test_torchvision_is_imported_in_one_place() -> None:
    package = Path(photoramd.__file__).parent
    importing = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torchvision"))
        or (
            isinstance(node, ast.Import)
            and any(alias.name.startswith("torchvision") for alias in node.names)
        )
    }
    assert importing == {"models/torchvision.py"}
