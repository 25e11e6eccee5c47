"""What commit 2e878b5 left behind works with today's code: see `tests.support.old_state`.

Eight photos: written beside a user's sidecar and without one, inside a photo, with a keyword
that the user took out again, taken back, damaged, waiting for the model, and one whose sidecar
was renamed into place before the process was killed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photoramd.config import loader
from photoramd.config.schema import Config
from photoramd.database import backups
from photoramd.models.weights.catalog import PinnedFile
from photoramd.search import queries
from tests.support.album import (
    Scan,
    ask_again,
    changed,
    keywords,
    snapshot,
    states,
    take_back,
    written,
)
from tests.support.files import sidecar_of
from tests.support.old_state.place import place
from tests.support.taggers import CountingTagger

STATES = {"pending": 1, "tagged": 1, "written": 5, "failed": 1}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path.resolve() / "home"


@pytest.fixture
def facts(home: Path) -> dict[str, Any]:
    return place(home)


@pytest.fixture
def config(home: Path, facts: Mapping[str, Any]) -> Config:
    return loader.load(home / "config.toml")


def tops(config: Config) -> list[Path]:
    return [watch.path for watch in config.watch]


def tags_of(config: Config, photo: Path) -> list[str]:
    with closing(queries.open_readonly(config.state.path)) as connection:
        details = queries.photo(connection, photo)
    assert details is not None
    return [tag.name for tag in details.tags]


def test_the_configuration_and_the_database_are_read(config: Config, home: Path) -> None:
    assert config.tags.parent == "Auto"
    assert [watch.write for watch in config.watch] == ["sidecar", "embed"]
    assert backups.check(config.state.path) == []
    assert states(config) == STATES
    assert "our cat" in tags_of(config, home / "album/written.jpg")  # from the overrides


def test_a_scan_does_what_was_left_to_do_and_touches_nothing_else(
    config: Config, home: Path, scan: Scan, tagger: CountingTagger
) -> None:
    before = snapshot(home / "album"), snapshot(home / "embedded")
    assert written(scan(config)) == ["killed.jpg", "pending.jpg"]
    assert tagger.inferred == 1  # the one that waited for the model
    after = snapshot(home / "album"), snapshot(home / "embedded")
    assert after[0].pop("pending.jpg.xmp")
    assert after == before
    assert states(config) == {"written": 7, "failed": 1}
    assert backups.check(config.state.path) == []
    assert written(scan(config)) == []


def test_retag_asks_the_model_of_today_and_respects_what_was_rejected(
    config: Config, home: Path, scan: Scan, tagger: CountingTagger
) -> None:
    scan(config)
    tagger.inferred = 0
    album, rejected = home / "album", home / "album/rejected.jpg"
    kept, rejections = keywords(rejected), tags_of(config, rejected)[:1]
    assert rejections
    assert not set(rejections) & set(kept)
    ask_again(config, *tops(config))
    names = ["embedded.jpg", "killed.jpg", "merged.jpg", "pending.jpg", "rejected.jpg"]
    names += ["undone.jpg", "written.jpg"]
    other = changed(config, parent="Machine", deny=("cat",))
    assert written(scan(other)) == names
    assert tagger.inferred  # the model of that time is no more
    assert not set(rejections) & set(keywords(rejected))
    assert set(kept) & set(keywords(rejected))
    assert keywords(album / "undone.jpg")
    assert "cat" not in keywords(album / "written.jpg")
    assert "our cat" in keywords(album / "written.jpg")
    text = sidecar_of(album / "2019/merged.jpg").read_text()
    assert "Machine/building" in text
    assert "Auto" not in text
    assert "<!-- kept -->" in text
    assert keywords(album / "2019/merged.jpg")[0] == "Oma"


@pytest.mark.parametrize("is_scanned", [False, True], ids=["at once", "after a scan"])
def test_undo_gives_back_every_file_as_it_was(
    config: Config, home: Path, facts: Mapping[str, Any], scan: Scan, is_scanned: bool
) -> None:
    if is_scanned:
        scan(config)
    outcomes = take_back(config, *tops(config))
    assert [each.error for each in outcomes] == [None] * 8
    found = {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for top in tops(config)
        for path in top.rglob("*")
        if path.is_file()
    }
    assert found == facts["originals"]
    assert written(scan(config)) == ([] if is_scanned else ["pending.jpg"])
    assert not list(home.rglob("*.jpg.xmp"))[1:]  # only the user's


def test_converted_copies_are_verified_and_give_the_same_logits(
    home: Path, facts: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from photoramd.models.ram_plus.network import RamPlusShape
    from photoramd.models.ram_plus.swin import SwinShape
    from photoramd.models.ram_plus.tag_decoder import DecoderShape
    from photoramd.models.ram_plus.tagger import copy_name, load_network
    from photoramd.models.weights.convert import load_copy
    from tests.support.copies import BFLOAT16, FLOAT32
    from tests.support.random_weights import random_images

    monkeypatch.setattr("photoramd.models.weights.store.SYSTEM_STORE", home / "models")
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    pin = PinnedFile(
        name="tiny.pth",
        size_bytes=facts["size_bytes"],
        sha256=facts["sha256"],
        source="random",
        remedy="",
        folder="ram++",
    )
    shape = RamPlusShape(SwinShape(**facts["swin"]), DecoderShape(**facts["decoder"]))
    images = random_images(2, shape.encoder.image_side)
    for precision, name, most in ((FLOAT32, "float32", 1e-4), (BFLOAT16, "bfloat16", 0.1)):
        # There is no original from which another copy could be made.
        logits = load_network(pin, shape, precision).logits(images).numpy()
        assert np.abs(logits - facts["logits"][name]).max() < most
    quantized = load_copy(copy_name(pin, "int8"))
    assert quantized is not None
    found = {name: tuple(tensor.shape) for name, tensor in quantized.tensors.items()}
    assert found == shape.quantized_keys
