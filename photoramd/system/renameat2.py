"""Call renameat2 of Linux, which Python lacks: exchange two files, or replace none.

The numbers are those of renameat2(2) and <linux/fs.h>.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from typing import cast

NOREPLACE, EXCHANGE = 1, 2
"""The flags."""


def rename(source: str, target: str, flags: int, directory: int) -> None:
    """Rename a file within a directory, with `NOREPLACE` or `EXCHANGE`.

    Args:
        source: Its name.
        target: Its new name.
        flags: One of the flags.
        directory: An open directory.

    Raises:
        OSError: As rename; EINVAL or ENOSYS where the flags are not supported.
    """
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    names = (os.fsencode(source), os.fsencode(target))
    if _renameat2(directory, names[0], directory, names[1], flags):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), source, None, target)


def _find_renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return None
    path = ctypes.c_char_p
    function.argtypes = (ctypes.c_int, path, ctypes.c_int, path, ctypes.c_uint)
    function.restype = ctypes.c_int
    return cast("Callable[[int, bytes, int, bytes, int], int]", function)


_renameat2 = _find_renameat2()
