"""Converted copies of large weights: ready to be mapped, a fifth of the size, quick to check.

A copy lies beside the original in the model store. Its digest is noted when it is written,
and demanded at each load; it says itself, among the bytes that the digest covers, of which
original it was made. It is never made from anything but an original that was verified through
the same descriptor, so the chain of digests has no gap, and the original may be deleted.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from photoramd.checkpoint import open_verified
from photoramd.errors import IntegrityError, ModelError, printable
from photoramd.modelstore import ModelStore, default_store, search_stores, store_error, write_all
from photoramd.pins import PinnedFile
from photoramd.taggers.tensorfile import Entry, MappedTensors, write_tensors

log = logging.getLogger(__name__)

_SOURCE = "source_sha256"
_FORM = "form"
_SPARE_BYTES = 64 << 20
"""Room that a copy must leave on the disk."""


@dataclass(frozen=True, slots=True)
class CopyName:
    """Which copy.

    Attributes:
        source: The original.
        form: What was made of it, such as ``bfloat16-1``: another number for another content.
    """

    source: PinnedFile
    form: str

    @property
    def file(self) -> str:
        """Its name in the original's directory."""
        return f"{Path(self.source.name).stem}.{self.form}.safetensors"


def find_copy(copy: CopyName) -> tuple[ModelStore, Path] | None:
    """The store that has a copy, and where; None if there is none."""
    for store in search_stores():
        path = store.path(copy.source.folder, copy.file)
        if os.path.lexists(path):
            return store, path
    return None


def load_copy(copy: CopyName) -> MappedTensors | None:
    """Verify and map a copy; None if there is none.

    Raises:
        IntegrityError: It is not what was written, or others could change it, or it was made
            of another original.
        ModelError: It cannot be read.
    """
    found = find_copy(copy)
    if found is None:
        return None
    store, path = found
    remedy = f"rm {printable(path)}: it is made again from the original"
    digest = store.recorded(copy.source.folder, copy.file)
    if digest is None:
        raise IntegrityError("its digest was not noted", path=path, remedy=remedy)
    pin = PinnedFile(name=copy.file, size_bytes=None, sha256=digest, source="", remedy=remedy)
    with open_verified(path, pin) as verified:
        mapped = MappedTensors(verified.file)
    expected = {_SOURCE: copy.source.sha256, _FORM: copy.form}
    if mapped.metadata != expected:
        raise IntegrityError("was made of another original", path=path, remedy=remedy)
    return mapped


def write_copy(copy: CopyName, entries: Mapping[str, Entry], take: Callable[[str], Tensor]) -> Path:
    """Write a copy into the model store, whole or not at all; returns its path.

    Args:
        copy: Which.
        entries: What it consists of.
        take: Gives each tensor of the verified original, prepared.

    Raises:
        IntegrityError: Others could change files in the store.
        ModelError: It cannot be written.
    """
    store = default_store()
    needed = sum(entry.size_bytes for entry in entries.values())
    if store.free_bytes() < needed + _SPARE_BYTES:
        raise ModelError(f"there is no room for {needed:,} bytes", path=store.root)
    digest = hashlib.sha256()
    with store.partial(copy.file) as file:

        def write(data: memoryview) -> None:
            digest.update(data)
            write_all(file, data)

        try:
            file.truncate(0)
            metadata = {_SOURCE: copy.source.sha256, _FORM: copy.form}
            write_tensors(entries, take, metadata, write)
        except OSError as error:
            store.discard(copy.file)
            raise store_error(error, store.partial_path(copy.file)) from error
        # The digest first: a copy without one would be refused, one without a copy is nothing.
        store.record(copy.source.folder, copy.file, digest.hexdigest())
        return store.install(copy.file, file, copy.source.folder, copy.file)
