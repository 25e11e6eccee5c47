"""Sidecars: which file it is, and what may become of its content.

Needs the programs exiftool and exiv2, as independent readers and writers.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from photoramd.errors import ChangedError, SidecarError
from photoramd.keywords import fold
from photoramd.metadata import sidecar
from photoramd.metadata.sidecar import Target, locate
from photoramd.metadata.xmp_keywords import Provenance
from photoramd.metadata.xmp_packet import MAX_BYTES, Packet, escape
from photoramd.system import atomic
from photoramd.system.beneath import Directory
from tests.support.clock import bound
from tests.support.xmp import (
    add_subjects,
    provenance,
    remove_subjects,
    replace_provenance,
    subjects,
)

MARK = (
    Provenance("dog", 0.914, "embedded", "1.0", "2025-01-31T12:00:00Z"),
    Provenance("sea & <sand>", 0.5, "embedded", "1.0", "2025-01-31T12:00:00Z"),
)

RDF_NAME = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'

LIGHTROOM = f"""\
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    {DC}
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmp:Rating="4"
   crs:Version="15.0"
   crs:Exposure2012='+0.35'
   crs:RawFileName="a &gt; b &amp; c &quot;d&quot; > e">
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Holiday</rdf:li>
     <rdf:li>Mum &amp; Dad</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Places|Holiday</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <crs:ToneCurvePV2012>
    <rdf:Seq>
     <rdf:li>0, 0</rdf:li>
     <rdf:li>255, 255</rdf:li>
    </rdf:Seq>
   </crs:ToneCurvePV2012>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

DARKTABLE = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    xmlns:darktable="http://darktable.sf.net/"
   darktable:xmp_version="5"
   darktable:history_end="1">
   <darktable:masks_history>
    <rdf:Seq/>
   </darktable:masks_history>
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="exposure"
      darktable:params="gz02eJxjYACBBntmIA=="
      darktable:multi_name=""/>
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

PACKET = f"""\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<!-- made by hand: </x:xmpmeta> <dc:subject> -->
<x:xmpmeta xmlns:x="adobe:ns:meta/">
\t<rdf:RDF {RDF}>
\t\t<rdf:Description {DC} rdf:about="uuid:1">
\t\t\t<!-- keep <rdf:li>me</rdf:li> --><?keep me?>
\t\t\t<dc:subject><rdf:Bag><rdf:li>Caf\u00e9</rdf:li><rdf:li><![CDATA[b & c]]></rdf:li></rdf:Bag>\
</dc:subject>
\t\t\t<own:thing xmlns:own="urn:x-own" rdf:parseType="Resource">
\t\t\t\t<own:nested>1 &lt; 2</own:nested>
\t\t\t</own:thing>
\t\t</rdf:Description>
\t</rdf:RDF>
</x:xmpmeta>
{" " * 99}
<?xpacket end="w"?>"""

MINIFIED = (
    f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF {RDF}><rdf:Description rdf:about=''/>"
    "</rdf:RDF></x:xmpmeta>"
)
NOTHING = f"<rdf:RDF {RDF}/>"

REAL = {"lightroom": LIGHTROOM, "darktable": DARKTABLE, "packet": PACKET, "minified": MINIFIED}


def described(body: str, attributes: str = "") -> bytes:
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF {RDF}>\n'
        f'  <rdf:Description rdf:about="" {DC}{attributes}>{body}</rdf:Description>\n'
        " </rdf:RDF>\n</x:xmpmeta>\n"
    ).encode()


def canonical(data: bytes, encoding: str, without: tuple[str, ...] = ()) -> bytes:
    """The document in canonical form, less the keywords given and what holds nothing else."""
    parser = etree.XMLParser(remove_blank_text=True, encoding="utf-8")
    root = etree.fromstring(data.decode(encoding).encode(), parser)
    for item in list(root.iterfind(".//{*}subject/*/{*}li")):
        element = item if item.text in without else None
        while element is not None and not len(element) and element.tag != f"{RDF_NAME}RDF":
            parent = element.getparent()
            assert parent is not None
            parent.remove(element)
            element = parent
    return etree.tostring(root.getroottree(), method="c14n")


