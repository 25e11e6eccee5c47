"""HEIC files with the items that phones write."""

from __future__ import annotations

import io

import pillow_heif
from PIL import Image

GAIN_MAP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    b' xmlns:dc="http://purl.org/dc/elements/1.1/"'
    b' xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/"'
    b' HDRGainMap:HDRGainMapVersion="65536"><dc:subject><rdf:Bag><rdf:li>gain map</rdf:li>'
    b"</rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def heic(xmp: bytes | None = None) -> bytes:
    """A HEIC with one image."""
    return _saved([Image.new("RGB", (64, 48), "teal")], xmp)


def with_gain_map() -> bytes:
    """A HEIC whose only XMP describes its second image, as an iPhone's describes the gain map."""
    images = [Image.new("RGB", (64, 48), "teal"), Image.new("RGB", (32, 24), "olive")]
    data = _saved(images, GAIN_MAP)
    # Item 3 is the XMP of image 1; now it describes image 4 (ISO/IEC 14496-12, 8.11.12).
    old, new = (b"cdsc\0\3\0\1\0" + image for image in (b"\1", b"\4"))
    assert data.count(old) == 1
    return data.replace(old, new)


def _saved(images: list[Image.Image], xmp: bytes | None) -> bytes:
    pillow_heif.register_heif_opener()
    file = io.BytesIO()
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
    images[0].save(file, "HEIF", save_all=True, append_images=images[1:], xmp=xmp or b"", exif=exif)
    return file.getvalue()
