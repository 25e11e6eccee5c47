"""The filter of system calls, run by an interpreter of the few instructions that it has.

What it does in the kernel, test_contained.py tries.
"""

from __future__ import annotations

import errno
import struct

import pytest

from photoramd.system import seccomp

ALLOW, KILL = "allow", "kill"
PROCESS = 4321


def run(code: bytes, architecture: int, number: int, arguments: tuple[int, ...] = ()) -> str:
    """What the kernel would do: see seccomp(2) and the kernel's networking/filter.rst."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("=iIQ6Q", number, architecture, 0, *padded)
    value = position = 0
    while True:
        operation, if_true, if_false, constant = struct.unpack_from("=HBBI", code, 8 * position)
        position += 1
        if operation == 0x20:
            (value,) = struct.unpack_from("=I", data, constant)
        elif operation in (0x15, 0x35, 0x45):
            holds = {
                0x15: value == constant,
                0x35: value >= constant,
                0x45: bool(value & constant),
            }[operation]
            position += if_true if holds else if_false
        else:
            assert operation == 0x06
            if constant == 0x7FFF0000:
                return ALLOW
            if constant == 0x80000000:
                return KILL
            assert constant >> 16 == 5
            return errno.errorcode[constant & 0xFFFF]


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest) -> tuple[int, int, bytes]:
    architecture, column = seccomp._ARCHITECTURES[request.param]
    return architecture, column, seccomp.program(architecture, column, PROCESS)


CALLS = [
    ("read", (), ALLOW),
    ("sendmsg", (), ALLOW),
    ("futex", (), ALLOW),
    ("openat", (), "EACCES"),
    ("openat2", (), "EACCES"),
    ("readlinkat", (), "EACCES"),
    ("ioctl", (), "ENOTTY"),
    ("socket", (), KILL),
    ("execve", (), KILL),
    ("kill", (), KILL),
    ("ptrace", (), KILL),
    ("unlinkat", (), KILL),
    ("renameat2", (), KILL),
    ("memfd_create", (), KILL),
    ("mmap", (0, 4096, 3, 34), ALLOW),
    ("mmap", (0, 4096, 5, 34), KILL),
    ("mprotect", (0, 4096, 1), ALLOW),
    ("mprotect", (0, 4096, 4), KILL),
    ("clone", (0x3D0F00,), ALLOW),
    ("clone", (0x1200011,), KILL),
    ("tgkill", (PROCESS, PROCESS, 6), ALLOW),
    ("tgkill", (1, 1, 9), KILL),
    ("prlimit64", (0, 0), ALLOW),
    ("prlimit64", (1, 0), KILL),
    ("newfstatat", (3, 0, 0, 0x1000), ALLOW),
    ("newfstatat", (3, 0, 0, 0), "EACCES"),
    ("statx", (3, 0, 0x1000), ALLOW),
    ("statx", (3, 0, 0), "EACCES"),
]


@pytest.mark.parametrize(("name", "arguments", "outcome"), CALLS)
def test_a_call_is_allowed_refused_or_deadly(
    machine: tuple[int, int, bytes], name: str, arguments: tuple[int, ...], outcome: str
) -> None:
    architecture, column, code = machine
    number = seccomp._NUMBERS[name][column]
    assert number is not None
    assert run(code, architecture, number, arguments) == outcome


def test_what_is_not_known_is_missing(machine: tuple[int, int, bytes]) -> None:
    architecture, _, code = machine
    assert run(code, architecture, 435) == "ENOSYS"  # clone3
    assert run(code, architecture, 999) == "ENOSYS"


def test_calls_in_another_processors_numbers_are_deadly(machine: tuple[int, int, bytes]) -> None:
    architecture, _, code = machine
    assert run(code, 0x40000003, 0) == KILL  # of 32-bit x86
    assert run(code, architecture, 0x40000000) == KILL  # x32
