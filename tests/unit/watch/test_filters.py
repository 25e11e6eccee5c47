from __future__ import annotations

import os
import time
import unicodedata
from pathlib import Path

import pytest

from photoramd.errors import ConfigError
from photoramd.images import formats
from photoramd.images.formats import PHOTO_SUFFIXES, RAW_SUFFIXES, suffix
from photoramd.system.atomic import TEMPORARY_PREFIX
from photoramd.watch.filters import Filter, is_photo_directory_name, is_photo_name
from tests.support.clock import bound

ROOT = "/volume1/photos"


def wants(relative: str, *exclude: str) -> bool:
    return Filter(ROOT, exclude).wants(f"{ROOT}/{relative}")


def enters(relative: str, *exclude: str) -> bool:
    return Filter(ROOT, exclude).enters(f"{ROOT}/{relative}")


@pytest.mark.parametrize("extension", sorted(PHOTO_SUFFIXES))
def test_every_photo_suffix_counts_in_any_case(extension: str) -> None:
    assert is_photo_name(f"IMG_1{extension}")
    assert is_photo_name(f"IMG_1{extension.upper()}")
    assert suffix(f"a.b{extension.upper()}") == extension


@pytest.mark.parametrize(
    "name",
    ["IMG.jpg.xmp", "IMG.xmp", "IMG.mov", "IMG", "jpg", "IMG.", "IMG.jpg~", "IMG.jpgx", "IMG.txt"],
)
def test_other_files_are_no_photos(name: str) -> None:
    assert not is_photo_name(name)


