"""A network's weights on their way from a file into layers: checked by name and shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from photoramd.errors import ModelError

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

Scales: TypeAlias = Mapping[str, tuple[int, float]]
"""By name: how many of the first rows are to be multiplied, and by what."""


class Weights:
    """The tensors that a network needs, each taken out once so that its memory can go.

    Args:
        tensors: By name; others than the needed ones are ignored. Not changed, but the caller
            should not keep it either.
        shapes: What is needed.

    Raises:
        ModelError: One is missing, or has another shape, or is no floating point tensor.
    """

    def __init__(self, tensors: Mapping[str, Tensor], shapes: Shapes) -> None:
        self._tensors = {name: _checked(tensors, name, shape) for name, shape in shapes.items()}

    def take(self, name: str) -> Tensor:
        """Take a tensor out."""
        return self._tensors.pop(name)


def _checked(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    tensor = tensors.get(name)
    if not isinstance(tensor, Tensor):
        raise ModelError(f"the weights lack {name}", remedy=_REMEDY)
    if not shape and tensor.numel() == 1:  # a number; NumPy makes it an array of one
        tensor = tensor.reshape(())
    if tuple(tensor.shape) != shape:
        raise ModelError(
            f"{name} has shape {tuple(tensor.shape)}, expected {shape}", remedy=_REMEDY
        )
    if not tensor.is_floating_point() or tensor.layout != torch.strided:
        raise ModelError(f"{name} holds {tensor.dtype}, expected floats", remedy=_REMEDY)
    return tensor


_REMEDY = "these are weights of another network, or of another version of it"
