"""Take away this process's access to all files by their names, for good: Landlock.

Formats and numbers are those of landlock(7) and <linux/landlock.h>. Each version of the kernel's
interface can take away more; what this kernel knows is taken.
"""

from __future__ import annotations

import ctypes
import os
import struct

_CREATE_RULESET, _RESTRICT_SELF = 444, 446
"""On all processors."""

_VERSION_FLAG = 1
_FILES = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many rights to files each version knows; later ones as many as the last."""

_NETWORK_SINCE, _NETWORK = 4, 0b11
_SCOPES_SINCE, _SCOPES = 6, 0b11

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Return the version of the kernel's interface; 0 if there is none, or it must not be used."""
    found = int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG))
    return max(0, found)


def restrict() -> int:
    """Allow no file to be opened or changed by name, no TCP, and no signal to other processes.

    Open descriptors are not affected. The process must have given up new privileges.

    Returns:
        The version of the interface.

    Raises:
        OSError: The kernel does not support it, or it must not be used.
    """
    found = version()
    files = (1 << _FILES.get(found, max(_FILES.values()))) - 1
    network = _NETWORK if found >= _NETWORK_SINCE else 0
    scopes = _SCOPES if found >= _SCOPES_SINCE else 0
    # An older kernel accepts a longer structure if the rest of it is zero.
    attributes = struct.pack("=QQQ", files, network, scopes)
    ruleset = _checked(
        _libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    )
    try:
        _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return found


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
