"""Read and write tensors in the safetensors format, which can be mapped.

Format: 8 bytes of little-endian length, a JSON object with dtype, shape and byte range of each
tensor, then the bytes without gaps (https://github.com/huggingface/safetensors). Only float32,
bfloat16 and int8 are supported. Nothing in such a file can be executed.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch
from torch import Tensor

from photoramd.errors import ModelError
from photoramd.models.weights.converted import METADATA, read_header

_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "I8": torch.int8}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """A tensor's entry in the header of a file."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """The size of its numbers, in bytes."""
        return self.dtype.itemsize * math.prod(self.shape)


class MappedTensors:
    """The tensors of an open file, mapped: read when they are used, dropped under memory pressure.

    Args:
        file: Open for reading; may be closed afterwards.

    Attributes:
        metadata: The file's metadata, text by name.
        tensors: The tensors by name. Writing to one changes nothing in the file.

    Raises:
        ModelError: It is not such a file.
    """

    def __init__(self, file: BinaryIO) -> None:
        try:
            mapped = mmap.mmap(
                file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE
            )
            start, header = _read_header(mapped)
            self.metadata: dict[str, str] = dict(header.pop(METADATA, {}))
            self.tensors = {
                str(name): _tensor(mapped, start, entry) for name, entry in header.items()
            }
        except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error) as error:
            raise ModelError(f"holds no tensors: {error}") from error
        self._mapped = mapped
        self._address = torch.frombuffer(mapped, dtype=torch.uint8).data_ptr()

    def release(self, tensor: Tensor | None = None) -> None:
        """Give back the memory of all pages; those still in use are read from the file again.

        Args:
            tensor: Give back only its pages, or none if it is not from this file.
        """
        if tensor is None:
            self._mapped.madvise(mmap.MADV_DONTNEED)
            return
        first = tensor.data_ptr() - self._address
        last = first + tensor.numel() * tensor.element_size()
        if first < 0 or last > len(self._mapped):
            return
        first, last = (
            -(-first // mmap.PAGESIZE) * mmap.PAGESIZE,
            last // mmap.PAGESIZE * mmap.PAGESIZE,
        )
        if first < last:
            self._mapped.madvise(mmap.MADV_DONTNEED, first, last - first)


def write_tensors(
    entries: Mapping[str, TensorEntry],
    take: Callable[[str], Tensor],
    metadata: Mapping[str, str],
    write: Callable[[memoryview], object],
) -> None:
    """Write tensors, taking each one when its turn comes.

    Args:
        entries: The tensors to write, by name.
        take: Gives the tensor of a name, on the CPU.
        metadata: Text by name, to be written with them.
        write: Writes bytes to a file.
    """
    # The largest first: their sizes are multiples of 64 bytes, so that they are aligned.
    names = sorted(entries, key=lambda name: (-entries[name].size_bytes, name))
    write(memoryview(_header(names, entries, metadata)))
    for name in names:
        tensor = take(name).contiguous()
        entry = entries[name]
        if (tensor.dtype, tuple(tensor.shape)) != (entry.dtype, entry.shape):
            raise ValueError(f"{name} is not what was announced")
        write(tensor.reshape(-1).view(torch.uint8).numpy().data)


def _header(
    names: list[str], entries: Mapping[str, TensorEntry], metadata: Mapping[str, str]
) -> bytes:
    header: dict[str, Any] = {METADATA: dict(metadata)}
    offset = 0
    for name in names:
        entry = entries[name]
        header[name] = {
            "dtype": _NAMES[entry.dtype],
            "shape": entry.shape,
            "data_offsets": [offset, offset + entry.size_bytes],
        }
        offset += entry.size_bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def _read_header(mapped: mmap.mmap) -> tuple[int, dict[str, Any]]:
    start, header = read_header(mapped)
    ranges = sorted(entry["data_offsets"] for name, entry in header.items() if name != METADATA)
    if list(_gaps(ranges, len(mapped) - start)):
        raise ValueError("tensors overlap, or bytes are left over")
    return start, header


def _gaps(ranges: list[list[int]], total: int) -> Iterator[int]:
    position = 0
    for first, last in ranges:
        if first != position or last < first:
            yield position
        position = last
    if position != total:
        yield position


def _tensor(mapped: mmap.mmap, start: int, entry: dict[str, Any]) -> Tensor:
    read = TensorEntry(_DTYPES[entry["dtype"]], tuple(entry["shape"]))
    first, last = entry["data_offsets"]
    if last - first != read.size_bytes or read.size_bytes == 0:
        raise ValueError("a tensor's shape does not agree with its bytes")
    count = math.prod(read.shape)
    flat = torch.frombuffer(mapped, dtype=read.dtype, count=count, offset=start + first)
    return flat.view(read.shape)
