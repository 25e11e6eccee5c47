"""RAM++ on random weights: reference logits, thresholds, restriction, converted copies, batches."""

from __future__ import annotations

import gc
import json
import logging
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from photoramd.config.schema import Config, Model, Tags
from photoramd.daemon import assembly
from photoramd.errors import IntegrityError, ModelError
from photoramd.models import registry
from photoramd.models.batching import CpuRunner, GpuRunner, is_out_of_memory
from photoramd.models.layers.linear import Precision
from photoramd.models.ram_plus.identity import vocabulary_of
from photoramd.models.ram_plus.network import Preparation, RamPlusNetwork, RamPlusShape
from photoramd.models.ram_plus.tagger import (
    RamPlusTagger,
    choose_device,
    choose_precision,
    choose_tags,
    load_network,
    normalise,
)
from photoramd.models.rules import Rules, select
from photoramd.models.vocabulary import Vocabulary, kept
from photoramd.models.weights.catalog import PinnedFile
from photoramd.models.weights.convert import load_copy
from photoramd.models.weights.converted import CopyName
from photoramd.models.weights.safetensors import MappedTensors
from photoramd.models.weights.store import default_store
from tests.support.copies import (
    BFLOAT16,
    FLOAT32,
    copy_path,
    flip_a_bit,
    lose_the_digest,
    open_to_the_group,
    replace_by_link,
    truncate,
)
from tests.support.random_weights import TINY, random_images, random_weights, synthetic_photo

pytestmark = pytest.mark.usefixtures("one_torch_thread")

CPU = torch.device("cpu")
PLAIN = Precision(torch.float32, CPU, False)
REFERENCE = json.loads(
    (Path(__file__).parents[1] / "support/data/ram_plus/tiny_logits.json").read_text()
)
DIGEST = "0" * 64


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return random_weights(TINY)


def build(
    weights: dict[str, torch.Tensor],
    layer_precision: Precision = FLOAT32,
    tags: list[int] | None = None,
    shape: RamPlusShape = TINY,
) -> RamPlusNetwork:
    prepared = Preparation(weights, shape, layer_precision.dtype).take_all()
    return RamPlusNetwork(prepared, shape, layer_precision, tags)


def vocabulary(thresholds: list[float]) -> Vocabulary:
    labels = "\n".join(f"tag {number}" for number in range(len(thresholds)))
    return vocabulary_of(labels.encode(), "\n".join(map(str, thresholds)).encode())


@pytest.fixture(scope="module")
def tagger(weights: dict[str, torch.Tensor]) -> RamPlusTagger:
    return RamPlusTagger(build(weights), vocabulary([0.65] * 7), DIGEST, threads=2)


# The reference


@pytest.mark.parametrize("layer_precision", [FLOAT32, PLAIN], ids=["packed", "plain"])
def test_logits_are_those_of_the_published_implementation(
    weights: dict[str, torch.Tensor], layer_precision: Precision
) -> None:
    logits = build(weights, layer_precision).logits(random_images(2))
    assert np.abs(logits.numpy() - REFERENCE["batch_logits"]).max() < 1e-4


def test_a_photo_is_prepared_as_published(tagger: RamPlusTagger) -> None:
    pixels = tagger.pixels(Image.fromarray(synthetic_photo()))
    tensor = normalise(torch.from_numpy(np.stack([pixels])))
    assert tensor.shape == (1, 3, 384, 384)
    assert tensor[0, :, 0, 0].tolist() == pytest.approx(REFERENCE["photo_tensor_corner"], abs=1e-5)
    assert tensor.mean().item() == pytest.approx(REFERENCE["photo_tensor_mean"], abs=1e-6)
    assert tensor.std().item() == pytest.approx(REFERENCE["photo_tensor_deviation"], abs=1e-6)
    assert np.abs(tagger.logits([pixels]) - REFERENCE["photo_logits"]).max() < 1e-4


def test_bfloat16_stays_near_float32(weights: dict[str, torch.Tensor]) -> None:
    logits = build(weights, BFLOAT16).logits(random_images(2)).numpy()
    assert 1e-5 < np.abs(logits - REFERENCE["batch_logits"]).max() < 0.1


# Weights


