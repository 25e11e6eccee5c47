"""Attention with powers of two.

Softmax first subtracts the largest value of each row, to stay within the range of the dtype, and
takes most of the time of attention in bfloat16. With queries scaled by log2(e) the powers of two
can be taken directly, four times as fast; a row that leaves the range is done again with softmax.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

LOG2_E: Final = math.log2(math.e)

_LEAST, _MOST = 1e-30, 1e30
"""The sum of a row's powers must stay in this range; float32 and bfloat16 reach 1e38."""


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Mix values by softmax, in base two, of the products of queries and keys.

    Args:
        queries: Shape (..., n, width), times log2(e) and any other scale.
        keys: Shape (..., m, width).
        values: Shape (..., m, width).
        bias: Added to the products, shape (..., n, m), times log2(e).
        mask: Likewise.

    Returns:
        Shape (..., n, width).
    """
    if queries.device.type != "cpu":  # softmax is fast there, and checking the sums is not
        return torch.matmul(softmax_of_two(_products(queries, keys, bias, mask)), values)
    powers, sums = powers_of_two(_products(queries, keys, bias, mask))
    if sums is None:
        return torch.matmul(softmax_of_two(_products(queries, keys, bias, mask)), values)
    return torch.matmul(powers, values).div_(sums)


def _products(queries: Tensor, keys: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
    products = torch.matmul(queries, keys.transpose(-2, -1)).add_(bias)
    return products if mask is None else products.add_(mask)


def softmax(products: Tensor) -> Tensor:
    """Return the softmax in base two over the last dimension; may overwrite ``products``."""
    if products.device.type != "cpu":
        return softmax_of_two(products)
    powers = products.exp2()
    sums = powers.sum(-1, keepdim=True)
    return powers.div_(sums) if _in_range(sums) else softmax_of_two(products)


def powers_of_two(products: Tensor) -> tuple[Tensor, Tensor | None]:
    """Replace products by powers of two; return their sums, None if the range was exceeded."""
    powers = products.exp2_()
    sums = powers.sum(-1, keepdim=True)
    return powers, sums if _in_range(sums) else None


def softmax_of_two(products: Tensor) -> Tensor:
    """Return the same with softmax, which stays within the range of the dtype."""
    return products.mul_(1 / LOG2_E).softmax(-1)


def _in_range(sums: Tensor) -> bool:
    least, most = torch.aminmax(sums)
    return least.item() > _LEAST and most.item() < _MOST
