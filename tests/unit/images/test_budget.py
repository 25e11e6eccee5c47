from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from photoramd.images.budget import PixelRoom
from photoramd.models.preprocessing import Pixels
from photoramd.models.tagger import Tagger
from photoramd.pipeline.inference import decode_input


def test_who_finds_no_room_waits_until_there_is() -> None:
    room = PixelRoom()
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


def test_one_that_is_larger_than_the_room_has_it_alone() -> None:
    room = PixelRoom()
    with room.share(10) as take:
        take(50)
    with room.share(10) as take:
        take(10)


def test_room_is_given_back_by_who_fails() -> None:
    room = PixelRoom()
    for _ in range(3):
        try:
            with room.share(10) as take:
                take(8)
                raise OSError
        except OSError:
            pass
    with room.share(10) as take:
        take(8)


def test_threads_never_decode_more_at_once_than_allowed(
    embedded_tagger: Tagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(8)]
    for path in paths:
        Image.effect_noise((600, 500), 50).convert("RGB").save(path)
    lock, loaded, most = threading.Lock(), 0, 0
    pixels = embedded_tagger.pixels

    pair = threading.Barrier(2)

    # Between decoding and cropping the whole picture is in memory.
    def counted(image: Image.Image) -> Pixels:
        nonlocal loaded, most
        with lock:
            loaded += 1
            most = max(most, loaded)
        pair.wait(30)
        with lock:
            loaded -= 1
        return pixels(image)

    monkeypatch.setattr(embedded_tagger, "pixels", counted)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: decode_input(embedded_tagger, path, 700_000), paths))
    assert most == 2


def test_the_memory_of_large_pictures_goes_back_to_the_system(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (6000, 5000), "teal").save(path)
    # 120 MB and more for each of four threads, if they kept it.
    code = """if True:
        import sys
        from concurrent.futures import ThreadPoolExecutor
        from pathlib import Path
        from photoramd.models import registry
        from photoramd.pipeline.inference import decode_input

        def resident():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

        tagger = registry.load("embedded", threads=1)
        with ThreadPoolExecutor(4) as pool:
            decode_input(tagger, Path(sys.argv[1]), 10**9)
            before = resident()
            list(pool.map(lambda _: decode_input(tagger, Path(sys.argv[1]), 10**9), range(8)))
            print(resident() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100_000
