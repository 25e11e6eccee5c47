"""RAM++ (Recognize Anything Plus): 4,585 tags, each with a threshold of its own.

This module imports torch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from photoramd.errors import IntegrityError, ModelError
from photoramd.models.batching import CpuRunner, GpuRunner
from photoramd.models.layers.linear import Precision, packing_works
from photoramd.models.preprocessing import Pixels, Resize
from photoramd.models.ram_plus.identity import (
    DECODE_SIDE,
    load_vocabulary,
    numbers_of,
    revision_of,
)
from photoramd.models.ram_plus.network import (
    RAM_PLUS_SHAPE,
    Preparation,
    RamPlusNetwork,
    RamPlusShape,
)
from photoramd.models.ram_plus.tag_decoder import CHUNK
from photoramd.models.tagger import Scores
from photoramd.models.vocabulary import Vocabulary
from photoramd.models.weights.catalog import RAM_PLUS, PinnedFile
from photoramd.models.weights.convert import load_copy, write_copy
from photoramd.models.weights.converted import CopyName
from photoramd.models.weights.safetensors import MappedTensors, TensorEntry
from photoramd.models.weights.verified import load_state_dict, locate, open_verified
from photoramd.system.cpu import available_cores, has_bfloat16
from photoramd.system.memory import trim_memory

log = logging.getLogger(__name__)

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
"""The mean and standard deviation of ImageNet's colours, with which the network was trained."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

CALIBRATION: Final = "calibration"
"""The note in a quantized copy that tells it from others of the same original."""

_FORM_VERSION = 1
"""Raise it with any change of what `Preparation` does."""


class RamPlusTagger:
    """See `photoramd.models.tagger.Tagger`.

    Args:
        network: The network, for all tags or for the wanted ones.
        vocabulary: All tags.
        digest: SHA-256 of the weights, hexadecimal.
        wanted: The positions of the tags that the network is for; None for all. Others score 0.
        threads: How many images to infer at a time on a CPU.
        side: Width and height of the network's input, in pixels.
    """

    name: Final = RAM_PLUS.name

    def __init__(
        self,
        network: RamPlusNetwork,
        vocabulary: Vocabulary,
        digest: str,
        *,
        wanted: Sequence[int] | None = None,
        threads: int = 1,
        side: int = RAM_PLUS_SHAPE.encoder.image_side,
    ) -> None:
        self.vocabulary = vocabulary
        self.revision = revision_of(digest, vocabulary.labels, _numbers(network), wanted)
        self._network = network
        self._wanted = None if wanted is None else np.asarray(wanted)
        self.crop = Resize(side, DECODE_SIDE)
        self.decode_side = self.crop.decode_side
        on_cpu = network.precision.is_cpu
        # While a GPU works on one batch, another waits for it.
        self.at_once = 0 if on_cpu else 2
        self._turn = threading.Lock()
        # Not a method of this object: a reference cycle would keep a dropped tagger alive.
        infer = partial(_logits, network)
        self._runner = CpuRunner(infer, threads) if on_cpu else GpuRunner(infer)

    @classmethod
    def load(
        cls,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        is_wanted: Callable[[str], bool] | None = None,
    ) -> RamPlusTagger:
        """Verify and load the weights.

        The first time, a converted copy is written beside them if possible. It is loaded from
        then on, and the original is no longer needed.

        Args:
            device: ``cpu``, ``cuda``, ``mps`` or ``auto``. Only ``cpu`` was tried.
            precision: ``float32``, ``bfloat16``, ``int8`` (once calibrated), or ``auto``: bfloat16
                where it is native, else float32.
            threads: How many images to infer at a time on a CPU; None for one a core.
            is_wanted: Tells which tags can become keywords. If they are few enough, the work is
                restricted to them; they are part of the revision then, so that another list needs
                inference again.

        Raises:
            IntegrityError: A file is not what it must be, or others could change it.
            ModelError: Files are missing or unusable, or the device or precision is not there.
        """
        layer_precision = choose_precision(precision, choose_device(device))
        vocabulary = load_vocabulary()
        wanted = choose_tags(vocabulary, is_wanted)
        network = load_network(RAM_PLUS.weights, RAM_PLUS_SHAPE, layer_precision, wanted)
        return cls(
            network,
            vocabulary,
            RAM_PLUS.weights.sha256,
            wanted=wanted,
            threads=threads or available_cores(),
        )

    def pixels(self, image: Image.Image) -> Pixels:
        """Return the whole photo, made square: uint8 RGB, shape (384, 384, 3)."""
        return self.crop.pixels(image)

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        """Return probabilities, float32, shape (photos, tags)."""
        scores = np.zeros((len(batch), len(self.vocabulary.labels)), np.float32)
        if not batch:
            return scores
        try:
            with self._turn:
                found = self._runner.run(batch).sigmoid().numpy()
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"the model {self.name} failed: {error}") from error
        finally:
            # A daemon mostly waits, and the next batch's pages come back in milliseconds.
            self._network.rest()
            trim_memory()
        if not np.isfinite(found).all():
            raise ModelError(f"the model {self.name} gave scores that are no numbers")
        if self._wanted is None:
            return np.asarray(found, np.float32)
        scores[:, self._wanted] = found
        return scores

    def logits(self, batch: Sequence[Pixels]) -> Scores:
        """Return the logits of the network's tags, float32, shape (photos, tags)."""
        logits: Scores = self._runner.run(batch).numpy()
        return logits


def _logits(network: RamPlusNetwork, pixels: Tensor) -> Tensor:
    return network.logits(normalise(pixels)).cpu()


