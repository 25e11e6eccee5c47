"""Workers: what they give back, what they can do no longer, and what their ends cost."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from photoramd.clock import UnixTime, monotonic, unix_time
from photoramd.config.schema import Config, Debounce, State, Tags, Watch
from photoramd.contained import client, pool, process
from photoramd.contained.client import Contained
from photoramd.contained.messages import Question
from photoramd.contained.process import server
from photoramd.daemon import assembly
from photoramd.errors import (
    ChangedError,
    DecodeError,
    LostError,
    PhotoramdError,
    SidecarError,
    StoppedError,
)
from photoramd.images.decoder import decode
from photoramd.metadata import sidecar
from photoramd.metadata.changes import NOTHING_RECORDED, Recorded
from photoramd.metadata.exiftool import ExifTool
from photoramd.metadata.plan import Origin, Plan, PlanRequest
from photoramd.metadata.plan_embedding import plan_photo
from photoramd.metadata.plan_sidecar import plan_sidecar
from photoramd.metadata.xmp_packet import EMPTY_PACKET
from photoramd.models.embedded.crop import CROP
from photoramd.models.tagger import Tagger
from photoramd.photo import Fingerprint, Tag
from photoramd.pipeline import pipeline
from tests.support.clock import bound
from tests.support.daemons import wait_for
from tests.support.dng import dng
from tests.support.exif import exif, ratio, text
from tests.support.looking_crop import LookingCrop, said
from tests.support.misbehaving_crop import FAULTS, MisbehavingCrop, photo

MAX_PIXELS = 10**8
TAGS = (Tag("cat", 0.9), Tag("dog", 0.8, ("animal",)))


@pytest.fixture
def cat(put: Callable[[str, str], Path]) -> Image.Image:
    """A photo's pixels."""
    with Image.open(put("cat", "cat.png")) as image:
        return image.convert("RGB")


@pytest.fixture
def contained() -> Iterator[Contained]:
    with Contained() as workers:
        yield workers


def saved(image: Image.Image, path: Path) -> Path:
    if path.suffix == ".heic":
        pillow_heif.from_pillow(image).save(path)
    else:
        image.save(path)
    return path


def children_of(process: int) -> set[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text()
    return set(map(int, found.split()))


def worker_of(contained: Contained) -> int:
    """The one worker, which is idle."""
    (idle,) = contained._pool._idle
    return idle.pid


# What they give back


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.bmp", "a.gif", "a.heic", "a.avif"]
)
def test_a_worker_sees_what_this_process_sees(
    contained: Contained, cat: Image.Image, tmp_path: Path, name: str
) -> None:
    path = saved(cat, tmp_path / name)
    pixels, reading = contained.see(path, CROP, MAX_PIXELS)
    fingerprint = reading.fingerprint
    here = decode(path, side=CROP.decode_side, max_pixels=MAX_PIXELS)
    assert np.array_equal(pixels, CROP.pixels(here.image))
    assert fingerprint == here.fingerprint


def test_a_worker_sees_what_libraw_makes_of_a_raw(
    contained: Contained, cat: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "IMG.DNG"
    path.write_bytes(dng(cat))
    pixels, _ = contained.see(path, CROP, MAX_PIXELS)
    here = decode(path, side=CROP.decode_side, max_pixels=MAX_PIXELS)
    assert np.array_equal(pixels, CROP.pixels(here.image))


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_sealed_worker_reads_exif_and_xmp(
    contained: Contained, cat: Image.Image, tmp_path: Path, order: str
) -> None:
    path = saved(cat, tmp_path / "a.jpg")
    block = exif(
        [text(271, b"Caf\xe9"), text(272, "写真機")],
        [ratio(0x829D, 28, 10), text(0x9003, "2001:02:03 04:05:06"), text(0x9011, "+02:00")],
        [text(1, "S"), ratio(2, 48, 1), text(3, "E"), ratio(4, 9, 1)],
        order=order,
    )
    xmp = (
        b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description'
        b' xmlns:e="http://ns.adobe.com/exif/1.0/"'
        b' e:DateTimeOriginal="2001-02-03T04:05:06+02:00"/></r:RDF>'
    )
    for crop in (LookingCrop(block, b""), LookingCrop(b"", xmp), LookingCrop(b"", xmp[:-30])):
        pixels, _ = contained.see(path, crop, MAX_PIXELS)
        found = pixels.tobytes().decode().strip()
        assert found == said(crop.exif, crop.packet)
        assert "taken=981173106.0, tz=120" in found or crop.packet == xmp[:-30]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"hello", "its content looks like text"),
        (b"\xff\xd8\xff\xe0" + bytes(200), "JPEG"),
    ],
)
def test_what_is_no_photo_is_refused_with_the_same_words(
    contained: Contained, tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=reason) as there:
        contained.see(path, CROP, MAX_PIXELS)
    with pytest.raises(DecodeError) as here:
        decode(path, side=CROP.decode_side, max_pixels=MAX_PIXELS)
    assert str(there.value) == str(here.value)