def exiftool(*arguments: str | Path) -> str:
    command = ["exiftool", "-config", "", *map(str, arguments)]
    finished = subprocess.run(
        command, capture_output=True, text=True, timeout=bound(60), check=True
    )
    return finished.stdout


def exiv2(*arguments: str | Path) -> str:
    command = ["exiv2", *map(str, arguments)]
    finished = subprocess.run(
        command, capture_output=True, text=True, timeout=bound(60), check=True
    )
    assert not finished.stderr
    return finished.stdout


def read_by_exiftool(path: Path) -> list[str]:
    # Without -m, ExifTool reads no more than a thousand of them.
    return (
        exiftool("-m", "-s3", "-b", "-sep", "\n", "-XMP-dc:Subject", path).rstrip("\n").split("\n")
    )


def saved(directory: Path, data: bytes, name: str = "IMG.JPG.xmp") -> Path:
    path = directory / name
    path.write_bytes(data)
    return path


# Which file


def touch(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).write_bytes(b"x")


@pytest.mark.parametrize(
    ("photo", "others", "name", "exists"),
    [
        # Nothing there: one is to be created.
        ("IMG.JPG", [], "IMG.JPG.xmp", False),
        ("IMG.CR2", [], "IMG.CR2.xmp", False),
        # The photo's own comes first, whatever its case.
        ("IMG.JPG", ["IMG.JPG.xmp", "IMG.xmp"], "IMG.JPG.xmp", True),
        ("IMG.JPG", ["IMG.JPG.XMP"], "IMG.JPG.XMP", True),
        ("IMG.CR2", ["IMG.CR2.xmp", "IMG.xmp"], "IMG.CR2.xmp", True),
        # The only photo, the only RAW.
        ("IMG.CR2", ["IMG.xmp"], "IMG.xmp", True),
        ("IMG.JPG", ["IMG.xmp"], "IMG.xmp", True),
        ("IMG.JPG", ["IMG.XMP"], "IMG.XMP", True),
        ("IMG.CR2", ["IMG.xmp", "IMG.JPG"], "IMG.xmp", True),
        ("a.b.jpg", ["a.b.xmp", "a.jpg", "a.CR2"], "a.b.xmp", True),
        ("IMG.HEIC", ["IMG.xmp", "IMG.MOV", "IMG.txt"], "IMG.xmp", True),
        # Beside a RAW it belongs to the RAW.
        ("IMG.JPG", ["IMG.xmp", "IMG.CR2"], "IMG.JPG.xmp", False),
        ("IMG.JPG", ["IMG.xmp", "IMG.cr2"], "IMG.JPG.xmp", False),
        ("IMG.JPG", ["IMG.xmp", "img.CR2"], "IMG.JPG.xmp", False),
        # Two with an equal claim, so neither has it.
        ("IMG.JPG", ["IMG.xmp", "IMG.HEIC"], "IMG.JPG.xmp", False),
        ("IMG.CR2", ["IMG.xmp", "IMG.DNG"], "IMG.CR2.xmp", False),
        # It is the own sidecar of another photo.
        ("IMG.JPG.tif", ["IMG.JPG", "IMG.JPG.xmp"], "IMG.JPG.tif.xmp", False),
        # darktable's duplicates are not ours.
        ("IMG.JPG", ["IMG_01.JPG.xmp"], "IMG.JPG.xmp", False),
        ("IMG.JPG", ["IMG.JPG.xmp", "IMG_01.JPG.xmp"], "IMG.JPG.xmp", True),
    ],
)
def test_the_sidecar_of_a_photo(
    tmp_path: Path, photo: str, others: list[str], name: str, exists: bool
) -> None:
    touch(tmp_path, photo, *others)
    assert locate(tmp_path / photo) == Target(tmp_path / name, exists=exists)
    assert locate(tmp_path / photo, names=[photo, *others]).path.name == name


