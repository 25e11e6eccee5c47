"""Camera RAW files: real DNGs of our own making, the real libraw, the real pipeline.

DNG is the one RAW format that can be made here; files of cameras cannot be had.
"""

from __future__ import annotations

import os
import shutil
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import rawpy
from click.testing import CliRunner
from PIL import Image

from photoramd.cli import cli
from photoramd.config.schema import Config
from photoramd.daemon import assembly
from photoramd.errors import DecodeError
from photoramd.images import formats, raw
from photoramd.images.decoder import decode
from photoramd.images.opener import open_file
from photoramd.images.raw_structure import structure
from photoramd.metadata.embedded import read_keywords
from photoramd.models.tagger import Tagger
from photoramd.search import queries
from tests.support.album import Scan
from tests.support.dng import dng, jpeg
from tests.support.orientation import as_stored
from tests.support.xmp import subjects

MAX_PIXELS = 2_000_000
SIDE = 448


@pytest.fixture(scope="module")
def cat(samples: dict[str, Path]) -> Image.Image:
    """A real photo of 900 x 600 pixels."""
    with Image.open(samples["cat"]) as image:
        return image.convert("RGB").resize((900, 600))


@pytest.fixture(scope="module")
def china(samples: dict[str, Path]) -> Image.Image:
    with Image.open(samples["china"]) as image:
        return image.convert("RGB").resize((900, 600))


def likeness(one: Image.Image, other: Image.Image) -> float:
    """The correlation of the pixels of two pictures, brought to the size of a stamp."""
    assert abs(one.width / one.height - other.width / other.height) < 0.02
    small = [np.asarray(image.resize((60, 60)), np.float64).ravel() for image in (one, other)]
    return float(np.corrcoef(*small)[0, 1])


def decoded(path: Path, max_pixels: int = MAX_PIXELS) -> Any:
    return decode(path, side=SIDE, max_pixels=max_pixels)


# The files


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("has_preview", [True, False])
def test_the_dngs_of_these_tests_are_real(
    cat: Image.Image, tmp_path: Path, exiftool: Callable[..., str], order: str, has_preview: bool
) -> None:
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(cat, preview=cat if has_preview else None, order=order))
    assert "OK" in exiftool("-validate", "-warning", "-a", path)
    assert exiftool("-s3", "-FileType", path) == "DNG\n"
    with rawpy.imread(os.fspath(path)) as raw:
        assert (raw.sizes.width, raw.sizes.height) == cat.size
        if has_preview:
            assert raw.extract_thumb().format == rawpy.ThumbFormat.JPEG
        else:
            with pytest.raises(rawpy.LibRawNoThumbnailError):
                raw.extract_thumb()


# The picture


def test_the_preview_is_what_is_seen(cat: Image.Image, china: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(china, preview=cat))
    picture = decoded(path)
    assert likeness(picture.image, cat) > 0.99
    assert (picture.look.width, picture.look.height, picture.look.format) == (900, 600, "RAW")
    assert picture.fingerprint.size == path.stat().st_size


def test_a_large_preview_is_reduced_to_no_less_than_asked_for(
    cat: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(cat, preview=cat.resize((1500, 1000))))
    assert decoded(path).image.size == (750, 500)


@pytest.mark.parametrize("size", [None, (160, 106), (300, 200)])
def test_without_a_preview_of_sufficient_size_the_sensors_data_is_developed(
    cat: Image.Image, china: Image.Image, tmp_path: Path, size: tuple[int, int] | None
) -> None:
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(cat, preview=None if size is None else china.resize(size)))
    picture = decoded(path)
    assert picture.image.size == (450, 300)
    assert (picture.look.width, picture.look.height) == (900, 600)
    assert likeness(picture.image, cat) > 0.9


def test_a_sensor_without_colours_gives_a_grey_picture(cat: Image.Image, tmp_path: Path) -> None:
    content = dng(cat)
    linear = struct.pack("<HHII", 262, 3, 1, 34892)
    assert content.count(struct.pack("<HHII", 262, 3, 1, 32803)) == 1
    path = tmp_path / "IMG.DNG"
    path.write_bytes(content.replace(struct.pack("<HHII", 262, 3, 1, 32803), linear))
    picture = decoded(path).image
    assert picture.mode == "RGB"
    assert {band.tobytes() for band in picture.split()} == {picture.getchannel(0).tobytes()}


