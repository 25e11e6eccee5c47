"""The model stays for as long as all that it depends on is the same, and ends with the rest."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import Mock

import pytest

from photoramd.config.cluster import Cluster
from photoramd.config.schema import Config, Tags
from photoramd.daemon.assembly import lasting_tagger, set_up
from photoramd.daemon.setup import Resources, Setup
from tests.support.tiny_tagger import TinyTagger

RESOURCES = Resources(Mock(), Mock(), ExitStack(), Mock())


def remote(directory: Path) -> Config:
    """A configuration with a worker, whose files are there."""
    for name in ("token", "ca.pem"):
        (directory / name).write_text(name)
    token, ca = (os.fspath(directory / name) for name in ("token", "ca.pem"))
    cluster = Cluster(workers=("https://a:1",), token_file=token, ca_file=ca)
    return Config(cluster=cluster, tags=Tags(overrides=None))


def again(config: Config, before: Setup) -> Setup:
    return set_up(RESOURCES, config, before, load=lambda _: TinyTagger())


@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / "token").write_text("another"),
        lambda path: (path / "ca.pem").write_text("another"),
        lambda path: (path / "token").unlink(),
    ],
)
def test_a_file_of_the_workers_that_changed_is_read_again(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    config = remote(tmp_path)
    first = set_up(RESOURCES, config, load=lambda _: TinyTagger())
    assert again(config, first).tagger is first.tagger
    change(tmp_path)
    changed = again(config, first)
    assert changed.tagger is not first.tagger
    assert again(config, changed).tagger is changed.tagger
    assert "another" not in repr(changed.needs)


def test_a_model_on_workers_is_closed_at_the_end_and_forgotten_after_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []

    class Closing(TinyTagger):
        def __init__(self, name: str) -> None:
            self.name = name

        def close(self) -> None:
            closed.append(self.name)

    names = iter(["first", "second"])
    made = "photoramd.daemon.remote_model.remote_tagger"
    monkeypatch.setattr(made, lambda *_: Closing(next(names)))
    with ExitStack() as processes:
        resources = Resources(Mock(), Mock(), processes, Mock())
        first = lasting_tagger(remote(tmp_path), resources, Mock(), Mock())
        second = lasting_tagger(remote(tmp_path), resources, Mock(), Mock())
        forgotten = weakref.ref(first)
        del first
        gc.collect()
        assert forgotten() is None
    assert second.name == "second"
    assert closed == ["second"]
