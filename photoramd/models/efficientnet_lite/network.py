"""EfficientNet-Lite0, the network of the embedded tagger.

The architecture is that of https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
(EfficientNet-B0 without squeeze-and-excite, with ReLU6 for swish): 4.7 million parameters,
0.4 billion multiply-adds for 224 x 224 pixels. Names of the parameters are those of the
published PyTorch weights, so that a state dict loads as it is.

Imports torch; nothing that must start fast imports this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

INPUT_SIDE = 224
"""Width and height of the input, in pixels."""

CLASSES = 1000

_BATCH_NORM_EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class _Stage:
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STEM_CHANNELS = 32
_HEAD_CHANNELS = 1280
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class SamePadConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: the odd pixel goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', ceil(H / stride), ceil(W / stride))."""
        if self.stride[0] > 1:
            x = functional.pad(
                x, same_padding(x.shape[-1], self.kernel_size[0], self.stride[0]) * 2
            )
            return functional.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)
        middle = self.kernel_size[0] // 2
        return functional.conv2d(x, self.weight, self.bias, 1, middle, 1, self.groups)


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after a side that make the output ceil(side / stride) long."""
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


class Block(nn.Module):
    """An inverted residual: expand, filter each channel, project, add."""

    def __init__(self, stage: _Stage, channels_in: int, stride: int) -> None:
        super().__init__()
        width = channels_in * stage.expansion
        self.expands = stage.expansion > 1
        self.adds = stride == 1 and channels_in == stage.channels
        if self.expands:
            self._expand_conv = SamePadConv2d(channels_in, width, 1, bias=False)
            self._bn0 = _batch_norm(width)
        self._depthwise_conv = SamePadConv2d(
            width, width, stage.kernel, stride, groups=width, bias=False
        )
        self._bn1 = _batch_norm(width)
        self._project_conv = SamePadConv2d(width, stage.channels, 1, bias=False)
        self._bn2 = _batch_norm(stage.channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        y: Tensor = x
        if self.expands:
            y = functional.relu6(self._bn0(self._expand_conv(y)))
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        if self.adds:
            y = x + y
        return y

    def convolutions(self) -> Iterator[tuple[SamePadConv2d, nn.BatchNorm2d]]:
        """Yield each convolution with the norm behind it; all but the last are clipped to 0..6."""
        if self.expands:
            yield self._expand_conv, self._bn0
        yield self._depthwise_conv, self._bn1
        yield self._project_conv, self._bn2


class EfficientNetLite0(nn.Module):
    """The whole network: (N, 3, 224, 224) normalised pixels to (N, 1000) logits."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SamePadConv2d(3, _STEM_CHANNELS, 3, 2, bias=False)
        self._bn0 = _batch_norm(_STEM_CHANNELS)
        self._blocks = nn.ModuleList(_blocks())
        self._conv_head = SamePadConv2d(_STAGES[-1].channels, _HEAD_CHANNELS, 1, bias=False)
        self._bn1 = _batch_norm(_HEAD_CHANNELS)
        self._fc = nn.Linear(_HEAD_CHANNELS, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, float32, shape (N, 1000)."""
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self.blocks():
            x = block(x)
        x = functional.relu6(self._bn1(self._conv_head(x)))
        logits: Tensor = self._fc(x.mean((2, 3)))
        return logits

    def stem(self) -> tuple[SamePadConv2d, nn.BatchNorm2d]:
        """Return the first convolution and its norm, clipped to 0..6."""
        return self._conv_stem, self._bn0

    def blocks(self) -> Iterator[Block]:
        """Yield the inverted residuals in their order."""
        for block in self._blocks:
            yield cast(Block, block)

    def head(self) -> tuple[SamePadConv2d, nn.BatchNorm2d]:
        """Return the last convolution and its norm, clipped to 0..6."""
        return self._conv_head, self._bn1

    def classifier(self) -> nn.Linear:
        """Return logits from the mean over all positions."""
        return self._fc


def _blocks() -> Iterator[Block]:
    channels = _STEM_CHANNELS
    for stage in _STAGES:
        for index in range(stage.repeats):
            yield Block(stage, channels, stage.stride if index == 0 else 1)
            channels = stage.channels


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_BATCH_NORM_EPSILON)
