"""Swin Transformer (arXiv 2103.14030), inference only, reading the official key names.

The published network rolls the tokens, partitions them into windows and reverses both in every
block. Here the tokens stay in the order of the windows: one gather leads from the windows of one
block to those of the next, and another merges patches. Within a block, windows are independent,
so on a CPU a few windows at a time pass through the whole block, in the processor's cache.

Windows that a block's shift makes of parts of the image that are not adjacent need a mask. They
are put last, so that most others share one bias.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from photoramd.models.layers.attention import LOG2_E, attend
from photoramd.models.layers.linear import Linear, Precision
from photoramd.models.layers.norm import EPSILON, Norm, norm_shapes
from photoramd.models.layers.state_dict import Scales, Shapes, Weights
from photoramd.models.ram_plus.identity import SIDE

_MLP_RATIO = 4
_CHUNK_ROWS = 8 * 144
"""How many tokens, at most, pass through a block together on a CPU, in whole windows."""

_MASKED = -100.0
"""Added to the attention between tokens that are not adjacent, as published."""

Index = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SwinShape:
    """The sizes of a Swin Transformer.

    Attributes:
        width: The width of the first stage; each further one is twice as wide.
        depths: The number of blocks in each stage; every second one is shifted by half a window.
        heads: The number of attention heads in each stage.
        window: The side of a window, in tokens.
        image_side: The side of the image, in pixels.
        patch: The side of a token of the first stage, in pixels.
    """

    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int = 12
    image_side: int = SIDE
    patch: int = 4

    def side(self, stage: int) -> int:
        """Return the number of tokens along a side of the image."""
        return self.image_side // self.patch >> stage


SWIN_LARGE: Final = SwinShape(width=192, depths=(2, 2, 18, 2), heads=(6, 12, 24, 48))


def swin_shapes(shape: SwinShape, prefix: str) -> Shapes:
    """Return the keys that are needed and their shapes."""
    width = shape.width
    keys: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (width, 3, shape.patch, shape.patch),
        "patch_embed.proj.bias": (width,),
    }
    keys |= norm_shapes("patch_embed.norm", width)
    for stage, (depth, heads) in enumerate(zip(shape.depths, shape.heads, strict=True)):
        width = shape.width << stage
        for block in range(depth):
            keys |= _block_shapes(f"layers.{stage}.blocks.{block}", width, heads, shape.window)
        if stage + 1 < len(shape.depths):
            keys[f"layers.{stage}.downsample.reduction.weight"] = (2 * width, 4 * width)
            keys |= norm_shapes(f"layers.{stage}.downsample.norm", 4 * width)
    keys |= norm_shapes("norm", width)
    return {prefix + key: value for key, value in keys.items()}


def swin_scales(shape: SwinShape, prefix: str) -> Scales:
    """Return the scales that the encoder expects in the weights: the queries', for base two."""
    scales = {}
    for stage, (depth, heads) in enumerate(zip(shape.depths, shape.heads, strict=True)):
        width = shape.width << stage
        for block in range(depth):
            for part in ("weight", "bias"):
                name = f"{prefix}layers.{stage}.blocks.{block}.attn.qkv.{part}"
                scales[name] = (width, LOG2_E / math.sqrt(width // heads))
    return scales


def swin_linears(shape: SwinShape, prefix: str) -> list[str]:
    """Return the layers that can be quantized."""
    parts = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    blocks = [
        f"{prefix}layers.{stage}.blocks.{block}.{part}"
        for stage, depth in enumerate(shape.depths)
        for block in range(depth)
        for part in parts
    ]
    merges = range(len(shape.depths) - 1)
    return [*blocks, *(f"{prefix}layers.{stage}.downsample.reduction" for stage in merges)]


def _block_shapes(name: str, width: int, heads: int, window: int) -> dict[str, tuple[int, ...]]:
    hidden = _MLP_RATIO * width
    return {
        **norm_shapes(f"{name}.norm1", width),
        f"{name}.attn.relative_position_bias_table": ((2 * window - 1) ** 2, heads),
        f"{name}.attn.qkv.weight": (3 * width, width),
        f"{name}.attn.qkv.bias": (3 * width,),
        f"{name}.attn.proj.weight": (width, width),
        f"{name}.attn.proj.bias": (width,),
        **norm_shapes(f"{name}.norm2", width),
        f"{name}.mlp.fc1.weight": (hidden, width),
        f"{name}.mlp.fc1.bias": (hidden,),
        f"{name}.mlp.fc2.weight": (width, hidden),
        f"{name}.mlp.fc2.bias": (width,),
    }


class SwinEncoder:
    """The network without its head.

    Args:
        weights: All keys of `swin_shapes`, multiplied by `swin_scales`; they are taken out.
        shape: The network's sizes.
        prefix: The prefix of the keys.
        precision: How the layers calculate.
    """

    def __init__(
        self, weights: Weights, shape: SwinShape, prefix: str, precision: Precision
    ) -> None:
        self._shape = shape
        self._precision = precision
        projection = weights.take(f"{prefix}patch_embed.proj.weight").flatten(1)
        rows = shape.side(0) ** 2
        self._embed = precision.linear(
            projection, weights.take(f"{prefix}patch_embed.proj.bias"), rows=rows
        )
        self._embed_norm = Norm(weights, f"{prefix}patch_embed.norm", EPSILON, precision)
        self._layers: list[_Gather | _SwinBlock | _PatchMerging] = []
        order = np.arange(rows)
        for stage, depth in enumerate(shape.depths):
            cuts = [_Windows.of(shape, stage, shifted=shifted) for shifted in (False, True)]
            pieces = [_chunks(windows, precision) for windows in cuts]
            for block in range(depth):
                windows, chunks = cuts[block % 2], pieces[block % 2]
                self._layers.append(_Gather(order, windows.order, precision))
                order = windows.order
                name = f"{prefix}layers.{stage}.blocks.{block}"
                self._layers.append(_SwinBlock(weights, name, shape, stage, chunks, precision))
            if stage + 1 < len(shape.depths):
                name = f"{prefix}layers.{stage}.downsample"
                self._layers.append(_PatchMerging(weights, name, shape, stage, order, precision))
                order = np.arange(shape.side(stage + 1) ** 2)
        self._layers.append(_Gather(order, np.arange(len(order)), precision))
        self._norm = Norm(weights, f"{prefix}norm", EPSILON, precision)

    def tokens(self, images: Tensor) -> Tensor:
        """Return the output for normalised images.

        Args:
            images: float32, shape (B, 3, side, side).

        Returns:
            Shape (B, 1 + tokens, width): the mean of the tokens, then the tokens by rows of
            the image.
        """
        side, patch = self._shape.side(0), self._shape.patch
        x = images.view(len(images), 3, side, patch, side, patch)
        x = x.permute(2, 4, 0, 1, 3, 5).reshape(side * side * len(images), 3 * patch * patch)
        x = self._embed_norm(self._embed(x.to(self._precision.dtype)))
        # Tokens come first and images second, so that one index serves for any number of them.
        x = x.view(side * side, len(images), -1)
        for layer in self._layers:
            x = layer(x)
        x = self._norm(x).transpose(0, 1)
        return torch.cat([x.mean(1, keepdim=True), x], 1)


# --- The order of tokens ---


@dataclass(frozen=True, slots=True)
class _Windows:
    """The windows of one block.

    Attributes:
        order: For each place, window by window, the token by rows of the image.
        kinds: For each window, which mask it needs, ascending.
        masks: For each kind, bool, shape (kinds, tokens, tokens): True where there is no
            attention.
    """

    order: Index
    kinds: Index
    masks: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, shape: SwinShape, stage: int, *, shifted: bool) -> _Windows:
        side, window = shape.side(stage), shape.window
        count = side // window
        # An image of one window is not shifted.
        shift = window // 2 if shifted and count > 1 else 0
        tokens = np.roll(np.arange(side * side).reshape(side, side), (-shift, -shift), (0, 1))
        cut = (count, window, count, window)
        by_window = tokens.reshape(cut).transpose(0, 2, 1, 3).reshape(count**2, window**2)
        if not shift:
            no_mask = np.zeros((1, window**2, window**2), np.bool_)
            return cls(by_window.reshape(-1), np.zeros(count**2, np.int64), no_mask)
        # After the roll, the last windows of a row or column hold two parts of the image each.
        is_last = (np.arange(count) == count - 1).astype(np.int64)
        kinds = (2 * is_last[:, None] + is_last[None, :]).reshape(-1)
        is_behind = np.arange(window) >= window - shift
        masks = np.zeros((4, window**2, window**2), np.bool_)
        for kind in range(1, 4):
            rows, columns = is_behind & (kind >= 2), is_behind & (kind % 2 == 1)
            parts = (2 * rows[:, None] + columns[None, :]).reshape(-1)
            masks[kind] = parts[:, None] != parts[None, :]
        ranking = np.argsort(kinds, kind="stable")
        return cls(by_window[ranking].reshape(-1), kinds[ranking], masks)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Windows that pass through a block together.

    Attributes:
        first: The first window.
        last: One past the last window.
        mask: Added to the attention, shape (windows, 1, 1, tokens, tokens); None adds nothing.
    """

    first: int
    last: int
    mask: Tensor | None


class _Gather:
    """Rearranges tokens from one order into another."""

    def __init__(self, before: Index, after: Index, precision: Precision) -> None:
        index = _inverse(before)[after]
        self._index = torch.from_numpy(index).to(precision.device)
        self._is_needed = not np.array_equal(index, np.arange(len(index)))

    def __call__(self, x: Tensor) -> Tensor:
        return x.index_select(0, self._index) if self._is_needed else x


class _PatchMerging:
    """Merges four neighbouring tokens into one of twice the width, by rows of the image."""

    def __init__(
        self,
        weights: Weights,
        name: str,
        shape: SwinShape,
        stage: int,
        before: Index,
        precision: Precision,
    ) -> None:
        side = shape.side(stage)
        tokens = np.arange(side * side).reshape(side, side)
        # The published order: down before right.
        four = [tokens[down::2, right::2] for right in (0, 1) for down in (0, 1)]
        index = _inverse(before)[np.stack(four, axis=-1).reshape(-1)]
        self._index = torch.from_numpy(index).to(precision.device)
        self._norm = Norm(weights, f"{name}.norm", EPSILON, precision)
        self._reduction = precision.layer(weights, f"{name}.reduction", rows=side * side // 4)

    def __call__(self, x: Tensor) -> Tensor:
        _, images, width = x.shape
        x = x.index_select(0, self._index).view(-1, 4, images, width).transpose(1, 2)
        x = x.reshape(-1, 4 * width)
        return self._reduction(self._norm(x)).view(-1, images, 2 * width)


def _inverse(order: Index) -> Index:
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return inverse


# --- Blocks ---


class _SwinBlock:
    """Attention within the windows, then the MLP, each with a residual."""

    def __init__(
        self,
        weights: Weights,
        name: str,
        shape: SwinShape,
        stage: int,
        chunks: Sequence[_Chunk],
        precision: Precision,
    ) -> None:
        width, heads, size = shape.width << stage, shape.heads[stage], shape.window**2
        rows = (chunks[0].last - chunks[0].first) * size
        self._window_tokens, self._heads, self._head_width = size, heads, width // heads
        self._norm1 = Norm(weights, f"{name}.norm1", EPSILON, precision)
        self._norm2 = Norm(weights, f"{name}.norm2", EPSILON, precision)

        def linear(part: str, *, gelu: bool = False) -> Linear:
            return precision.layer(weights, f"{name}.{part}", gelu=gelu, rows=rows)

        self._qkv = linear("attn.qkv")
        self._projection = linear("attn.proj")
        self._fc1 = linear("mlp.fc1", gelu=True)
        self._fc2 = linear("mlp.fc2")
        table = weights.take(f"{name}.attn.relative_position_bias_table").float()
        self._bias = precision.tensor(_bias(table, shape.window))
        self._chunks = chunks

    def __call__(self, x: Tensor) -> Tensor:
        """Return the next state; ``x`` may be overwritten."""
        tokens, images, width = x.shape
        size = self._window_tokens
        for chunk in self._chunks:
            rows = slice(chunk.first * size, chunk.last * size)
            part = self._run(x[rows].reshape(-1, width), images, chunk.mask)
            if len(self._chunks) == 1:
                return part.view(tokens, images, width)
            # No other chunk reads these rows.
            x[rows] = part.view(-1, images, width)
        return x

    def _run(self, x: Tensor, images: int, mask: Tensor | None) -> Tensor:
        x = self._projection(self._attend(self._norm1(x), images, mask), x)
        return self._fc2(self._fc1(self._norm2(x)), x)

    def _attend(self, x: Tensor, images: int, mask: Tensor | None) -> Tensor:
        """Compute the attention of all windows in rows of tokens and images.

        Args:
            x: Shape (windows x tokens x images, width).
            images: The number of images.
            mask: Shape (windows, 1, 1, tokens, tokens).

        Returns:
            The shape of ``x``.
        """
        qkv = self._qkv(x).view(-1, self._window_tokens, images, 3, self._heads, self._head_width)
        # One copy here saves a copy of each part in the products.
        queries, keys, values = qkv.permute(3, 0, 2, 4, 1, 5).contiguous().unbind(0)
        mixed = attend(queries, keys, values, self._bias, mask)
        return mixed.permute(0, 3, 1, 2, 4).reshape(x.shape)


def _bias(table: Tensor, window: int) -> Tensor:
    """Return the relative position bias times log2(e), shape (heads, tokens, tokens)."""
    place = np.arange(window)
    down, right = (axis.reshape(-1) for axis in np.meshgrid(place, place, indexing="ij"))
    rows = down[:, None] - down[None, :] + window - 1
    columns = right[:, None] - right[None, :] + window - 1
    index = torch.from_numpy(rows * (2 * window - 1) + columns)
    return table[index].permute(2, 0, 1).contiguous() * LOG2_E


def _chunks(windows: _Windows, precision: Precision) -> list[_Chunk]:
    """Return the windows of a block in chunks."""
    chunks = []
    count, tokens = len(windows.kinds), windows.masks.shape[-1]
    at_once = max(1, _CHUNK_ROWS // tokens) if precision.is_cpu else count
    masks = precision.tensor(torch.from_numpy(windows.masks) * (_MASKED * LOG2_E))
    for first in range(0, len(windows.kinds), at_once):
        kinds = windows.kinds[first : first + at_once]
        mask = None
        if kinds.any():
            mask = masks[torch.from_numpy(kinds).to(masks.device)][:, None, None]
        chunks.append(_Chunk(first, first + len(kinds), mask))
    return chunks
