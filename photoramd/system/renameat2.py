"""Call renameat2 of Linux, which Python lacks: exchange two files, or replace none.

The numbers are those of renameat2(2) and <linux/fs.h>.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

NOREPLACE, EXCHANGE = 1, 2
"""The flags."""


def rename(source: Path, target: Path, flags: int) -> None:
    """Rename with `NOREPLACE` or `EXCHANGE`.

    Raises:
        OSError: As rename; EINVAL or ENOSYS where the flags are not supported.
    """
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fspath(source), None, os.fspath(target))


def _find_renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return None
    path = ctypes.c_char_p
    function.argtypes = (ctypes.c_int, path, ctypes.c_int, path, ctypes.c_uint)
    function.restype = ctypes.c_int
    return cast("Callable[[int, bytes, int, bytes, int], int]", function)


_AT_FDCWD = -100


_renameat2 = _find_renameat2()
