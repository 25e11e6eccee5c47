"""Read one camera RAW with libraw, in a process of its own; see `raw`.

libraw parses dozens of undocumented formats in C++. Whatever a file makes it do, it does in
this process, which has limited memory and processor time, can write no file, and ends after one
photo.

Arguments: ``unpack``, ``preview`` or ``develop``; the number of an open file descriptor; the
limit of pixels. Answer, on standard output: a line of JSON, then the bytes it announces.
"""

# It is started by its path and imports nothing of photoramd: its start is most of its time.
from __future__ import annotations

import json
import resource
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import rawpy

MEMORY_BYTES = 2 << 30
"""Address space; 100 megapixels need half of it."""

CPU_SECONDS = 60

MAX_PREVIEW_BYTES = 64 << 20

Answer = tuple[dict[str, Any], bytes]


def limit() -> None:
    """Limit this process to what reading one photo needs."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def answer(what: str, descriptor: int, max_pixels: int) -> Answer:
    """Do what is asked. An error is an answer, too: ``error`` says of which kind."""
    import rawpy

    with rawpy.RawPy() as raw:
        try:
            # Opened again: libraw then reads only what it needs, with a position of its own.
            raw.open_file(f"/proc/self/fd/{descriptor}")
            sizes = raw.sizes
            said = {"width": sizes.width, "height": sizes.height, "flip": sizes.flip}
            if sizes.raw_width * sizes.raw_height > max_pixels:
                size = {"width": sizes.raw_width, "height": sizes.raw_height}
                return {**size, "error": "size"}, b""
            if what == "unpack":
                raw.unpack()
                return said, b""
            found, content = _preview(raw) if what == "preview" else _develop(raw)
            return {**said, **found}, content
        except (rawpy.LibRawUnsufficientMemoryError, MemoryError):
            return {"error": "memory"}, b""
        except rawpy.LibRawError as error:
            words = error.args[0] if error.args else "unknown"
            text = words.decode("ascii", "replace") if isinstance(words, bytes) else str(words)
            return {"error": "libraw", "kind": type(error).__name__, "text": text}, b""


def _preview(raw: rawpy.RawPy) -> Answer:
    import rawpy

    thumbnail = raw.extract_thumb()
    if thumbnail.format == rawpy.ThumbFormat.JPEG:
        content = bytes(thumbnail.data)
        if len(content) > MAX_PREVIEW_BYTES:
            return {"error": "libraw", "kind": "size", "text": "its preview is too large"}, b""
        return {"content": "JPEG"}, content
    return _pixels(thumbnail.data)


def _develop(raw: rawpy.RawPy) -> Answer:
    """Return the sensor's pixels as an image of half the width and height, upright."""
    return _pixels(raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8))


def _pixels(array: Any) -> Answer:
    """Return an array of shape (height, width, 3) or, of a sensor without colours, 1; uint8."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array.repeat(3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != "uint8":
        return {"error": "libraw", "kind": "shape", "text": "its pixels are not RGB"}, b""
    return {"content": "RGB", "size": [array.shape[1], array.shape[0]]}, array.tobytes()


def main() -> None:
    """Answer one request."""
    what, descriptor, max_pixels = sys.argv[1:]
    limit()
    said, content = answer(what, int(descriptor), int(max_pixels))
    sys.stdout.buffer.write(json.dumps(said).encode() + b"\n")
    sys.stdout.buffer.write(content)


if __name__ == "__main__":
    main()