@pytest.mark.parametrize("extension", sorted(RAW_SUFFIXES))
def test_a_raw_counts_where_there_is_a_decoder(
    extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{ROOT}/a/IMG_1{extension.upper()}"
    assert is_photo_name(os.path.basename(path))
    assert Filter(ROOT).wants(path)
    assert not Filter(ROOT).leaves_out(path)
    monkeypatch.setattr(formats, "reads_raw", lambda: False)
    assert not is_photo_name(os.path.basename(path))
    assert not Filter(ROOT).wants(path)
    assert Filter(ROOT).leaves_out(path)
    assert not Filter(ROOT, ["a/"]).leaves_out(path)
    assert not Filter(ROOT).leaves_out(f"{ROOT}/a/.IMG_1{extension}")
    assert not Filter(ROOT).leaves_out(f"{ROOT}/a/IMG_1.jpg")


@pytest.mark.parametrize(
    "name",
    [
        ".syncthing.IMG.jpg.tmp",
        ".syncthing.IMG.jpg",
        "~syncthing~IMG.jpg.tmp",
        "~syncthing~IMG.jpg",
        ".IMG.jpg.Xa81Zz",
        ".IMG.Xa81Zz.jpg",
        "IMG.jpg.part",
        "IMG.jpg.tmp",
        "IMG.tmp",
        "IMG.jpg_exiftool_tmp",
        "._IMG.jpg",
        ".hidden.jpg",
        ".jpg",
        f"{TEMPORARY_PREFIX}IMG.jpg",
    ],
)
def test_what_other_programs_leave_behind_is_no_photo(name: str) -> None:
    assert not is_photo_name(name)
    assert not wants(name)


@pytest.mark.parametrize(
    "name",
    [
        "@eaDir",
        "#recycle",
        "@Recycle",
        "@Recently-Snapshot",
        "$RECYCLE.BIN",
        "#snapshot",
        ".stfolder",
        ".stversions",
        ".Trash",
        ".Trash-1000",
        "lost+found",
        "Catalog Previews.lrdata",
        "Photos Library.photoslibrary",
        "Old.aplibrary",
        "__MACOSX",
        "Catalog Previews.LRDATA",
        ".git",
        ".syncthing.folder",
        "~syncthing~folder",
        "upload.part",
        "upload.tmp",
        "upload_exiftool_tmp",
        f"{TEMPORARY_PREFIX}work",
    ],
)
def test_directories_of_other_programs_are_not_entered_and_nothing_below_them_counts(
    name: str,
) -> None:
    assert not is_photo_directory_name(name)
    assert not enters(name)
    assert not enters(f"2020/{name}/deep")
    assert not wants(f"{name}/IMG.jpg")
    assert not wants(f"2020/{name}/deep/er/IMG.jpg")


@pytest.mark.parametrize(
    "relative",
    [
        "IMG.jpg",
        "2020/Summer holiday/IMG.jpg",
        "eaDir/IMG.jpg",
        "recycle/IMG.jpg",
        "-rf.jpg",
        "@file.jpg",
        "$HOME.jpg",
        "#1.jpg",
        " leading.jpg",
        "new\nline.jpg",
        "tmp/part/IMG.jpg",
        "IMG.tmp.jpg",
        "lost+found.jpg",
        "~IMG.jpg",
        os.fsdecode(b"caf\xe9/\xff\xfe.jpg"),
    ],
)
def test_ordinary_and_odd_names_count(relative: str) -> None:
    assert wants(relative)
    assert wants(relative, "*.gif", "Export/**")
    assert Filter(Path(ROOT)).wants(Path(ROOT) / relative)


def test_only_paths_below_the_root_count() -> None:
    photos = Filter(ROOT + "/")
    assert photos.enters(ROOT)
    assert photos.enters(ROOT + "/")
    assert not photos.enters("/volume1")
    assert not photos.enters("/volume1/photos2")
    assert not photos.wants("/volume1/photos2/IMG.jpg")
    assert not photos.wants("/volume1/IMG.jpg")
    assert not photos.wants("IMG.jpg")
    assert not photos.wants(f"{ROOT}/../other/IMG.jpg")
    assert Filter("/").wants("/IMG.jpg")


def test_the_root_itself_may_be_hidden() -> None:
    assert Filter("/home/me/.photos/#recycle").wants("/home/me/.photos/#recycle/a/IMG.jpg")


@pytest.mark.parametrize(
    ("pattern", "excluded", "kept"),
    [
        ("*.gif", ["a.gif", "x/y/a.gif", "A.GIF"], ["a.gif.jpg", "gif/a.jpg"]),
        ("Export/**", ["Export/a.jpg", "Export/x/y/a.jpg"], ["x/Export/a.jpg", "Export2/a.jpg"]),
        ("Export", ["Export/a.jpg", "x/Export/y/a.jpg"], ["Exports/a.jpg", "MyExport/a.jpg"]),
        ("Export/", ["Export/a.jpg", "x/Export/a.jpg"], ["Exports/a.jpg"]),
        ("/Export", ["Export/a.jpg"], ["x/Export/a.jpg"]),
        ("/a.jpg", ["a.jpg"], ["x/a.jpg"]),
        ("a.jpg/", ["a.jpg/b.jpg"], ["a.jpg", "x/a.jpg"]),
        ("**/*_small.jpg", ["a_small.jpg", "x/y/a_small.jpg"], ["a_small.jpeg", "small.jpg"]),
        ("x/**/z/*.jpg", ["x/z/a.jpg", "x/1/2/z/a.jpg"], ["x/z/1/a.jpg", "y/z/a.jpg"]),
        ("**/cache/**", ["cache/a.jpg", "x/cache/y/a.jpg"], ["caches/a.jpg", "cache.jpg"]),
        ("2019/*/a.jpg", ["2019/x/a.jpg"], ["2019/x/y/a.jpg", "2019/a.jpg", "x/2019/y/a.jpg"]),
        ("*/thumbs", ["x/thumbs/a.jpg"], ["thumbs/a.jpg", "x/y/thumbs/a.jpg"]),
        ("IMG_?.jpg", ["IMG_1.jpg", "x/IMG_2.jpg"], ["IMG_12.jpg", "IMG_.jpg"]),
        ("a?b.jpg", ["a-b.jpg"], ["a/b.jpg"]),
        ("IMG_[0-3].jpg", ["IMG_0.jpg", "IMG_3.jpg"], ["IMG_4.jpg", "IMG_-.jpg"]),
        ("IMG_[!0-3].jpg", ["IMG_4.jpg"], ["IMG_0.jpg"]),
        ("IMG_[]x].jpg", ["IMG_].jpg", "IMG_x.jpg"], ["IMG_y.jpg"]),
        ("IMG_[1.jpg", ["IMG_[1.jpg"], ["IMG_1.jpg"]),
        (r"IMG_\[1].jpg", ["IMG_[1].jpg"], ["IMG_1.jpg"]),
        (r"\*.jpg", ["*.jpg"], ["a.jpg"]),
        (r"\!a.jpg", ["!a.jpg"], ["a.jpg"]),
        ("#1", ["#1/a.jpg"], ["1/a.jpg"]),
        ("a.jpg", ["a.jpg"], ["aXjpg.jpg", "b/a.jpg.png", "a.jpg\n.jpg"]),
        ("a+(b).jpg", ["a+(b).jpg"], ["aab.jpg"]),
        ("**", ["a.jpg", "x/a.jpg"], []),
        ("*", ["a.jpg", "x/a.jpg"], []),
        ("new*line.jpg", ["new\nline.jpg"], ["newline.png"]),
        (os.fsdecode(b"\xff*"), [os.fsdecode(b"\xffx.jpg")], ["x.jpg"]),
    ],
)
def test_the_users_patterns(pattern: str, excluded: list[str], kept: list[str]) -> None:
    assert [path for path in excluded if wants(path, pattern)] == []
    assert [path for path in kept if not wants(path, pattern)] == []


def test_several_patterns_each_count() -> None:
    patterns = ("Export/**", "*.gif", "**/*_small.jpg")
    assert not wants("Export/a.jpg", *patterns)
    assert not wants("a.gif", *patterns)
    assert not wants("x/a_small.jpg", *patterns)
    assert wants("x/a.jpg", *patterns)


@pytest.mark.parametrize(
    "pattern", ["Export/**", "Export", "Export/", "/Export", "**/Export/", "Ex*"]
)
def test_an_excluded_directory_is_not_entered(pattern: str) -> None:
    assert not enters("Export", pattern)
    assert not enters("Export/deep/er", pattern)
    assert enters("Other", pattern)
    assert enters("", pattern)


def test_a_pattern_for_files_does_not_keep_from_entering_directories() -> None:
    assert enters("x", "x/*.gif", "*.gif", "**/*_small.jpg")


def test_composed_and_decomposed_letters_are_the_same() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Bücher") for form in ("NFC", "NFD"))
    assert composed != decomposed
    for pattern, name in ((composed, decomposed), (decomposed, composed)):
        assert not wants(f"{name}/a.jpg", f"{pattern}/**")


@pytest.mark.parametrize("pattern", ["", "/", "!*.jpg", "[z-a].jpg"])
def test_a_pattern_that_cannot_mean_anything_is_an_error_with_a_remedy(pattern: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Filter(ROOT, [pattern])
    assert f'"{pattern}"' in caught.value.message
    assert caught.value.remedy


def test_a_directory_of_one_answer_does_not_lend_it_to_another() -> None:
    photos = Filter(ROOT)
    for _ in range(2):
        assert photos.wants(f"{ROOT}/a/IMG.jpg")
        assert not photos.wants(f"{ROOT}/@eaDir/IMG.jpg")
        assert photos.wants(f"{ROOT}/IMG.jpg")


def test_a_hundred_thousand_names_take_well_below_a_second() -> None:
    names = [f"IMG_{number}.{('JPG', 'xmp', 'MOV')[number % 3]}" for number in range(100_000)]
    started = time.process_time()
    wanted = sum(map(is_photo_name, names))
    seconds = time.process_time() - started
    assert wanted == 33_334
    assert seconds < bound(0.5)