@pytest.mark.parametrize(
    ("photo", "others", "name", "exists"),
    [
        ("IMG.CR2", [], "IMG.xmp", False),
        ("IMG.CR2", ["IMG.JPG"], "IMG.xmp", False),
        ("IMG.CR2", ["IMG.DNG"], "IMG.CR2.xmp", False),
        ("IMG.CR2", ["IMG.CR2.xmp"], "IMG.CR2.xmp", True),
        ("IMG.JPG", [], "IMG.JPG.xmp", False),
        ("IMG.JPG", ["IMG.CR2"], "IMG.JPG.xmp", False),
    ],
)
def test_lightrooms_names_by_option(
    tmp_path: Path, photo: str, others: list[str], name: str, exists: bool
) -> None:
    touch(tmp_path, photo, *others)
    target = locate(tmp_path / photo, lightroom_names=True)
    assert target == Target(tmp_path / name, exists=exists)


@pytest.mark.parametrize("lightroom_names", [False, True])
def test_a_raw_keeps_its_sidecar_when_another_raw_comes_to_its_side(
    tmp_path: Path, lightroom_names: bool
) -> None:
    touch(tmp_path, "IMG.CR2", "IMG.xmp", "IMG.DNG", "IMG.JPG")
    mine = tmp_path / "IMG.xmp"
    for photo, known, expected in [
        ("IMG.CR2", mine, Target(mine, exists=True)),
        ("IMG.DNG", None, Target(tmp_path / "IMG.DNG.xmp", exists=False)),
        # It may have been the JPEG's before the RAWs came.
        ("IMG.JPG", mine, Target(tmp_path / "IMG.JPG.xmp", exists=False)),
    ]:
        found = locate(tmp_path / photo, known=known, lightroom_names=lightroom_names)
        assert found == expected


def test_a_directory_is_not_listed_for_every_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "A.JPG", "B.JPG", "B.JPG.xmp", "C.JPG", "C.xmp")
    listed: list[Path] = []
    listing = sidecar._list

    def count(directory: Directory) -> list[str]:
        listed.append(directory.path)
        return listing(directory)

    monkeypatch.setattr(sidecar, "_list", count)
    locate(tmp_path / "A.JPG")
    locate(tmp_path / "B.JPG")
    assert listed == []
    locate(tmp_path / "C.JPG")
    assert listed == [tmp_path]


def test_a_sidecar_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "real", "A.JPG", "B.JPG", "C.JPG", "D.JPG", "E.JPG", "E.CR2")
    (tmp_path / "A.JPG.xmp").symlink_to("real")
    (tmp_path / "B.JPG.xmp").hardlink_to(tmp_path / "real")
    (tmp_path / "C.JPG.xmp").mkdir()
    (tmp_path / "D.xmp").symlink_to("nowhere")
    (tmp_path / "E.xmp").symlink_to("nowhere")
    for name in ("A.JPG", "B.JPG", "C.JPG", "D.JPG", "E.CR2"):
        with pytest.raises(SidecarError) as caught:
            locate(tmp_path / name)
        assert caught.value.remedy
    assert not locate(tmp_path / "E.JPG").exists
    for name in ("A.JPG.xmp", "B.JPG.xmp", "C.JPG.xmp", "D.xmp"):
        with pytest.raises(SidecarError):
            sidecar.read(tmp_path / name)


def test_a_sidecar_is_read_with_its_fingerprint(tmp_path: Path) -> None:
    path = saved(tmp_path, LIGHTROOM.encode())
    data, fingerprint = sidecar.read(path)
    assert data == LIGHTROOM.encode()
    assert fingerprint == atomic.Fingerprint.of(path.lstat())


