"""Find converted copies of large weights, and check that they are what was written.

A copy is kept beside the original in the model store. Its digest is noted when it is written,
and checked at each load. The bytes that the digest covers name the original that it was made
from. A copy is only ever made from an original, or from another copy, that was verified through
the same descriptor, so the chain of digests has no gap, and the original may be deleted.

Nothing here imports torch.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any, BinaryIO, Final

from photoramd.errors import IntegrityError, ModelError, printable
from photoramd.models.weights.catalog import PinnedFile
from photoramd.models.weights.store import ModelStore, search_stores
from photoramd.models.weights.verified import Progress, VerifiedFile, open_verified

SOURCE: Final = "source_sha256"
FORM: Final = "form"
METADATA: Final = "__metadata__"
CALIBRATION_SUFFIX: Final = ".calibration"

_SUFFIX = ".safetensors"
_FORM = re.compile(r"[a-z][a-z0-9]*-[0-9]+")
_MAX_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class CopyName:
    """Which copy.

    Attributes:
        source: The original.
        form: Its format, such as ``bfloat16-1``: another number for another content.
    """

    source: PinnedFile
    form: str

    @property
    def file(self) -> str:
        """Its name in the original's directory."""
        return f"{Path(self.source.name).stem}.{self.form}{_SUFFIX}"

    @property
    def calibration(self) -> str:
        """The partial file that keeps what was seen on the way to it."""
        return f"{self.file}{CALIBRATION_SUFFIX}"

    @property
    def precision(self) -> str:
        """The precision that it is for."""
        return self.form.partition("-")[0]

    def remedy(self, path: Path) -> str:
        """Return what to do about a bad one."""
        made_anew = "it is made again from the original"
        if self.precision == "int8":
            made_anew = "then photoramd model calibrate ram++ DIR, which makes it anew"
        return f"rm {printable(path)}: {made_anew}"


def find_copy(copy: CopyName) -> tuple[ModelStore, Path] | None:
    """Return the store that has a copy, and where; None if there is none."""
    for store in search_stores():
        path = store.path(copy.source.folder, copy.file)
        if os.path.lexists(path):
            return store, path
    return None


def installed_copies(source: PinnedFile) -> list[tuple[CopyName, Path]]:
    """Return all copies of a file, in whatever form, and where they are; nothing is verified."""
    stem = f"{Path(source.name).stem}."
    found: dict[str, Path] = {}
    for store in search_stores():
        try:
            names = os.listdir(store.root / source.folder) if source.folder else []
        except OSError:
            continue
        for name in names:
            form = name.removeprefix(stem).removesuffix(_SUFFIX)
            if name == f"{stem}{form}{_SUFFIX}" and _FORM.fullmatch(form):
                found.setdefault(form, store.path(source.folder, name))
    return [(CopyName(source, form), path) for form, path in sorted(found.items())]


def open_copy(copy: CopyName, progress: Progress | None = None) -> VerifiedFile | None:
    """Open a copy and hash it whole, None if there is none; use it in a ``with`` block.

    Args:
        copy: Which.
        progress: Told of every chunk.

    Raises:
        IntegrityError: It is not what was written, or others could change it, or it was made
            of another original.
        ModelError: It cannot be read.
    """
    found = find_copy(copy)
    if found is None:
        return None
    store, path = found
    remedy = copy.remedy(path)
    digest = store.recorded(copy.source.folder, copy.file)
    if digest is None:
        raise IntegrityError("its digest was not noted", path=path, remedy=remedy)
    pin = PinnedFile(name=copy.file, size_bytes=None, sha256=digest, source="", remedy=remedy)
    verified = open_verified(path, pin, progress)
    try:
        metadata = read_metadata(verified.file)
        if {SOURCE: copy.source.sha256, FORM: copy.form}.items() <= metadata.items():
            return verified
        raise IntegrityError("was made of another original", path=path, remedy=remedy)
    except BaseException:
        verified.close()
        raise


def read_metadata(file: BinaryIO) -> dict[str, Any]:
    """Return what was written into a safetensors file beside its tensors; stays at its beginning.

    Raises:
        ModelError: It is not such a file.
    """
    try:
        data = file.read(8 + _MAX_HEADER_BYTES)
        file.seek(0)
        metadata: Mapping[str, Any] = read_header(data)[1].get(METADATA, {})
        return dict(metadata)
    except (OSError, ValueError, TypeError, AttributeError, struct.error) as error:
        raise ModelError(f"holds no tensors: {error}") from error


def read_header(data: bytes | mmap) -> tuple[int, dict[str, Any]]:
    """Return where the numbers of a safetensors file begin, and what is said of its tensors.

    Args:
        data: Its beginning, or all.

    Raises:
        ValueError: It is not such a file.
        struct.error: Likewise.
    """
    (length,) = struct.unpack("<Q", data[:8])
    if length > min(_MAX_HEADER_BYTES, len(data) - 8):
        raise ValueError("the header is too long")
    return 8 + length, json.loads(data[8 : 8 + length])
