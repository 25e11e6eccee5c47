"""Recognise a file by its first bytes: one of the photo formats, or something else."""

from __future__ import annotations

import re
import struct
from functools import cache
from importlib.util import find_spec

from photoramd.errors import PIP

HEAD_BYTES = 512
"""How many of a file's first bytes these functions need."""

_SIGNATURES = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WEBP"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF"),
    (re.compile(rb"BM"), "BMP"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)


def recognise(head: bytes) -> str | None:
    """Return a photo's format by the first bytes of its file; None if it is none of those known."""
    for signature, format_ in _SIGNATURES:
        if signature.match(head):
            return format_
    brands = _brands(head)
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def _brands(head: bytes) -> set[bytes]:
    """Return the brands in an ISO media file's ``ftyp`` box (ISO/IEC 14496-12, 4.3)."""
    if head[4:8] != b"ftyp" or len(head) < 12:
        return set()
    end = min(struct.unpack(">I", head[:4])[0], len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


_OTHER_CONTENT = (
    (rb"%PDF", "a PDF document"),
    (rb"PK\x03\x04", "a ZIP archive or an office document"),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!", "an archive"),
    (rb"8BPS", "a Photoshop document"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL, which Pillow cannot decode"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"....ftypcrx ", "a Canon raw file"),
    (rb"FUJIFILMCCD-RAW", "a Fujifilm raw file"),
    (rb"....(?:ftyp|moov|mdat|wide)|RIFF....AVI |\x1aE\xdf\xa3", "a video"),
    (rb"\s*<(?:\?xml|!DOCTYPE|html|svg)", "XML or HTML"),
    (rb"\0+\Z", "nothing but zeros, as in a file that is still being copied"),
)


def describe(head: bytes) -> str:
    """Describe a file that is not a photo, for the user who thought it was one."""
    for pattern, name in _OTHER_CONTENT:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return f"its content looks like {name}"
    return f"its content looks like {'text' if is_text(head) else 'no known kind of image'}"


def is_text(head: bytes) -> bool:
    """Return whether the beginning of a file is text in UTF-8."""
    # Cutting may have split the last character.
    text = head.decode("utf-8", "ignore")
    return (
        bool(text)
        and len(text.encode()) > len(head) - 4
        and all(character.isprintable() or character in "\t\r\n\f" for character in text)
    )


PHOTO_SUFFIXES = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif",
        ".heic", ".heics", ".heif", ".hif", ".avif",
    }
)  # fmt: skip
"""Suffixes, in lower case, of the files that can always be tagged."""


RAW_SUFFIXES = frozenset(
    {
        ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq",
        ".k25", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".ori", ".pef", ".raf",
        ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
    }
)  # fmt: skip
"""Suffixes, in lower case, of camera RAW files. They are tagged where there is a decoder for
them. In any case a sidecar ``IMG.xmp`` beside one belongs to it."""


RAW_REMEDY = f"{PIP} 'photoramd[raw]', then start photoramd again"


WITH_RAW = PHOTO_SUFFIXES | RAW_SUFFIXES


def suffix(name: str) -> str:
    """Return the suffix of a file name in lower case, with its dot; empty if it has none."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


@cache
def reads_raw() -> bool:
    """Return whether there is a decoder for camera RAW files: the extra ``raw`` is installed."""
    return find_spec("rawpy") is not None


def photo_suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case, of the files that can be tagged here."""
    return WITH_RAW if reads_raw() else PHOTO_SUFFIXES