def test_a_sidecar_that_is_written_while_it_is_read_is_read_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, LIGHTROOM.encode())
    read = os.read

    def read_and_write(fd: int, length: int) -> bytes:
        monkeypatch.undo()
        data = read(fd, length)
        path.write_bytes(DARKTABLE.encode())
        return data

    monkeypatch.setattr(os, "read", read_and_write)
    with pytest.raises(ChangedError):
        sidecar.read(path)


def test_a_sidecar_that_is_gone_or_a_pipe_does_not_hang(tmp_path: Path) -> None:
    with pytest.raises(ChangedError):
        sidecar.read(tmp_path / "IMG.xmp")
    os.mkfifo(tmp_path / "IMG.xmp")
    with pytest.raises(SidecarError, match="no regular file"):
        sidecar.read(tmp_path / "IMG.xmp")


@pytest.mark.parametrize(
    "name", [b"-a.jpg", b"@a.jpg", b"$a.jpg", b"a\nb.jpg", b"\xff\xfe.jpg", b" lead.jpg"]
)
def test_any_photo_name_gets_the_right_sidecar_and_no_other_file(
    tmp_path: Path, name: bytes
) -> None:
    photo = tmp_path / os.fsdecode(name)
    photo.write_bytes(b"photo")
    for keyword in ("dog", "cat"):
        target = locate(photo)
        data, expected = sidecar.read(target.path) if target.exists else (None, None)
        new = add_subjects(data, [keyword])
        assert new is not None
        atomic.commit(atomic.prepare(target.path, new, expected=expected, beside=photo))
    assert sorted(os.listdir(os.fsencode(tmp_path))) == sorted([name, name + b".xmp"])
    assert subjects(target.path.read_bytes()) == ("dog", "cat")


