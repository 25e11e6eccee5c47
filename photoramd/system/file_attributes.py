"""Give a new file its owner, group, mode, ACL and extended attributes."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import sys
from pathlib import Path

from photoramd.errors import SidecarError

_ACCESS_ACL = "system.posix_acl_access"
_NOT_ALLOWED = frozenset({errno.EPERM, errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP})


_GET_FLAGS = 0x80006601 | struct.calcsize("l") << 16
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20
"""FS_IOC_GETFLAGS and two of the flags that chattr sets: see ioctl_iflags(2)."""


def is_locked(fd: int) -> bool:
    """Return whether nobody, not even root, may replace a file: see lsattr(1)."""
    try:
        flags = fcntl.ioctl(fd, _GET_FLAGS, bytes(struct.calcsize("l")))
    except OSError:
        return False  # a file system without such flags
    return bool(int.from_bytes(flags[:4], sys.byteorder) & (_IMMUTABLE | _APPEND_ONLY))


def keep(fd: int, source: int, target: Path) -> None:
    """Give a new file everything but the content of the file that it will replace.

    Args:
        fd: The new file.
        source: The file that it will replace.
        target: That file's path, for messages.

    Raises:
        SidecarError: It has an owner or an attribute that we may not give.
        OSError: The system does not let us.
    """
    status = os.fstat(source)
    _keep_owner(fd, target, status)
    _keep_extended(fd, source, target)
    # Last: a change of owner or ACL changes the mode.
    os.fchmod(fd, stat.S_IMODE(status.st_mode) & 0o777)


def imitate(fd: int, beside: int | None) -> None:
    """Let those who can read and write a photo do the same with a new file beside it.

    It gets the photo's owner and group, as far as we may give them, its ACL, and its mode
    without the right to execute; the owner may always write. Without a photo it gets 0644.

    Args:
        fd: The new file.
        beside: The open photo.

    Raises:
        OSError: The system does not let us.
    """
    if beside is None:
        os.fchmod(fd, 0o644)
        return
    status = os.fstat(beside)
    # An ordinary user cannot give files away; then the file stays photoramd's own.
    if not _give(fd, status.st_uid, status.st_gid):
        _give(fd, -1, status.st_gid)
    try:
        acl = os.getxattr(beside, _ACCESS_ACL)
    except OSError as error:
        if error.errno not in {errno.ENODATA, errno.EOPNOTSUPP}:
            raise
    else:
        # Without it, the mode's middle digit, which is the ACL's mask, would be the group's rights.
        os.setxattr(fd, _ACCESS_ACL, acl)
    os.fchmod(fd, stat.S_IMODE(status.st_mode) & 0o666 | 0o600)


def _give(fd: int, uid: int, gid: int) -> bool:
    own = os.fstat(fd)
    if (own.st_uid, own.st_gid) == (uid, gid):
        return True
    try:
        os.fchown(fd, uid, gid)
    except OSError as error:
        if error.errno not in _NOT_ALLOWED:
            raise
        return False
    return True


def _keep_owner(fd: int, target: Path, status: os.stat_result) -> None:
    if not _give(fd, status.st_uid, status.st_gid):
        raise SidecarError(
            f"belongs to user {status.st_uid} and group {status.st_gid}, which photoramd,"
            f" running as user {os.geteuid()}, cannot give a new file to",
            path=target,
            remedy="run photoramd as that user, or give the file to photoramd's user",
        )


def _keep_extended(fd: int, source: int, target: Path) -> None:
    """Copy extended attributes, ACLs among them, and drop those inherited from a directory."""
    wanted = _extended(source)
    present = _extended(fd)
    for name in present.keys() - wanted.keys():
        os.removexattr(fd, name)
    for name, value in wanted.items():
        if present.get(name) == value:
            continue
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if error.errno not in _NOT_ALLOWED:
                raise
            raise SidecarError(
                f"has the attribute {name}, which a new file cannot be given",
                path=target,
                remedy="remove the attribute if it is not needed",
            ) from error


def _extended(fd: int) -> dict[str, bytes]:
    """Return the extended attributes that belong to the file, not to its content or the kernel."""
    try:
        # security.* is the kernel's: labels, which it sets again, and signatures of the content.
        names = [name for name in os.listxattr(fd) if not name.startswith("security.")]
        return {name: os.getxattr(fd, name) for name in names}
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return {}
        raise
