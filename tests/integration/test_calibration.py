"""Calibrating RAM++: the command on real photos, with a small random network."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from photoramd.cli import Settings, cli
from photoramd.errors import IntegrityError, ModelError, NoImagesError, UsageError
from photoramd.models.comparison import Comparison
from photoramd.models.layers.linear import Precision
from photoramd.models.layers.quantized import Quantization
from photoramd.models.preprocessing import Pixels
from photoramd.models.ram_plus.activation_ranges import QuantizedPreparation, Ranges
from photoramd.models.ram_plus.calibration import Calibration, is_good, load_exact
from photoramd.models.ram_plus.network import Preparation, RamPlusNetwork
from photoramd.models.ram_plus.tagger import RamPlusTagger, choose_precision, load_network
from photoramd.models.weights import install
from photoramd.models.weights.catalog import EMBEDDED, PinnedFile
from photoramd.models.weights.download import Downloader
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

INT8 = Precision.whole(torch.float32)
PLAIN_INT8 = replace(FLOAT32, packed=False, quantization=Quantization())


@pytest.fixture
def photos(album: Path, put: Callable[[str, str], Path]) -> Path:
    for name in ("cat", "coffee", "china", "rocket", "motorcycle", "flower", "astronaut", "camera"):
        put(name if name != "camera" else "imagenet_99", f"{name}.jpg")
    return album


def pixels(count: int) -> dict[str, Pixels]:
    tall = [synthetic_photo(400 + 60 * number, 300) for number in range(count)]
    small = [np.asarray(Image.fromarray(photo).resize((384, 384))) for photo in tall]
    return {f"{number:032x}": photo for number, photo in enumerate(small)}


def calibrate(*arguments: object) -> Result:
    return CliRunner().invoke(
        cli,
        ["model", "calibrate", "ram++", *map(str, arguments)],
        obj=Settings(None, False),
        catch_exceptions=False,
    )


@pytest.fixture
def calibrated(tag_files: PinnedFile) -> PinnedFile:
    with Calibration.begin(1) as calibration:
        calibration.look(pixels(3))
        calibration.quantize()
        calibration.install()
    return tag_files


# The network


@pytest.mark.parametrize("layer_precision", [INT8, PLAIN_INT8], ids=["packed", "plain"])
def test_the_quantized_network_is_near_the_one_in_floats(layer_precision: Precision) -> None:
    weights = random_weights(TINY)
    prepared = Preparation(weights, TINY, torch.float32).take_all()
    ranges = Ranges()
    images = random_images(2)
    observed = RamPlusNetwork(dict(prepared), TINY, replace(FLOAT32, observer=ranges))
    expected = observed.logits(images)
    tensors = QuantizedPreparation(prepared.__getitem__, TINY, ranges).take_all()
    found = RamPlusNetwork(dict(tensors), TINY, layer_precision).logits(images)
    assert 1e-5 < (found - expected).abs().max().item() < 0.2
    large = sum(tensors[f"{name}.weight"].numel() for name in TINY.linears)
    assert all(tensors[f"{name}.weight"].dtype is torch.int8 for name in TINY.linears)
    assert large > 0.5 * sum(
        value.numel() for name, value in prepared.items() if "_embed" not in name
    )


def test_where_whole_numbers_are_slow_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        "photoramd.models.layers.linear.best_quantization", lambda _: Quantization(packed=False)
    )
    assert choose_precision("int8", torch.device("cpu")).precision == "int8"
    assert "int8 is slow on this processor" in caplog.text


def test_a_restriction_leaves_the_other_logits_bit_by_bit(calibrated: PinnedFile) -> None:
    images = random_images(1)
    everything = load_network(calibrated, TINY, INT8).logits(images)
    assert torch.equal(
        load_network(calibrated, TINY, INT8, [2, 5]).logits(images), everything[:, [2, 5]]
    )


def test_nothing_can_be_quantized_of_which_nothing_was_seen() -> None:
    prepared = Preparation(random_weights(TINY), TINY, torch.float32).take_all()
    with pytest.raises(ModelError, match="nothing was seen"):
        QuantizedPreparation(prepared.__getitem__, TINY, Ranges()).take_all()


# The command


def test_photos_are_calibrated_with_compared_on_and_the_result_installed(
    tag_files: PinnedFile, photos: Path
) -> None:
    done = calibrate(photos, "--accept", "--json")
    assert done.exit_code == 0
    figures = json.loads(done.stdout)
    assert (figures["calibrated_with"], figures["photos"]) == (6, 2)
    assert 0.9 < figures["correlation"] < 1
    assert figures["path"] == str(copy_path("int8"))
    tagger = RamPlusTagger.load(device="cpu", precision="int8", threads=1)
    exact = RamPlusTagger.load(device="cpu", precision="float32", threads=1)
    some = list(pixels(1).values())
    assert 0 < np.abs(tagger.scores(some) - exact.scores(some)).max() < 0.1
    assert tagger.revision != exact.revision
    compared = CliRunner().invoke(
        cli,
        ["model", "compare", str(photos), "--model", "ram++", "--precision", "int8"],
        obj=Settings(None, False),
        catch_exceptions=False,
    )
    assert "ram++, int8 against float32, 8 photos" in compared.stdout


def test_a_precision_that_is_not_there_is_said_before_any_photo_is_looked_at(
    tag_files: PinnedFile, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RamPlusTagger, "scores", None)
    arguments = ["model", "compare", str(photos), "--model", "ram++", "--precision", "int8"]
    with pytest.raises(ModelError, match="not calibrated"):
        CliRunner().invoke(cli, arguments, obj=Settings(None, False), catch_exceptions=False)


def test_a_result_with_other_tags_is_not_installed_unasked(
    tag_files: PinnedFile, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Random weights find no tags, which proves nothing.
    with pytest.raises(ModelError, match=r"not installed: the photos .* have no tags") as caught:
        calibrate(photos)
    assert "--accept" in str(caught.value.remedy)
    assert not copy_path("int8").exists()
    # What was seen is kept, so accepting it takes only the comparison.
    monkeypatch.setattr(Calibration, "look", None)
    assert "Installed" in calibrate(photos, "--accept").stdout


def test_a_result_is_good_if_the_logits_and_the_tags_are_near() -> None:
    good = Comparison(9, 1.0, 0.999, 0.1, 0.01, 0.97, 0.8, 4.0)
    assert is_good(good)
    assert not is_good(replace(good, correlation=0.98))
    assert not is_good(replace(good, f1=0.9))
    assert not is_good(replace(good, f1=1.0, keywords=0.0))


def test_a_good_result_is_installed_unasked(
    tag_files: PinnedFile, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photoramd.models.ram_plus.calibration.is_good", lambda _: True)
    done = calibrate(photos)
    assert "calibrated with 6 photos, compared on 2 others" in done.stdout
    assert "F1 of the tags" in done.stdout
    assert copy_path("int8").exists()


def test_interrupted_it_goes_on_where_it_stopped(tag_files: PinnedFile) -> None:
    some = pixels(4)
    with Calibration.begin(1) as calibration:
        calibration.look(some)
        calibration.quantize()
        at_once = calibration._ranges.digest
        default_store().discard(calibration.copy.calibration)
    keys = list(some)
    with Calibration.begin(1) as calibration:
        calibration.look({key: some[key] for key in keys[:2]})
    with Calibration.begin(1) as calibration:
        assert calibration.seen == set(keys[:2])
        calibration.look({key: some[key] for key in keys[2:]})
        assert calibration._ranges.digest == at_once
        calibration.quantize()
        calibration.install()
    with Calibration.begin(1) as calibration:
        assert calibration.seen == set()


def test_what_is_only_compared_on_is_not_calibrated_with(tag_files: PinnedFile) -> None:
    first, second = pixels(2).items()
    with Calibration.begin(1) as calibration:
        calibration.look(dict([first]))
        before = calibration._ranges.digest
        calibration.truth.scores([second[1]])
        assert calibration._ranges.digest == before


def test_fetching_a_model_meanwhile_does_not_forget_what_was_seen(tag_files: PinnedFile) -> None:
    with Calibration.begin(1) as calibration:
        calibration.look(pixels(1))
        seen = calibration.seen
    nowhere = Downloader(hub_endpoint="", mirror=None)
    list(install.fetch(EMBEDDED, default_store(), nowhere))
    with Calibration.begin(1) as calibration:
        assert calibration.seen == seen


def test_a_copy_that_cannot_be_replaced_stays_good(
    calibrated: PinnedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 100_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with Calibration.begin(1) as calibration:
        calibration.look(pixels(4))
        calibration.quantize()
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(ModelError, match="full"):
            calibration.install()
    load_network(calibrated, TINY, INT8)


def test_interrupted_while_it_saves_it_forgets_nothing(
    tag_files: PinnedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_a_part(*arguments: Any) -> None:
        *_, write = arguments
        write(memoryview(b"header"))
        raise KeyboardInterrupt

    first, second = pixels(2).items()
    with Calibration.begin(1) as calibration:
        calibration.look(dict([first]))
        monkeypatch.setattr("photoramd.models.ram_plus.calibration.write_tensors", write_a_part)
        with pytest.raises(KeyboardInterrupt):
            calibration.look(dict([second]))
    with Calibration.begin(1) as calibration:
        assert calibration.seen == {first[0]}


def test_what_the_wrong_photos_showed_can_be_forgotten(tag_files: PinnedFile, photos: Path) -> None:
    with Calibration.begin(1) as calibration:
        calibration.look(pixels(2))
    done = calibrate(photos, "--accept", "--json", "--anew")
    assert json.loads(done.stdout)["calibrated_with"] == 6


def test_an_interrupt_says_that_it_can_go_on(
    tag_files: PinnedFile, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Calibration, "look", interrupt)
    done = calibrate(photos)
    assert done.exit_code != 0
    assert "Interrupted; run the command again to go on." in done.stderr


@pytest.mark.parametrize("harm", [truncate, lambda path: path.write_bytes(b"nonsense")])
def test_what_was_seen_begins_anew_if_it_is_damaged(
    tag_files: PinnedFile, harm: Callable[[Path], None]
) -> None:
    with Calibration.begin(1) as calibration:
        calibration.look(pixels(1))
        name = calibration.copy.calibration
    harm(default_store().partial_path(name))
    with Calibration.begin(1) as calibration:
        assert calibration.seen == set()


def test_only_one_at_a_time(tag_files: PinnedFile) -> None:
    with (
        Calibration.begin(1),
        pytest.raises(ModelError, match="another process"),
        Calibration.begin(1),
    ):
        pass


def test_too_few_photos_and_other_models_are_refused(tag_files: PinnedFile, photos: Path) -> None:
    with pytest.raises(NoImagesError, match="too few"):
        calibrate(photos / "cat.jpg")
    with pytest.raises(UsageError, match="only ram"):
        CliRunner().invoke(
            cli, ["model", "calibrate", "embedded", str(photos)], catch_exceptions=False
        )


# Files


def test_without_calibration_int8_is_refused_with_the_command(tag_files: PinnedFile) -> None:
    with pytest.raises(ModelError, match="not calibrated") as caught:
        RamPlusTagger.load(device="cpu", precision="int8")
    assert str(caught.value.remedy).startswith("photoramd model calibrate ram++ DIR")


def test_another_calibration_is_another_revision(calibrated: PinnedFile) -> None:
    first = RamPlusTagger.load(device="cpu", precision="int8", threads=1).revision
    assert RamPlusTagger.load(device="cpu", precision="int8", threads=1).revision == first
    with Calibration.begin(1) as calibration:
        calibration.look(pixels(4))
        calibration.quantize()
        calibration.install()
    assert RamPlusTagger.load(device="cpu", precision="int8", threads=1).revision != first


def test_the_original_is_needed_neither_to_load_nor_to_calibrate_anew(
    calibrated: PinnedFile,
) -> None:
    load_network(calibrated, TINY, BFLOAT16)
    default_store().path("ram++", "tiny.pth").unlink()
    images = random_images(1)
    before = load_network(calibrated, TINY, INT8).logits(images)
    assert load_exact(calibrated, TINY)["label_embed"].dtype is torch.bfloat16
    with Calibration.begin(1) as calibration:
        calibration.look(pixels(3))
        calibration.quantize()
        calibration.install()
    assert (load_network(calibrated, TINY, INT8).logits(images) - before).abs().max() < 0.1
    copy_path("bfloat16").unlink()
    with pytest.raises(ModelError, match="not installed"):
        load_exact(calibrated, TINY)


@pytest.mark.parametrize(
    "harm", [flip_a_bit, truncate, replace_by_link, open_to_the_group, lose_the_digest]
)
def test_a_copy_that_is_not_what_was_written_is_refused_with_the_command(
    calibrated: PinnedFile, harm: Callable[[Path], None]
) -> None:
    load_network(calibrated, TINY, INT8)
    harm(copy_path("int8"))
    with pytest.raises(IntegrityError) as caught:
        load_network(calibrated, TINY, INT8)
    assert caught.value.remedy


def test_a_copy_of_another_original_is_refused_with_the_command(calibrated: PinnedFile) -> None:
    with pytest.raises(IntegrityError, match="another original") as caught:
        load_network(replace(calibrated, sha256="1" * 64), TINY, INT8)
    assert "photoramd model calibrate ram++" in str(caught.value.remedy)


def test_a_copy_that_lacks_a_layer_is_refused(calibrated: PinnedFile) -> None:
    # As another version might write it, with the same name.
    smaller = replace(TINY, decoder=replace(TINY.decoder, layers=1))
    load_network(calibrated, smaller, INT8)
    larger = replace(TINY, decoder=replace(TINY.decoder, layers=3))
    with pytest.raises(ModelError, match="the weights lack"):
        load_network(calibrated, larger, INT8)
    assert os.path.getsize(copy_path("int8")) < 0.4 * calibrated.needed_bytes
