"""`photoramd status --format prometheus`, with a real daemon."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from photoramd.cli import cli
from photoramd.errors import UsageError
from tests.support.daemons import Photoramd, wait_for

Put = Callable[[str, str], Path]


@pytest.fixture
def photoramd(tmp_path: Path, album: Path) -> Iterator[Photoramd]:
    instance = Photoramd(tmp_path, album)
    yield instance
    instance.close()


def told(photoramd: Photoramd) -> dict[str, float]:
    """All samples, by name and labels as they are written."""
    text = photoramd.run_bytes("status", "--format", "prometheus").decode()
    return {
        "".join((sample.name, *(f" {k}={v}" for k, v in sorted(sample.labels.items())))): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


WRITTEN = "photoramd_photos_done_total outcome=written"
FAILED = "photoramd_photos_done_total outcome=failed"
FIGURES = "photoramd_figures_timestamp_seconds"


def test_figures_follow_the_work_and_outlive_the_daemon(
    photoramd: Photoramd, put: Put, album: Path
) -> None:
    began = time.time()
    photoramd.start()
    wait_for(lambda: photoramd.database.exists() and told(photoramd)["photoramd_up"])
    put("cat", "cat.png")
    put("cat", "copy.png")
    put("coffee", "coffee.png")
    (album / "bad.jpg").write_text("no photo")
    photoramd.wait_for_states(written=3, failed=1)
    assert photoramd.stop() == 0  # the last figures are stored at the end
    found = told(photoramd)
    assert found["photoramd_up"] == 0
    assert found[WRITTEN] == 3
    assert found[FAILED] == 1
    assert found["photoramd_inferences_total"] == 2
    assert 0 < found["photoramd_inference_seconds_total"] < 60
    assert found["photoramd_workers_started_total"] >= 1
    assert found["photoramd_workers_lost_total"] == 0
    assert found["photoramd_photos state=written"] == 3
    assert began < found["photoramd_start_time_seconds"] < found[FIGURES] < time.time()
    assert found[f"photoramd_root_health health=online root={album}"] == 1
    assert any(name.startswith("photoramd_model_info model=embedded revision=") for name in found)


def test_while_it_runs_figures_come_within_15_seconds_and_then_the_disk_rests(
    photoramd: Photoramd, put: Put
) -> None:
    photoramd.start()
    put("cat", "cat.png")
    photoramd.wait_for_states(written=1)
    tagged_at = time.time()
    wait_for(lambda: told(photoramd).get(WRITTEN) == 1, "the figures")
    assert time.time() - tagged_at < 60  # on a busy machine
    files = [photoramd.database, Path(f"{photoramd.database}-wal")]
    before = [(each.stat().st_mtime_ns, each.stat().st_size) for each in files]
    time.sleep(20)  # longer than figures wait: nothing is written when nothing happens
    assert [(each.stat().st_mtime_ns, each.stat().st_size) for each in files] == before
    assert told(photoramd)["photoramd_up"] == 1


def test_a_killed_daemon_is_down_and_a_scan_is_no_daemon(photoramd: Photoramd, put: Put) -> None:
    photoramd.start()
    wait_for(lambda: told(photoramd)["photoramd_up"])
    photoramd.stop(signal.SIGKILL)
    found = told(photoramd)
    assert found["photoramd_up"] == 0
    assert found[WRITTEN] == 0
    put("cat", "cat.png")
    assert photoramd.run("scan").returncode == 0
    after = told(photoramd)
    assert after["photoramd_photos state=written"] == 1
    assert (after["photoramd_up"], after[WRITTEN]) == (0, 0)
    assert after[FIGURES] == found[FIGURES]


def test_formats_are_one_of_three(photoramd: Photoramd, put: Put) -> None:
    put("cat", "cat.png")
    assert photoramd.run("scan").returncode == 0

    def run(*words: str) -> object:
        result = CliRunner().invoke(
            cli, ["--config", os.fspath(photoramd.config), "status", *words]
        )
        return result.exception or result.stdout

    assert run("--format", "json") == run("--json") == run("--json", "--format", "json")
    assert json.loads(str(run("--json")))["photos"]["written"] == 1
    assert run("--format", "text") == run()
    assert isinstance(run("--json", "--format", "prometheus"), UsageError)
    assert str(run("--format", "prometheus")).startswith("# HELP photoramd_up ")