# What is refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n\0\0 ", "empty"),
        (b"<x:xmpmeta", "not well-formed"),
        (LIGHTROOM.encode()[:-20], "not well-formed"),
        (LIGHTROOM.encode() + b"<again/>", "not well-formed"),
        (LIGHTROOM.replace("Holiday", "\x01").encode(), "not well-formed"),
        (LIGHTROOM.replace("Holiday", "Caf\u00e9").encode("latin-1"), "not well-formed"),
        (b"<?xml version='1.0' encoding='klingon'?><a/>", "encoding"),
        (b"\xff\xfe<\0", "not well-formed"),
        (b"<!DOCTYPE a><a/>", "DOCTYPE"),
        (
            b"<?xml version='1.0'?>\n<!-- c --><!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
            "DOCTYPE",
        ),
        ("<!DOCTYPE a><a/>".encode("utf-16"), "DOCTYPE"),
        (b"<html><body/></html>", "not XMP"),
        (f"<a>{NOTHING}{NOTHING}</a>".encode(), "not XMP"),
        (LIGHTROOM.encode() + b" " * MAX_BYTES, "over the limit"),
        (b"<a>" * 20_000 + b"</a>" * 20_000, "not well-formed"),
        (described("<dc:subject rdf:parseType='Resource'><dc:a>x</dc:a></dc:subject>"), "no list"),
        (described("<dc:subject rdf:resource='x'/>"), "no list"),
    ],
)
def test_a_sidecar_that_is_not_understood_is_left_alone(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    path = tmp_path / "IMG.xmp"
    with pytest.raises(SidecarError, match=reason) as caught:
        add_subjects(data, ["dog"], records=MARK, path=path)
    assert caught.value.path == str(path)
    assert caught.value.remedy


def test_entities_are_not_expanded() -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE a [<!ENTITY e0 "ha">{levels}]><a>&e11;</a>'
    with pytest.raises(SidecarError, match="DOCTYPE"):
        Packet(bomb.encode())


@pytest.mark.parametrize("keyword", ["\0", "a\x1fb", "\ud800", "\ufffe"])
def test_a_keyword_that_xml_cannot_hold_is_refused(keyword: str) -> None:
    with pytest.raises(SidecarError, match="cannot hold"):
        add_subjects(None, [keyword])


def test_keywords_that_make_the_sidecar_too_large_are_refused() -> None:
    with pytest.raises(SidecarError, match="would be over"):
        add_subjects(LIGHTROOM.encode(), [f"{n:0100}" for n in range(20_000)])


# Reading


@pytest.mark.parametrize(
    ("body", "attributes", "expected"),
    [
        ("", "", ()),
        ("<dc:subject/>", "", ()),
        ("<dc:subject><rdf:Bag/></dc:subject>", "", ()),
        ("<dc:subject><rdf:Seq><rdf:li>a</rdf:li></rdf:Seq></dc:subject>", "", ("a",)),
        ("<dc:subject><rdf:Alt><rdf:li>a</rdf:li></rdf:Alt></dc:subject>", "", ("a",)),
        ("<dc:subject>a, b</dc:subject>", "", ("a, b",)),
        ("", " dc:subject='a &amp; b'", ("a & b",)),
        (
            "<dc:subject><rdf:Bag><rdf:li/><rdf:li> </rdf:li><rdf:li> a </rdf:li></rdf:Bag>"
            "</dc:subject>",
            "",
            (" a ",),
        ),
        (
            "<dc:subject><rdf:Bag><rdf:li>a<!-- c -->b</rdf:li><rdf:li rdf:parseType='Resource'>"
            "<rdf:value>c</rdf:value><dc:x>y</dc:x></rdf:li></rdf:Bag></dc:subject>",
            "",
            ("ab", "c"),
        ),
        (
            "<dc:subject><rdf:Bag><rdf:li>a</rdf:li></rdf:Bag></dc:subject></rdf:Description>"
            f"<rdf:Description {DC}><dc:subject><rdf:Bag><rdf:li>b</rdf:li></rdf:Bag></dc:subject>",
            "",
            ("a", "b"),
        ),
    ],
)
def test_keywords_are_read_in_any_form_and_added_to_it(
    body: str, attributes: str, expected: tuple[str, ...]
) -> None:
    data = described(body, attributes)
    assert subjects(data) == expected
    added = add_subjects(data, ["dog", "cat"], records=MARK)
    assert subjects(added) == (*expected, "dog", "cat")
    assert provenance(added) == MARK
    assert add_subjects(added, ["CAT"], records=()) is added
    assert subjects(remove_subjects(added, ["dog", "cat"])) == expected


# Adding and removing


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "crlf"])
def test_nothing_but_the_keywords_changes(name: str, encoding: str) -> None:
    text = REAL[name]
    if encoding != "utf-8":
        text = text.replace(' encoding="UTF-8"', "")
    codec = encoding
    if encoding == "crlf":
        codec, text = "utf-8", text.replace("\n", "\r\n")
    data = text.encode(codec)
    new = ("dog", "sea & <sand>", "\u7d05\u8449 \U0001f341")
    before = subjects(data)
    added = add_subjects(data, new)
    assert subjects(added) == before + new
    # All of the old bytes are there, around one gap.
    head = next(n for n in range(len(added)) if added[: n + 1] != data[: n + 1])
    assert added.endswith(data[head:])
    assert canonical(added, codec, new) == canonical(data, codec)
    assert encoding != "crlf" or added.count(b"\n") == added.count(b"\r\n")
    assert remove_subjects(added, new) == data
    marked = add_subjects(data, new, records=MARK)
    assert remove_subjects(marked, new, records=()) == data


def test_the_layout_of_the_sidecar_is_continued() -> None:
    added = add_subjects(LIGHTROOM.encode(), ["dog"]).decode()
    assert added == LIGHTROOM.replace(
        "<rdf:li>Mum &amp; Dad</rdf:li>\n",
        "<rdf:li>Mum &amp; Dad</rdf:li>\n     <rdf:li>dog</rdf:li>\n",
    )


