"""A stop while a model of this process computes in a thread that nobody can wait for."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemons import Photoramd, wait_for
from tests.support.invariant import rows

Put = Callable[[str, str], Path]

COMPUTING = """
import sys, time
import photoramd.cli
from photoramd.daemon import assembly
from photoramd.models.features import scores_and_features

load = assembly.load_tagger

class Computing:
    # The real network, which computes without end, as a large one seems to.
    at_once = 1

    def __init__(self, tagger):
        self._tagger = tagger

    def __getattr__(self, name):
        return getattr(self._tagger, name)

    def scores_and_features(self, batch):
        print("computing", file=sys.stderr, flush=True)
        while True:
            scores_and_features(self._tagger, batch)

loaded = []

def load_computing(config):
    if loaded:
        print("loading", file=sys.stderr, flush=True)
        while True:
            time.sleep(0.01)
    loaded.append(load(config))
    return Computing(loaded[0])

assembly.load_tagger = load_computing
photoramd.cli.main()
"""


@pytest.fixture
def photoramd(tmp_path: Path, album: Path, put: Put) -> Iterator[Photoramd]:
    put("cat", "cat.png")
    instance = Photoramd(tmp_path, album, program=COMPUTING)
    try:
        yield instance
    finally:
        instance.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_ends_as_ever(photoramd: Photoramd, number: signal.Signals) -> None:
    photoramd.start()
    photoramd.wait_for_log("computing")
    assert photoramd.stop(number) == 0
    assert photoramd.log.read_text().endswith("Stopped\n")
    assert photoramd.states() == {"pending": 1}


def test_a_stop_during_a_reload_ends_as_ever(photoramd: Photoramd) -> None:
    photoramd.start()
    photoramd.wait_for_log("computing")
    photoramd.configure(model="top_n = 7\nthreads = 2")
    photoramd.send(signal.SIGHUP)
    photoramd.wait_for_log("loading")
    assert photoramd.stop() == 0


def test_a_scan_ends_with_its_code_and_all_of_its_output(
    photoramd: Photoramd, tmp_path: Path
) -> None:
    out, errors = tmp_path / "out", tmp_path / "errors"
    with out.open("wb") as stdout, errors.open("wb") as stderr:
        command = photoramd.command("scan")
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr)
    try:
        wait_for(lambda: b"computing" in errors.read_bytes())
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()
    assert "interrupted" in out.read_text()
    assert "terminate called" not in errors.read_text()
    assert photoramd.states() == {"pending": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_impatient_makes_no_photo_a_suspect(
    photoramd: Photoramd, tmp_path: Path, number: signal.Signals
) -> None:
    errors = tmp_path / "errors"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(photoramd.command("scan"), stdout=stderr, stderr=stderr)
    try:
        wait_for(lambda: b"computing" in errors.read_bytes())
        while process.poll() is None:
            process.send_signal(number)
            time.sleep(0.1)
        assert process.wait() == 130
    finally:
        process.kill()
        process.wait()
    assert "interrupted" in errors.read_text()
    assert rows(photoramd.database, "SELECT DISTINCT begun FROM photos") == [(0,)]
