"""EfficientNet-Lite0 rearranged for fast inference on a CPU: the same sums in less time.

- Each batch norm is folded into the convolution before it.
- TensorFlow pads a stride-2 convolution of an even side only right and below, which costs a
  padded copy of the largest tensors. Turned by 180 degrees, that padding is left and above,
  which a symmetric padding amounts to. So the kernels are turned once and each image as it
  comes; the mean over all positions at the end is the same.
- oneDNN gets its weights packed in advance, and clips and adds as it writes results. The
  operators for that are private to torch, so they are tried when the network is built:
  where they are missing or disagree, public ones do the same in twice the time.
- The first blocks, whose tensors are large, run on two images at a time, which stay in the
  processor's cache; the later ones on the whole batch, for which they read their weights once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from photoramd.models.efficientnet_lite.network import INPUT_SIDE, EfficientNetLite0, SamePadConv2d

BATCH = 8
"""Larger batches are no faster on a CPU and take more memory."""

_EARLY_BATCH = 2
_EARLY_BLOCKS = 5
"""The blocks with 28 x 28 positions and more."""

_MEAN = 127.0
_DEVIATION = 128.0

_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.5}
"""How much the logits of the two ways, which reach about 20, may differ."""


@dataclass(frozen=True, slots=True)
class _Convolution:
    """A folded and turned convolution, from (N, C, H, W) to (N, C', H / stride, W / stride)."""

    weight: Tensor
    bias: Tensor
    stride: int
    padding: int
    groups: int
    clips: bool
    input_shape: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Step:
    """Consecutive convolutions; with ``adds`` the input is added to the last one's output."""

    convolutions: tuple[_Convolution, ...]
    adds: bool


class _Convolve(Protocol):
    def __call__(self, convolution: _Convolution, x: Tensor, residual: Tensor | None) -> Tensor: ...


class FoldedNetwork:
    """The network, ready for inference.

    Args:
        network: The network with its weights; not changed.
        dtype: Of weights and activations: float32 or bfloat16.

    Attributes:
        is_packed: Whether oneDNN's packed operators are in use.
    """

    def __init__(self, network: EfficientNetLite0, dtype: torch.dtype = torch.float32) -> None:
        self._dtype = dtype
        self._classifier = network.classifier()
        with torch.inference_mode():
            early, late = _fold(network, dtype)
            self._early, self._late, self._convolve = early, late, _convolve_plainly
            self.is_packed = self._pack()

    def logits(self, pixels: Tensor) -> Tensor:
        """Return the logits of any number of images.

        Args:
            pixels: uint8 RGB, shape (N, 224, 224, 3).

        Returns:
            float32, shape (N, 1000).
        """
        with torch.inference_mode():
            return torch.cat([self._logits(chunk) for chunk in _chunks(pixels, BATCH)])

    def _logits(self, pixels: Tensor) -> Tensor:
        # Height and width are turned here; the copy is in memory format channels_last already.
        x = pixels.flip(1, 2).to(torch.float32).sub_(_MEAN).div_(_DEVIATION)
        x = x.to(self._dtype).permute(0, 3, 1, 2)
        x = torch.cat([self._run(self._early, chunk) for chunk in _chunks(x, _EARLY_BATCH)])
        x = self._run(self._late, x)
        logits: Tensor = self._classifier(x.mean((2, 3), dtype=torch.float32))
        return logits

    def _run(self, steps: Iterable[_Step], x: Tensor) -> Tensor:
        for step in steps:
            *first, last = step.convolutions
            y = x
            for convolution in first:
                y = self._convolve(convolution, y, None)
            x = self._convolve(last, y, x if step.adds else None)
        return x

    def _pack(self) -> bool:
        """Switch to packed operators if they exist and agree; return whether that was done."""
        if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            return False
        plain = (self._early, self._late, self._convolve)
        sample = torch.arange(2 * INPUT_SIDE * INPUT_SIDE * 3) * 37 % 251
        sample = sample.to(torch.uint8).reshape(2, INPUT_SIDE, INPUT_SIDE, 3)
        expected = self._logits(sample)
        try:
            self._early, self._late = _packed(self._early), _packed(self._late)
            self._convolve = _convolve_packed
            difference = (self._logits(sample) - expected).abs().max().item()
        except (RuntimeError, AttributeError, TypeError, NotImplementedError):
            difference = float("nan")
        if difference <= _TOLERANCE[self._dtype]:
            return True
        self._early, self._late, self._convolve = plain
        return False


def _chunks(images: Tensor, size: int) -> list[Tensor]:
    return [images[start : start + size] for start in range(0, len(images), size)]


def _fold(network: EfficientNetLite0, dtype: torch.dtype) -> tuple[list[_Step], list[_Step]]:
    """Return the steps of the early blocks and of the later ones."""
    folder = _Folder(dtype)
    steps = [folder.step([network.stem()], clips_last=True)]
    for index, block in enumerate(network.blocks()):
        if index == _EARLY_BLOCKS:
            folder.batch = BATCH
        steps.append(folder.step(list(block.convolutions()), adds=block.adds))
    steps.append(folder.step([network.head()], clips_last=True))
    return steps[: _EARLY_BLOCKS + 1], steps[_EARLY_BLOCKS + 1 :]


class _Folder:
    """Folds layer by layer and keeps count of the size of the tensors between them."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.batch = _EARLY_BATCH
        self._dtype = dtype
        self._side = INPUT_SIDE

    def step(
        self,
        layers: Sequence[tuple[SamePadConv2d, nn.BatchNorm2d]],
        *,
        adds: bool = False,
        clips_last: bool = False,
    ) -> _Step:
        last = len(layers) - 1
        convolutions = tuple(
            self._convolution(convolution, norm, clips=index < last or clips_last)
            for index, (convolution, norm) in enumerate(layers)
        )
        return _Step(convolutions, adds)

    def _convolution(
        self, convolution: SamePadConv2d, norm: nn.BatchNorm2d, *, clips: bool
    ) -> _Convolution:
        fused = fuse_conv_bn_eval(convolution.eval(), norm.eval())
        stride, kernel = fused.stride[0], fused.kernel_size[0]
        if self._side % stride:
            raise ValueError("turning an image replaces SAME padding for even sides only")
        turned = fused.weight.flip(2, 3).to(self._dtype)
        folded = _Convolution(
            weight=turned.contiguous(memory_format=torch.channels_last),
            bias=cast(Tensor, fused.bias).to(self._dtype),
            stride=stride,
            padding=kernel // 2,
            groups=fused.groups,
            clips=clips,
            input_shape=(self.batch, fused.in_channels, self._side, self._side),
        )
        self._side //= stride
        return folded


def _convolve_plainly(c: _Convolution, x: Tensor, residual: Tensor | None) -> Tensor:
    y = functional.conv2d(x, c.weight, c.bias, c.stride, c.padding, 1, c.groups)
    if residual is not None:
        y += residual
    return y.clamp_(0, 6) if c.clips else y


def _convolve_packed(c: _Convolution, x: Tensor, residual: Tensor | None) -> Tensor:
    operator = torch.ops.mkldnn._convolution_pointwise
    stride, padding, dilation = [c.stride] * 2, [c.padding] * 2, [1, 1]
    y: Tensor
    if residual is not None:
        y = operator.binary(
            x, residual, c.weight, c.bias, padding, stride, dilation, c.groups,
            "add", 1.0, None, [], None,
        )  # fmt: skip
        return y
    clip = ("hardtanh", [0.0, 6.0]) if c.clips else ("none", [])
    y = operator(x, c.weight, c.bias, padding, stride, dilation, c.groups, *clip, "")
    return y


def _packed(steps: Iterable[_Step]) -> list[_Step]:
    return [replace(step, convolutions=tuple(map(_pack, step.convolutions))) for step in steps]


def _pack(c: _Convolution) -> _Convolution:
    weight = torch.ops.mkldnn._reorder_convolution_weight(
        c.weight, [c.padding] * 2, [c.stride] * 2, [1, 1], c.groups, list(c.input_shape)
    )
    return replace(c, weight=weight)