def normalise(pixels: Tensor) -> Tensor:
    """Convert uint8, shape (B, height, width, 3), to float32, shape (B, 3, height, width)."""
    values = pixels.permute(0, 3, 1, 2).to(torch.float32) / 255
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (_MEAN, _DEVIATION))
    return (values - mean) / deviation


def choose_tags(
    vocabulary: Vocabulary, is_wanted: Callable[[str], bool] | None
) -> tuple[int, ...] | None:
    """Return the positions of the tags to restrict the work to; None if that would not save half.

    A restriction is part of the revision. So a few denied tags must not be one, or each further
    denied tag would have all photos inferred again.
    """
    if is_wanted is None:
        return None
    wanted = tuple(
        position
        for position, label in enumerate(vocabulary.labels)
        if vocabulary.thresholds[position] < 1 and is_wanted(label)
    )
    chunks, all_chunks = (-(-len(tags) // CHUNK) for tags in (wanted, vocabulary.labels))
    return wanted if wanted and 2 * chunks <= all_chunks else None


def choose_device(device: str) -> torch.device:
    """Return the device that the configuration names; ``auto`` prefers a GPU.

    Raises:
        ModelError: It is not there.
    """
    available: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if device == "auto":
        device = next(name for name, is_available in available.items() if is_available())
    if device not in available or not available[device]():
        raise ModelError(f"there is no device {device}", remedy='set model.device to "auto"')
    return torch.device(device)


def choose_precision(precision: str, device: torch.device) -> Precision:
    """Return the precision of the layers for one that the configuration names.

    Raises:
        ModelError: The model has no such precision, or not on this device, or this processor would
            take minutes a photo.
    """
    if precision == "int8":
        if device.type != "cpu":
            raise ModelError(
                f"the precision int8 is for processors, not for {device.type}",
                remedy='set model.precision to "auto", or model.device to "cpu"',
            )
        layer_precision = Precision.whole(fastest_dtype(device))
        if layer_precision.quantization is not None and not layer_precision.quantization.packed:
            log.warning('int8 is slow on this processor; model.precision = "auto" is faster')
        return layer_precision
    if precision == "auto":
        return Precision.best(fastest_dtype(device), device)
    RAM_PLUS.require(precision=precision)
    if precision == "bfloat16" and device.type == "cpu" and not has_bfloat16():
        raise ModelError(
            "this processor only emulates bfloat16, which takes 30 times as long as float32",
            remedy='set model.precision to "auto", "float32" or "int8"',
        )
    return Precision.best(_DTYPES[precision], device)


def fastest_dtype(device: torch.device) -> torch.dtype:
    """Return the faster one of bfloat16 and float32.

    It depends only on the processor, never on a measurement: another dtype is another revision,
    and a busy moment must not have all photos tagged again.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(False)
    else:
        native = device.type == "cpu" and has_bfloat16() and packing_works(torch.bfloat16)
    return torch.bfloat16 if native else torch.float32


def load_network(
    pin: PinnedFile,
    shape: RamPlusShape,
    layer_precision: Precision,
    wanted: Sequence[int] | None = None,
) -> RamPlusNetwork:
    """Verify weights or a converted copy of them and build the network.

    Args:
        pin: The original.
        shape: The sizes.
        layer_precision: How its layers calculate.
        wanted: The only tags wanted; None for all.

    Raises:
        IntegrityError: Original or copy is not what it must be.
        ModelError: It is missing or unusable.
    """
    copy = copy_name(pin, layer_precision.precision)
    mapped = load_copy(copy)
    if mapped is None:
        if layer_precision.quantization is not None:
            raise ModelError(
                f"the model {RAM_PLUS.name} was not calibrated for int8",
                remedy=f"photoramd model calibrate {RAM_PLUS.name} DIR, with a directory of your "
                "photos",
            )
        with open_verified(locate(pin), pin) as file:
            official = load_state_dict(file, key="model", mmap=True)
            mapped = _convert(copy, Preparation(official, shape, layer_precision.dtype))
            if mapped is None:
                prepared = Preparation(official, shape, layer_precision.dtype).take_all()
                return RamPlusNetwork(prepared, shape, layer_precision, wanted)
    calibration = mapped.metadata.get(CALIBRATION, "")
    return RamPlusNetwork(
        mapped.tensors, shape, layer_precision, wanted, mapped.release, calibration
    )


def copy_name(pin: PinnedFile, precision: str) -> CopyName:
    """Return the converted copy for a precision."""
    return CopyName(pin, f"{precision}-{_FORM_VERSION}")


def _convert(copy: CopyName, preparation: Preparation) -> MappedTensors | None:
    """Write a converted copy and map it; None if it cannot be written."""
    entries = {
        name: TensorEntry(preparation.dtype(name), s) for name, s in preparation.shapes.items()
    }
    log.info("Writing a converted copy of the weights, once")
    try:
        write_copy(copy, entries, preparation.take)
    except IntegrityError:
        raise
    except ModelError as error:
        log.warning(
            "No converted copy of the weights, so each start takes longer and more memory: %s. "
            "Any command that loads the model and may write there makes it, "
            "such as: sudo photoramd tag PHOTO",
            str(error),  # the error itself would keep the weights in memory
        )
        return None
    return load_copy(copy)


def _numbers(network: RamPlusNetwork) -> str:
    """Return what tells apart precisions that give different scores."""
    layer_precision = network.precision
    if layer_precision.quantization is None:
        return numbers_of(layer_precision.precision, layer_precision.device.type)
    return (
        f"int8 {layer_precision.quantization.levels} {layer_precision.dtype} {network.calibration}"
    )
