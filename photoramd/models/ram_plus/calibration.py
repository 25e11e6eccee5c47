"""Calibrate RAM++ on photos: infer them, quantize, compare, install.

The ranges found so far are kept in the model store, so an interrupted calibration goes on where
it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final, Self

import torch
from torch import Tensor

from photoramd.errors import ModelError
from photoramd.models.comparison import Comparison
from photoramd.models.layers.linear import Precision
from photoramd.models.preprocessing import Pixels
from photoramd.models.ram_plus.activation_ranges import QuantizedPreparation, Ranges, entries_of
from photoramd.models.ram_plus.identity import load_vocabulary
from photoramd.models.ram_plus.network import (
    RAM_PLUS_SHAPE,
    Preparation,
    RamPlusNetwork,
    RamPlusShape,
)
from photoramd.models.ram_plus.tagger import (
    CALIBRATION,
    RamPlusTagger,
    choose_precision,
    copy_name,
)
from photoramd.models.weights.catalog import RAM_PLUS, PinnedFile
from photoramd.models.weights.convert import load_copy, write_copy
from photoramd.models.weights.converted import FORM, SOURCE
from photoramd.models.weights.safetensors import MappedTensors, write_tensors
from photoramd.models.weights.store import default_store, store_error
from photoramd.models.weights.verified import load_state_dict, locate, open_verified
from photoramd.system.files import write_all

LEAST_CORRELATION: Final = 0.99
LEAST_F1: Final = 0.95

_PHOTOS = "photos"


def is_good(found: Comparison) -> bool:
    """Return whether quantized weights may be installed without asking.

    Photos without any tag prove nothing, although nothing differs then.
    """
    is_near = found.correlation >= LEAST_CORRELATION and found.f1 >= LEAST_F1
    return is_near and found.keywords > 0


class Calibration:
    """One calibration.

    Args:
        state: The file that keeps the ranges; open for reading and writing, unbuffered.
        threads: How many images to infer at a time.

    Attributes:
        copy: The copy that will be installed.
        seen: Hexadecimal digests of the pixels that were inferred.
        truth: The float32 tagger.

    Raises:
        IntegrityError: The weights are not what they must be.
        ModelError: They are missing.
    """

    def __init__(self, state: BinaryIO, threads: int) -> None:
        pin = RAM_PLUS.weights
        self.copy = copy_name(pin, "int8")
        self._state = state
        self._threads = threads
        self._ranges = Ranges()
        self._shape = RAM_PLUS_SHAPE
        self._vocabulary = load_vocabulary()
        self._prepared = load_exact(pin, self._shape)
        self._quantized: dict[str, Tensor] | None = None
        self._is_looking = False
        self.seen: set[str] = set()
        self._resume()
        self.truth = self._tagger(
            self._prepared, replace(Precision.best(torch.float32), observer=self._observe)
        )

    @classmethod
    @contextmanager
    def begin(cls, threads: int, *, anew: bool = False) -> Iterator[Self]:
        """Begin a calibration, or continue one that was interrupted or not installed.

        Raises:
            IntegrityError: Weights or store are not what they must be.
            ModelError: Weights are missing, or the store cannot be written, or another process is
                calibrating.
        """
        store, copy = default_store(), copy_name(RAM_PLUS.weights, "int8")
        with store.partial(copy.calibration) as state:
            if anew:
                state.truncate(0)
            yield cls(state, threads)

    def look(self, pixels: Mapping[str, Pixels]) -> None:
        """Infer photos, given by digest, and keep the ranges."""
        self._is_looking = True
        try:
            self.truth.scores(list(pixels.values()))
        finally:
            self._is_looking = False
        self.seen |= pixels.keys()
        self._save()

    def quantize(self) -> RamPlusTagger:
        """Return the quantized tagger.

        Raises:
            ModelError: No photo was inferred.
        """
        preparation = QuantizedPreparation(self._prepared.__getitem__, self._shape, self._ranges)
        self._quantized = preparation.take_all()
        return self._tagger(self._quantized, choose_precision("int8", torch.device("cpu")))

    def install(self) -> Path:
        """Install the quantized weights and forget the ranges; return the path of the weights.

        Raises:
            ModelError: It cannot be written.
        """
        if self._quantized is None:
            raise ValueError("nothing to install")
        path = write_copy(
            self.copy,
            entries_of(self._quantized),
            self._quantized.__getitem__,
            {CALIBRATION: self._ranges.digest},
        )
        default_store().discard(self.copy.calibration)
        return path

    def _tagger(self, tensors: Mapping[str, Tensor], layer_precision: Precision) -> RamPlusTagger:
        network = RamPlusNetwork(dict(tensors), self._shape, layer_precision)
        return RamPlusTagger(
            network, self._vocabulary, self.copy.source.sha256, threads=self._threads
        )

    def _observe(self, name: str, x: Tensor) -> None:
        # Photos for comparison must not take part in calibration.
        if self._is_looking:
            self._ranges(name, x)

    @property
    def _identity(self) -> dict[str, str]:
        return {SOURCE: self.copy.source.sha256, FORM: self.copy.form}

    def _save(self) -> None:
        tensors = self._ranges.tensors()
        metadata = self._identity | {_PHOTOS: json.dumps(sorted(self.seen))}
        # A megabyte in one write: an interrupt comes before or after it.
        content = bytearray()
        write_tensors(entries_of(tensors), tensors.__getitem__, metadata, content.extend)
        try:
            self._state.seek(0)
            write_all(self._state.fileno(), memoryview(content))
            self._state.truncate()
        except OSError as error:
            path = default_store().partial_path(self.copy.calibration)
            raise store_error(error, path) from error

    def _resume(self) -> None:
        try:
            mapped = MappedTensors(self._state)
        except ModelError:
            return  # empty or cut off: start over
        if self._identity.items() <= mapped.metadata.items():
            self._ranges.add(mapped.tensors)
            self.seen = set(json.loads(mapped.metadata[_PHOTOS]))


def load_exact(pin: PinnedFile, shape: RamPlusShape) -> Mapping[str, Tensor]:
    """Return the most exact prepared weights: float32, or bfloat16 if no others are there.

    Raises:
        IntegrityError: They are not what they must be.
        ModelError: There are none.
    """

    def mapped(precision: str) -> Mapping[str, Tensor] | None:
        found = load_copy(copy_name(pin, precision))
        return None if found is None else found.tensors

    found = mapped("float32")
    if found is not None:
        return found
    try:
        path = locate(pin)
    except ModelError:
        found = mapped("bfloat16")
        if found is None:
            raise
        return found
    with open_verified(path, pin) as file:
        official = load_state_dict(file, key="model", mmap=True)
        return Preparation(official, shape, torch.float32).take_all()
