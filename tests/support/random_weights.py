"""Random weights for RAM++, of any size, the same everywhere.

The real weights cannot be had everywhere, and correctness does not depend on them: whatever
the values, two implementations must give the same logits. Values follow from a seed and from
each tensor's name and shape, by NumPy's Philox generator, so they are the same on every
machine. The kind of parameter decides their scale, so that activations keep a natural size.
"""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from photoramd.models.layers.linear import Precision
from photoramd.models.ram_plus.activation_ranges import QuantizedPreparation, Ranges, entries_of
from photoramd.models.ram_plus.calibration import load_exact
from photoramd.models.ram_plus.network import RAM_PLUS_SHAPE, RamPlusNetwork, RamPlusShape
from photoramd.models.ram_plus.swin import SwinShape
from photoramd.models.ram_plus.tag_decoder import DecoderShape
from photoramd.models.ram_plus.tagger import (
    CALIBRATION,
    RamPlusTagger,
    choose_device,
    choose_precision,
    copy_name,
    load_network,
    normalise,
)
from photoramd.models.vocabulary import Vocabulary
from photoramd.models.weights import store
from photoramd.models.weights.catalog import PinnedFile
from photoramd.models.weights.convert import write_copy
from photoramd.models.weights.converted import find_copy
from tests.support.samples import sample_photos

SEED = 20261122

TINY = RamPlusShape(
    SwinShape(width=24, depths=(2, 2, 6, 2), heads=(1, 2, 4, 8)),
    DecoderShape(
        tags=7,
        descriptions=51,
        embedding_width=512,
        width=64,
        heads=4,
        layers=2,
        hidden=128,
        image_width=192,
    ),
)
"""The network of the reference logits in tests/support/data/ram_plus."""

Values = npt.NDArray[np.float32]


def random_weights(shape: RamPlusShape) -> dict[str, Tensor]:
    """All weights of a network, by official name."""
    descriptions = shape.decoder.descriptions
    return {
        name: torch.from_numpy(_values(name, size, descriptions)).reshape(size)
        for name, size in shape.keys.items()
    }


def save_checkpoint(path: Path, shape: RamPlusShape) -> None:
    """Write random weights as the official file has them."""
    torch.save({"model": random_weights(shape)}, path)


def _values(name: str, size: tuple[int, ...], descriptions: int) -> Values:
    generator = _generator(zlib.crc32(name.encode()))
    if name == "reweight_scale":
        return np.array([math.log(1 / 0.07)], np.float32)
    noise = generator.standard_normal(size, np.float32)
    if name == "label_embed":
        # The descriptions of a tag lie close together, on the unit sphere.
        centres = generator.standard_normal((size[0] // descriptions, size[1]), np.float32)
        noise += 1.5 * np.repeat(centres, descriptions, axis=0)
        return np.asarray(noise / np.linalg.norm(noise, axis=1, keepdims=True), np.float32)
    return np.ascontiguousarray(_scaling(name, size)(noise), np.float32)


def _scaling(name: str, size: tuple[int, ...]) -> Callable[[Values], Values]:
    if name == "wordvec_proj.weight":  # its inputs have length 1, unlike others
        return lambda noise: noise
    if name.endswith("relative_position_bias_table"):
        return lambda noise: noise * 0.5
    if name.endswith(".bias"):
        return lambda noise: 0.05 * noise
    if "norm" in name.lower():
        return lambda noise: 1 + 0.1 * noise
    if name == "fc.weight":
        return lambda noise: noise * (3.0 / math.sqrt(size[1]))
    inputs = math.prod(size[1:])
    return lambda noise: noise / math.sqrt(inputs)


def random_images(count: int = 2, side: int = 384) -> Tensor:
    """Normalised images of noise, float32, shape (count, 3, side, side)."""
    return torch.from_numpy(_generator(1).standard_normal((count, 3, side, side), np.float32))


def synthetic_photo(width: int = 640, height: int = 427) -> npt.NDArray[np.uint8]:
    """Smooth waves, uint8 RGB, shape (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = (
        np.sin(x / 37 + y / 91),
        np.sin(x / 53 - y / 29 + 1),
        np.cos(np.hypot(x - 300, y - 200) / 23),
    )
    values = 127 + 120 * np.stack(waves, axis=-1)
    pixels: npt.NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def _generator(stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[SEED, stream]))


# --- RAM++ with random weights ---


def stored_checkpoint(directory: Path, official: Path | None = None) -> Path:
    """A checkpoint of RAM++'s full size in a model store of its own, its SHA-256 beside it.

    Args:
        directory: For the store; a converted copy of the weights will be written there, too.
        official: Weights on the same file system; None for random ones, which take 1.3 GB.
    """
    directory.chmod(0o755)
    folder = directory / "models" / "ram++"
    folder.mkdir(parents=True, mode=0o755)
    target = folder / "random.pth"
    if official is None:
        save_checkpoint(target, RAM_PLUS_SHAPE)
    else:
        os.link(official, target)
    target.chmod(0o644)
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target.with_suffix(".digest").write_text(digest)
    return target


def stored_pin(checkpoint: Path) -> PinnedFile:
    """What the loader expects of a `stored_checkpoint`.

    This process looks for models in that store from now on.
    """
    store.SYSTEM_STORE = checkpoint.parent.parent
    return PinnedFile(
        name=checkpoint.name,
        size_bytes=checkpoint.stat().st_size,
        sha256=checkpoint.with_suffix(".digest").read_text(),
        source="random",
        remedy="",
        folder=checkpoint.parent.name,
    )


def calibrate_stored(pin: PinnedFile) -> None:
    """Calibrate with some sample photos, and install the result beside a `stored_checkpoint`."""
    exact, ranges = load_exact(pin, RAM_PLUS_SHAPE), Ranges()
    layer_precision = replace(Precision.best(torch.float32), observer=ranges)
    network = RamPlusNetwork(dict(exact), RAM_PLUS_SHAPE, layer_precision)
    side = RAM_PLUS_SHAPE.encoder.image_side
    for photo in list(sample_photos().values())[::3]:
        with Image.open(photo) as image:
            pixels = np.array(image.convert("RGB").resize((side, side)))
        network.logits(normalise(torch.from_numpy(pixels[None])))
    tensors = QuantizedPreparation(exact.__getitem__, RAM_PLUS_SHAPE, ranges).take_all()
    notes = {CALIBRATION: ranges.digest}
    write_copy(copy_name(pin, "int8"), entries_of(tensors), tensors.__getitem__, notes)


def stored_tagger(
    checkpoint: Path, *, precision: str, threads: int, device: str = "cpu"
) -> RamPlusTagger:
    """RAM++ from a `stored_checkpoint`; its labels are numbers."""
    pin = stored_pin(checkpoint)
    if precision == "int8" and find_copy(copy_name(pin, precision)) is None:
        calibrate_stored(pin)
    layer_precision = choose_precision(precision, choose_device(device))
    network = load_network(pin, RAM_PLUS_SHAPE, layer_precision)
    labels = tuple(map(str, range(RAM_PLUS_SHAPE.decoder.tags)))
    vocabulary = Vocabulary(labels, (0.65,) * len(labels), ((),) * len(labels), 0.2)
    return RamPlusTagger(network, vocabulary, pin.sha256, threads=threads)
