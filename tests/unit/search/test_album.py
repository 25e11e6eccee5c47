"""Albums: only what photoramd made is renewed or removed, whatever else is there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from photoramd.errors import PhotoramdError
from photoramd.search import album
from photoramd.search.album import LIST, Album, link


@pytest.fixture
def photo(tmp_path: Path) -> Callable[[str], Path]:
    """Make a photo: photo("a/1.jpg")."""

    def make(name: str) -> Path:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a photo")
        return path

    return make


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "albums" / "dogs"


def links(place: Path) -> dict[str, str]:
    """All that is there but the list; what is no link counts as empty."""
    return {
        each.name: os.readlink(each) if each.is_symlink() else ""
        for each in place.iterdir()
        if each.name != LIST
    }


def listed(place: Path) -> set[str]:
    found = json.loads((place / LIST).read_bytes())["links"]
    return {os.fsdecode(bytes.fromhex(name)) for name in found}


def test_photos_are_added_kept_and_removed(photo: Callable[[str], Path], place: Path) -> None:
    one, two, three = photo("a/1.jpg"), photo("a/2.jpg"), photo("b/3.jpg")
    assert link([one, two], place) == Album(2, 0, 0, ())
    assert links(place) == {"1.jpg": str(one), "2.jpg": str(two)}
    assert link([two, three], place) == Album(1, 1, 1, ())
    assert links(place) == {"2.jpg": str(two), "3.jpg": str(three)}
    assert link([two, three], place) == Album(0, 0, 2, ())
    assert link([], place) == Album(0, 2, 0, ())
    assert links(place) == {}
    assert listed(place) == set()
    assert all(each.read_bytes() == b"a photo" for each in (one, two, three))


def test_photos_of_one_name_get_others_that_stay(
    photo: Callable[[str], Path], place: Path, tmp_path: Path
) -> None:
    photos = [photo(f"{folder}/x.jpg") for folder in "abc"]
    assert link(photos, place) == Album(3, 0, 0, ())
    first = links(place)
    assert first["x.jpg"] == str(photos[0])
    assert set(first.values()) == set(map(str, photos))
    assert all(name.startswith("x") and name.endswith(".jpg") for name in first)
    for order in (photos[::-1], photos[1:] + photos[:1]):
        assert link(order, place) == Album(0, 0, 3, ())
        assert links(place) == first
    # Without the first, the others keep their names, and it gets its own back.
    assert link(photos[1:], place) == Album(0, 1, 2, ())
    assert link(photos, place) == Album(1, 0, 2, ())
    assert links(place) == first
    elsewhere = tmp_path / "second"
    link(photos, elsewhere)
    assert links(elsewhere) == first


def test_names_as_long_as_may_be_are_told_apart(photo: Callable[[str], Path], place: Path) -> None:
    names = ["x" * 251 + ".jpg", "\u00e9" * 125 + ".jpeg", os.fsdecode(b"\xe9" * 255)]
    photos = [photo(f"{folder}/{name}") for name in names for folder in "ab"]
    assert link(photos, place) == Album(6, 0, 0, ())
    assert set(links(place).values()) == set(map(str, photos))
    assert link(photos, place) == Album(0, 0, 6, ())


def test_names_that_are_not_utf_8_are_names(photo: Callable[[str], Path], place: Path) -> None:
    odd = [photo(os.fsdecode(b"caf\xe9/\xff\n.jpg")), photo(os.fsdecode(b"b/\xff\n.jpg"))]
    assert link(odd, place) == Album(2, 0, 0, ())
    assert link(odd, place) == Album(0, 0, 2, ())
    assert link(odd[1:], place) == Album(0, 1, 1, ())
    assert set(links(place).values()) == {str(odd[1])}


def test_files_of_the_user_in_the_way_are_left_alone(
    photo: Callable[[str], Path], place: Path
) -> None:
    one, two, three = photo("a/1.jpg"), photo("a/2.jpg"), photo("a/3.jpg")
    link([one], place)
    (place / "2.jpg").write_bytes(b"mine")
    (place / "3.jpg").mkdir()
    (place / "notes.txt").write_bytes(b"mine too")
    for _ in range(2):
        assert link([one, two, three], place) == Album(0, 0, 1, ("2.jpg", "3.jpg"))
        assert listed(place) == {"1.jpg"}
    assert link([], place) == Album(0, 1, 0, ())
    assert (place / "2.jpg").read_bytes() == b"mine"
    assert (place / "3.jpg").is_dir()
    assert (place / "notes.txt").read_bytes() == b"mine too"


def test_a_link_that_the_user_replaced_or_removed_is_his(
    photo: Callable[[str], Path], place: Path
) -> None:
    one, two, three = photo("a/1.jpg"), photo("a/2.jpg"), photo("a/3.jpg")
    link([one, two, three], place)
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        (place / name).unlink()
    (place / "1.jpg").symlink_to("elsewhere")
    (place / "2.jpg").write_bytes(b"mine")
    assert link([one, two, three], place) == Album(1, 0, 0, ("1.jpg", "2.jpg"))
    assert link([], place) == Album(0, 1, 0, ())
    assert links(place) == {"1.jpg": "elsewhere", "2.jpg": ""}


def test_links_to_photos_that_are_gone_are_removed_too(
    photo: Callable[[str], Path], place: Path
) -> None:
    one = photo("a/1.jpg")
    link([one], place)
    one.unlink()
    assert link([], place) == Album(0, 1, 0, ())


def test_another_directory_is_no_album(place: Path, photo: Callable[[str], Path]) -> None:
    place.mkdir(parents=True)
    assert link([], place) == Album(0, 0, 0, ())
    (place / LIST).unlink()
    (place / "1.jpg").write_bytes(b"mine")
    with pytest.raises(PhotoramdError, match="no album of photoramd") as caught:
        link([photo("a/1.jpg")], place)
    assert "an empty or a new directory" in (caught.value.remedy or "")
    assert links(place) == {"1.jpg": ""}
    with pytest.raises(PhotoramdError, match="cannot be written"):
        link([], place / "1.jpg")


DAMAGED = [
    b"", b"{", b"null", b"[]", b"{}", b'{"links": []}', b'{"links": {"zz": "00"}}',
    b'{"links": {"00": 1}}',
    b"\xff", b"[" * 100_000, b'{"links": {"0": "00"}}',
]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_with_a_damaged_list_nothing_is_touched(
    photo: Callable[[str], Path], place: Path, content: bytes
) -> None:
    link([photo("a/1.jpg")], place)
    (place / LIST).write_bytes(content)
    before = links(place)
    with pytest.raises(PhotoramdError, match="cannot be read") as caught:
        link([], place)
    assert LIST in (caught.value.remedy or "")
    assert links(place) == before
    assert (place / LIST).read_bytes() == content


def test_an_edited_list_leads_nowhere_else(
    photo: Callable[[str], Path], place: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.symlink_to("target")
    alias = tmp_path / "alias"
    link([photo("a/1.jpg")], place)
    alias.symlink_to(place)
    names = ["../../outside", str(outside), "..", ".", "", "a\0b", "/", "1.jpg\0"]
    edited = {name.encode().hex(): b"target".hex() for name in names}
    edited |= {"": os.fsencode(place).hex(), b"x".hex(): b"a\0b".hex()}
    (place / LIST).write_text(json.dumps({"links": edited}))
    assert link([], alias) == Album(0, 0, 0, ())
    assert outside.is_symlink()
    assert alias.is_symlink()
    assert set(links(place)) == {"1.jpg"}


def test_nothing_is_written_through_a_link(
    photo: Callable[[str], Path], place: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    link([], place)
    (place / f"{LIST}.new").symlink_to(victim)
    odd = photo(f"a/{LIST}.new"), photo(f"a/{LIST}")
    assert link(odd, place).added == 2
    assert victim.read_bytes() == b"precious"
    assert link(odd, place) == Album(0, 0, 2, ())
    assert all(each.read_bytes() == b"a photo" for each in odd)


class Killed(BaseException):
    """The process ends here."""


def test_killed_at_any_step_the_next_run_knows_what_was_made(
    photo: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [photo(f"a/{number}.jpg") for number in range(3)]
    new = [photo(f"b/{number}.jpg") for number in range(1, 4)] + old[:1]
    steps = 0
    for step in range(100):
        place = tmp_path / f"album{step}"
        link(old, place)
        (place / "mine.jpg").write_bytes(b"mine")
        with monkeypatch.context() as patched:
            if not killed_at(step, patched, new, place):
                steps = step
                break
        last = old[1:]
        done = link(last, place)
        assert done.added + done.kept == len(last)
        assert {target for target in links(place).values() if target} == set(map(str, last))
        assert (place / "mine.jpg").read_bytes() == b"mine"
        assert link([], place).removed == len(last)
        assert set(links(place)) == {"mine.jpg"}
    assert steps >= 9


def killed_at(step: int, patched: pytest.MonkeyPatch, photos: Iterable[Path], place: Path) -> bool:
    """Whether a run was killed before its operation of that number."""
    left = [step]

    def counting(operation: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object, **options: object) -> object:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return operation(*args, **options)

        return run

    for name in ("symlink", "replace", "fsync"):
        patched.setattr(album.os, name, counting(getattr(os, name)))
    patched.setattr(Path, "unlink", counting(Path.unlink))
    try:
        link(photos, place)
    except Killed:
        return True
    return False
