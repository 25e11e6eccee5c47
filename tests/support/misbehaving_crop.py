"""A FAKE preprocessing that goes wrong on demand, as no photo at hand makes a decoder do.

It runs in a worker, where a decoder would. What it does, the photo's size says.
"""

from __future__ import annotations

import ctypes
import gc
import os
import socket
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from photoramd.contained.parent import Parent
from photoramd.metadata import plan_sidecar
from photoramd.metadata.changes import Recorded
from photoramd.metadata.plan import Plan, PlanRequest
from photoramd.metadata.sidecar import Found, KnownSidecar
from photoramd.models.embedded.crop import CROP
from photoramd.models.preprocessing import Pixels
from photoramd.system import sandbox

WIDTH = 301
"""Photos of this width make it go wrong."""


def _compute() -> None:
    sandbox.limit_processor_time(0)
    while True:
        pass


def _chatter() -> None:
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, b"\xff" * 100)
        except OSError:
            continue


def _ask() -> None:
    parent = next(each for each in gc.get_objects() if isinstance(each, Parent))
    parent.ask("exiftool", {"command": "rewrite"})


DEADLY = "deadly"
"""In the name of a photo that a worker crashes of when it plans its sidecar."""

_plan_found = plan_sidecar.plan_found


def _plan(found: Found, request: PlanRequest, known: KnownSidecar, inside: Recorded) -> Plan:
    if DEADLY in request.photo.name:
        ctypes.string_at(0)
    return _plan_found(found, request, known, inside)


def plan_badly() -> None:
    """Have plans go wrong, in a process that workers are forked from."""
    plan_sidecar.plan_found = _plan


FAULTS: Mapping[str, Callable[[], object]] = {
    "crash": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "hang": lambda: time.sleep(3600),
    "compute": _compute,
    "memory": lambda: bytearray(4 << 30),
    "bug": lambda: 1 // 0,
    "exit": lambda: os._exit(7),
    "open": lambda: Path("/etc/hostname").read_bytes(),
    "write": lambda: Path("/tmp/written").write_bytes(b"x"),
    "socket": socket.socket,
    "fork": os.fork,
    "execute": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
    "signal": lambda: os.kill(os.getppid(), 0),
    "unlink": lambda: os.unlink("/etc/hostname"),
    "chatter": _chatter,
    "ask": _ask,
}
HEIGHTS = {fault: 100 + number for number, fault in enumerate(FAULTS)}


@dataclass(frozen=True, slots=True)
class MisbehavingCrop:
    """See `photoramd.models.preprocessing.Crop`."""

    decode_side: int = CROP.decode_side

    def pixels(self, image: Image.Image) -> Pixels:
        for fault, height in HEIGHTS.items():
            if image.size == (WIDTH, height):
                FAULTS[fault]()
        return CROP.pixels(image)


def photo(path: Path, fault: str) -> Path:
    """Make a photo that goes wrong."""
    Image.new("RGB", (WIDTH, HEIGHTS[fault]), "teal").save(path)
    return path
