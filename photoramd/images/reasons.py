"""Say why a photo cannot be read, from whatever exception a library raised about it."""

from __future__ import annotations

import os
import re
import struct
from typing import IO

from PIL import Image

from photoramd.errors import DecodeError
from photoramd.images.formats import HEAD_BYTES, describe, is_text, recognise

_CUT_SHORT = re.compile(
    r"truncat|unexpected end|end of file|out of data|could not create decoder", re.IGNORECASE
)


def explained(error: Exception, path: str | os.PathLike[str], file: IO[bytes]) -> DecodeError:
    """Return the error for a photo that a library could not read."""
    failure = DecodeError(_reason(error, file), path=path)
    failure.__cause__ = error
    return failure


def _reason(error: Exception, file: IO[bytes]) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    if isinstance(error, OSError) and error.errno is not None:
        return f"it cannot be read: {error.strerror}"
    if isinstance(error, Image.DecompressionBombError):
        size = re.search(r"\d+", str(error))
        return f"it has {int(size[0]):,} pixels, far too many" if size else "it is far too large"
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if is_text(head):
        return f"photoramd cannot read it: {describe(head)}"
    if _is_cut_short(error):
        return f"truncated {recognise(head)}"
    return f"damaged, truncated or unsupported {recognise(head)}: {str(error).strip()}"


def _is_cut_short(error: BaseException) -> bool:
    if isinstance(error, (EOFError, IndexError, struct.error)) or _CUT_SHORT.search(str(error)):
        return True
    return error.__cause__ is not None and _is_cut_short(error.__cause__)
