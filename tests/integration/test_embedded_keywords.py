from __future__ import annotations

import io
import json
import logging
import random
import re
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image, TiffImagePlugin

from photoramd.errors import DecodeError
from photoramd.metadata.containers import MAX_XMP_BYTES
from photoramd.metadata.embedded import Embedded, read, read_keywords
from tests.support.clock import bound
from tests.support.samples import sample_photos

FORMATS = {
    "jpg": {},
    "png": {},
    "webp": {},
    "tif": {"compression": "tiff_lzw"},
    "heic": {},
    "avif": {"speed": 10},
}


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    with Image.open(sample_photos()["china"]) as image:
        return image.convert("RGB").resize((96, 64))


@pytest.fixture(scope="module")
def plain(photo: Image.Image) -> dict[str, bytes]:
    """The same photo in every format, without metadata."""
    pillow_heif.register_heif_opener()
    files = {}
    for extension, options in FORMATS.items():
        target = io.BytesIO()
        photo.info = {}
        photo.save(target, Image.registered_extensions()[f".{extension}"], **options)
        files[extension] = target.getvalue()
    return files


def exiftool(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["exiftool", "-config", "", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=bound(60),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tagged(directory: Path, files: dict[str, bytes], *tags: str) -> list[Path]:
    """The files, with metadata written by exiftool."""
    paths = [directory / f"photo.{extension}" for extension in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_bytes(content)
    exiftool("-q", "-overwrite_original", *tags, *paths)
    return paths


def test_a_photo_without_metadata_has_no_keywords(plain: dict[str, bytes], tmp_path: Path) -> None:
    for extension, content in plain.items():
        path = tmp_path / f"photo.{extension}"
        path.write_bytes(content)
        assert read(path) == Embedded(())
    for path in sample_photos().values():
        assert read_keywords(path) == ()


def test_what_exiftool_writes_is_read_in_every_format(
    plain: dict[str, bytes], tmp_path: Path
) -> None:
    words = ["Zebra", "Café", "日本", "two words", "a&b <c>", "1.10", "1e3", "true"]
    paths = tagged(tmp_path, plain, *[f"-XMP-dc:Subject={word}" for word in words])
    by_exiftool = json.loads(exiftool("-j", "-XMP-dc:Subject", *paths))
    for path, record in zip(paths, by_exiftool, strict=True):
        assert read(path) == Embedded(tuple(words)), path
        # exiftool's JSON prints words that look like numbers as such.
        assert [str(word) for word in record["Subject"]][:5] == words[:5]


def test_iptc_keywords_are_read(plain: dict[str, bytes], tmp_path: Path) -> None:
    words = ["Zebra", "Café", "日本"]
    files = {extension: plain[extension] for extension in ("jpg", "tif")}
    tags = [f"-IPTC:Keywords={word}" for word in words]
    paths = tagged(tmp_path, files, "-IPTC:CodedCharacterSet=UTF8", *tags)
    by_exiftool = json.loads(exiftool("-j", "-IPTC:Keywords", *paths))
    for path, record in zip(paths, by_exiftool, strict=True):
        assert read(path) == Embedded(tuple(words)), path
        assert record["Keywords"] == words


def test_iptc_in_the_letters_of_western_europe_is_read(
    plain: dict[str, bytes], tmp_path: Path
) -> None:
    (path,) = tagged(tmp_path, {"jpg": plain["jpg"]}, "-IPTC:Keywords=Café", "-IPTC:Keywords=cat")
    assert b"Caf\xe9" in path.read_bytes()
    assert read(path) == Embedded(("Café", "cat"))


def test_the_last_name_of_a_hierarchy_is_the_keyword(
    plain: dict[str, bytes], tmp_path: Path
) -> None:
    paths = tagged(
        tmp_path,
        plain,
        "-XMP-lr:HierarchicalSubject=Animals|Mammals|Dog",
        "-XMP-lr:HierarchicalSubject=Sky",
        "-XMP-digiKam:TagsList=Places/Italy/Rome",
        "-XMP-microsoft:LastKeywordXMP=Seasons/Spring",
        "-XMP-mediapro:CatalogSets=Events|Wedding",
        "-XMP-dc:Subject=a|b/c",
    )
    expected = ("a|b/c", "Dog", "Sky", "Rome", "Spring", "Wedding")
    assert [read(path) for path in paths] == [Embedded(expected)] * len(paths)


def test_each_keyword_comes_once_as_it_was_written_first(
    plain: dict[str, bytes], tmp_path: Path
) -> None:
    (path,) = tagged(
        tmp_path,
        {"jpg": plain["jpg"]},
        "-XMP-dc:Subject=Dog",
        "-XMP-dc:Subject=Cafe\u0301",
        "-XMP-lr:HierarchicalSubject=Animals|dog",
        "-XMP-digiKam:TagsList=Places/CAFÉ",
        "-IPTC:CodedCharacterSet=UTF8",
        "-IPTC:Keywords=DOG",
        "-IPTC:Keywords=tree",
    )
    assert read(path) == Embedded(("Dog", "Cafe\u0301", "tree"))


def test_thousands_of_keywords_are_all_read(plain: dict[str, bytes], tmp_path: Path) -> None:
    # More than a segment of JPEG holds, in XMP as in IPTC.
    words = [f"keyword number {number}" for number in range(6000)]
    listing = tmp_path / "arguments"
    listing.write_text("\n".join(f"-XMP-dc:Subject={word}" for word in words))
    paths = tagged(tmp_path, plain, "-@", str(listing))
    assert b"HasExtendedXMP" in paths[0].read_bytes()
    assert [read(path) for path in paths] == [Embedded(tuple(words))] * len(paths)
    listing.write_text("\n".join(f"-IPTC:Keywords={word}" for word in words))
    for path in tagged(tmp_path, {e: plain[e] for e in ("jpg", "tif")}, "-@", str(listing)):
        assert read(path) == Embedded(tuple(words))


def test_keywords_are_read_without_the_pixels(plain: dict[str, bytes], tmp_path: Path) -> None:
    (path,) = tagged(tmp_path, {"jpg": plain["jpg"]}, "-XMP-dc:Subject=cat")
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"\xff\xda") + 20])
    assert read_keywords(path) == ("cat",)


