from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from photoramd.contained.client import Contained
from photoramd.errors import StoppedError
from photoramd.images.budget import MemoryRoom
from photoramd.images.decoder import decode
from photoramd.models.tagger import Tagger
from photoramd.pipeline.inference import decode_input


def test_who_finds_no_room_waits_until_there_is() -> None:
    room = MemoryRoom()
    entered = threading.Event()

    def second() -> None:
        with room.share(10) as take:
            take(6)
            entered.set()

    with ThreadPoolExecutor(1) as pool:
        with room.share(10) as take:
            take(5)
            waiting = pool.submit(second)
            assert not entered.wait(0.2)
        waiting.result(10)
    assert entered.is_set()


def test_who_is_no_longer_wanted_waits_no_longer() -> None:
    room = MemoryRoom()
    with room.share(10) as first:
        first(5)
        with room.share(10, lambda: False) as second, pytest.raises(StoppedError):
            second(6)


def test_one_that_is_larger_than_the_room_has_it_alone() -> None:
    room = MemoryRoom()
    with room.share(10) as take:
        take(50)
        take(50)
    with room.share(10) as take:
        take(10)


def test_room_is_given_back_by_who_fails() -> None:
    room = MemoryRoom()
    for _ in range(3):
        try:
            with room.share(10) as take:
                take(8)
                raise OSError
        except OSError:
            pass
    with room.share(10) as take:
        take(8)


def test_photos_never_take_more_at_once_than_allowed(
    embedded_tagger: Tagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(8)]
    for path in paths:
        Image.effect_noise((600, 500), 50).convert("RGB").save(path)
    needed: list[int] = []
    decode(paths[0], side=448, max_pixels=10**6, reserve=needed.append)
    lock, loaded, most = threading.Lock(), 0, 0
    see = Contained.see

    def counted(
        self: Contained,
        photo: Path,
        crop: Any,
        max_pixels: int,
        reserve: Callable[[int], object],
        *rest: Any,
    ) -> Any:
        nonlocal loaded, most

        def reserved(size: int) -> None:
            nonlocal loaded, most
            reserve(size)
            with lock:
                loaded += size
                most = max(most, loaded)

        try:
            return see(self, photo, crop, max_pixels, reserved, *rest)
        finally:
            with lock:
                loaded -= needed[0]

    monkeypatch.setattr(Contained, "see", counted)
    # Room for two and a bit.
    allowed = needed[0] * 5 // 2
    with Contained() as contained, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda p: decode_input(embedded_tagger, p, allowed // 8, contained), paths))
    assert needed[0] <= most <= allowed


@pytest.mark.parametrize(
    ("name", "mode", "options", "least"),
    [
        ("a.png", "RGB", {}, 8 * 1_000_000),
        ("a.webp", "RGB", {"lossless": True}, 8 * 1_000_000),
        # Reduced while it is decoded, but for the coefficients of a progressive one.
        ("a.jpg", "RGB", {}, 8 * 1_000_000 // 16),
        ("b.jpg", "RGB", {"progressive": True}, 6 * 1_000_000),
        ("c.jpg", "CMYK", {"progressive": True}, 8 * 1_000_000),
    ],
)
def test_what_a_photo_takes_is_known_before_it_takes_it(
    tmp_path: Path, name: str, mode: str, options: dict[str, Any], least: int
) -> None:
    path = tmp_path / name
    Image.new(mode, (1000, 1000)).save(path, **options)
    needed: list[int] = []
    decode(path, side=250, max_pixels=10**7, reserve=needed.append)
    assert least <= needed[0] <= 2 * least