def test_a_file_that_is_not_there_or_a_link_is_refused(
    contained: Contained, tmp_path: Path
) -> None:
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    for name in ("a.jpg", "link.jpg", "\0.jpg"):
        with pytest.raises(DecodeError):
            contained.see(tmp_path / name, CROP, MAX_PIXELS)


def test_plans_for_sidecars_are_the_same(
    contained: Contained, cat: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    cat.save(path)
    request = PlanRequest(path, TAGS, Origin("m", "1"), UnixTime(10))
    known = sidecar.KnownSidecar()
    for content in (
        None,
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        b"no XML",
        "Ä".encode("utf-16"),
    ):
        if content is not None:
            (tmp_path / "a.jpg.xmp").write_bytes(content)
        found = sidecar.find(path, known)
        answers: list[object] = []
        for plan in (
            lambda found=found: contained.plan_sidecar(found, request, known, NOTHING_RECORDED),
            lambda: plan_sidecar(request),
        ):
            try:
                answers.append(plan())
            except SidecarError as error:
                answers.append(str(error))
        assert answers[0] == answers[1]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.heic", "a.avif"])
def test_plans_for_photos_are_the_same(
    contained: Contained, cat: Image.Image, tmp_path: Path, name: str
) -> None:
    path = saved(cat, tmp_path / name)
    request = PlanRequest(path, TAGS, Origin("m", "1"), UnixTime(10))
    with ExifTool() as exiftool:
        there = contained.plan_photo(request, NOTHING_RECORDED, exiftool)
        here = plan_photo(request, NOTHING_RECORDED, exiftool)
    assert there == here
    assert there.content is not None
    assert there.target == path


def test_the_warnings_of_a_task_are_logged(
    contained: Contained, cat: Image.Image, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.jpg"
    cat.save(path, xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><broken")
    request = PlanRequest(path, TAGS, Origin("m", "1"), UnixTime(10))
    known = sidecar.KnownSidecar()
    contained.plan_sidecar(sidecar.find(path, known), request, known, NOTHING_RECORDED)
    assert "embedded keywords may be missed" in caplog.text


# What they can do no longer, and what their ends cost

LOST = {
    "crash": "crashed the decoder (SIGSEGV)",
    "abort": "crashed the decoder (SIGABRT)",
    "compute": "too much processor time",
    "exit": "ended the process with code 7",
    "socket": "what no decoder has to do",
    "fork": "what no decoder has to do",
    "execute": "what no decoder has to do",
    "signal": "what no decoder has to do",
    "unlink": "what no decoder has to do",
    "chatter": "makes no sense",
    "ask": "makes no sense",
}
FAILED = {
    "memory": "not enough memory",
    "bug": "unexpected error: ZeroDivisionError",
    "open": "Permission denied",
    "write": "Permission denied",
}


@pytest.mark.parametrize("fault", LOST)
def test_a_worker_that_is_lost_costs_one_photo(
    contained: Contained, put: Callable[[str, str], Path], tmp_path: Path, fault: str
) -> None:
    assert contained.sandbox().is_sealed, "this kernel cannot contain; the tests need it to"
    good = put("cat", "good.jpg")
    bad = photo(tmp_path / "bad.png", fault)
    started, lost = contained.workers_started, contained.workers_lost
    with pytest.raises(LostError) as caught:
        contained.see(bad, MisbehavingCrop(), MAX_PIXELS)
    assert LOST[fault] in caught.value.message
    assert caught.value.path == os.fspath(bad)
    contained.see(good, MisbehavingCrop(), MAX_PIXELS)
    assert contained.workers_started >= started + 1
    assert contained.workers_lost == lost + 1


@pytest.mark.parametrize("fault", FAILED)
def test_what_a_worker_survives_costs_one_photo(
    contained: Contained, put: Callable[[str, str], Path], tmp_path: Path, fault: str
) -> None:
    good = put("cat", "good.jpg")
    bad = photo(tmp_path / "bad.png", fault)
    with pytest.raises(PhotoramdError, match=FAILED[fault]):
        contained.see(bad, MisbehavingCrop(), MAX_PIXELS)
    contained.see(good, MisbehavingCrop(), MAX_PIXELS)


def test_all_faults_are_tried() -> None:
    assert {*LOST, *FAILED, "hang"} == FAULTS.keys()


def test_a_worker_that_hangs_is_ended(tmp_path: Path) -> None:
    bad = photo(tmp_path / "bad.png", "hang")
    with Contained(seconds=0.5) as contained:
        with pytest.raises(LostError, match=r"took over 0\.5 s"):
            contained.see(bad, MisbehavingCrop(), MAX_PIXELS)
        assert not contained._pool._idle


def test_a_worker_that_is_killed_from_outside_says_so(tmp_path: Path) -> None:
    bad = photo(tmp_path / "bad.png", "hang")
    with Contained() as contained:
        contained._pool._worker((MisbehavingCrop.__module__,)).end()
        before = children_of(server().pid)
        threading.Timer(
            0.5, lambda: [os.kill(each, 9) for each in children_of(server().pid) - before]
        ).start()
        with pytest.raises(LostError, match="ended from outside, perhaps for want of memory"):
            contained.see(bad, MisbehavingCrop(), MAX_PIXELS)


def test_what_a_task_waits_for_its_parent_does_not_count(
    put: Callable[[str, str], Path],
) -> None:
    with Contained(seconds=2.0) as contained:
        contained.see(put("cat", "a.jpg"), CROP, MAX_PIXELS, lambda _: time.sleep(2.5))


def test_a_stop_ends_what_hangs(tmp_path: Path) -> None:
    bad = photo(tmp_path / "bad.png", "hang")
    with Contained() as contained:
        stopping = threading.Timer(0.3, contained.stop)
        stopping.start()
        began = time.monotonic()
        with pytest.raises(StoppedError):
            contained.see(bad, MisbehavingCrop(), MAX_PIXELS)
        assert time.monotonic() - began < bound(pool.STOP_SECONDS + 2)
        with pytest.raises(StoppedError):
            contained.see(bad, MisbehavingCrop(), MAX_PIXELS)


def test_a_plan_that_nobody_wants_is_given_up(
    cat: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    cat.save(path)
    wanted = iter([True, True])
    monkeypatch.setattr(pool, "STOP_SECONDS", 0.0)
    request = PlanRequest(path, TAGS, Origin("m", "1"), UnixTime(10))
    with Contained(lambda: next(wanted, False)) as contained, ExifTool() as exiftool:
        exiftool.attend(lambda: True)
        with pytest.raises(StoppedError):
            contained.plan_photo(request, NOTHING_RECORDED, exiftool)


def test_a_worker_that_died_while_idle_costs_nothing(
    contained: Contained, put: Callable[[str, str], Path]
) -> None:
    path = put("cat", "a.jpg")
    contained.see(path, CROP, MAX_PIXELS)
    os.kill(worker_of(contained), signal.SIGKILL)
    contained.see(path, CROP, MAX_PIXELS)


def test_all_idle_workers_may_have_died(
    contained: Contained, put: Callable[[str, str], Path]
) -> None:
    path = put("cat", "a.jpg")
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda _: contained.see(path, CROP, MAX_PIXELS), range(30)))
    idle = contained._pool._idle
    assert len(idle) > 3
    for each in idle:
        os.kill(each.pid, signal.SIGKILL)
    contained.see(path, CROP, MAX_PIXELS)


def test_a_server_that_died_costs_nothing(
    contained: Contained, put: Callable[[str, str], Path]
) -> None:
    path = put("cat", "a.jpg")
    contained.see(path, CROP, MAX_PIXELS)
    ended = server()
    os.kill(ended.pid, signal.SIGKILL)
    wait_for(lambda: not ended.is_alive)
    contained.see(path, CROP, MAX_PIXELS)


def test_workers_are_renewed(
    put: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put("cat", "a.jpg")
    seen = set()
    monkeypatch.setattr(pool, "_MOST_TASKS", 2)
    with Contained() as contained:
        for _ in range(4):
            contained.see(path, CROP, MAX_PIXELS)
            seen |= {each.pid for each in contained._pool._idle}
    assert len(seen) == 2
    monkeypatch.setattr(pool, "_MOST_RESIDENT_BYTES", 0)
    with Contained() as contained:
        contained.see(path, CROP, MAX_PIXELS)
        assert not contained._pool._idle
    monkeypatch.undo()
    with Contained() as contained:
        with pytest.raises(DecodeError):
            contained.see(photo(tmp_path / "bad.png", "memory"), MisbehavingCrop(), MAX_PIXELS)
        assert not contained._pool._idle  # much may be left of what it could not get


def test_the_memory_of_a_large_photo_goes_back(contained: Contained, tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (6000, 5000), "teal").save(path)
    contained.see(path, CROP, MAX_PIXELS)
    (idle,) = contained._pool._idle
    assert idle.resident_bytes < 120 << 20  # the photo alone takes as much


def test_a_photo_that_changes_meanwhile_is_told_apart_from_a_bad_one(
    contained: Contained, put: Callable[[str, str], Path]
) -> None:
    path = put("cat", "a.jpg")

    def change(_: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(ChangedError):
        contained.see(path, CROP, MAX_PIXELS, change)


def test_no_descriptor_stays_open(
    contained: Contained, put: Callable[[str, str], Path], tmp_path: Path
) -> None:
    path, bad = put("cat", "a.jpg"), photo(tmp_path / "bad.png", "exit")

    def use() -> None:
        contained.see(path, MisbehavingCrop(), MAX_PIXELS)
        with pytest.raises(LostError):
            contained.see(bad, MisbehavingCrop(), MAX_PIXELS)

    use()
    before = len(os.listdir("/proc/self/fd"))
    use()
    assert len(os.listdir("/proc/self/fd")) == before


def test_workers_end_with_their_parent(put: Callable[[str, str], Path]) -> None:
    code = f"""if True:
        import os, time
        from pathlib import Path
        from photoramd.contained.client import Contained
        from photoramd.contained.process import server
        from photoramd.models.embedded.crop import CROP
        contained = Contained()
        contained.see(Path({os.fspath(put("cat", "a.jpg"))!r}), CROP, 10**8)
        print(server().pid, contained._pool._idle[0].pid, flush=True)
        time.sleep(600)
    """
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, contextlib.closing(parent.stdout):
        children = parent.stdout.readline().split()
        assert len(children) == 2
        parent.kill()
        wait_for(lambda: not any(Path("/proc", each).exists() for each in children))


def test_a_worker_is_the_first_to_go_for_want_of_memory_and_has_its_limits(
    contained: Contained, put: Callable[[str, str], Path]
) -> None:
    contained.see(put("cat", "a.jpg"), CROP, MAX_PIXELS)
    process = Path("/proc", str(worker_of(contained)))
    assert (process / "oom_score_adj").read_text().strip() == "1000"
    status = dict(line.split(":\t") for line in (process / "status").read_text().splitlines())
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    limits = (process / "limits").read_text()
    for name, value in (("Max file size", "0"), ("Max core file size", "0")):
        assert any(
            line.startswith(name) and line.split()[-3] == value for line in limits.splitlines()
        )


def test_a_worker_gets_nothing_of_exiftool_but_what_plans_need(tmp_path: Path) -> None:
    target = tmp_path / "made"
    shutil.copy(Path(__file__), tmp_path / "a.jpg")
    good = {"command": "describe", "is_copy": False, "extension": "jpg"}
    with (tmp_path / "a.jpg").open("rb") as file, ExifTool() as exiftool:
        for wrong in (
            {"options": ["-o", os.fspath(target)]},
            {"options": [f"-w!{target}"]},
            {"command": "rewrite", "options": ["-execute"]},
            {"command": "rewrite", "lists": {"FileName": [os.fspath(target)]}},
            {"command": "block", "tag": "FileName"},
            {"command": "version"},
            {"extension": "../made"},
            {"options": "-a"},
        ):
            with pytest.raises(ValueError, match=r".+"):
                client._command(exiftool, file.fileno(), {**good, **wrong})
    assert not target.exists()


def test_a_worker_cannot_have_a_sidecar_removed_that_is_not_ours(
    contained: Contained, cat: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    cat.save(path)
    sidecar_path = tmp_path / "a.jpg.xmp"
    sidecar_path.write_bytes(EMPTY_PACKET)
    elsewhere = tmp_path / "elsewhere"
    request = PlanRequest(path, (), Origin("m", "1"), UnixTime(10))
    found = sidecar.find(path, sidecar.KnownSidecar())

    def say(plan: Plan) -> None:
        monkeypatch.setattr(contained._pool, "call", lambda *_: plan)

    say(Plan(elsewhere, b"x", Fingerprint(1, 2, 3, 4)))
    plan = contained.plan_sidecar(found, request, sidecar.KnownSidecar(), NOTHING_RECORDED)
    assert (plan.target, plan.expected) == (sidecar_path, found.fingerprint)
    say(Plan(sidecar_path, is_removal=True))
    with pytest.raises(LostError, match="nothing of ours"):
        contained.plan_sidecar(found, request, sidecar.KnownSidecar(), NOTHING_RECORDED)
    for known in (
        sidecar.KnownSidecar(sidecar_path, created=True),
        sidecar.KnownSidecar(sidecar_path, recorded=Recorded({"dc:subject": ("cat",)})),
    ):
        assert contained.plan_sidecar(found, request, known, NOTHING_RECORDED).is_removal


@pytest.mark.parametrize("asked", [(-1,), ("x",), ([],), (), (1, 2), (1 << 60,)])
def test_questions_that_make_no_sense_end_the_worker(
    contained: Contained,
    put: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[object, ...],
) -> None:
    decoded = pool.decode

    def instead(body: bytearray, kind: type[Any]) -> Any:
        found = decoded(body, kind)
        return Question("reserve", asked) if isinstance(found, Question) else found

    monkeypatch.setattr(pool, "decode", instead)
    with pytest.raises(LostError, match="makes no sense"):
        contained.see(put("cat", "a.jpg"), CROP, MAX_PIXELS)


def test_workers_that_rest_give_everything_back_and_come_again(
    put: Callable[[str, str], Path], embedded_tagger: Tagger, tmp_path: Path, album: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(pipeline, "REST_SECONDS", 0.0)
    monkeypatch.setattr(assembly, "load_tagger", lambda _: embedded_tagger)
    client.shared().rest()
    config = Config(
        watch=(Watch(path=album),),
        debounce=Debounce(quiet_seconds=0.01, max_wait_seconds=1.0, batch_size=8),
        tags=Tags(overrides=None),
        state=State(path=tmp_path / "p.db"),
    )
    with assembly.assemble(config) as daemon:
        for name in ("a.jpg", "b.jpg"):
            path = put("cat", name)
            assert daemon.scan_once([os.fspath(album)], lambda _: None, handle_signals=False)
            assert path.with_name(f"{name}.xmp").exists()
            daemon.step(monotonic(), unix_time())
            assert process._server is None