def test_a_file_that_is_no_photo_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "IMG.jpg"
    with pytest.raises(DecodeError, match="No such file"):
        read(path)
    path.write_text("Dear diary,")
    with pytest.raises(DecodeError, match="looks like text") as caught:
        read_keywords(path)
    assert caught.value.path == str(path)


# --- Packets made by hand ---

XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "<dc:subject><rdf:Bag>{}</rdf:Bag></dc:subject>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="w"?>'
)


PANTRY = (
    '<xmpMM:Pantry xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"><rdf:Bag><rdf:li>'
    "<rdf:Description><dc:subject><rdf:Bag><rdf:li>of another picture</rdf:li></rdf:Bag>"
    "</dc:subject></rdf:Description></rdf:li></rdf:Bag></xmpMM:Pantry></rdf:Description>"
)
"""What Photoshop writes of the pictures that a montage was made of."""


def with_xmp(path: Path, photo: Image.Image, packet: bytes | str) -> Path:
    photo.info = {}
    photo.save(path, xmp=packet.encode() if isinstance(packet, str) else packet)
    return path


def of_packet(directory: Path, photo: Image.Image, packet: bytes | str) -> Embedded:
    """What is read of a packet; WebP takes one of any size."""
    return read(with_xmp(directory / "photo.webp", photo, packet))


def test_unusual_but_right_packets_are_read(photo: Image.Image, tmp_path: Path) -> None:
    one = "<rdf:li>cat</rdf:li>"
    qualified = '<rdf:li rdf:parseType="Resource"><rdf:value>dog</rdf:value></rdf:li>'
    for packet, expected in (
        (XMP.format(one), ("cat",)),
        (XMP.format(one) + " " * 2000 + "\0", ("cat",)),
        ("\ufeff" + XMP.format(one), ("cat",)),
        (XMP.format(one).encode("utf-16"), ("cat",)),
        (XMP.format(one + qualified), ("cat", "dog")),
        (XMP.format(one).replace("rdf:Bag", "rdf:Seq"), ("cat",)),
        (XMP.format("<rdf:li> </rdf:li><rdf:li/><rdf:li> cat\n</rdf:li>"), ("cat",)),
        (XMP.format("<rdf:li>a&amp;b&#x26;c<!-- no --></rdf:li>"), ("a&b&c",)),
        (XMP.format(one).replace("rdf:about", 'dc:subject="dog" rdf:about'), ("dog", "cat")),
        (re.sub("<rdf:Bag>.*</rdf:Bag>", "dog", XMP.format("")), ("dog",)),
        (XMP.format(one).replace("</rdf:Description>", PANTRY), ("cat",)),
        (XMP.format(""), ()),
        ("", ()),
        ("\0\0", ()),
    ):
        assert of_packet(tmp_path, photo, packet) == Embedded(expected)


