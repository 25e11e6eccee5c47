"""Real files of all formats, sidecars and names to begin with."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pillow_heif
from PIL import Image

from photoramd.images.formats import WITH_RAW, suffix
from photoramd.metadata.xmp_packet import EMPTY_PACKET
from tests.support.dng import dng
from tests.support.samples import sample_photos

_MOST_BYTES = 300_000

_PACKET = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    b' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    b' xmlns:lr="http://ns.adobe.com/lightroom/1.0/" xmp:Rating="4"><dc:subject><rdf:Bag>'
    b"<rdf:li>Oma</rdf:li><rdf:li>Garten</rdf:li></rdf:Bag></dc:subject>"
    b"<lr:hierarchicalSubject><rdf:Bag><rdf:li>Familie|Oma</rdf:li></rdf:Bag>"
    b"</lr:hierarchicalSubject></rdf:Description></rdf:RDF></x:xmpmeta>\n"
    b'<?xpacket end="w"?>'
)


def photos(corpus: Path | None = None) -> Mapping[str, bytes]:
    """Return photos by name: small ones of all formats with metadata, and those of a directory."""
    with Image.open(sample_photos()["cat"]) as opened:
        image = opened.convert("RGB").resize((160, 120))
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "Ein Bild", 6
    found = {
        "plain.jpg": _saved(image, "JPEG", exif=exif, xmp=_PACKET),
        "progressive.jpg": _saved(image, "JPEG", progressive=True),
        "cmyk.jpg": _saved(image.convert("CMYK"), "JPEG"),
        "grey.jpg": _saved(image.convert("L"), "JPEG"),
        "plain.png": _saved(image, "PNG", exif=exif),
        "palette.png": _saved(image.convert("P"), "PNG"),
        "deep.png": _saved(image.convert("I;16"), "PNG"),
        "plain.webp": _saved(image, "WEBP", exif=exif.tobytes(), xmp=_PACKET),
        "lossless.webp": _saved(image.convert("RGBA"), "WEBP", lossless=True),
        "plain.tif": _saved(image, "TIFF"),
        "lzw.tif": _saved(image, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": _saved(image, "TIFF", compression="jpeg"),
        "fax.tif": _saved(image.convert("1"), "TIFF", compression="group4"),
        "plain.bmp": _saved(image, "BMP"),
        "palette.bmp": _saved(image.convert("P"), "BMP"),
        "plain.gif": _saved(image, "GIF"),
        "moving.gif": _saved(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
        "plain.avif": _saved(image, "AVIF", exif=exif.tobytes(), xmp=_PACKET),
        "plain.heic": _heic(image),
        "plain.dng": dng(image, xmp=_PACKET),
        "preview.dng": dng(image, preview=image, order=">"),
    }
    for path in sorted(corpus.rglob("*")) if corpus is not None else ():
        if suffix(path.name) in WITH_RAW and path.is_file() and path.stat().st_size < _MOST_BYTES:
            found[path.name] = path.read_bytes()
    return found


def sidecars(corpus: Path | None = None) -> Mapping[str, bytes]:
    """Return sidecars by name: some of all encodings, and those of a directory."""
    text = _PACKET.decode("utf-8")
    found = {
        "plain.xmp": _PACKET,
        "empty.xmp": EMPTY_PACKET,
        "attribute.xmp": _PACKET.replace(b"><dc:subject>", b' dc:source="x"><dc:subject>'),
        "utf16.xmp": text.encode("utf-16"),
        "utf32.xmp": text.encode("utf-32"),
    }
    for path in sorted(corpus.rglob("*.xmp")) if corpus is not None else ():
        found[path.name] = path.read_bytes()[:_MOST_BYTES]
    return found


def _saved(image: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def _heic(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer)
    return buffer.getvalue()