def test_a_preview_that_is_damaged_is_passed_over(cat: Image.Image, tmp_path: Path) -> None:
    coded = bytearray(jpeg(cat))
    coded[200 : len(coded) - 2] = bytes(len(coded) - 202)
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(cat, preview=jpeg(cat)).replace(jpeg(cat), bytes(coded)))
    assert decoded(path).image.size == (450, 300)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("has_preview", [True, False])
def test_a_raw_comes_upright(
    cat: Image.Image, tmp_path: Path, orientation: int, has_preview: bool
) -> None:
    lying = as_stored(cat, orientation)
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(lying, preview=lying if has_preview else None, orientation=orientation))
    picture = decoded(path)
    assert likeness(picture.image, cat) > 0.9
    assert (picture.look.width, picture.look.height) == (900, 600)


def test_a_preview_that_says_how_it_is_turned_is_believed(cat: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 8
    lying = as_stored(cat, 8)
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(cat, preview=jpeg(lying, exif=exif), orientation=1))
    assert likeness(decoded(path).image, cat) > 0.99


def test_the_content_decides_and_not_the_name(cat: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "IMG.CR2"
    path.write_bytes(jpeg(cat))
    assert decoded(path).look.format == "JPEG"


@pytest.mark.parametrize("name", [b"-a.dng", b"@a.dng", b"a\nb.dng", b"\xff.dng", b" a.dng"])
def test_any_name_will_do(cat: Image.Image, tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    path.write_bytes(dng(cat, preview=cat))
    assert likeness(decoded(path).image, cat) > 0.99


# Limits and damage


@pytest.mark.parametrize("has_preview", [True, False])
def test_the_limit_on_pixels_is_kept_before_any_is_decoded(
    cat: Image.Image, tmp_path: Path, has_preview: bool
) -> None:
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(cat, preview=cat if has_preview else None))
    assert decoded(path, 540_000).look.format == "RAW"
    with pytest.raises(DecodeError, match="900 x 600 pixels, more than the limit") as caught:
        decoded(path, 539_999)
    assert "max_pixels" in (caught.value.remedy or "")


def test_the_limit_is_for_previews_too(cat: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(cat, preview=cat.resize((1500, 1000))))
    with pytest.raises(DecodeError, match="1500 x 1000 pixels, more than the limit"):
        decoded(path, 1_000_000)


@pytest.mark.parametrize("has_preview", [True, False])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_a_raw_that_is_still_being_copied_is_refused_though_its_preview_is_there(
    cat: Image.Image, tmp_path: Path, has_preview: bool, share: float
) -> None:
    content = dng(cat, preview=cat if has_preview else None)
    path = tmp_path / "IMG.DNG"
    arrived = content[: int(len(content) * share)]
    path.write_bytes(arrived)
    with pytest.raises(DecodeError, match=r"truncated|libraw does not know"):
        decoded(path)
    if share < 0.9:  # a preallocated file, of which less than 64 KiB are missing, is not told
        path.write_bytes(arrived.ljust(len(content), b"\0"))
        with pytest.raises(DecodeError, match=r"ends in zeros|nothing but zeros"):
            decoded(path)


def test_lengths_that_are_not_meant_do_no_harm(cat: Image.Image, tmp_path: Path) -> None:
    """Some cameras write wrong ones; then libraw must be able to unpack it all."""
    content = dng(cat)
    length = struct.pack("<HHII", 279, 4, 1, 2 * cat.width * cat.height)
    assert content.count(length) == 1
    path = tmp_path / "IMG.DNG"
    path.write_bytes(content.replace(length, struct.pack("<HHII", 279, 4, 1, 1 << 30)))
    assert decoded(path).image.size == (450, 300)
    path.write_bytes(path.read_bytes()[:-200_000])
    with pytest.raises(DecodeError, match=r"truncated|libraw does not know"):
        decoded(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no RAW at all, but some words\n" * 99, "looks like text"),
        (bytes(100_000), "nothing but zeros"),
        (b"FUJIFILMCCD-RAW " + b"\x17" * 9000, "libraw does not know|damaged"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1" + b"\x17" * 9000, "libraw does not know|damaged"),
        (b"MM\0*" + b"\xff" * 9000, "libraw does not know|damaged"),
    ],
)
def test_what_is_no_raw_is_an_error(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "IMG.RAF"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=message):
        decoded(path)


def test_damage_ends_in_a_picture_or_in_our_error(cat: Image.Image, tmp_path: Path) -> None:
    content = dng(cat.resize((300, 200)), preview=cat)
    random = np.random.default_rng(7)
    path = tmp_path / "IMG.DNG"
    ends = set()
    for _ in range(12):
        damaged = bytearray(content)
        for place in random.integers(len(content) - 700, len(content), 3):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            ends.add(decoded(path).look.format)
        except DecodeError as error:
            ends.add(error.message)
    assert "RAW" in ends


def test_no_descriptor_stays_open_and_the_photo_is_left_alone(
    cat: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(cat))
    before, open_before = path.stat(), len(os.listdir("/proc/self/fd"))
    decoded(path)
    assert len(os.listdir("/proc/self/fd")) == open_before
    assert (path.stat().st_mtime_ns, path.stat().st_ctime_ns) == (
        before.st_mtime_ns,
        before.st_ctime_ns,
    )


# Keywords inside


def test_the_keywords_inside_a_dng_are_read(
    cat: Image.Image, tmp_path: Path, exiftool: Callable[..., str]
) -> None:
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(cat, preview=cat))
    assert read_keywords(path) == ()
    exiftool("-q", "-overwrite_original", "-XMP-dc:Subject=grandma", path)
    exiftool("-q", "-overwrite_original", "-IPTC:Keywords=Ärger", "-charset", "iptc=utf8", path)
    assert read_keywords(path) == ("grandma", "Ärger")
    assert decoded(path).look.format == "RAW"


