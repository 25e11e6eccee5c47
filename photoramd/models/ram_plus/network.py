"""The network of RAM++: from normalised images to the logits of tags.

The official weights are prepared once, tensor by tensor: some are multiplied by a constant that
inference would otherwise need, and large ones are rounded. Prepared weights can be kept in a
file (see `photoramd.models.weights.convert`) and give the same logits from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from photoramd.models.layers.linear import Precision
from photoramd.models.layers.state_dict import Scales, Shapes, Weights
from photoramd.models.ram_plus.swin import (
    SWIN_LARGE,
    SwinEncoder,
    SwinShape,
    swin_linears,
    swin_scales,
    swin_shapes,
)
from photoramd.models.ram_plus.tag_decoder import (
    RAM_PLUS_DECODER,
    DecoderShape,
    TagDecoder,
    decoder_linears,
    decoder_scales,
    decoder_shapes,
)

_PREFIX = "visual_encoder."
_TABLE = "relative_position_bias_table"


@dataclass(frozen=True, slots=True)
class RamPlusShape:
    """The sizes of the image encoder and the tag decoder."""

    encoder: SwinShape
    decoder: DecoderShape

    @property
    def keys(self) -> Shapes:
        """The official keys that are needed, with their shapes; the file holds others, too."""
        return {**swin_shapes(self.encoder, _PREFIX), **decoder_shapes(self.decoder)}

    @property
    def scales(self) -> Scales:
        """The keys whose tensors are multiplied when they are prepared."""
        return {**swin_scales(self.encoder, _PREFIX), **decoder_scales(self.decoder)}

    @property
    def linears(self) -> list[str]:
        """The layers that can be quantized."""
        return [*swin_linears(self.encoder, _PREFIX), *decoder_linears(self.decoder)]

    @property
    def quantized_keys(self) -> Shapes:
        """The keys of a quantized network and their shapes."""
        keys = dict(self.keys)
        for name in self.linears:
            outputs, inputs = keys[f"{name}.weight"]
            keys |= {f"{name}.{part}": (outputs,) for part in ("bias", "weight_scale")}
            keys |= {f"{name}.{part}": (inputs,) for part in ("input_scale", "input_shift")}
        return keys


RAM_PLUS_SHAPE: Final = RamPlusShape(SWIN_LARGE, RAM_PLUS_DECODER)


class Preparation:
    """Prepares the official weights for the network.

    Args:
        tensors: The official weights, by name.
        shape: The sizes they must have.
        dtype: The dtype of the large ones; the small ones stay float32.

    Raises:
        ModelError: A tensor is missing or has another shape.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], shape: RamPlusShape, dtype: torch.dtype
    ) -> None:
        self.shapes = shape.keys
        self._weights = Weights(tensors, self.shapes)
        self._scales = shape.scales
        self._dtype = dtype

    def dtype(self, name: str) -> torch.dtype:
        """Return the dtype of a prepared tensor."""
        return self._dtype if is_large(name, self.shapes[name]) else torch.float32

    def take(self, name: str) -> Tensor:
        """Take out a tensor and prepare it; it may share memory with the official one."""
        tensor = self._weights.take(name)
        if name in self._scales:
            rows, scale = self._scales[name]
            tensor = tensor.to(torch.float32, copy=True)
            tensor[:rows] *= scale
        return tensor.to(self.dtype(name))

    def take_all(self) -> dict[str, Tensor]:
        """Take out and prepare all tensors; the small ones share no memory with the official ones.

        A small tensor that did would keep the whole file mapped.
        """
        return {
            name: tensor if is_large(name, self.shapes[name]) else tensor.clone()
            for name, tensor in zip(self.shapes, map(self.take, self.shapes), strict=True)
        }


def is_large(name: str, shape: tuple[int, ...]) -> bool:
    """Return whether a weight is one of those that may be rounded."""
    return len(shape) > 1 and not name.endswith(_TABLE)


class RamPlusNetwork:
    """The network, ready for inference.

    Args:
        prepared: The weights from `Preparation` or, for a precision with quantization, from
            `photoramd.models.ram_plus.activation_ranges`; may be emptied.
        shape: The network's sizes.
        precision: How the layers calculate.
        tags: The only tags wanted, ascending; None for all.
        release: Gives back the memory of a tensor, or of all, if it can be read from a file again
            when it is needed.
        calibration: Tells apart quantized weights of the same original.

    Raises:
        ModelError: A tensor is missing or has another shape.
    """

    def __init__(
        self,
        prepared: Mapping[str, Tensor],
        shape: RamPlusShape,
        precision: Precision,
        tags: Sequence[int] | None = None,
        release: Callable[[Tensor | None], object] = lambda _: None,
        calibration: str = "",
    ) -> None:
        self.precision = precision
        self.calibration = calibration
        self._release = release
        if precision.quantization is None:
            weights = Weights(prepared, shape.keys)
        else:
            whole = {f"{name}.weight" for name in shape.linears}
            weights = Weights(prepared, shape.quantized_keys, whole)
        with torch.inference_mode():
            self._encoder = SwinEncoder(weights, shape.encoder, _PREFIX, precision)
            self._decoder = TagDecoder(weights, shape.decoder, precision, tags, release)
        release(None)

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits of the wanted tags.

        Args:
            images: Normalised, float32, shape (B, 3, side, side).

        Returns:
            float32, shape (B, tags).
        """
        with torch.inference_mode():
            return self._decoder.logits(self._encoder.tokens(images.to(self.precision.device)))

    def rest(self) -> None:
        """Give back memory whose content can be read from a file again."""
        self._release(None)

    def tokens(self, images: Tensor) -> Tensor:
        """Return the image encoder's output, shape (B, 1 + tokens, width)."""
        with torch.inference_mode():
            return self._encoder.tokens(images.to(self.precision.device))