def test_other_keys_are_ignored_and_missing_or_misshapen_ones_named(
    weights: dict[str, torch.Tensor],
) -> None:
    Preparation({**weights, "text_encoder.weight": torch.ones(1)}, TINY, torch.float32)
    key = "visual_encoder.layers.2.blocks.1.mlp.fc1.weight"
    without = {name: value for name, value in weights.items() if name != key}
    with pytest.raises(ModelError, match=key):
        Preparation(without, TINY, torch.float32)
    with pytest.raises(ModelError, match=rf"{key} has shape \(24, 384\), expected \(384, 96\)"):
        Preparation({**weights, key: torch.ones(24, 384)}, TINY, torch.float32)
    with pytest.raises(ModelError, match=key):
        Preparation({**weights, key: weights[key].int()}, TINY, torch.float32)


def test_the_given_weights_are_not_changed(weights: dict[str, torch.Tensor]) -> None:
    before = {name: value.clone() for name, value in weights.items()}
    build(weights).logits(random_images(1))
    assert all(torch.equal(weights[name], value) for name, value in before.items())


# Tags


@pytest.mark.parametrize("layer_precision", [FLOAT32, PLAIN, BFLOAT16], ids=["32", "plain", "16"])
def test_a_restriction_leaves_the_other_logits_bit_by_bit(layer_precision: Precision) -> None:
    # More tags than pass through together, so that they end up in other places.
    shape = replace(TINY, decoder=replace(TINY.decoder, tags=1300, descriptions=3))
    weights = random_weights(shape)
    images = random_images(1)
    everything = build(weights, layer_precision, shape=shape).logits(images)
    assert everything.shape == (1, 1300)
    for tags in ([5], list(range(0, 1300, 2)), list(range(700, 1300))):
        some = build(weights, layer_precision, tags, shape).logits(images)
        assert torch.equal(some, everything[:, tags])


def test_tags_that_are_not_wanted_score_nothing(weights: dict[str, torch.Tensor]) -> None:
    full = RamPlusTagger(build(weights), vocabulary([0.65] * 7), DIGEST)
    some = RamPlusTagger(build(weights, tags=[1, 4]), vocabulary([0.65] * 7), DIGEST, wanted=[1, 4])
    pixels = [full.pixels(Image.fromarray(synthetic_photo()))]
    expected = full.scores(pixels)
    expected[:, [0, 2, 3, 5, 6]] = 0
    assert np.array_equal(some.scores(pixels), expected)
    assert some.revision != full.revision


def test_the_work_is_restricted_only_where_that_saves_half() -> None:
    many = vocabulary([0.65] * 4584 + [1.0])
    assert choose_tags(many, None) is None
    assert choose_tags(many, lambda label: label != "tag 3") is None
    assert choose_tags(many, lambda _: False) is None
    assert choose_tags(many, lambda label: label in ("tag 3", "tag 9")) == (3, 9)
    # The last one is disabled.
    assert choose_tags(many, lambda label: label in ("tag 3", "tag 4584")) == (3,)


def test_each_tag_has_its_own_threshold_and_a_disabled_one_stays_disabled() -> None:
    words = vocabulary([0.65, 0.9, 1.0])
    scores = kept(words, np.array([0.7, 0.7, 1.0], np.float32))
    assert [tag.name for tag in select(words, scores, Rules())] == ["tag 0"]
    assert {tag.name for tag in select(words, scores, Rules(threshold=0.1))} == {"tag 0", "tag 1"}


def test_scores_below_the_thresholds_are_kept() -> None:
    words = vocabulary([0.65, 0.45])
    assert set(kept(words, np.array([0.3, 0.1], np.float32))) == {"tag 0"}


@pytest.mark.parametrize(
    ("labels", "thresholds"),
    [(b"a\nb", b"0.5"), (b"a\na", b"0.5 0.5"), (b"a", b"many"), (b"\xff", b"0.5")],
)
def test_damaged_lists_are_refused(labels: bytes, thresholds: bytes) -> None:
    with pytest.raises(ModelError, match="damaged"):
        vocabulary_of(labels, thresholds)


# Batches