@pytest.mark.parametrize("magic", [b"IIRO", b"IIU\0"])
def test_the_keywords_inside_formats_like_tiff_are_read(
    cat: Image.Image, tmp_path: Path, magic: bytes
) -> None:
    """ORF and RW2 are TIFF but for the number at the start."""
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
        b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
        b' xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>beach'
        b"</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    path = tmp_path / "IMG.ORF"
    path.write_bytes(magic + dng(cat, xmp=packet)[4:])
    assert read_keywords(path) == ("beach",)


def test_the_keywords_inside_a_cr3_and_a_raf_are_read(
    cat: Image.Image, tmp_path: Path, exiftool: Callable[..., str]
) -> None:
    """Of these formats only the outside is made here; no picture is in them."""
    inner = tmp_path / "inner.jpg"
    inner.write_bytes(jpeg(cat))
    exiftool("-q", "-overwrite_original", "-XMP-dc:Subject=beach", inner)
    packet = tmp_path / "packet.xmp"
    exiftool("-q", "-TagsFromFile", inner, "-XMP-dc:Subject", packet)
    uuid = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + packet.read_bytes()
    cr3 = tmp_path / "IMG.CR3"
    cr3.write_bytes(
        struct.pack(">I4s4sI4s", 20, b"ftyp", b"crx ", 1, b"crx ")
        + struct.pack(">I4s", 8 + len(uuid), b"uuid")
        + uuid
        + struct.pack(">I4s", 16, b"mdat")
        + b"pixels! "
    )
    raf = tmp_path / "IMG.RAF"
    head = b"FUJIFILMCCD-RAW 0201FF000000X-Test".ljust(84, b"\0")
    head += struct.pack(">IIIIII", 148, inner.stat().st_size, 0, 0, 0, 0)
    raf.write_bytes(head.ljust(148, b"\0") + inner.read_bytes())
    for path in (cr3, raf):
        assert exiftool("-s3", "-XMP-dc:Subject", path) == "beach\n"
        assert read_keywords(path) == ("beach",)
        with open_file(path) as opened:
            size = opened.fingerprint.size
            assert structure(opened.file).fits(size)
            assert not structure(opened.file).fits(size - 1)