def test_a_new_packet_is_small_and_pretty() -> None:
    assert (
        add_subjects(None, ["dog"])
        == (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
            '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="photoramd">\n'
            f" <rdf:RDF {RDF}>\n"
            f'  <rdf:Description rdf:about="" {DC}>\n'
            "   <dc:subject>\n"
            "    <rdf:Bag>\n"
            "     <rdf:li>dog</rdf:li>\n"
            "    </rdf:Bag>\n"
            "   </dc:subject>\n"
            "  </rdf:Description>\n"
            " </rdf:RDF>\n"
            "</x:xmpmeta>\n"
            '<?xpacket end="w"?>\n'
        ).encode()
    )


def test_an_empty_rdf_element_is_opened() -> None:
    added = add_subjects(NOTHING.encode(), ["dog"], records=MARK)
    assert subjects(added) == ("dog",)
    assert provenance(added) == MARK


def test_prefixes_are_taken_from_the_sidecar() -> None:
    data = (
        b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="urn:x-taken">'
        b'<r:Description r:about="uuid:7" dc:subject="not a keyword"/></r:RDF>'
    )
    added = add_subjects(data, ["dog"])
    assert subjects(added) == ("dog",)
    assert b'<r:Description r:about="uuid:7" xmlns:dc_=' in added
    assert added.startswith(data.removesuffix(b"</r:RDF>"))


def test_without_prefixes_own_ones_are_declared() -> None:
    data = (
        b'<RDF xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><Description><subject'
        b' xmlns="http://purl.org/dc/elements/1.1/"><Bag'
        b' xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><li>cat</li></Bag></subject>'
        b"</Description></RDF>"
    )
    added = add_subjects(data, ["dog"], records=MARK)
    assert subjects(added) == ("cat", "dog")
    assert remove_subjects(added, ["dog"], records=()) == data


def test_a_single_text_becomes_the_first_of_a_list() -> None:
    data = described("", ' dc:title=\'dc:subject="no"\' dc:subject = "a &amp; b" dc:rights="r"')
    added = add_subjects(data, ["dog"])
    assert b""" dc:title='dc:subject="no"' dc:rights="r">""" in added
    assert subjects(added) == ("a & b", "dog")
    assert remove_subjects(data, ["a & b"]) == data.replace(b' dc:subject = "a &amp; b"', b"")


def test_nothing_new_changes_nothing() -> None:
    data = LIGHTROOM.encode()
    for nothing in ([], ["Holiday"], ["HOLIDAY", "mum & dad"], ["", "  "]):
        assert add_subjects(data, nothing, records=MARK) is data
        assert add_subjects(None, [text for text in nothing if not text.strip()]) is None
    assert remove_subjects(data, ["holiday"], records=MARK) is data


def test_keywords_that_differ_in_case_or_form_are_the_same() -> None:
    user = add_subjects(None, ["Dog", "Cafe\u0301", "Stra\u00dfe"])
    assert user is not None
    assert add_subjects(user, ["dog", "CAF\u00c9", "caf\u00e9", "STRASSE"]) is user
    assert subjects(add_subjects(user, ["cat", "Cat", " CAT "])) == (*subjects(user), "cat")


def test_removal_is_exact() -> None:
    data = described(
        "<dc:subject><rdf:Bag><rdf:li>Dog</rdf:li><rdf:li>dog</rdf:li></rdf:Bag></dc:subject>"
    )
    assert subjects(remove_subjects(data, ["dog"])) == ("Dog",)


def test_an_emptied_list_goes_but_not_what_is_beside_it() -> None:
    body = "<dc:subject><rdf:Bag><rdf:li>a</rdf:li></rdf:Bag></dc:subject>"
    title = "<dc:title>t</dc:title>"
    assert remove_subjects(described(body + title), ["a"]) == described(title)
    assert remove_subjects(described(body, ' dc:rights="r"'), ["a"]) == described(
        "", ' dc:rights="r"'
    )
    comment = body.replace("<rdf:li>", "<!-- mine --><rdf:li>")
    assert b"<!-- mine -->" in remove_subjects(described(comment), ["a"])
    assert b"Description" not in remove_subjects(described(body), ["a"])