def test_scores_come_in_the_order_of_the_photos(tagger: RamPlusTagger) -> None:
    photos = [synthetic_photo(400 + 40 * number, 300) for number in range(5)]
    batch = [tagger.pixels(Image.fromarray(photo)) for photo in photos]
    together = tagger.scores(batch)
    assert together.shape == (5, 7)
    assert together.dtype == np.float32
    for row, pixels in zip(together, batch, strict=True):
        assert np.allclose(row, tagger.scores([pixels])[0], atol=1e-6)
    assert len({row.tobytes() for row in together}) == 5


def test_a_tagger_that_is_dropped_is_gone_at_once(weights: dict[str, torch.Tensor]) -> None:
    # A daemon that mostly waits may not collect garbage for hours.
    tagger = RamPlusTagger(build(weights, FLOAT32), vocabulary([0.65] * 7), DIGEST, threads=2)
    tagger.scores([np.zeros((384, 384, 3), np.uint8)] * 2)
    dropped = weakref.ref(tagger)
    gc.disable()
    try:
        del tagger
        assert dropped() is None
    finally:
        gc.enable()


def test_an_empty_batch_gives_no_scores(tagger: RamPlusTagger) -> None:
    assert tagger.scores([]).shape == (0, 7)


def test_pixels_that_are_no_picture_are_an_error_of_the_model(tagger: RamPlusTagger) -> None:
    with pytest.raises(ModelError, match="failed"):
        tagger.scores([np.zeros((7, 9, 3), np.uint8)])


def test_numbers_that_are_none_are_an_error(weights: dict[str, torch.Tensor]) -> None:
    spoilt = {**weights, "fc.bias": torch.tensor([float("nan")])}
    tagger = RamPlusTagger(build(spoilt), vocabulary([0.65] * 7), DIGEST)
    with pytest.raises(ModelError, match="no numbers"):
        tagger.scores([np.zeros((384, 384, 3), np.uint8)])


class SmallMemory:
    """A network that has room for a few images; no device with so little can be had."""

    def __init__(self, room: int, error: Exception) -> None:
        self.room = room
        self.error = error
        self.sizes: list[int] = []

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(pixels))
        if len(pixels) > self.room:
            raise self.error
        return pixels[:, 0, 0, :1].float()


MEMORY_ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
    MemoryError(),
]


