"""Fuzz the parsers that need no library, by what they cover: make fuzz-parsers.

    python -m tests.fuzz.parsers PARSER [libFuzzer's options and directories of files]

It needs atheris, which is not among the dependencies. A parser may refuse what it is given only
with the errors that its users expect.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Mapping

import atheris

with atheris.instrument_imports(include=["photoramd"]):
    from photoramd.errors import PhotoramdError
    from photoramd.images import av1, claims, exif, isobmff, raw_structure
    from photoramd.images.formats import HEAD_BYTES, describe, recognise
    from photoramd.images.raw_exif import raw_exif
    from photoramd.metadata import containers, delta, iptc, pointers
    from photoramd.metadata.containers import UnreadableError
    from photoramd.metadata.xmp_keywords import (
        PacketChange,
        edited,
        holds_nothing,
        provenance,
        values,
    )
    from photoramd.metadata.xmp_packet import Packet

_EXPECTED = (PhotoramdError, UnreadableError)


def _packet(data: bytes) -> None:
    packet = Packet(data)
    before = values(packet)
    provenance(packet)
    holds_nothing(packet)
    after = values(edited(packet, PacketChange(added={"dc:subject": ("zzz",)})))
    for name, words in before.items():
        assert set(words) <= set(after.get(name, ())), name


def _layout(data: bytes) -> None:
    format_ = recognise(data[:HEAD_BYTES])
    describe(data[:HEAD_BYTES])
    if format_ in ("JPEG", "PNG", "WEBP"):
        containers.layout(data, format_)
        if format_ != "WEBP":
            containers.without_packet(data, format_)
        if format_ == "JPEG":
            containers.places(data)


def _boxes(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        list(isobmff.coded_sizes(io.BytesIO(data)))
        list(av1.frame_sizes(io.BytesIO(data)))


def _raw(data: bytes) -> None:
    with contextlib.suppress(ValueError):  # too many boxes
        raw_structure.structure(io.BytesIO(data)).fits(len(data))


def _exif(data: bytes) -> None:
    exif.look((1, 1), "JPEG", exif.read_block(data))
    with contextlib.suppress(ValueError):  # too many boxes
        exif.look((1, 1), "RAW", raw_exif(io.BytesIO(data)))


def _claims(data: bytes) -> None:
    for format_ in ("JPEG", "PNG", "TIFF", "GIF", "BMP"):
        with contextlib.suppress(PhotoramdError):
            claims.require_plausible(format_, io.BytesIO(data), len(data), "a")


def _iptc(data: bytes) -> None:
    with contextlib.suppress(*_EXPECTED):
        iptc.keywords(data)
    with contextlib.suppress(*_EXPECTED):
        iptc.others(data)


def _pointers(data: bytes) -> None:
    pointers.lead_out(data, 30, pointers.images(data, 0, len(data)))


def _delta(data: bytes) -> None:
    half = len(data) // 2
    old, new = data[:half], data[half:]
    remembered = delta.remember(old, new)
    assert remembered is None or delta.restore(remembered, new) == old


PARSERS: Mapping[str, Callable[[bytes], None]] = {
    "packet": _packet,
    "layout": _layout,
    "boxes": _boxes,
    "raw": _raw,
    "exif": _exif,
    "claims": _claims,
    "iptc": _iptc,
    "pointers": _pointers,
    "delta": _delta,
}


def main() -> None:
    """Fuzz one parser."""
    if len(sys.argv) < 2 or sys.argv[1] not in PARSERS:
        sys.exit(f"usage: python -m tests.fuzz.parsers {'|'.join(PARSERS)} [options]")
    parse = PARSERS[sys.argv.pop(1)]

    def once(data: bytes) -> None:
        with contextlib.suppress(*_EXPECTED):
            parse(data)

    atheris.Setup([os.fspath(arg) for arg in sys.argv], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
