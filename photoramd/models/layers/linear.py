"""Linear layers, packed for oneDNN where that works, else plain, with the same results.

On a CPU torch passes float32 products to a library that is slow on some processors, and lays
out the weights again for each product. oneDNN's own operators take weights that were packed
once, and apply GELU or add a residual while they write the results. They are private to torch,
so they are tried with random numbers before use: where they are missing, raise or disagree,
public operators do the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from photoramd.models.layers.quantized import Quantization, QuantizedWeights, best_quantization
from photoramd.models.layers.state_dict import Weights

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.06}
"""How much results of size 1 to 3 may differ between the two ways to compute them."""


class Linear(Protocol):
    """A linear layer, followed by GELU if it was made so."""

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Apply it.

        Args:
            x: Shape (rows, inputs).
            residual: Added to the result, shape (rows, outputs).

        Returns:
            Shape (rows, outputs).
        """


@dataclass(frozen=True, slots=True)
class PlainLinear:
    """The layer with public operators."""

    weight: Tensor
    bias: Tensor | None
    gelu: bool = False

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Linear`."""
        y = functional.linear(x, self.weight, self.bias)
        if self.gelu:
            y = functional.gelu(y)
        return y if residual is None else y.add_(residual)


class PackedLinear:
    """The layer with oneDNN's packed operators; ``gelu`` and a residual exclude each other.

    Args:
        weight: Shape (outputs, inputs); a copy in oneDNN's layout is kept.
        bias: Shape (outputs,).
        gelu: Whether to apply GELU (exact) to the result.
        rows: How many rows it will mostly be given.
    """

    __slots__ = ("_activation", "_bias", "_weight")

    def __init__(
        self, weight: Tensor, bias: Tensor | None, gelu: bool = False, rows: int = 512
    ) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
        self._bias = bias
        self._activation = "gelu" if gelu else "none"

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Linear`."""
        y: Tensor
        if residual is not None:
            y = torch.ops.mkldnn._linear_pointwise.binary(
                x, residual, self._weight, self._bias, "add"
            )
            return y
        y = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, self._activation, [], "none"
        )
        return y


Observer = Callable[[str, Tensor], object]
"""Called with the name of a layer and its input, shape (rows, inputs)."""


@dataclass(frozen=True, slots=True)
class _Observed:
    linear: Linear
    name: str
    observer: Observer

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        self.observer(self.name, x)
        return self.linear(x, residual)


@dataclass(frozen=True, slots=True)
class Precision:
    """How a network calculates: dtype, device and operators.

    Attributes:
        dtype: The dtype of weights and activations: float32 or bfloat16.
        device: The device of the weights.
        packed: Whether to use oneDNN's packed operators.
        quantization: How most layers calculate in int8; None if they do not.
        observer: Called with the input of each layer that can be quantized.
    """

    dtype: torch.dtype
    device: torch.device
    packed: bool
    quantization: Quantization | None = None
    observer: Observer | None = None

    @classmethod
    def best(cls, dtype: torch.dtype, device: torch.device | None = None) -> Precision:
        """Return the precision with packed weights where packing works."""
        device = device or torch.device("cpu")
        return cls(dtype, device, packed=device.type == "cpu" and packing_works(dtype))

    @classmethod
    def whole(cls, dtype: torch.dtype) -> Precision:
        """Return int8 for most layers, on a CPU; ``dtype`` is that of everything else."""
        return replace(cls.best(dtype), quantization=best_quantization(dtype))

    @property
    def precision(self) -> str:
        """Its name in the configuration."""
        return str(self.dtype).removeprefix("torch.") if self.quantization is None else "int8"

    @property
    def is_cpu(self) -> bool:
        """Whether it is best to work in small pieces that stay in the processor's cache."""
        return self.device.type == "cpu"

    def tensor(self, value: Tensor) -> Tensor:
        """Return a weight in this dtype on this device; it may share memory with the given one."""
        return value.to(self.device, self.dtype)

    def linear(
        self, weight: Tensor, bias: Tensor | None, *, gelu: bool = False, rows: int = 512
    ) -> Linear:
        """Return a layer with these weights, of any dtype.

        Args:
            weight: Shape (outputs, inputs).
            bias: Shape (outputs,).
            gelu: Whether to apply GELU (exact) to the result; then no residual can be added.
            rows: How many rows it will mostly be given.
        """
        weight = self.tensor(weight)
        bias = None if bias is None else self.tensor(bias)
        if self.packed:
            return PackedLinear(weight, bias, gelu, rows)
        return PlainLinear(weight, bias, gelu)

    def layer(self, weights: Weights, name: str, *, gelu: bool = False, rows: int = 512) -> Linear:
        """Return a layer that may be quantized; its weights are taken out.

        Args:
            weights: The network's weights.
            name: The prefix of the layer's keys.
            gelu: As for `linear`.
            rows: As for `linear`.
        """
        if self.quantization is not None and f"{name}.weight_scale" in weights:
            parts = (weights.take(f"{name}.{part.name}") for part in fields(QuantizedWeights))
            return self.quantization.linear(QuantizedWeights(*parts), self.dtype, gelu, rows)
        bias = weights.take(f"{name}.bias") if f"{name}.bias" in weights else None
        linear = self.linear(weights.take(f"{name}.weight"), bias, gelu=gelu, rows=rows)
        return linear if self.observer is None else _Observed(linear, name, self.observer)

    def product(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None = None
    ) -> Tensor:
        """Multiply as a linear layer whose weights are used only a few times."""
        if not self.packed:
            return PlainLinear(weight, bias)(x, residual)
        y: Tensor
        if residual is not None:
            y = torch.ops.mkldnn._linear_pointwise.binary(x, residual, weight, bias, "add")
            return y
        y = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "none")
        return y


@cache
def packing_works(dtype: torch.dtype) -> bool:
    """Return whether oneDNN's packed operators exist here and agree with the public ones."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    generator = torch.Generator().manual_seed(1)
    shapes = ((48, 64), (96, 64), (96,), (48, 96))
    with torch.inference_mode():
        x, weight, bias, residual = (
            torch.randn(shape, generator=generator).to(dtype) for shape in shapes
        )
        weight /= 8
        packed = Precision(dtype, torch.device("cpu"), packed=True)
        plain = Precision(dtype, torch.device("cpu"), packed=False)
        expected = _sample(plain, x, weight, bias, residual)
        try:
            found = _sample(packed, x, weight, bias, residual)
            difference = (found - expected).abs().max().item()
        except (RuntimeError, AttributeError, TypeError, NotImplementedError):
            return False
    return difference <= _TOLERANCE[dtype]


def _sample(
    precision: Precision, x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor
) -> Tensor:
    linear = precision.linear(weight, bias, rows=len(x))
    results = [
        linear(x),
        linear(x, residual),
        precision.linear(weight, bias, gelu=True, rows=len(x))(x),
        precision.linear(weight, None, rows=len(x))(x),
        precision.product(x, weight, bias),
        precision.product(x, weight, bias, residual),
    ]
    return torch.stack(results).float()
