"""Check a network's weights by name and shape, and hand them out to its layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from photoramd.errors import ModelError

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

Scales: TypeAlias = Mapping[str, tuple[int, float]]
"""For each name, how many of the first rows to multiply, and by what."""


class Weights:
    """The tensors that a network needs, each taken out once so that its memory can be freed.

    Args:
        tensors: Tensors by name; those that are not needed are ignored. It is not changed, but
            the caller should drop it to free the memory.
        shapes: The names and shapes that are needed.
        whole: The names of int8 tensors; all others are floats.

    Raises:
        ModelError: A tensor is missing, or has another shape or dtype.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], shapes: Shapes, whole: Collection[str] = ()
    ) -> None:
        self._tensors = {
            name: _checked(tensors, name, shape, name in whole) for name, shape in shapes.items()
        }

    def __contains__(self, name: str) -> bool:
        """Return whether a tensor is there and not taken out yet."""
        return name in self._tensors

    def take(self, name: str) -> Tensor:
        """Take a tensor out."""
        return self._tensors.pop(name)


def _checked(
    tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...], is_whole: bool
) -> Tensor:
    tensor = tensors.get(name)
    if not isinstance(tensor, Tensor):
        raise ModelError(f"the weights lack {name}", remedy=_REMEDY)
    if not shape and tensor.numel() == 1:  # a number; NumPy makes it an array of one
        tensor = tensor.reshape(())
    if tuple(tensor.shape) != shape:
        raise ModelError(
            f"{name} has shape {tuple(tensor.shape)}, expected {shape}", remedy=_REMEDY
        )
    is_right = tensor.dtype is torch.int8 if is_whole else tensor.is_floating_point()
    if not is_right or tensor.layout != torch.strided:
        expected = "int8" if is_whole else "floats"
        raise ModelError(f"{name} holds {tensor.dtype}, expected {expected}", remedy=_REMEDY)
    return tensor


_REMEDY = "these are weights of another network, or of another version of it"
