"""Let this process make only the system calls that computing and answering need, from now on.

A program of the kernel's classic BPF, installed with prctl(2): inside a service whose filter lets
neither seccomp(2) nor Landlock's calls pass, prctl still works, where libseccomp gives up. Formats
and numbers are those of <linux/filter.h>, <linux/seccomp.h>, <linux/audit.h> and the kernel's
tables of system calls; seccomp(2) explains the program's form.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Mapping

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""AUDIT_ARCH, and the column of `_NUMBERS`."""

# fmt: off
_NUMBERS: Mapping[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62),
    "poll": (7, None), "ppoll": (271, 73),
    "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67), "preadv": (295, 69),
    "munmap": (11, 215), "mremap": (25, 216), "brk": (12, 214), "madvise": (28, 233),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "fcntl": (72, 25),
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173),
    "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "sendto": (44, 206), "recvfrom": (45, 207), "sendmsg": (46, 211), "recvmsg": (47, 212),
    "shutdown": (48, 210), "getsockopt": (55, 209), "getsockname": (51, 204),
    "exit": (60, 93), "exit_group": (231, 94), "uname": (63, 160), "sysinfo": (99, 179),
    "getrusage": (98, 165), "times": (100, 153), "gettimeofday": (96, 169), "time": (201, None),
    "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115),
    "futex": (202, 98), "set_robust_list": (273, 99), "set_tid_address": (218, 96),
    "rseq": (334, 293), "membarrier": (324, 283), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "getcpu": (309, 168), "getrandom": (318, 278),
    "getrlimit": (97, 163),
    # Allowed with some arguments only.
    "newfstatat": (262, 79), "statx": (332, 291),
    "mmap": (9, 222), "mprotect": (10, 226), "pkey_mprotect": (329, 288),
    "clone": (56, 220), "tgkill": (234, 131), "prlimit64": (302, 261), "setrlimit": (160, 164),
    # Refused.
    "open": (2, None), "openat": (257, 56), "openat2": (437, 437), "access": (21, None),
    "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None),
    "readlinkat": (267, 78), "stat": (4, None), "lstat": (6, None), "getcwd": (79, 17),
    "ioctl": (16, 29),
    # These end the process: no decoder has a reason to make them.
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242),
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "kill": (62, 129), "tkill": (200, 130), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), "rmdir": (84, None), "truncate": (76, 45), "ftruncate": (77, 46),
    "link": (86, None), "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36),
    "mkdir": (83, None), "mkdirat": (258, 34), "mknodat": (259, 33), "chmod": (90, None),
    "fchmod": (91, 52), "fchmodat": (268, 53), "fchown": (93, 55), "fchownat": (260, 54),
    "mount": (165, 40), "bpf": (321, 280), "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425), "userfaultfd": (323, 282), "memfd_create": (319, 279),
}
# fmt: on

_ALLOWED = tuple(list(_NUMBERS)[: list(_NUMBERS).index("newfstatat")])
_REFUSED = {
    **dict.fromkeys(
        (
            "open", "openat", "openat2", "access", "faccessat", "faccessat2", "readlink",
            "readlinkat", "stat", "lstat", "getcwd",
        ),
        errno.EACCES,
    ),
    "ioctl": errno.ENOTTY,
}  # fmt: skip
_DEADLY = tuple(list(_NUMBERS)[list(_NUMBERS).index("socket") :])

_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ALLOW, _ERROR = 0x80000000, 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT = 0x40000000
_PROT_EXEC, _CLONE_THREAD, _AT_EMPTY_PATH = 4, 0x10000, 0x1000

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install() -> None:
    """Install the filter, for good. The process must have given up new privileges.

    - Reading, computing, threads and answering on open descriptors are allowed.
    - Opening and looking at files is refused with ``EACCES``.
    - Sockets, other processes, changes of files and executable memory end the process.
    - What is not known here is refused with ``ENOSYS``.

    Raises:
        OSError: The kernel does not support it, or this processor's numbers are not known here.
    """
    known = _ARCHITECTURES.get(platform.machine())
    if known is None or sys.byteorder != "little" or struct.calcsize("P") != 8:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    code = program(*known, os.getpid())
    filter_ = _Program(len(code) // 8, code)
    if _libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filter_), 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def program(architecture: int, column: int, process: int) -> bytes:
    """Return the filter for a kind of processor and a process, eight bytes an instruction."""

    def number(name: str) -> int | None:
        return _NUMBERS[name][column]

    code = [
        _code(_LOAD, _ARCHITECTURE_AT),
        _code(_EQUAL, architecture, 1, 0),
        _code(_RETURN, _KILL),
        _code(_LOAD, _NUMBER_AT),
        _code(_AT_LEAST, _X32_BIT, 0, 1),
        _code(_RETURN, _KILL),
    ]

    def on(name: str, *then: bytes) -> None:
        known = number(name)
        if known is not None:
            code.extend((_code(_EQUAL, known, 0, len(then)), *then))

    allow, kill = _code(_RETURN, _ALLOW), _code(_RETURN, _KILL)
    for name in _ALLOWED:
        on(name, allow)
    # Of an open descriptor alone: the C library's fstat.
    refuse = _code(_RETURN, _ERROR | errno.EACCES)
    for name, flags in (("newfstatat", 3), ("statx", 2)):
        on(name, _argument(flags), _code(_HAS_BITS, _AT_EMPTY_PATH, 1, 0), refuse, allow)
    for name in ("mmap", "mprotect", "pkey_mprotect"):
        on(name, _argument(2), _code(_HAS_BITS, _PROT_EXEC, 0, 1), kill, allow)
    # clone3 is unknown here, so that the C library falls back to clone, whose flags can be read.
    on("clone", _argument(0), _code(_HAS_BITS, _CLONE_THREAD, 1, 0), kill, allow)
    on("tgkill", _argument(0), _code(_EQUAL, process, 1, 0), kill, allow)
    on("prlimit64", _argument(0), _code(_EQUAL, 0, 1, 0), kill, allow)
    on("setrlimit", allow)
    for name, error in _REFUSED.items():
        on(name, _code(_RETURN, _ERROR | error))
    for name in _DEADLY:
        on(name, kill)
    code.append(_code(_RETURN, _ERROR | errno.ENOSYS))
    return b"".join(code)


def _argument(index: int) -> bytes:
    """Load the lower half of an argument, on a little-endian machine."""
    return _code(_LOAD, _ARGUMENTS_AT + 8 * index)


def _code(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return a ``struct sock_filter``."""
    return struct.pack("=HBBI", operation, if_true, if_false, value)
