"""The tag decoder of RAM++ (arXiv 2310.15200, after Query2Label, arXiv 2107.10834).

Each tag is a query, made of 51 embeddings of descriptions, weighted by the picture, and
looks at the tokens of the picture through two layers of cross-attention. Tags know nothing of
each other, so some hundreds at a time pass through everything, in the processor's cache, and
leaving tags out leaves the logits of the others as they are.

Sums are rearranged: a layer's queries are only ever multiplied with the picture's 145 keys, so
the picture's keys are multiplied with the weights of the queries instead of 4,585 queries;
and likewise its values with the weights behind the attention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from photoramd.models.layers.attention import LOG2_E, softmax
from photoramd.models.layers.linear import Precision
from photoramd.models.layers.norm import Norm
from photoramd.models.layers.state_dict import Scales, Shapes, Weights

_EPSILON = 1e-12

CHUNK = 512
"""Tags that pass through together. Always as many, for a product of other sizes might add up
in another order: the logits of a tag must not depend on what other tags there are."""

_REWEIGHTED = 128
"""Tags whose descriptions are reweighted together: they are read twice, the second time from the
cache. Divides `CHUNK`."""


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """The sizes of the tag decoder.

    Attributes:
        tags: Number of tags.
        descriptions: Embeddings of each tag.
        embedding_width: Of those embeddings, and of the picture's tokens.
        width: Of the layers.
        heads: Of the attention.
        layers: How many.
        hidden: Width within the MLP.
        image_width: Of the tokens as they come from the image encoder.
    """

    tags: int
    descriptions: int
    embedding_width: int
    width: int
    heads: int
    layers: int
    hidden: int
    image_width: int


RAM_PLUS_DECODER: Final = DecoderShape(
    tags=4585,
    descriptions=51,
    embedding_width=512,
    width=768,
    heads=4,
    layers=2,
    hidden=3072,
    image_width=1536,
)


def decoder_shapes(shape: DecoderShape) -> Shapes:
    """Return the keys that are needed and their shapes."""
    width, embedding = shape.width, shape.embedding_width
    keys: dict[str, tuple[int, ...]] = {
        "label_embed": (shape.tags * shape.descriptions, embedding),
        "reweight_scale": (),
        "image_proj.weight": (embedding, shape.image_width),
        "image_proj.bias": (embedding,),
        "wordvec_proj.weight": (width, embedding),
        "wordvec_proj.bias": (width,),
        "fc.weight": (1, width),
        "fc.bias": (1,),
    }
    for layer in range(shape.layers):
        name = f"tagging_head.encoder.layer.{layer}"
        sizes = {
            "crossattention.self.query": (width, width),
            "crossattention.self.key": (width, embedding),
            "crossattention.self.value": (width, embedding),
            "crossattention.output.dense": (width, width),
            "intermediate.dense": (shape.hidden, width),
            "output.dense": (width, shape.hidden),
        }
        for part, size in sizes.items():
            keys |= {f"{name}.{part}.weight": size, f"{name}.{part}.bias": size[:1]}
        for part in ("crossattention.output.LayerNorm", "output.LayerNorm"):
            keys |= {f"{name}.{part}.weight": (width,), f"{name}.{part}.bias": (width,)}
    return keys


def decoder_linears(shape: DecoderShape) -> list[str]:
    """Return the layers that can be quantized: those that take most of the time."""
    parts = ("intermediate.dense", "output.dense")
    layers = range(shape.layers)
    return [f"tagging_head.encoder.layer.{layer}.{part}" for layer in layers for part in parts]


def decoder_scales(shape: DecoderShape) -> Scales:
    """Return the scales that the decoder expects in the weights: the queries', for base two."""
    scale = LOG2_E / math.sqrt(shape.width // shape.heads)
    return {
        f"tagging_head.encoder.layer.{layer}.crossattention.self.query.{part}": (shape.width, scale)
        for layer in range(shape.layers)
        for part in ("weight", "bias")
    }


class TagDecoder:
    """From the tokens of pictures to the logits of tags.

    Args:
        weights: With all keys of `decoder_shapes`, multiplied by `decoder_scales`; they are taken
            out.
        shape: The sizes.
        precision: With which numbers to calculate.
        tags: The only tags wanted, ascending; None for all.
        release: Called with embeddings that are not needed for now, which are large.
    """

    def __init__(
        self,
        weights: Weights,
        shape: DecoderShape,
        precision: Precision,
        tags: Sequence[int] | None = None,
        release: Callable[[Tensor], object] = lambda _: None,
    ) -> None:
        self._release = release
        self._shape = shape
        self._precision = precision
        embeddings = weights.take("label_embed").view(shape.tags, shape.descriptions, -1)
        chosen = list(range(shape.tags) if tags is None else tags)
        if tags is not None or len(chosen) < CHUNK:
            # A chunk is always full: with its first tag again, if there are not enough others.
            filled = chosen + chosen[:1] * (CHUNK - len(chosen))
            embeddings = embeddings[torch.tensor(filled)]
        # Not to be converted: where it is smaller than other numbers it takes less memory.
        self._embeddings = embeddings.to(precision.device)
        self._count = len(chosen)
        self._scale = weights.take("reweight_scale").float().exp().item()
        self._image = precision.linear(
            weights.take("image_proj.weight"), weights.take("image_proj.bias"), rows=145
        )
        self._words = precision.linear(
            weights.take("wordvec_proj.weight"), weights.take("wordvec_proj.bias"), rows=CHUNK
        )
        self._layers = [
            _Layer(weights, f"tagging_head.encoder.layer.{layer}", shape, precision)
            for layer in range(shape.layers)
        ]
        device = precision.device
        self._last = weights.take("fc.weight").to(device, torch.float32)
        self._last_bias = weights.take("fc.bias").to(device, torch.float32)

    def logits(self, tokens: Tensor) -> Tensor:
        """Return the logits of the tags for pictures.

        Args:
            tokens: Of the image encoder, shape (B, 145, width), the mean of the others first.

        Returns:
            float32, shape (B, tags).
        """
        images, count, _ = tokens.shape
        tokens = self._image(tokens.reshape(images * count, -1)).view(images, count, -1)
        gaze = functional.normalize(tokens[:, 0].float(), dim=1) * self._scale
        gaze = gaze.to(self._precision.dtype)
        rows = []
        for image in range(images):
            looks = [layer.look(tokens[image]) for layer in self._layers]
            rows.append(self._logits(gaze[image], looks))
        return torch.stack(rows)

    def _logits(self, gaze: Tensor, looks: Sequence[_Look]) -> Tensor:
        total = len(self._embeddings)
        logits = torch.empty(total, device=gaze.device)
        for start in range(0, total, CHUNK):
            # The last chunk is full too, and repeats some tags of the one before.
            first = max(0, min(start, total - CHUNK))
            embeddings = self._embeddings[first : first + CHUNK]
            logits[first : first + CHUNK] = self._chunk(embeddings, gaze, looks)
            self._release(embeddings)
        return logits[: self._count]

    def _chunk(self, embeddings: Tensor, gaze: Tensor, looks: Sequence[_Look]) -> Tensor:
        """Return the logits of some tags, float32, shape (tags,)."""
        parts = [_reweight(part, gaze) for part in torch.split(embeddings, _REWEIGHTED)]
        x = self._words(torch.cat(parts)).relu_()
        for layer, look in zip(self._layers, looks, strict=True):
            x = layer(x, look)
        return functional.linear(x.float(), self._last, self._last_bias)[:, 0]


def _reweight(embeddings: Tensor, gaze: Tensor) -> Tensor:
    """Return one embedding for each tag, of those of its descriptions: shape (tags, width)."""
    embeddings = embeddings.to(gaze.dtype)
    tags, descriptions, width = embeddings.shape
    closeness = embeddings.view(tags * descriptions, width) @ gaze
    weights = closeness.view(tags, 1, descriptions).softmax(-1)
    return torch.bmm(weights, embeddings).view(tags, width)


@dataclass(frozen=True, slots=True)
class _Look:
    """What a layer needs of a picture, multiplied with its own weights.

    Attributes:
        keys: Shape (heads x tokens, width); products with a tag's state are the logarithms, to
            base two, of the attention.
        key_bias: Shape (heads x tokens,).
        values: Shape (width, heads x tokens).
    """

    keys: Tensor
    key_bias: Tensor
    values: Tensor


class _Layer:
    """Cross-attention, then the MLP, each with a residual and a norm behind it."""

    def __init__(
        self, weights: Weights, name: str, shape: DecoderShape, precision: Precision
    ) -> None:
        self._precision = precision
        self._heads = shape.heads
        attention = f"{name}.crossattention"
        head_width = shape.width // shape.heads

        def pair(part: str) -> tuple[Tensor, Tensor]:
            return weights.take(f"{part}.weight"), weights.take(f"{part}.bias")

        query, query_bias = map(precision.tensor, pair(f"{attention}.self.query"))
        self._query = query.view(shape.heads, head_width, shape.width)
        self._query_bias = query_bias.view(shape.heads, head_width, 1)
        self._keys = precision.linear(*pair(f"{attention}.self.key"), rows=145)
        self._values = precision.linear(*pair(f"{attention}.self.value"), rows=145)
        dense, dense_bias = map(precision.tensor, pair(f"{attention}.output.dense"))
        self._dense = dense.view(shape.width, shape.heads, head_width).permute(1, 2, 0)
        self._dense_bias = dense_bias
        self._norm1 = Norm(weights, f"{attention}.output.LayerNorm", _EPSILON, precision)
        self._fc1 = precision.layer(weights, f"{name}.intermediate.dense", gelu=True, rows=CHUNK)
        self._fc2 = precision.layer(weights, f"{name}.output.dense", rows=CHUNK)
        self._norm2 = Norm(weights, f"{name}.output.LayerNorm", _EPSILON, precision)

    def look(self, tokens: Tensor) -> _Look:
        """Prepare for one picture: tokens of shape (tokens, embedding width)."""
        count = len(tokens)
        keys, values = (
            linear(tokens).view(count, self._heads, -1).transpose(0, 1)
            for linear in (self._keys, self._values)
        )
        width = self._dense.shape[-1]
        return _Look(
            keys=torch.bmm(keys, self._query).reshape(self._heads * count, width),
            key_bias=torch.bmm(keys, self._query_bias).reshape(self._heads * count),
            values=torch.bmm(values, self._dense).reshape(self._heads * count, width).t(),
        )

    def __call__(self, x: Tensor, look: _Look) -> Tensor:
        products = self._precision.product(x, look.keys, look.key_bias)
        attention = softmax(products.view(len(x), self._heads, -1)).view(len(x), -1)
        x = self._norm1(self._precision.product(attention, look.values, self._dense_bias, x))
        return self._norm2(self._fc2(self._fc1(x), x))
