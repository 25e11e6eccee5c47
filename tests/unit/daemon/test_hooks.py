"""Tagged photos are announced: to real commands and a real server that do not do well."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photoramd.config.hooks import Hooks
from photoramd.daemon.hooks import ATTEMPTS, Announcer
from photoramd.photo import PhotoState, Tag
from photoramd.pipeline.pipeline import Outcome
from tests.support.clock import bound
from tests.support.daemons import wait_for
from tests.support.programs import refusing
from tests.support.receiver import Receiver, receiving

PAUSE_SECONDS = 0.01

Make = Callable[..., Announcer]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


@pytest.fixture
def announcer() -> Iterator[Make]:
    """Make one: announcer("cat", timeout_seconds=1), or announcer("http://...")."""
    made: list[Announcer] = []

    def make(*words: str, most_waiting: int = 100, **settings: float) -> Announcer:
        each = Announcer(most_waiting=most_waiting, first_pause_seconds=PAUSE_SECONDS)
        made.append(each)
        is_address = words[0].startswith("http")
        settings = {"wait_seconds": 0.0, **settings}
        each.configure(Hooks(tagged=words[0] if is_address else words, **settings))  # type: ignore[arg-type]
        return each

    yield make
    for each in made:
        each.close(0)


def written(*paths: str) -> list[Outcome]:
    tags = [Tag("cat", 0.91239), Tag("café", 0.5)]
    return [Outcome(Path(path), PhotoState.WRITTEN, tags) for path in paths]


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "script"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return os.fspath(path)


ODD = [
    "/album/$(touch x).jpg",
    "/album/-rf.jpg",
    "/album/`id`;\n'\".jpg",
    "/album/{path}",
    os.fsdecode(b"/album/\xff.jpg"),
]


# Commands


def test_a_command_gets_each_path_as_one_argument_byte_for_byte(
    tmp_path: Path, announcer: Make
) -> None:
    out = tmp_path / "out"
    # Each argument, and the input, which is empty.
    program = script(tmp_path, f"printf '%s\\0' \"$@\" >> '{out}'; cat >> '{out}'")
    hook = announcer(program, "first", "{path}", "last")
    hook.put(written(*ODD[:4]))
    hook.put(written(*ODD[4:]))
    hook.close(None)
    arguments = out.read_bytes().split(b"\0")
    assert sorted(a for a in arguments if a.startswith(b"/")) == sorted(map(os.fsencode, ODD))
    assert arguments.count(b"first") == arguments.count(b"last")
    assert not (tmp_path / "x").exists()
    assert not Path("/x").exists()


def test_a_command_without_path_gets_a_line_of_json_for_each(
    tmp_path: Path, announcer: Make
) -> None:
    out = tmp_path / "out"
    hook = announcer(script(tmp_path, f"cat >> '{out}'; echo >> '{out}'"))
    hook.put(written(*ODD))
    hook.close(None)
    lines = out.read_bytes().splitlines()
    photos = [json.loads(line) for line in lines if line]
    assert [photo["file"] for photo in photos] == ODD
    assert photos[0] == {
        "file": ODD[0],
        "state": "written",
        "tags": ["cat", "café"],
        "confidences": [0.9124, 0.5],
    }
    # The one that is no UTF-8 came alone: a strict reader refuses all that come with it.
    assert lines.index(b"") == len(ODD) - 1


def test_a_command_sees_little_of_the_daemons_environment_and_its_output_is_logged(
    tmp_path: Path,
    announcer: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("HF_TOKEN", "geheim")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    hook = announcer("sh", "-c", "env; printf 'a\\033[31mb\\377\\n'; seq 100 >&2")
    hook.put(written("/a.jpg"))
    hook.close(None)
    lines = [record.getMessage() for record in caplog.records]
    assert r"Hook: a\x1b[31mb\xff" in lines
    assert f"Hook: PATH={os.environ['PATH']}" in lines
    assert not any("geheim" in line or "NOTIFY" in line for line in lines)
    assert len(lines) <= 20


def test_only_photos_whose_keywords_were_written_are_announced(
    tmp_path: Path, announcer: Make
) -> None:
    out = tmp_path / "out"
    hook = announcer(script(tmp_path, f"echo \"$@\" >> '{out}'"), "{path}", wait_seconds=60)
    hook.put([Outcome(Path("/a.jpg"), state) for state in PhotoState])
    hook.put([Outcome(Path("/undone.jpg"), PhotoState.WRITTEN, is_undone=True)])
    hook.put(written("/b.jpg"))
    hook.close(None)
    assert out.read_text() == "/a.jpg /b.jpg\n"


def test_photos_wait_for_others_and_a_full_batch_does_not(tmp_path: Path, announcer: Make) -> None:
    out = tmp_path / "out"
    program = script(tmp_path, f"echo \"$@\" >> '{out}'")
    hook = announcer(program, "{path}", wait_seconds=3600, max_photos=2)
    hook.put(written("/a", "/b", "/c"))
    wait_for(out.exists)
    hook.put(written("/d", "/e"))
    wait_for(lambda: out.read_text().count("\n") == 2)
    hook.close(None)  # the end waits for no others
    assert out.read_text() == "/a /b\n/c /d\n/e\n"


def test_a_failing_command_is_tried_again_a_few_times_then_dropped_with_one_warning(
    tmp_path: Path, announcer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    out, good = tmp_path / "out", tmp_path / "good"
    program = script(tmp_path, f"echo \"$@\" >> '{out}'; [ -e '{good}' ] || exit 3")
    hook = announcer(program, "{path}")
    hook.put(written("/a", "/b"))
    wait_for(lambda: "Not announced" in caplog.text)
    assert out.read_text() == "/a /b\n" * ATTEMPTS
    good.touch()
    hook.put(written("/c"))
    hook.close(None)
    assert out.read_text().endswith("/a /b\n/c\n")
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert record.getMessage() == f"Not announced: 2 photos: {program} ended with 3"


def test_a_command_that_recovers_gets_the_photos(tmp_path: Path, announcer: Make) -> None:
    out, count = tmp_path / "out", tmp_path / "count"
    program = script(
        tmp_path, f"echo >> '{count}'; [ $(wc -l < '{count}') -ge 3 ] && echo \"$@\" >> '{out}'"
    )
    hook = announcer(program, "{path}")
    hook.put(written("/a"))
    hook.close(None)
    assert out.read_text() == "/a\n"


@pytest.mark.parametrize(
    ("text", "reason"), [("sleep 600", "no end within 0.2 s"), ("kill -9 $$", "ended by signal 9")]
)
def test_a_hanging_or_dying_command_is_ended_and_named(
    tmp_path: Path, announcer: Make, caplog: pytest.LogCaptureFixture, text: str, reason: str
) -> None:
    hook = announcer(script(tmp_path, text), timeout_seconds=0.2)
    hook.put(written("/a"))
    hook.close(None)
    assert reason in caplog.text


def test_a_missing_program_costs_only_its_photos(
    announcer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    hook = announcer("/nonexistent/program", "{path}")
    hook.put(written("/a"))
    hook.close(None)
    assert "Not announced: 1 photo: /nonexistent/program: No such file" in caplog.text


def test_too_many_paths_for_a_command_line_are_no_crash(
    announcer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    hook = announcer("true", "{path}")
    hook.put(written(f"/{'x' * 200_000}"))  # longer than Linux lets one argument be
    hook.close(None)
    assert "Argument list too long" in caplog.text


# The queue


def test_a_full_queue_drops_and_counts_and_never_blocks(
    tmp_path: Path, announcer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    program = script(tmp_path, f"touch '{started}'; while ! [ -e '{go}' ]; do sleep 0.02; done")
    hook = announcer(program, most_waiting=3)
    hook.put(written("/first"))
    wait_for(started.exists)
    began = time.monotonic()
    for number in range(1000):
        hook.put(written(f"/{number}"))
    assert time.monotonic() - began < bound(5)
    go.touch()
    hook.close(None)
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert record.getMessage() == "Not announced: 997 photos, as too many waited for the hook"


def test_a_stop_waits_no_longer_than_it_is_told_and_says_what_it_left(
    tmp_path: Path, announcer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    started = tmp_path / "started"
    hook = announcer(script(tmp_path, f"touch '{started}'; sleep 600"), max_photos=1)
    hook.put(written("/a", "/b", "/c"))
    wait_for(started.exists)
    began = time.monotonic()
    hook.close(0.2)
    assert time.monotonic() - began < bound(5)
    assert "Not announced before photoramd stopped: 3 photos" in caplog.text


def test_a_stop_in_a_pause_does_not_wait_for_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "photoramd")
    hook = Announcer(first_pause_seconds=600)
    hook.configure(Hooks(tagged=("false",), wait_seconds=0))
    hook.put(written("/a"))
    wait_for(lambda: "Attempt 1" in caplog.text)
    began = time.monotonic()
    hook.close(0.1)
    assert time.monotonic() - began < bound(5)
    assert "Not announced before photoramd stopped: 1 photo" in caplog.text


def test_a_drain_gives_the_rest_up_with_the_first_that_fails(
    tmp_path: Path, announcer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    hook = announcer(script(tmp_path, f"echo >> '{out}'; exit 1"), wait_seconds=60, max_photos=10)
    hook.put(written("/a", "/b"))
    hook.put([each for number in range(7) for each in written(f"/{number}")])
    hook.close(None)
    assert out.read_text().count("\n") == ATTEMPTS
    assert "Not announced: 9 photos" in caplog.text


def test_other_settings_get_what_waits_and_what_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "photoramd")
    out = tmp_path / "out"
    with Announcer(first_pause_seconds=600) as hook:
        hook.configure(Hooks(tagged=("false",), wait_seconds=0))
        hook.put(written("/a"))
        wait_for(lambda: "Attempt 1" in caplog.text)
        hook.put(written("/b"))
        mended = Hooks(tagged=(script(tmp_path, f"echo \"$@\" >> '{out}'"), "{path}"))
        hook.configure(mended)
        wait_for(lambda: out.exists() and "/b" in out.read_text())
        assert out.read_text() == "/a\n/b\n"
        # The same ones are kept; off is off.
        hook.configure(mended)
        hook.configure(Hooks())
        hook.put(written("/c"))
    assert out.read_text() == "/a\n/b\n"


def test_without_a_hook_there_is_no_thread() -> None:
    with Announcer() as hook:
        hook.put(written("/a"))
        assert hook._thread is None


# A server


def test_a_server_gets_json(receiver: Receiver, announcer: Make) -> None:
    hook = announcer(f"{receiver.address}/new?key=1", wait_seconds=60)
    hook.put(written(*ODD))
    hook.close(None)
    (path, headers, body), (_, _, second) = receiver.requests
    assert path == "/new?key=1"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("photoramd/")
    assert body["version"] == second["version"] == 1
    assert body["photos"][1] == {
        "file": "/album/-rf.jpg",
        "state": "written",
        "tags": ["cat", "café"],
        "confidences": [0.9124, 0.5],
    }
    assert receiver.files == [ODD[:4], ODD[4:]]


def test_a_server_that_is_busy_is_asked_again(receiver: Receiver, announcer: Make) -> None:
    receiver.statuses += [503, 429]
    hook = announcer(receiver.address)
    hook.put(written("/a"))
    hook.close(None)
    assert receiver.files == [["/a"]] * 3


@pytest.mark.parametrize("status", [400, 404, 307])
def test_a_server_that_refuses_is_not_asked_again_and_redirects_are_not_followed(
    status: int, receiver: Receiver, announcer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.statuses.append(status)
    receiver.headers["Location"] = f"{receiver.address}/elsewhere"
    hook = announcer(f"{receiver.address}/?key=geheim")
    hook.put(written("/a"))
    hook.close(None)
    assert receiver.files == [["/a"]]
    assert f"Not announced: 1 photo: 127.0.0.1: it answers {status}" in caplog.text
    assert "geheim" not in caplog.text


def test_a_server_that_is_not_there_is_named(
    announcer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with refusing() as address:
        hook = announcer(address)
        hook.put(written("/a"))
        hook.close(None)
    assert "127.0.0.1: [Errno 111] Connection refused" in caplog.text


def test_a_server_that_answers_a_byte_at_a_time_is_left(
    receiver: Receiver, announcer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "photoramd")
    receiver.hold.clear()
    hook = announcer(receiver.address, timeout_seconds=3)
    hook.put(written("/a"))
    wait_for(lambda: "Attempt 1" in caplog.text)
    assert "127.0.0.1: no end within 3 s" in caplog.text
    receiver.hold.set()
    wait_for(lambda: "Announced: 1 photo" in caplog.text)
