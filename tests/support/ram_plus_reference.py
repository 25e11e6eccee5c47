"""RAM++ in plain eager float32, to compare with: timm's Swin, and the tag decoder as published.

As in the published implementation the weights of the descriptions are multiplied out, image by
image, before they are summed, and attention is matrix product, softmax and matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from photoramd.models.ram_plus.swin import SwinShape
from photoramd.models.ram_plus.tag_decoder import DecoderShape

_PREFIX = "visual_encoder."


class ReferenceRamPlus:
    """The network, to be compared with; slow and large.

    Args:
        weights: float32, by their official names.
        encoder: Sizes of the image encoder.
        decoder: Sizes of the tag decoder.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], encoder: SwinShape, decoder: DecoderShape
    ) -> None:
        self._weights = weights
        self._decoder = decoder
        self._swin = timm_swin(weights, encoder)

    def tokens(self, images: Tensor) -> Tensor:
        """Tokens of normalised images, the mean of the others first."""
        tokens: Tensor = self._swin.forward_features(images).flatten(1, 2)
        return torch.cat([tokens.mean(1, keepdim=True), tokens], 1)

    def logits(self, images: Tensor) -> Tensor:
        """Logits of normalised images, shape (B, tags)."""
        tokens = self._linear("image_proj", self.tokens(images))
        embeddings = self._weights["label_embed"]
        gaze = tokens[:, 0] / tokens[:, 0].norm(dim=-1, keepdim=True)
        closeness = self._weights["reweight_scale"].exp() * gaze @ embeddings.t()
        tags, descriptions = self._decoder.tags, self._decoder.descriptions
        weights = closeness.view(len(images), tags, descriptions).softmax(2)
        embeddings = embeddings.view(tags, descriptions, -1)
        queries = torch.stack([(weight[:, :, None] * embeddings).sum(1) for weight in weights])
        x = functional.relu(self._linear("wordvec_proj", queries))
        for layer in range(self._decoder.layers):
            x = self._layer(f"tagging_head.encoder.layer.{layer}", x, tokens)
        return self._linear("fc", x)[..., 0]

    def _layer(self, name: str, x: Tensor, tokens: Tensor) -> Tensor:
        attention = f"{name}.crossattention"
        queries, keys, values = (
            self._linear(f"{attention}.self.{part}", source)
            .view(*source.shape[:2], self._decoder.heads, -1)
            .transpose(1, 2)
            for part, source in (("query", x), ("key", tokens), ("value", tokens))
        )
        products = queries @ keys.transpose(2, 3) / queries.shape[-1] ** 0.5
        mixed = (products.softmax(3) @ values).transpose(1, 2).flatten(2)
        mixed = self._linear(f"{attention}.output.dense", mixed)
        x = self._norm(f"{attention}.output.LayerNorm", mixed + x)
        hidden = functional.gelu(self._linear(f"{name}.intermediate.dense", x))
        hidden = self._linear(f"{name}.output.dense", hidden)
        return self._norm(f"{name}.output.LayerNorm", hidden + x)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return functional.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return functional.layer_norm(x, weight.shape, weight, bias, 1e-12)


def timm_swin(weights: Mapping[str, Tensor], shape: SwinShape) -> Any:
    """Swin by timm, with these weights, of official names; attention without fused operators."""
    from timm.layers.config import set_fused_attn
    from timm.models.swin_transformer import SwinTransformer

    set_fused_attn(False)
    network = SwinTransformer(
        img_size=shape.image_side,
        patch_size=shape.patch,
        embed_dim=shape.width,
        depths=shape.depths,
        num_heads=shape.heads,
        window_size=shape.window,
        num_classes=0,
    )
    own = {}
    for name, value in weights.items():
        if name.startswith(_PREFIX):
            parts = name.removeprefix(_PREFIX).split(".")
            if parts[2:3] == ["downsample"]:  # timm has it at the beginning of the next stage
                parts[1] = str(int(parts[1]) + 1)
            own[".".join(parts)] = value
    # What is missing are tables that timm derives.
    result = network.load_state_dict(own, strict=False)
    if result.unexpected_keys:
        raise ValueError(f"unknown to timm: {result.unexpected_keys}")
    return network.eval()
