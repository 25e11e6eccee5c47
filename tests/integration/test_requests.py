"""What other processes ask of a running daemon."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.daemons import Photoramd, wait_for

Put = Callable[[str, str], Path]


@pytest.fixture
def photoramd(tmp_path: Path, album: Path) -> Iterator[Photoramd]:
    instance = Photoramd(tmp_path, album)
    yield instance
    instance.close()


def test_a_running_daemon_retags_what_it_is_asked_to_within_a_second(
    photoramd: Photoramd, put: Put, album: Path, samples: dict[str, Path]
) -> None:
    photo, other = put("cat", "a/cat.png"), put("china", "b/china.jpg")
    (album / "a" / "bad.jpg").write_text("no photo")
    photoramd.start()
    photoramd.wait_for_states(written=2, failed=1)
    done = photoramd.run("scan", album)
    assert done.returncode == 4
    assert "photoramd retag" in done.stderr
    written = photoramd.ask("show", photo)["written_at"]
    began = photoramd.ask("show", other)["written_at"]
    assert photoramd.run("retag", photo).returncode == 0
    asked = time.time()
    wait_for(lambda: photoramd.ask("show", photo)["written_at"] > written, "the photo")
    # Regular scans are an hour apart.
    assert photoramd.ask("show", photo)["written_at"] - asked < 10
    assert photoramd.ask("show", other)["written_at"] == began
    # Failed ones have their attempts back, and what is mended is tagged.
    assert photoramd.run("retag", "--failed").returncode == 0
    text = "Asked to tag"
    wait_for(lambda: photoramd.log.read_text().count(text) == 2, "the second request")
    shutil.copyfile(samples["rocket"], album / "a" / "bad.jpg")
    photoramd.wait_for_states(written=3)
    # The network saw nothing twice.
    assert photoramd.stop() == 0


def test_a_request_without_a_daemon_is_carried_out_by_the_next(
    photoramd: Photoramd, put: Put
) -> None:
    photo = put("cat", "cat.png")
    done = photoramd.run("retag", photo)
    assert done.returncode == 4
    assert "there is no database" in done.stderr
    assert photoramd.run("scan").returncode == 0
    before = photoramd.ask("show", photo)["written_at"]
    assert photoramd.run("retag", photo).returncode == 0
    photoramd.start()
    wait_for(lambda: photoramd.ask("show", photo)["written_at"] > before)


def test_outside_the_hours_photos_are_found_and_queued_and_a_scan_may_do_them(
    tmp_path: Path, album: Path, put: Put
) -> None:
    begin = datetime.now() + timedelta(hours=2)
    hours = f"{begin:%H:%M}-{begin + timedelta(hours=1):%H:%M}"
    instance = Photoramd(tmp_path, album, schedule=f'hours = ["{hours}"]')
    try:
        put("cat", "cat.png")
        instance.start()
        put("china", "china.jpg")
        instance.wait_for_states(pending=2)
        assert abs(instance.ask("status")["rests_until"] - begin.timestamp()) < 61
        assert instance.process is not None
        # Waiting for the hours takes no processor time.
        before = instance.processor_seconds()
        time.sleep(1.5)
        assert instance.processor_seconds() - before < 0.2
        assert instance.stop() == 0
        assert instance.run("scan").returncode == 0
        assert instance.states() == {"written": 2}
    finally:
        instance.close()
