"""Layer normalization."""

from __future__ import annotations

import torch
from torch import Tensor

from photoramd.models.layers.linear import Precision
from photoramd.models.layers.state_dict import Weights

EPSILON = 1e-5


def norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a norm's weight and bias, by their names."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


class Norm:
    """Layer norm over the last dimension."""

    def __init__(self, weights: Weights, name: str, epsilon: float, precision: Precision) -> None:
        self._weight = precision.tensor(weights.take(f"{name}.weight"))
        self._bias = precision.tensor(weights.take(f"{name}.bias"))
        self._epsilon = epsilon

    def __call__(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        return torch.layer_norm(x, self._weight.shape, self._weight, self._bias, self._epsilon)