@pytest.mark.parametrize(
    ("packet", "keywords", "problem"),
    [
        (XMP.format("<rdf:li>cat</rdf:li><rdf:li>dog")[:-60], ("cat", "dog"), "malformed XMP"),
        (XMP.format("<rdf:li>cat</rdf:li></rdf:oops>"), ("cat",), "malformed XMP"),
        ("not XML at all", (), "malformed XMP"),
        (
            '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
            + XMP.format("<rdf:li>&e;</rdf:li>"),
            (),
            "DOCTYPE",
        ),
        (
            ("<!DOCTYPE x>" + XMP.format("<rdf:li>cat</rdf:li>")).encode("utf-16"),
            (),
            "DOCTYPE",
        ),
        (XMP.format("<rdf:li>cat</rdf:li>" * 60_000), (), "more than 1,048,576"),
        (XMP.format("<a>" * 20_000 + "</a>" * 20_000), (), "malformed XMP"),
    ],
)
def test_a_packet_that_cannot_be_read_is_a_problem(
    packet: bytes | str,
    keywords: tuple[str, ...],
    problem: str,
    photo: Image.Image,
    tmp_path: Path,
) -> None:
    embedded = of_packet(tmp_path, photo, packet)
    assert embedded.keywords == keywords
    assert len(embedded.problems) == 1
    assert problem in embedded.problems[0]


