"""Linear layers in int8: a quarter of float32's size, twice bfloat16's speed.

Static quantization: each channel of a layer's input is shifted and scaled to 0 ... 255 by the
range that calibration found (`ram_plus.activation_ranges`). Weights are -127 ... 127, scaled per
output; before that they take on half of the input channels' scales, as in SmoothQuant (arXiv
2211.10438) with alpha = 1/2. The product of shift and weights is part of the bias.

oneDNN's operators are private to torch, so they are tried with random numbers before use; where
they fail or disagree, the same sums are done in floats. Inputs are unsigned, because signed ones
would use a reference implementation that takes seconds. Processors without VNNI add two products
in 16 bits and saturate: there inputs are 0 ... 127.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

WEIGHT_LEVELS: Final = 127

_PIECE = 1 << 18
"""How many numbers are quantized at a time: in float32 they fit into a core's cache."""

_TWO_TO_23 = float(1 << 23)

_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.06}
"""How much results of size 1 to 3 may differ between the two ways to compute them."""


@dataclass(frozen=True, slots=True)
class QuantizedWeights:
    """The parameters of a layer. With inputs x it gives (x * scale + shift) @ weights + bias.

    Attributes:
        weight: int8, shape (outputs, inputs).
        weight_scale: The factor of each output's weights, float32, shape (outputs,).
        input_scale: float32, shape (inputs,).
        input_shift: float32, shape (inputs,); scaled and shifted, inputs lie within -1 and 1.
        bias: float32, shape (outputs,).
    """

    weight: Tensor
    weight_scale: Tensor
    input_scale: Tensor
    input_shift: Tensor
    bias: Tensor


def quantize(
    weight: Tensor, bias: Tensor | None, lowest: Tensor, highest: Tensor
) -> QuantizedWeights:
    """Quantize a layer.

    Args:
        weight: Shape (outputs, inputs).
        bias: Shape (outputs,).
        lowest: The lowest value of each input that calibration saw, shape (inputs,).
        highest: The highest value, likewise.
    """
    weight = weight.float()
    centre = (lowest + highest) / 2
    # An input that never changes still needs a scale.
    reach = ((highest - lowest) / 2).clamp_min(1e-5)
    strength = weight.abs().amax(0).clamp_min(1e-5)
    smooth = (reach / strength).sqrt()
    scale = 1 / (smooth * (reach / smooth).max())
    scaled = weight / scale
    weight_scale = scaled.abs().amax(1).clamp_min(1e-12) / WEIGHT_LEVELS
    shifted = weight @ centre
    return QuantizedWeights(
        (scaled / weight_scale[:, None]).round_().to(torch.int8),
        weight_scale,
        scale,
        -centre * scale,
        shifted if bias is None else shifted + bias.float(),
    )


