"""Write converted copies of large weights, and map them: see `weights.converted`.

A copy can be mapped as it is, has a fifth of the size, and is quick to check.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from torch import Tensor

from photoramd.errors import ModelError
from photoramd.models.weights.converted import FORM, SOURCE, CopyName, open_copy
from photoramd.models.weights.safetensors import MappedTensors, TensorEntry, write_tensors
from photoramd.models.weights.store import default_store, store_error
from photoramd.system.files import write_all

_SPARE_BYTES = 64 << 20
"""The space that a copy must leave free on the disk."""


def load_copy(copy: CopyName) -> MappedTensors | None:
    """Verify and map a copy; None if there is none.

    Raises:
        IntegrityError: It is not what was written, or others could change it, or it was made
            of another original.
        ModelError: It cannot be read.
    """
    verified = open_copy(copy)
    if verified is None:
        return None
    with verified:
        return MappedTensors(verified.file)


def write_copy(
    copy: CopyName,
    entries: Mapping[str, TensorEntry],
    take: Callable[[str], Tensor],
    notes: Mapping[str, str] | None = None,
) -> Path:
    """Write a copy into the model store, whole or not at all; returns its path.

    Args:
        copy: Which copy.
        entries: Its tensors.
        take: Gives each tensor of the verified original, prepared.
        notes: What to write into it, besides the original it was made from.

    Raises:
        IntegrityError: Others could change files in the store.
        ModelError: It cannot be written.
    """
    store = default_store()
    needed = sum(entry.size_bytes for entry in entries.values())
    if store.free_bytes() < needed + _SPARE_BYTES:
        raise ModelError(f"there is no room for {needed:,} bytes", path=store.root)
    digest = hashlib.sha256()
    with store.partial(copy.file) as file, ThreadPoolExecutor(1, "hash") as hasher:

        def write(data: memoryview) -> None:
            hashing = hasher.submit(digest.update, data)
            write_all(file.fileno(), data)
            hashing.result()

        try:
            file.truncate(0)
            metadata = {**(notes or {}), SOURCE: copy.source.sha256, FORM: copy.form}
            write_tensors(entries, take, metadata, write)
            # Before its digest replaces that of an older copy, which stays usable if this fails.
            os.fsync(file.fileno())
        except OSError as error:
            store.discard(copy.file)
            raise store_error(error, store.partial_path(copy.file)) from error
        # The digest first: a copy without one would be refused, while a digest alone does no harm.
        store.record(copy.source.folder, copy.file, digest.hexdigest())
        return store.install(copy.file, file, copy.source.folder, copy.file)