@pytest.mark.parametrize("magic", [b"II*\0", b"MM\0*", b"FUJIFILMCCD-RAW ", b"\0\0\0\x18ftypcrx "])
def test_a_structure_without_sense_is_empty_and_takes_no_time(magic: bytes, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    path = tmp_path / "IMG.DNG"
    for _ in range(50):
        path.write_bytes(magic + random.bytes(3000))
        with open_file(path) as opened:
            structure(opened.file)
        read_keywords(path)


def test_a_structure_made_to_use_memory_up_is_not_followed(tmp_path: Path) -> None:
    """Eight directories whose strips and tiles are all told by one list of 300,000 numbers."""
    tags, count, directories = (273, 279, 324, 325, 330, 513, 514), 300_000, 8
    size = 2 + 12 * len(tags) + 4
    content = b"II*\0" + struct.pack("<I", 8)
    for number in range(1, directories + 1):
        entries = (struct.pack("<HHII", tag, 4, count, 8 + directories * size) for tag in tags)
        following = 8 + number * size if number < directories else 0
        content += struct.pack("<H", len(tags)) + b"".join(entries) + struct.pack("<I", following)
    path = tmp_path / "IMG.DNG"
    path.write_bytes(content + struct.pack("<I", 5) * count)
    with open_file(path) as opened:
        tracemalloc.start()
        try:
            assert not structure(opened.file).fits(opened.fingerprint.size)
            assert tracemalloc.get_traced_memory()[1] < 100_000_000
        finally:
            tracemalloc.stop()


def test_a_box_of_a_cr3_with_an_impossible_length_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "IMG.CR3"
    head = struct.pack(">I4s4sI4s", 20, b"ftyp", b"crx ", 1, b"crx ")
    path.write_bytes(head + struct.pack(">I4s", 2, b"uuid") + b"pixels! ")
    assert read_keywords(path) == ()


# The whole way


def names_of(album: Path) -> set[str]:
    return {path.name for path in album.iterdir()}


@pytest.mark.parametrize(
    ("sidecar_names", "existing", "expected"),
    [
        ("full", "", "IMG.DNG.xmp"),
        ("lightroom", "", "IMG.xmp"),
        ("full", "IMG.xmp", "IMG.xmp"),
        ("lightroom", "IMG.xmp", "IMG.xmp"),
        ("lightroom", "IMG.DNG.xmp", "IMG.DNG.xmp"),
    ],
)
def test_of_a_raw_and_its_jpeg_each_is_tagged_with_a_sidecar_of_its_own(
    cat: Image.Image, china: Image.Image, album: Path, configure: Callable[..., Config],
    scan: Scan, exiftool: Callable[..., str], sidecar_names: str, existing: str, expected: str,
) -> None:  # fmt: skip
    (album / "IMG.DNG").write_bytes(dng(cat, preview=cat))
    (album / "IMG.JPG").write_bytes(jpeg(china))
    if existing:
        exiftool("-XMP-dc:Subject=mine", "-o", album / existing)
    config = configure(sidecar_names=sidecar_names)
    assert {outcome.state for outcome in scan(config)} == {"written"}
    assert names_of(album) == {"IMG.DNG", "IMG.JPG", "IMG.JPG.xmp", expected}
    of_raw = subjects((album / expected).read_bytes())
    assert of_raw[: len(existing[:1])] == (("mine",) if existing else ())
    assert "cat" in of_raw
    assert "cat" not in subjects((album / "IMG.JPG.xmp").read_bytes())
    # Another setting is for new sidecars only.
    other = "full" if sidecar_names == "lightroom" else "lightroom"
    assert scan(configure(sidecar_names=other)) == []
    assert names_of(album) == {"IMG.DNG", "IMG.JPG", "IMG.JPG.xmp", expected}


def test_a_new_sidecar_of_a_raw_begins_with_the_keywords_inside(
    cat: Image.Image, album: Path, configure: Callable[..., Config], scan: Scan,
    exiftool: Callable[..., str],
) -> None:  # fmt: skip
    photo = album / "IMG.DNG"
    photo.write_bytes(dng(cat, preview=cat))
    exiftool("-q", "-overwrite_original", "-XMP-dc:Subject=grandma", photo)
    scan(configure())
    found = subjects((album / "IMG.DNG.xmp").read_bytes())
    assert found[0] == "grandma"
    assert "cat" in found


def test_nothing_is_ever_written_into_a_raw(
    cat: Image.Image, album: Path, configure: Callable[..., Config], scan: Scan
) -> None:
    photo = album / "IMG.DNG"
    content = dng(cat, preview=cat)
    photo.write_bytes(content)
    assert [outcome.state for outcome in scan(configure(write="embed"))] == ["written"]
    assert photo.read_bytes() == content
    assert "cat" in subjects((album / "IMG.DNG.xmp").read_bytes())


def test_a_half_copied_raw_fails_and_is_tagged_when_it_is_whole(
    cat: Image.Image, album: Path, configure: Callable[..., Config], scan: Scan
) -> None:
    photo = album / "IMG.DNG"
    content = dng(cat, preview=cat)
    photo.write_bytes(content[: len(content) // 2])
    assert [outcome.state for outcome in scan(configure())] == ["failed"]
    assert names_of(album) == {"IMG.DNG"}
    photo.write_bytes(content)
    assert [outcome.state for outcome in scan(configure())] == ["written"]


def test_without_the_extra_a_raw_is_counted_and_with_it_the_next_scan_tags_it(
    cat: Image.Image, album: Path, put: Callable[[str, str], Path], scan: Scan,
    configure: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    put("china", "a.jpg")
    photo = album / "sub" / "IMG.DNG"
    photo.parent.mkdir()
    photo.write_bytes(dng(cat, preview=cat))
    config = configure()

    path = tmp_path / "config.toml"
    path.write_text(f"[state]\npath = '{config.state.path}'\n")

    def left_out() -> int:
        status = CliRunner().invoke(cli, ["--config", os.fspath(path), "status"])
        said = "camera RAW files that are not tagged: 1" in status.stdout
        assert said == ("pip install 'photoramd[raw]'" in status.stdout)
        connection = queries.open_readonly(config.state.path)
        (root,) = queries.roots(connection)
        connection.close()
        assert said == bool(root.raw_left_out)
        return root.raw_left_out

    with monkeypatch.context() as without:
        without.setattr(formats, "reads_raw", lambda: False)
        assert [outcome.path.name for outcome in scan(config)] == ["a.jpg"]
        assert left_out() == 1
        assert "camera RAW files that are not tagged: 1" in caplog.text
        assert "pip install 'photoramd[raw]'" in caplog.text
    assert [(each.path.name, each.state) for each in scan(config)] == [("IMG.DNG", "written")]
    assert left_out() == 0
    with monkeypatch.context() as without:
        without.setattr(formats, "reads_raw", lambda: False)
        scan(config)
        scan(config)
        assert left_out() == 1
    connection = queries.open_readonly(config.state.path)
    assert queries.counts(connection)["written"] == 2  # taken away again, it is not missing
    connection.close()


def test_a_raw_takes_room_in_memory_before_libraw_has_it(
    cat: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(cat))
    taken: list[int] = []
    opened = raw.open_raw

    def watched(*arguments: Any) -> Any:
        assert taken
        return opened(*arguments)

    monkeypatch.setattr(raw, "open_raw", watched)
    decode(path, side=SIDE, max_pixels=MAX_PIXELS, reserve=taken.append)
    # The file, which is read whole, and six bytes for each of the sensor's pixels.
    assert taken == [pytest.approx(path.stat().st_size + 6 * cat.width * cat.height, abs=12_000)]


def test_without_the_extra_a_raw_that_is_asked_for_is_refused_with_the_remedy(
    cat: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(cat, preview=cat))
    monkeypatch.setattr(raw, "reads_raw", lambda: False)
    with pytest.raises(DecodeError, match="needs libraw") as caught:
        decoded(path)
    assert "photoramd[raw]" in (caught.value.remedy or "")


def test_tags_that_are_asked_for_one_by_one_go_into_the_same_sidecars(
    cat: Image.Image, album: Path, tmp_path: Path, embedded_tagger: Tagger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(assembly, "load_tagger", lambda _: embedded_tagger)
    path = tmp_path / "config.toml"
    path.write_text(f"[[watch]]\npath = '{album}'\nsidecar_names = 'lightroom'\n")
    (album / "IMG.DNG").write_bytes(dng(cat, preview=cat))
    done = CliRunner().invoke(cli, ["--config", os.fspath(path), "tag", "-w", os.fspath(album)])
    assert done.exit_code == 0, done.output
    assert names_of(album) == {"IMG.DNG", "IMG.xmp"}
    assert "cat" in subjects((album / "IMG.xmp").read_bytes())


def test_the_settings_of_a_directory_do_not_reach_beyond_it(
    cat: Image.Image, album: Path, tmp_path: Path, configure: Callable[..., Config], scan: Scan
) -> None:
    other = tmp_path.resolve() / "other"
    other.mkdir()
    for directory in (album, other):
        (directory / "IMG.DNG").write_bytes(dng(cat, preview=cat))
    config = configure(sidecar_names="lightroom")
    second = msgspec.structs.replace(config.watch[0], path=other, sidecar_names="full")
    scan(msgspec.structs.replace(config, watch=(*config.watch, second)))
    assert names_of(album) == {"IMG.DNG", "IMG.xmp"}
    assert names_of(other) == {"IMG.DNG", "IMG.DNG.xmp"}
    shutil.rmtree(other)
