"""What passes between a worker's tasks and its parent; both sides import it, so it is small."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from photoramd.contained import messages
from photoramd.metadata.own_keywords import FileKeywords
from photoramd.photo import Fingerprint, Look

if TYPE_CHECKING:
    from photoramd.models.preprocessing import Crop
else:
    Crop = object

__all__ = ["Crop", "ExifToolRequest", "Read", "Seen", "exiftool_request"]


@dataclass(frozen=True, slots=True)
class Read:
    """What a photo and its sidecar say.

    Attributes:
        fingerprint: The photo's, which did not change while it was read.
        look: What it says of the picture.
        inside: The keywords inside the photo.
        beside: The keywords in the sidecar.
    """

    fingerprint: Fingerprint
    look: Look
    inside: FileKeywords
    beside: FileKeywords


@dataclass(frozen=True, slots=True)
class Seen:
    """What a model sees of a photo.

    Attributes:
        pixels: uint8, of that shape.
        shape: Height, width and 3; or how many pixels, and 3.
        read: What else it says.
        thumbnail: A `renditions.THUMBNAIL`; empty if it was not asked for, or cannot be made.
    """

    pixels: bytes
    shape: tuple[int, ...]
    read: Read
    thumbnail: bytes = b""


@dataclass(frozen=True, slots=True)
class ExifToolRequest:
    """A command for the parent's ExifTool, about the photo of the task or about a copy.

    Attributes:
        command: ``block``, ``describe``, ``rewrite`` or ``copy``.
        is_copy: Whether it is about the copy.
        extension: Of the format.
        tag: What to read, for ``block``.
        is_every: All such blocks.
        options: Further arguments.
        xmp: The new packet, for ``rewrite``; None leaves it.
        lists: New values of list tags.
        data: The copy.
    """

    command: str
    is_copy: bool
    extension: str
    tag: str = ""
    is_every: bool = False
    options: tuple[str, ...] = ()
    xmp: bytes | None = None
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    data: bytes = b""


def exiftool_request(asked: object) -> ExifToolRequest:
    """Return what a worker asks of ExifTool, from plain values.

    Raises:
        ValueError: It is not of that type.
    """
    return messages.decode(messages.encode(asked), ExifToolRequest)
