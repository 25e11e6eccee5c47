"""Linear layers in whole numbers of 8 bits: how near to floats, and what is tried before use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from photoramd.models.layers import quantized
from photoramd.models.layers.quantized import Quantization, best_quantization, quantize

HERE = best_quantization(torch.float32)
WAYS = [Quantization(), Quantization(levels=127), HERE]
IDS = ["plain", "seven bits", "as here"]


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs() -> Tensor:
    """Channels of very different size and place, as networks have them."""
    x = random(300, 64)
    x[:, 5] *= 60
    x[:, 9] += 40
    x[:, 11] = 7
    return x


def error(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("way", WAYS, ids=IDS)
def test_a_layer_is_near_the_one_in_floats(way: Quantization) -> None:
    x, weight, bias = inputs(), random(96, 64, seed=2) / 8, random(96, seed=3)
    weights = quantize(weight, bias, x.amin(0), x.amax(0))
    linear = way.linear(weights, torch.float32, gelu=False, rows=300)
    expected = functional.linear(x, weight, bias)
    assert 1e-4 < error(linear(x), expected) < (0.03 if way.levels == 127 else 0.015)
    residual = random(300, 96, seed=4)
    assert torch.allclose(linear(x, residual), linear(x) + residual, atol=1e-4)
    gelu = way.linear(weights, torch.float32, gelu=True, rows=300)
    assert torch.allclose(gelu(x), functional.gelu(linear(x)), atol=1e-4)


@pytest.mark.parametrize("way", WAYS, ids=IDS)
def test_what_calibration_did_not_see_is_cut_off_not_wrapped_around(way: Quantization) -> None:
    weight = random(96, 64).sign() / 8
    weights = quantize(weight, None, torch.full((64,), -1.0), torch.full((64,), 1.0))
    linear = way.linear(weights, torch.float32, gelu=False, rows=300)
    edge = random(300, 64).sign()
    assert error(linear(100 * edge), functional.linear(edge, weight)) < 0.02


def test_many_rows_are_quantized_in_pieces_like_few(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = inputs(), random(96, 64) / 8
    linear = Quantization().linear(
        quantize(weight, None, x.amin(0), x.amax(0)), torch.float32, gelu=False, rows=300
    )
    at_once = linear(x)
    monkeypatch.setattr(quantized, "_PIECE", 1000)
    assert torch.equal(linear(x), at_once)


def test_packed_operators_that_raise_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(quantized.PackedQuantizedLinear, "__init__", refuse)
    assert best_quantization.__wrapped__(torch.float32) == Quantization()


def test_packed_operators_that_disagree_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    true = quantized.PackedQuantizedLinear.__call__

    def disagree(
        self: quantized.PackedQuantizedLinear, x: Tensor, residual: Tensor | None = None
    ) -> Tensor:
        return true(self, x, residual) + 0.1

    monkeypatch.setattr(quantized.PackedQuantizedLinear, "__call__", disagree)
    assert best_quantization.__wrapped__(torch.float32) == Quantization()


CODE = """
import torch
from photoramd.models.layers.quantized import best_quantization
from photoramd.models.ram_plus.tagger import choose_precision
cpu = torch.device("cpu")
print(choose_precision("auto", cpu).dtype, choose_precision("int8", cpu).dtype)
way = best_quantization(torch.float32)
print(way.levels if way.packed else 127)
"""


def test_on_a_processor_without_bfloat16_and_vnni_neither_is_chosen() -> None:
    cap = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=os.environ | cap,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["torch.float32", "torch.float32", "127"]