def test_a_problem_in_one_field_leaves_the_others(
    plain: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (path,) = tagged(tmp_path, {"jpg": plain["jpg"]}, "-XMP-dc:Subject=cat", "-IPTC:Keywords=tree")
    path.write_bytes(path.read_bytes().replace(b"</rdf:Bag>", b"</rdf:Bug>"))
    with caplog.at_level(logging.WARNING):
        assert read_keywords(path) == ("cat", "tree")
    assert str(path) in caplog.text
    assert "malformed XMP" in caplog.text


def test_iptc_that_is_cut_off_gives_what_is_whole(plain: dict[str, bytes], tmp_path: Path) -> None:
    (path,) = tagged(tmp_path, {"jpg": plain["jpg"]}, "-IPTC:Keywords=cat", "-IPTC:Keywords=tree")
    long = struct.pack(">BBBH", 0x1C, 2, 25, 4) + b"tree"
    longer = struct.pack(">BBBH", 0x1C, 2, 25, 400) + b"tree"
    path.write_bytes(path.read_bytes().replace(long, longer))
    assert read(path) == Embedded(("cat",), ("IPTC is cut off",))


def test_what_xml_cannot_hold_is_left_out_of_a_keyword(
    plain: dict[str, bytes], tmp_path: Path
) -> None:
    (path,) = tagged(tmp_path, {"jpg": plain["jpg"]}, "-IPTC:Keywords=cat_tail")
    path.write_bytes(path.read_bytes().replace(b"cat_tail", b"cat\0tail"))
    assert read(path) == Embedded(("cattail",))


def test_extended_xmp_with_a_part_missing_is_a_problem(
    plain: dict[str, bytes], tmp_path: Path
) -> None:
    words = tmp_path / "arguments"
    words.write_text("\n".join(f"-XMP-dc:Subject=keyword number {n}" for n in range(6000)))
    (path,) = tagged(tmp_path, {"jpg": plain["jpg"]}, "-@", str(words))
    content = path.read_bytes()
    last = content.rindex(b"http://ns.adobe.com/xmp/extension/")
    path.write_bytes(content[:last] + b"X" + content[last + 1 :])
    embedded = read(path)
    assert 1000 < len(embedded.keywords) < 6000
    assert any("XMP" in problem for problem in embedded.problems)


def png_with(content: bytes, plain: bytes, kind: bytes = b"iTXt") -> bytes:
    chunk = kind + content
    data = struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return plain[:-12] + data + plain[-12:]  # before the end, after the pixels


def test_compressed_xmp_after_the_pixels_of_a_png_is_read(
    plain: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    packet = XMP.format("<rdf:li>cat</rdf:li>").encode()
    head = b"XML:com.adobe.xmp\0"
    path.write_bytes(png_with(head + b"\1\0\0\0" + zlib.compress(packet), plain["png"]))
    assert read(path) == Embedded(("cat",))
    path.write_bytes(png_with(head + b"\0\0en\0XMP\0" + packet, plain["png"]))
    assert read(path) == Embedded(("cat",))


def test_profiles_of_imagemagick_and_exiv2_in_a_png_are_read(
    plain: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(plain["png"])
    command = "add Iptc.Application2.Keywords String Oma"
    subprocess.run(["exiv2", "-M", command, path], check=True)
    assert b"Raw profile type iptc" in path.read_bytes()
    assert read(path) == Embedded(("Oma",))
    packet = XMP.format("<rdf:li>cat</rdf:li>").encode()
    profile = b"\nxmp\n%8d\n%s\n" % (len(packet), packet.hex().encode())
    name = b"Raw profile type xmp\0"
    for kind, content in ((b"tEXt", profile), (b"zTXt", b"\0" + zlib.compress(profile))):
        path.write_bytes(png_with(name + content, plain["png"], kind))
        assert read(path) == Embedded(("cat",))


def test_a_png_text_without_room_for_its_name_is_none(
    plain: dict[str, bytes], tmp_path: Path
) -> None:
    # The checksum would end the name, and the rest of the file be the text.
    chunk = struct.pack(">I", 17) + b"iTXtXML:com.adobe.xmp" + bytes(4)
    (tmp_path / "photo.png").write_bytes(plain["png"][:-12] + chunk + plain["png"][-12:])
    assert read(tmp_path / "photo.png") == Embedded(())


def test_photoshops_resources_of_any_type_in_a_tiff_are_read(
    photo: Image.Image, tmp_path: Path
) -> None:
    record = b"\x1c\2\x19\0\3Oma"
    for kind in (1, 7):  # BYTE and UNDEFINED
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[34377] = b"8BIM\4\4\0\0" + struct.pack(">I", len(record)) + record
        tags.tagtype[34377] = kind
        photo.info = {}
        photo.save(tmp_path / "photo.tif", tiffinfo=tags)
        assert read(tmp_path / "photo.tif") == Embedded(("Oma",))


def test_a_bomb_in_a_png_is_refused(plain: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    text = zlib.compress(b"<a>" + b" " * 50 * MAX_XMP_BYTES + b"</a>", 9)
    path.write_bytes(png_with(b"XML:com.adobe.xmp\0\1\0\0\0" + text, plain["png"]))
    (problem,) = read(path).problems
    assert "more than" in problem
    path.write_bytes(
        png_with(b"XML:com.adobe.xmp\0\0\0\0\0" + b" " * 3 * MAX_XMP_BYTES, plain["png"])
    )
    (problem,) = read(path).problems
    assert "PNG text" in problem


@pytest.mark.parametrize("extension", FORMATS)
def test_damage_ends_in_keywords_or_problems_or_our_error(
    extension: str, plain: dict[str, bytes], tmp_path: Path
) -> None:
    tags = ["-XMP-dc:Subject=cat", "-XMP-dc:Subject=dog", "-XMP-lr:HierarchicalSubject=a|b"]
    if extension in ("jpg", "tif"):
        tags.append("-IPTC:Keywords=tree")
    (path,) = tagged(tmp_path, {extension: plain[extension]}, *tags)
    content = path.read_bytes()
    places = [content.index(b"cat"), content.index(b"<x:xmpmeta"), 0, len(content) - 400]
    seen: set[Any] = set()
    for seed in range(120):
        rng = random.Random(seed)  # noqa: S311 - no secrets here
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            at = max(0, rng.choice(places) + rng.randint(-300, 300))
            damaged[min(at, len(damaged) - 1)] = rng.choice((0, 255, 0x3C, rng.randrange(256)))
        path.write_bytes(damaged)
        try:
            embedded = read(path)
        except DecodeError:
            seen.add("error")
        else:
            seen.add((bool(embedded.keywords), bool(embedded.problems)))
    assert (True, False) in seen
    assert len(seen) > 1
