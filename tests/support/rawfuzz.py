"""Damage DNGs at random and see what libraw does: python -m tests.support.rawfuzz --seconds 120.

Each damaged file is given to the worker's code in a process of its own, with its limits.
Prints how those processes ended. What the daemon makes of a crash is in test_raw.py.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter

import numpy as np
from PIL import Image

from photoramd.images import raw_worker
from tests.support.dng import dng


def seeds() -> list[bytes]:
    """Small DNGs of all kinds that can be made."""
    values = np.random.default_rng(1).integers(0, 256, (8, 12, 3), np.uint8)
    image = Image.fromarray(values).resize((120, 80), Image.Resampling.BICUBIC)
    return [
        dng(image, preview=preview, order=order, orientation=orientation, xmp=b"<x/>" * 20)
        for preview in (None, image)
        for order in "<>"
        for orientation in (1, 6)
    ]


def damaged(content: bytes, choice: random.Random) -> bytes:
    """Bytes changed in directories (which are at the end) and elsewhere, cut, or doubled."""
    data = bytearray(content)
    for _ in range(choice.choice((1, 1, 2, 4, 16))):
        near_end = choice.random() < 0.8
        place = len(data) - 1 - choice.randrange(900) if near_end else choice.randrange(len(data))
        width = choice.choice((1, 1, 2, 4))
        value = choice.choice((0, 1, 0x7F, 0xFF, choice.randrange(256)))
        data[place : place + width] = bytes([value]) * len(data[place : place + width])
    if choice.random() < 0.1:
        del data[choice.randrange(len(data)) :]
    if choice.random() < 0.1:
        makes = (b"Canon\0", b"NIKON\0", b"SONY\0\0", b"Kodak\0", b"Phase One\0", b"Leaf\0")
        data = bytearray(bytes(data).replace(b"photoramd\0", choice.choice(makes).ljust(10, b"\0")))
    return bytes(data)


def ending(what: str, content: bytes) -> str:
    """How a process ends that does this."""
    file = os.memfd_create("raw")
    os.write(file, content)
    process = os.fork()
    if process == 0:
        code = 9
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            raw_worker.limit()
            said, _ = raw_worker.answer(what, file, 1_000_000)
            code = {"size": 1, "memory": 2, "libraw": 3}.get(said.get("error", ""), 0)
        finally:
            os._exit(code)
    os.close(file)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    names = ("a picture", "too large", "no memory", "an error of libraw")
    code = os.waitstatus_to_exitcode(status)
    return names[code] if code < len(names) else "an exception"


def main() -> None:
    """Damage files for some time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    import rawpy

    print(f"libraw {rawpy.libraw_version}, seed {options.seed}")
    choice = random.Random(options.seed)  # noqa: S311
    originals = seeds()
    counts: Counter[str] = Counter()
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        content = damaged(choice.choice(originals), choice)
        what = choice.choice(("preview", "develop", "unpack"))
        counts[f"{what}: {ending(what, content)}"] += 1
    for name, count in sorted(counts.items()):
        print(f"{count:8} {name}")
    sys.exit(any("exception" in name for name in counts))


if __name__ == "__main__":
    main()
