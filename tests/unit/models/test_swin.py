"""The Swin encoder against timm's, and the linear layers and attention it is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from photoramd.models.layers import linear as linear_module
from photoramd.models.layers.attention import LOG2_E, attend, softmax
from photoramd.models.layers.linear import PackedLinear, PlainLinear, Precision, packing_works
from photoramd.models.ram_plus.network import Preparation, RamPlusNetwork, RamPlusShape
from photoramd.system.cpu import has_bfloat16
from tests.support.ram_plus_reference import timm_swin
from tests.support.random_weights import TINY, random_images, random_weights

pytestmark = pytest.mark.usefixtures("one_torch_thread")

CPU = torch.device("cpu")
META = torch.device("meta")


def network(
    shape: RamPlusShape, weights: dict[str, torch.Tensor], precision: Precision
) -> RamPlusNetwork:
    prepared = Preparation(weights, shape, precision.dtype).take_all()
    return RamPlusNetwork(prepared, shape, precision)


@pytest.mark.parametrize(
    ("window", "image_side", "images", "packed"),
    [(12, 384, 2, True), (6, 192, 1, False), (6, 192, 2, True), (4, 128, 3, False)],
)
def test_tokens_are_those_of_timm(window: int, image_side: int, images: int, packed: bool) -> None:
    shape = RamPlusShape(replace(TINY.encoder, window=window, image_side=image_side), TINY.decoder)
    weights = random_weights(shape)
    batch = random_images(images, image_side)
    with torch.inference_mode():
        expected = timm_swin(weights, shape.encoder).forward_features(batch).flatten(1, 2)
    tokens = network(shape, weights, Precision(torch.float32, CPU, packed)).tokens(batch)
    assert torch.allclose(tokens[:, 1:], expected, atol=2e-5)
    assert torch.allclose(tokens[:, 0], expected.mean(1), atol=2e-5)


def test_cutting_into_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = RamPlusShape(replace(TINY.encoder, window=6, image_side=192), TINY.decoder)
    weights, batch = random_weights(shape), random_images(1, 192)
    expected = network(shape, weights, Precision(torch.float32, CPU, False)).tokens(batch)
    for rows in (36, 5 * 36, 10**6):
        monkeypatch.setattr("photoramd.models.ram_plus.swin._CHUNK_ROWS", rows)
        tokens = network(shape, weights, Precision(torch.float32, CPU, False)).tokens(batch)
        assert torch.allclose(tokens, expected, atol=1e-5), rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_packed_layer_gives_the_sums_of_a_plain_one(dtype: torch.dtype) -> None:
    if not packing_works(dtype):
        assert dtype is torch.bfloat16
        assert not has_bfloat16()
        with pytest.raises(RuntimeError, match="bf16"):
            PackedLinear(torch.ones(64, 96, dtype=dtype), None)
        return
    generator = torch.Generator().manual_seed(3)
    x, weight, bias, residual = (
        torch.randn(size, generator=generator).to(dtype)
        for size in ((40, 96), (64, 96), (64,), (40, 64))
    )
    weight /= 10
    tolerance = 1e-5 if dtype is torch.float32 else 0.06
    for gelu in (False, True):
        plain = PlainLinear(weight, bias, gelu)(x)
        packed = PackedLinear(weight, bias, gelu, rows=40)(x)
        assert torch.allclose(packed.float(), plain.float(), atol=tolerance)
    plain = PlainLinear(weight, bias)(x, residual)
    packed = PackedLinear(weight, bias)(x, residual)
    assert torch.allclose(packed.float(), plain.float(), atol=tolerance)


def test_gelu_is_the_exact_one() -> None:
    x = torch.linspace(-6, 6, 256)[:, None].repeat(1, 16)
    identity = torch.eye(16)
    expected = functional.gelu(x)
    for layer in (PlainLinear(identity, None, True), PackedLinear(identity, None, True)):
        assert torch.allclose(layer(x), expected, atol=1e-6)


def broken(*_: object, **__: object) -> torch.Tensor:
    raise RuntimeError("could not create a primitive descriptor")


@pytest.mark.parametrize(
    "build",
    [broken, lambda *_, **__: wrong],
    ids=["raises", "disagrees"],
)
def test_packed_operators_that_fail_their_trial_are_not_used(
    build: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear_module, "PackedLinear", build)
    packing_works.cache_clear()
    try:
        precision = Precision.best(torch.float32)
        assert not precision.packed
        layer = precision.linear(torch.ones(2, 3), None)
        assert layer(torch.ones(1, 3)).tolist() == [[3.0, 3.0]]
    finally:
        packing_works.cache_clear()


def wrong(x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
    return torch.zeros(len(x), 96)


def test_packed_operators_are_not_used_without_a_cpu() -> None:
    assert not Precision.best(torch.float32, META).packed


@pytest.mark.parametrize("size", [1.0, 300.0], ids=["ordinary", "out of range"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_attention_is_softmax_whatever_the_size_of_its_products(
    size: float, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(4)
    queries, keys, values, bias = (
        torch.randn(shape, generator=generator)
        for shape in ((2, 5, 8), (2, 7, 8), (2, 7, 8), (5, 7))
    )
    queries, keys, values, bias = (t.to(dtype) for t in (size * queries, keys, values, size * bias))
    products = (queries @ keys.transpose(1, 2) + bias).float() / LOG2_E
    expected = products.softmax(2) @ values.float()
    tolerance = 1e-4 if dtype is torch.float32 else 0.05
    assert torch.allclose(attend(queries, keys, values, bias).float(), expected, atol=tolerance)
    found = softmax((queries @ keys.transpose(1, 2)).add_(bias))
    assert torch.allclose(found.float(), products.softmax(2), atol=tolerance)


def test_attention_survives_rows_that_are_far_below_zero() -> None:
    queries, keys = torch.full((1, 2, 1), -400.0), torch.tensor([[[1.0], [2.0]]])
    values = torch.tensor([[[3.0], [5.0]]])
    mixed = attend(queries, keys, values, torch.zeros(2, 2))
    assert mixed.flatten().tolist() == pytest.approx([3.0, 3.0])
