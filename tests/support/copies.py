"""Converted copies, and what can become of them."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from photoramd.models.layers.linear import Precision
from photoramd.models.weights.store import default_store

FLOAT32 = Precision(torch.float32, torch.device("cpu"), True)


BFLOAT16 = Precision.best(torch.bfloat16)  # packed only if the processor can


def copy_path(precision: str = "float32") -> Path:
    return default_store().path("ram++", f"tiny.{precision}-1.safetensors")


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def replace_by_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def open_to_the_group(path: Path) -> None:
    path.chmod(0o664)


def lose_the_digest(path: Path) -> None:
    path.with_name(path.name + ".sha256").unlink()
