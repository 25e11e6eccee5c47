"""The tag decoder of RAM++ (arXiv 2310.15200, after Query2Label, arXiv 2107.10834).

Each tag is a query, a sum of 51 embeddings of descriptions, weighted by the image, and
attends to the tokens of the image through two layers of cross-attention. Tags are independent
of each other, so some hundreds at a time pass through all layers, in the processor's cache, and
leaving tags out does not change the logits of the others.

Products are rearranged: a layer's queries are only multiplied with the image's 145 keys, so the
query weights are multiplied with those keys instead of with 4,585 queries. Likewise the weights
behind the attention are multiplied with the image's values.
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
"""How many tags pass through together. Always as many, because a product of another size might
add in another order: the logits of a tag must not depend on which other tags there are."""

_REWEIGHTED = 128
"""How many tags' descriptions are reweighted together: they are read twice, the second time from
the cache. Divides `CHUNK`."""


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """The sizes of the tag decoder.

    Attributes:
        tags: The number of tags.
        descriptions: The number of embeddings of each tag.
        embedding_width: The width of those embeddings, and of the image's tokens.
        width: The width of the layers.
        heads: The number of attention heads.
        layers: The number of layers.
        hidden: The width within the MLP.
        image_width: The width of the tokens that the image encoder returns.
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
    """Turns the tokens of images into the logits of tags.

    Args:
        weights: All keys of `decoder_shapes`, multiplied by `decoder_scales`; they are taken
            out.
        shape: The decoder's sizes.
        precision: How the layers calculate.
        tags: The only tags wanted, ascending; None for all.
        release: Called with embeddings, which are large, when they are not needed for now.
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
            # A chunk is always full: its first tag is repeated if there are not enough others.
            filled = chosen + chosen[:1] * (CHUNK - len(chosen))
            embeddings = embeddings[torch.tensor(filled)]
        # Not converted: a smaller dtype than that of the layers takes less memory.
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
        """Return the logits of the tags for images.

        Args:
            tokens: The image encoder's output, shape (B, 145, width), the mean token first.

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
    """An image's keys and values for one layer, multiplied with the layer's weights.

    Attributes:
        keys: Shape (heads x tokens, width); products with a tag's state are the logarithms, to
            base two, of the attention weights.
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
        """Prepare for one image, given its tokens, shape (tokens, embedding width)."""
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