class _Input:
    """Quantizes inputs to integers from 0 to the number of levels."""

    __slots__ = ("_levels", "_scale", "_shift", "step", "zero")

    def __init__(self, weights: QuantizedWeights, levels: int) -> None:
        self.zero = (levels + 1) // 2
        self.step = 1 / (levels // 2)
        self._levels = levels
        self._scale = weights.input_scale / self.step
        self._shift = weights.input_shift / self.step + self.zero

    def __call__(self, x: Tensor) -> Tensor:
        """Return uint8, the shape of ``x``."""
        if x.numel() <= _PIECE:
            return self._quantize(x).to(torch.uint8)
        y = torch.empty(x.shape, dtype=torch.uint8)
        rows = max(1, _PIECE // x.shape[1])
        for first in range(0, len(x), rows):
            y[first : first + rows] = self._quantize(x[first : first + rows])
        return y

    def _quantize(self, x: Tensor) -> Tensor:
        """Return int32, of which the lowest byte counts."""
        # All in one buffer: allocating costs more than the calculation.
        y = x.to(torch.float32, copy=True)
        torch.addcmul(self._shift, y, self._scale, out=y)
        # From 2**23 on, the lowest bits of a float32 are the rounded integer itself.
        return y.clamp_(0, self._levels).add_(_TWO_TO_23).view(torch.int32)


class PlainQuantizedLinear:
    """The layer with public operators, in floats: the same results, without the speed.

    Args:
        weights: Its parameters.
        dtype: The dtype of inputs and outputs.
        gelu: Whether to apply GELU (exact) to the result.
        levels: The largest quantized input.
    """

    __slots__ = ("_bias", "_dtype", "_gelu", "_input", "_scale", "_weight")

    def __init__(
        self, weights: QuantizedWeights, dtype: torch.dtype, gelu: bool, levels: int
    ) -> None:
        self._input = _Input(weights, levels)
        self._dtype = dtype
        self._weight = weights.weight
        self._scale = weights.weight_scale * self._input.step
        self._bias = weights.bias
        self._gelu = gelu

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `photoramd.models.layers.linear.Linear`."""
        whole = self._input(x).float() - self._input.zero
        y = functional.linear(whole, self._weight.float()) * self._scale + self._bias
        if self._gelu:
            y = functional.gelu(y)
        return (y if residual is None else y + residual).to(self._dtype)


class PackedQuantizedLinear:
    """The layer with oneDNN's operators; ``gelu`` and a residual exclude each other.

    Args:
        weights: Its parameters; the weight itself is copied in oneDNN's layout.
        dtype: The dtype of inputs and outputs.
        gelu: Whether to apply GELU (exact) to the result.
        levels: The largest quantized input.
        rows: How many rows it will mostly be given.
    """

    __slots__ = ("_bias", "_dtype", "_input", "_post", "_scale", "_weight", "_zeros")

    def __init__(
        self,
        weights: QuantizedWeights,
        dtype: torch.dtype,
        gelu: bool,
        levels: int,
        rows: int = 512,
    ) -> None:
        outputs, inputs = weights.weight.shape
        self._input = _Input(weights, levels)
        self._dtype = dtype
        self._weight = torch.ops.onednn.qlinear_prepack(weights.weight.contiguous(), [rows, inputs])
        self._scale = weights.weight_scale
        self._zeros = torch.zeros(outputs, dtype=torch.int32)
        self._bias = weights.bias
        self._post = "gelu" if gelu else "none"

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `photoramd.models.layers.linear.Linear`."""
        given = (
            self._input(x),
            self._input.step,
            self._input.zero,
            self._weight,
            self._scale,
            self._zeros,
        )
        y: Tensor
        if residual is not None:
            y = torch.ops.onednn.qlinear_pointwise.binary(
                *given,
                residual,
                self._bias,
                1.0,
                0,
                self._dtype,
                1.0,
                0,
                "add",
                1.0,
                "none",
                [],
                "",
            )
            return y
        y = torch.ops.onednn.qlinear_pointwise(
            *given, self._bias, 1.0, 0, self._dtype, self._post, [], "none"
        )
        return y


@dataclass(frozen=True, slots=True)
class Quantization:
    """How layers calculate in int8 on this processor.

    Attributes:
        packed: Whether to use oneDNN's operators.
        levels: The largest quantized input: 255, or 127 where larger ones would saturate.
    """

    packed: bool = False
    levels: int = 255

    def linear(
        self, weights: QuantizedWeights, dtype: torch.dtype, gelu: bool, rows: int
    ) -> PackedQuantizedLinear | PlainQuantizedLinear:
        """Return a layer; see `PackedQuantizedLinear` for the arguments."""
        if self.packed:
            return PackedQuantizedLinear(weights, dtype, gelu, self.levels, rows)
        return PlainQuantizedLinear(weights, dtype, gelu, self.levels)


@cache
def best_quantization(dtype: torch.dtype) -> Quantization:
    """Return the fastest way that gives right results on this processor, for this dtype."""
    for levels in (255, 127):
        if _agrees(Quantization(packed=True, levels=levels), dtype):
            return Quantization(packed=True, levels=levels)
    return Quantization()


def _agrees(packed: Quantization, dtype: torch.dtype) -> bool:
    plain = Quantization(levels=packed.levels)
    generator = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        x, weight, bias, residual = (
            torch.randn(shape, generator=generator)
            for shape in ((48, 64), (96, 64), (96,), (48, 96))
        )
        x[0] = 4.0  # the largest inputs and the largest weights together
        weight[0] = 3.0
        lowest, highest = torch.full((64,), -4.0), torch.full((64,), 4.0)
        weights = quantize(weight / 24, bias, lowest, highest)
        x, residual = x.to(dtype), residual.to(dtype)
        try:
            found, expected = (_sample(way, weights, x, residual) for way in (packed, plain))
        except (RuntimeError, AttributeError, TypeError, NotImplementedError):
            return False
        return (found - expected).abs().max().item() <= _TOLERANCE[dtype]


def _sample(way: Quantization, weights: QuantizedWeights, x: Tensor, residual: Tensor) -> Tensor:
    linear = way.linear(weights, x.dtype, gelu=False, rows=len(x))
    gelu = way.linear(weights, x.dtype, gelu=True, rows=len(x))
    return torch.stack([linear(x), linear(x, residual), gelu(x)]).float()
