"""Calibrate int8 for RAM++: find the range of each layer's inputs on photos.

The float32 network infers photos, and the lowest and highest value of each input channel of each
layer are noted. The ranges of several photos, or of several attempts, are merged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from threading import Lock

import torch
from torch import Tensor

from photoramd.errors import ModelError
from photoramd.models.layers.quantized import quantize
from photoramd.models.ram_plus.network import RamPlusShape, is_large
from photoramd.models.weights.safetensors import TensorEntry


class Ranges:
    """The ranges of the layers' inputs so far; an `Observer` that several threads may call."""

    def __init__(self) -> None:
        self._lowest: dict[str, Tensor] = {}
        self._highest: dict[str, Tensor] = {}
        self._lock = Lock()

    def __call__(self, name: str, x: Tensor) -> None:
        """Note the input of a layer, shape (rows, inputs)."""
        lowest, highest = torch.aminmax(x, dim=0)
        self._unite(name, lowest.float(), highest.float())

    def _unite(self, name: str, lowest: Tensor, highest: Tensor) -> None:
        with self._lock:
            if name in self._lowest:
                lowest = torch.minimum(lowest, self._lowest[name])
                highest = torch.maximum(highest, self._highest[name])
            self._lowest[name], self._highest[name] = lowest, highest

    def of(self, name: str) -> tuple[Tensor, Tensor]:
        """Return the lowest and highest value of each input of a layer.

        Raises:
            ModelError: The layer has not been run.
        """
        if name not in self._lowest:
            raise ModelError(
                f"nothing was seen of the layer {name}", remedy="calibrate with photos"
            )
        return self._lowest[name], self._highest[name]

    def tensors(self) -> dict[str, Tensor]:
        """Return all ranges, to be kept in a file."""
        with self._lock:
            named = {"lowest": self._lowest, "highest": self._highest}
            return {f"{name}.{end}": t for end, ends in named.items() for name, t in ends.items()}

    def add(self, tensors: Mapping[str, Tensor]) -> None:
        """Merge ranges from a file."""
        for key, lowest in tensors.items():
            name, _, end = key.rpartition(".")
            if end == "lowest":
                self._unite(name, lowest.clone(), tensors[f"{name}.highest"].clone())

    @property
    def digest(self) -> str:
        """A digest of these ranges: 16 hexadecimal digits."""
        content = hashlib.sha256()
        for name, tensor in sorted(self.tensors().items()):
            content.update(name.encode())
            content.update(tensor.contiguous().numpy().tobytes())
        return content.hexdigest()[:16]


class QuantizedPreparation:
    """Makes the weights of the quantized network from prepared ones.

    Args:
        take: Gives a prepared weight (see `Preparation`), the most exact one that there is.
        shape: The network's sizes.
        ranges: The ranges that calibration found.
    """

    def __init__(self, take: Callable[[str], Tensor], shape: RamPlusShape, ranges: Ranges) -> None:
        self._take = take
        self._shape = shape
        self._ranges = ranges

    def take_all(self) -> dict[str, Tensor]:
        """Return all tensors by name; the large ones that are not quantized are bfloat16."""
        tensors: dict[str, Tensor] = {}
        keys = self._shape.keys
        with torch.inference_mode():
            for name in self._shape.linears:
                bias = self._take(f"{name}.bias") if f"{name}.bias" in keys else None
                weights = quantize(self._take(f"{name}.weight"), bias, *self._ranges.of(name))
                tensors |= {f"{name}.{part}": value for part, value in asdict(weights).items()}
            for name in keys.keys() - tensors.keys():
                dtype = torch.bfloat16 if is_large(name, keys[name]) else torch.float32
                tensors[name] = self._take(name).to(dtype)
        return tensors


def entries_of(tensors: Mapping[str, Tensor]) -> dict[str, TensorEntry]:
    """Return the entries of tensors in a file."""
    return {
        name: TensorEntry(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()
    }