def test_keywords_that_look_like_something_else_stay_what_they_are(tmp_path: Path) -> None:
    keywords = ["1.10", "1e3", "true", "null", "-Artist=y", "@args", "$FileName", "&amp;", "]]>"]
    data = add_subjects(None, keywords)
    assert data is not None
    assert list(subjects(data)) == keywords
    path = saved(tmp_path, data)
    assert read_by_exiftool(path) == keywords
    assert exiftool("-Artist", "-Creator", path) == ""


def test_thousands_of_keywords_are_all_kept(tmp_path: Path) -> None:
    user = [f"keyword {n}" for n in range(6000)]
    data = add_subjects(None, user)
    assert data is not None
    added = add_subjects(data, ["dog"], records=MARK)
    assert list(subjects(added)) == [*user, "dog"]
    assert remove_subjects(added, ["dog"], records=()) == data
    assert len(read_by_exiftool(saved(tmp_path, added))) == 6001
    assert subjects(remove_subjects(added, user)) == ("dog",)


def test_what_the_user_does_later_survives_our_removal(tmp_path: Path) -> None:
    data = add_subjects(None, ["dog"], records=MARK)
    assert data is not None
    path = saved(tmp_path, data)
    exiftool("-overwrite_original", "-XMP-dc:Subject+=mine", "-XMP-xmp:Rating=3", path)
    path.write_bytes(remove_subjects(path.read_bytes(), ["dog"], records=()))
    assert read_by_exiftool(path) == ["mine"]
    assert exiftool("-s3", "-XMP-xmp:Rating", path).strip() == "3"
    assert "photoramd" not in path.read_text().replace('x:xmptk="photoramd"', "")


# Other programs


@pytest.mark.parametrize("name", [*REAL, "new"])
def test_exiftool_and_exiv2_read_what_we_write(tmp_path: Path, name: str) -> None:
    data = REAL[name].encode() if name != "new" else None
    new = ("dog", "sea & <sand>", "\u7d05\u8449")
    added = add_subjects(data, new, records=MARK)
    assert added is not None
    path = saved(tmp_path, added)
    assert tuple(read_by_exiftool(path)) == subjects(added)
    assert exiftool("-s3", "-Warning", "-Error", path) == ""
    listed = exiv2("-q", "-K", "Xmp.dc.subject", "-Pt", path)
    assert listed.rstrip("\n") == ", ".join(subjects(added))


def test_exiftool_finds_a_new_sidecar_valid(tmp_path: Path) -> None:
    data = add_subjects(None, ["dog"], records=MARK)
    assert data is not None
    said = exiftool("-validate", "-warning", "-a", "-s3", saved(tmp_path, data))
    # The one reservation is about namespaces of which ExifTool has no table.
    assert all("Non-standard XMP" in line or line == "OK" or "minor" in line
               for line in said.splitlines()), said  # fmt: skip


def edit_with_exiftool(path: Path) -> None:
    exiftool("-overwrite_original", "-XMP-xmp:Rating=3", "-XMP-dc:Title=t", path)


def edit_with_exiv2(path: Path) -> None:
    exiv2("-M", "set Xmp.xmp.Rating 3", "-M", "set Xmp.dc.title lang=x-default t", path)


@pytest.mark.parametrize("edit", [edit_with_exiftool, edit_with_exiv2])
@pytest.mark.parametrize("name", ["lightroom", "darktable", "new"])
def test_keywords_and_mark_survive_edits_by_other_programs(
    tmp_path: Path, edit: object, name: str
) -> None:
    assert callable(edit)
    data = REAL[name].encode() if name != "new" else None
    added = add_subjects(data, ["dog"], records=MARK)
    assert added is not None
    path = saved(tmp_path, added)
    edit(path)
    edited = path.read_bytes()
    assert edited != added
    assert subjects(edited) == subjects(added)
    assert provenance(edited) == MARK
    # And the mark is replaced, not doubled, in whatever form they gave it.
    newer = Provenance("cat", 0.75, "other", "2", "2025-02-01T00:00:00Z")
    again = add_subjects(edited, ["cat"], records=[newer])
    assert provenance(again) == (newer,)
    assert again.count(b"<photoramd:autoTags") == 1
    assert provenance(remove_subjects(again, ["cat"], records=())) == ()