@pytest.mark.parametrize("error", MEMORY_ERRORS, ids=lambda error: type(error).__name__)
def test_where_memory_runs_out_half_as_many_go_together(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    network = SmallMemory(2, error)
    batch = [np.full((2, 2, 3), number, np.uint8) for number in range(9)]
    runner = GpuRunner(network, batch=8)
    with caplog.at_level(logging.WARNING):
        assert runner.run(batch).flatten().tolist() == list(range(9))
    assert network.sizes == [8, 4, 2, 2, 2, 2, 1]
    network.sizes.clear()
    runner.run(batch)
    assert network.sizes == [2, 2, 2, 2, 1]


@pytest.mark.parametrize("make", [lambda f: GpuRunner(f), lambda f: CpuRunner(f, 2)])
def test_too_little_memory_for_one_image_is_an_error_of_the_model(
    make: Callable[[SmallMemory], GpuRunner | CpuRunner],
) -> None:
    runner = make(SmallMemory(0, MEMORY_ERRORS[0]))
    with pytest.raises(ModelError, match="too little memory"):
        runner.run([np.zeros((2, 2, 3), np.uint8)] * 4)


def test_other_errors_are_not_taken_for_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    network = SmallMemory(0, RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        GpuRunner(network).run([np.zeros((2, 2, 3), np.uint8)] * 2)
    assert network.sizes == [2]


# Device and precision


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match="no device tpu"):
        choose_device("tpu")
    with pytest.raises(ModelError, match="no precision 'int4'"):
        choose_precision("int4", CPU)
    assert choose_device("cpu") == CPU
    assert choose_precision("float32", CPU).dtype is torch.float32
    with pytest.raises(ModelError, match="not for cuda"):
        choose_precision("int8", torch.device("cuda"))


def test_bfloat16_is_refused_where_the_processor_only_emulates_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("photoramd.models.ram_plus.tagger.has_bfloat16", lambda: False)
    with pytest.raises(ModelError, match="emulates bfloat16") as caught:
        choose_precision("bfloat16", CPU)
    assert "auto" in (caught.value.remedy or "")
    # Other devices have their own; the processor's flags do not matter there.
    assert choose_precision("bfloat16", torch.device("cuda")).dtype is torch.bfloat16


@pytest.mark.parametrize(("flags", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bfloat16_only_where_the_processor_has_it(
    flags: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photoramd.models.ram_plus.tagger.has_bfloat16", lambda: flags)
    monkeypatch.setattr("photoramd.models.ram_plus.tagger.packing_works", lambda _: True)
    assert choose_precision("auto", CPU).precision == str(expected).removeprefix("torch.")


# Files


@pytest.mark.parametrize("layer_precision", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
def test_the_converted_copy_gives_the_same_logits_without_the_original(
    checkpoint: PinnedFile, weights: dict[str, torch.Tensor], layer_precision: Precision
) -> None:
    images = random_images(1)
    expected = build(weights, layer_precision).logits(images)
    first = load_network(checkpoint, TINY, layer_precision)
    assert torch.equal(first.logits(images), expected)
    default_store().path("ram++", "tiny.pth").unlink()
    again = load_network(checkpoint, TINY, layer_precision)
    assert torch.equal(again.logits(images), expected)


def test_without_room_for_a_copy_the_original_is_used(
    checkpoint: PinnedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photoramd.models.weights.store.ModelStore.free_bytes", lambda _: 1000)
    logits = load_network(checkpoint, TINY, FLOAT32).logits(random_images(2))
    assert np.abs(logits.numpy() - REFERENCE["batch_logits"]).max() < 1e-4
    assert not copy_path().exists()


def test_without_a_copy_the_original_does_not_stay_in_memory(
    checkpoint: PinnedFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("photoramd.models.weights.store.ModelStore.free_bytes", lambda _: 1000)
    network = load_network(checkpoint, TINY, BFLOAT16)
    assert "sudo photoramd tag" in caplog.text
    original = default_store().path("ram++", "tiny.pth")
    assert str(original) not in Path("/proc/self/maps").read_text()
    assert network.logits(random_images(1)).isfinite().all()


@pytest.mark.parametrize(
    "harm", [flip_a_bit, truncate, replace_by_link, open_to_the_group, lose_the_digest]
)
def test_a_copy_that_is_not_what_was_written_is_refused_with_a_remedy(
    checkpoint: PinnedFile, harm: Callable[[Path], None]
) -> None:
    load_network(checkpoint, TINY, FLOAT32)
    harm(copy_path())
    with pytest.raises(IntegrityError) as caught:
        load_network(checkpoint, TINY, FLOAT32)
    assert caught.value.remedy


def test_a_copy_of_another_original_or_form_is_refused(checkpoint: PinnedFile) -> None:
    load_network(checkpoint, TINY, FLOAT32)
    with pytest.raises(IntegrityError, match="another original"):
        load_network(replace(checkpoint, sha256="1" * 64), TINY, FLOAT32)
    path = copy_path()
    for suffix in ("", ".sha256"):
        path.with_name(path.name + suffix).rename(str(copy_path("bfloat16")) + suffix)
    with pytest.raises(IntegrityError, match="another original"):
        load_network(checkpoint, TINY, BFLOAT16)


def test_an_original_that_is_not_the_pinned_one_is_not_converted(checkpoint: PinnedFile) -> None:
    flip_a_bit(default_store().path("ram++", "tiny.pth"))
    with pytest.raises(IntegrityError):
        load_network(checkpoint, TINY, FLOAT32)
    assert not copy_path().exists()


def test_a_copy_takes_little_memory_of_its_own(checkpoint: PinnedFile) -> None:
    # Only what was packed is a copy in memory; the rest is mapped and given up under pressure.
    load_network(checkpoint, TINY, BFLOAT16)
    with_tables = copy_path("bfloat16").stat().st_size
    assert with_tables < 0.55 * default_store().path("ram++", "tiny.pth").stat().st_size


def test_the_tagger_loads_from_the_model_store(
    tag_files: PinnedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Let bfloat16 be emulated: the network is small.
    monkeypatch.setattr("photoramd.models.ram_plus.tagger.has_bfloat16", lambda: True)
    tagger = RamPlusTagger.load(device="cpu", precision="float32", threads=1)
    assert tagger.vocabulary.labels == ("cat", "dog", "sky", "sea", "car", "room", "zoo")
    pixels = tagger.pixels(Image.fromarray(synthetic_photo()))
    expected = 1 / (1 + np.exp(-np.array(REFERENCE["photo_logits"])))
    assert np.abs(tagger.scores([pixels])[0] - expected).max() < 1e-4
    assert RamPlusTagger.load(device="cpu", precision="bfloat16").revision != tagger.revision


def test_a_changed_list_of_tags_is_refused(tag_files: PinnedFile) -> None:
    path = default_store().path("ram++", "RAM_PLUS_TAGS.txt")
    path.write_bytes(path.read_bytes().replace(b"cat", b"cow"))
    with pytest.raises(IntegrityError):
        RamPlusTagger.load(device="cpu", precision="float32")


def test_other_models_run_on_the_cpu_only() -> None:
    with pytest.raises(ModelError, match="no device 'cuda'"):
        registry.load("embedded", device="cuda")


def test_without_its_files_the_remedy_is_to_fetch_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photoramd.models.weights.store.SYSTEM_STORE", tmp_path / "models")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        registry.load("ram++")
    assert caught.value.remedy == "photoramd model fetch ram++"


def test_the_configuration_restricts_the_work_to_what_is_allowed_and_not_denied(
    tag_files: PinnedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photoramd.models.ram_plus.tagger.CHUNK", 2)
    model = Model(name="ram++", device="cpu", precision="float32", threads=1)
    every = assembly.load_tagger(Config(model=model, tags=Tags(overrides=None)))
    pixels = [every.pixels(Image.fromarray(synthetic_photo()))]
    allowed = Tags(overrides=None, allow=("Cat", "zoo", "room"))
    denied = Tags(overrides=None, deny=("dog", "sky", "Sea", "car"))
    for tags in (allowed, denied):
        few = assembly.load_tagger(Config(model=model, tags=tags))
        scores = few.scores(pixels)[0]
        assert np.flatnonzero(scores).tolist() == [0, 6]
        assert np.array_equal(scores[[0, 6]], every.scores(pixels)[0, [0, 6]])
        assert few.revision != every.revision


def test_a_few_denied_tags_leave_the_revision_and_so_all_scores(tag_files: PinnedFile) -> None:
    model = Model(name="ram++", device="cpu", precision="float32", threads=1)
    every = assembly.load_tagger(Config(model=model, tags=Tags(overrides=None)))
    most = assembly.load_tagger(Config(model=model, tags=Tags(overrides=None, deny=("cat",))))
    assert most.revision == every.revision


def test_without_pieces_as_on_a_gpu_the_logits_are_the_same(
    weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No GPU here, but its way through the network is plain and runs anywhere.
    monkeypatch.setattr(Precision, "is_cpu", property(lambda _: False))
    tagger = RamPlusTagger(build(weights, PLAIN), vocabulary([0.65] * 7), DIGEST)
    pixels = tagger.pixels(Image.fromarray(synthetic_photo()))
    logits = tagger.logits([pixels, pixels[::-1], pixels])
    assert np.abs(logits[[0, 2]] - REFERENCE["photo_logits"]).max() < 1e-4
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


def test_released_memory_comes_back_from_the_file(checkpoint: PinnedFile) -> None:
    load_network(checkpoint, TINY, FLOAT32)
    copy = load_copy(CopyName(checkpoint, "float32-1"))
    assert copy is not None
    embeddings = copy.tensors["label_embed"]
    before = embeddings.clone()
    copy.release(embeddings)
    copy.release(embeddings[100:200])
    copy.release(torch.ones(3))
    copy.release()
    assert torch.equal(embeddings, before)


WRONG_SHAPE = b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}  '


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        b"\xff" * 64,
        b"\x02" + b"\x00" * 7 + b"[]",
        b"\x02" + b"\x00" * 7 + b"{}" + b"left over",
        b"\x38" + b"\x00" * 7 + WRONG_SHAPE + b"\x00" * 4,
    ],
    ids=["empty", "short", "length", "list", "left over", "shape"],
)
def test_a_file_that_holds_no_tensors_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "tensors"
    path.write_bytes(data)
    with path.open("rb") as file, pytest.raises(ModelError, match="no tensors"):
        MappedTensors(file)