@pytest.mark.parametrize("edit", [edit_with_exiftool, edit_with_exiv2])
def test_sidecars_of_other_programs_can_be_added_to(tmp_path: Path, edit: object) -> None:
    assert callable(edit)
    path = saved(tmp_path, LIGHTROOM.encode())
    edit(path)
    before = path.read_bytes()
    path.write_bytes(add_subjects(before, ["dog"], records=MARK))
    assert read_by_exiftool(path) == ["Holiday", "Mum & Dad", "dog"]
    assert exiftool("-s3", "-XMP-dc:Title", path).strip() == "t"
    assert remove_subjects(path.read_bytes(), ["dog"], records=()) == before


def test_a_mark_that_is_not_understood_is_passed_over() -> None:
    data = add_subjects(None, ["dog"], records=MARK)
    assert data is not None
    assert len(provenance(data.replace(b">0.914<", b">much<"))) == 1


def test_a_doubled_mark_becomes_one() -> None:
    data = add_subjects(None, ["dog"], records=MARK)
    assert data is not None
    start, end = (
        data.index(b"<photoramd:autoTags>"),
        data.index(b"  </rdf:Description>\n </rdf:RDF>"),
    )
    doubled = data[:end] + data[start:end] + data[end:]
    assert provenance(doubled) == MARK + MARK
    assert provenance(replace_provenance(doubled, MARK)) == MARK
    assert provenance(replace_provenance(doubled, ())) == ()


# Whatever the keywords


keywords = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
    min_size=1,
    max_size=12,
).filter(str.strip)
tags = st.lists(keywords | st.sampled_from(["dog", "Dog", "caf\u00e9", "CAFE\u0301"]), max_size=6)


@given(user=tags, new=tags, container=st.sampled_from(["Bag", "Seq"]), lead=st.booleans())
def test_the_users_keywords_stay_first_and_nothing_is_doubled(
    user: list[str], new: list[str], container: str, lead: bool
) -> None:
    gap = "\n      " if lead else ""
    items = "".join(f"{gap}<rdf:li>{escape(text)}</rdf:li>" for text in user)
    listed = f"<dc:subject><rdf:{container}>{items}</rdf:{container}></dc:subject>"
    data = described(listed if user else "<dc:title>t</dc:title>")
    added = add_subjects(data, new)
    result = subjects(added)
    assert result[: len(user)] == tuple(user)
    ours = result[len(user) :]
    assert len({fold(text) for text in ours}) == len(ours)
    assert not {fold(text) for text in ours} & {fold(text) for text in user}
    assert {fold(text) for text in result} == {fold(text) for text in (*user, *new)}
    assert add_subjects(added, new) is added
    assert remove_subjects(added, ours) == data


@given(steps=st.lists(st.tuples(st.booleans(), tags), max_size=5))
def test_any_sequence_of_changes_can_be_undone(steps: list[tuple[bool, list[str]]]) -> None:
    data = LIGHTROOM.encode()
    user = subjects(data)
    for is_addition, words in steps:
        if is_addition:
            data = add_subjects(data, words, records=MARK)
        else:
            ours = subjects(data)[len(user) :]
            data = remove_subjects(data, [word for word in words if word in ours], records=MARK)
        assert subjects(data)[: len(user)] == user
    undone = remove_subjects(data, subjects(data)[len(user) :], records=())
    assert subjects(undone) == user
    assert replace_provenance(undone, ()) == LIGHTROOM.encode()
