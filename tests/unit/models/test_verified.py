"""Weights: the pinned bytes or none."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from photoramd.errors import IntegrityError, ModelError
from photoramd.models.embedded.tagger import EmbeddedTagger
from photoramd.models.weights import catalog, verified
from photoramd.models.weights.catalog import EMBEDDED, MODELS, RAM_PLUS, PinnedFile, known_model
from photoramd.models.weights.store import ModelStore
from photoramd.models.weights.verified import (
    VerifiedFile,
    load_state_dict,
    locate,
    open_verified,
    read_verified,
    resolve_digest,
    verify,
)
from photoramd.system.files import write_all
from tests.support.files import await_tick

PIN = EMBEDDED.weights


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A copy of the real weights that a test may damage."""
    path = tmp_path / "weights.pth"
    path.write_bytes(locate(PIN).read_bytes())
    return path


def pin_of(data: bytes) -> PinnedFile:
    """What would be pinned if these bytes were the published ones."""
    return replace(PIN, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def opened(path: Path) -> VerifiedFile:
    return open_verified(path, pin_of(path.read_bytes()))


def refusal(path: Path) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught:
        read_verified(path, PIN)
    assert caught.value.path == str(path)
    assert caught.value.exit_code == 3
    assert caught.value.remedy is not None
    assert "--force-reinstall --no-deps photoramd" in caught.value.remedy
    return caught.value


def test_the_installed_weights_are_the_pinned_ones() -> None:
    assert verify(PIN) == locate(PIN)
    data = read_verified(locate(PIN), PIN)
    assert len(data) == PIN.size_bytes
    assert hashlib.sha256(data).hexdigest() == PIN.sha256


def test_one_flipped_bit_is_refused_with_both_digests(weights: Path) -> None:
    with weights.open("r+b") as file:
        file.seek(9_000_000)
        byte = file.read(1)[0]
        file.seek(9_000_000)
        file.write(bytes([byte ^ 1]))
    error = refusal(weights)
    assert PIN.sha256 in error.message
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in error.message


def test_a_truncated_file_is_refused_with_both_sizes(weights: Path) -> None:
    os.truncate(weights, PIN.size_bytes - 1)
    whole = PIN.size_bytes or 0
    assert refusal(weights).message == f"{whole - 1:,} bytes, expected {whole:,}"


def test_a_longer_file_is_refused(weights: Path) -> None:
    with weights.open("ab") as file:
        file.write(b"x")
    refusal(weights)


def test_an_empty_file_is_refused(weights: Path) -> None:
    os.truncate(weights, 0)
    refusal(weights)


def test_a_missing_file_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file") as caught:
        read_verified(tmp_path / "weights.pth", PIN)
    assert caught.value.remedy == PIN.remedy


def test_a_missing_package_is_named_with_a_remedy() -> None:
    with pytest.raises(ModelError, match="no_such_package") as caught:
        locate(replace(PIN, package="no_such_package"))
    assert caught.value.remedy == PIN.remedy


def test_a_package_without_its_file_is_named_with_a_remedy() -> None:
    with pytest.raises(ModelError, match="missing") as caught:
        locate(replace(PIN, member="models/other.pth"))
    assert caught.value.remedy == PIN.remedy


def test_a_symbolic_link_in_the_files_place_is_refused(weights: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.pth"
    link.symlink_to(weights)
    refusal(link)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_directory_is_refused_at_once(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    make(path)
    refusal(path)


def test_a_package_linked_from_a_cache_is_located_behind_its_link(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "linked_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / "w.pth").symlink_to(weights)
    monkeypatch.syspath_prepend(package.parent)
    pin = replace(PIN, package="linked_weights", member="w.pth")
    assert verify(pin) == weights.resolve()


def test_the_bytes_that_were_hashed_are_the_bytes_that_are_loaded(weights: Path) -> None:
    expected = locate(PIN).read_bytes()
    data = read_verified(weights, PIN)
    other = weights.with_name("other.pth")
    other.write_bytes(bytes(len(expected)))
    other.replace(weights)  # swapped between check and load
    assert data == expected


def test_bytes_changed_in_place_after_the_check_change_nothing(weights: Path) -> None:
    data = read_verified(weights, PIN)
    weights.write_bytes(bytes(PIN.size_bytes))
    assert hashlib.sha256(data).hexdigest() == PIN.sha256


class _Trap:
    """Makes a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    return tmp_path / "was-unpickled"


def test_the_trap_works(trap: Path) -> None:
    pickle.loads(pickle.dumps(_Trap(trap)))  # noqa: S301 - shows that the next tests can fail
    assert trap.is_dir()


@pytest.mark.parametrize("legacy", [True, False])
def test_a_malicious_file_is_refused_by_its_digest_before_it_is_parsed(
    tmp_path: Path, trap: Path, legacy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "malicious_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    path = package / "w.pth"
    torch.save({"a": _Trap(trap)}, path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes().ljust(PIN.size_bytes, b"\0"))  # the size is right
    monkeypatch.syspath_prepend(package.parent)
    pin = replace(PIN, package="malicious_weights", member="w.pth")
    monkeypatch.setattr("photoramd.models.embedded.tagger.EMBEDDED", replace(EMBEDDED, weights=pin))
    with pytest.raises(IntegrityError, match="SHA-256"):
        EmbeddedTagger.load()
    assert not trap.exists()


@pytest.mark.parametrize("legacy", [True, False])
def test_a_malicious_file_with_the_right_digest_is_still_not_run(
    tmp_path: Path, trap: Path, legacy: bool
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": _Trap(trap)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelError, match="cannot be loaded"), opened(path) as file:
        load_state_dict(file)
    assert not trap.exists()


@pytest.mark.parametrize("data", [b"", b"no torch file at all", b"\x80\x02", b"PK\x03\x04broken"])
def test_bytes_that_are_no_torch_file_are_a_model_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(ModelError, match="cannot be loaded"), opened(tmp_path / "w.pth") as file:
        load_state_dict(file)


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"a": 1}, {1: torch.zeros(1)}])
def test_a_torch_file_that_is_no_state_dict_is_a_model_error(
    tmp_path: Path, content: object
) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="no state dict"), opened(tmp_path / "w.pth") as file:
        load_state_dict(file)


def test_weights_that_are_no_network_are_a_model_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "other_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "w.pth").write_bytes(b"no network")
    monkeypatch.syspath_prepend(package.parent)
    pin = replace(pin_of((package / "w.pth").read_bytes()), package="other_weights", member="w.pth")
    monkeypatch.setattr("photoramd.models.embedded.tagger.EMBEDDED", replace(EMBEDDED, weights=pin))
    with pytest.raises(ModelError, match="the weights cannot be loaded"):
        EmbeddedTagger.load()


def test_models_are_known_by_name_and_others_are_refused_with_the_known_ones() -> None:
    assert known_model("embedded") is EMBEDDED
    assert [name for name in MODELS if ":" not in name] == ["embedded", "ram++"]
    with pytest.raises(ModelError, match="'emedded'") as caught:
        known_model("emedded")
    assert caught.value.remedy == f"known models: {', '.join(sorted(MODELS))}"


def test_verifying_imports_neither_torch_nor_the_package_of_the_weights() -> None:
    code = (
        "import sys\n"
        "from photoramd.models.weights.catalog import EMBEDDED\n"
        "from photoramd.models.weights.verified import verify\n"
        "verify(EMBEDDED.weights)\n"
        "print({'torch', 'numpy', EMBEDDED.weights.package} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# Large files, parsed from the descriptor that was hashed


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """An empty store, the only one."""
    monkeypatch.setattr("photoramd.models.weights.store.SYSTEM_STORE", tmp_path / "models")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    (tmp_path / "models").mkdir(mode=0o755)
    return ModelStore(tmp_path.resolve() / "models")


STATE = {"a": torch.arange(50_000, dtype=torch.float32), "b": torch.ones(2, 2)}


@pytest.fixture
def large(store: ModelStore, tmp_path: Path) -> tuple[Path, PinnedFile]:
    """A torch file in the store, and its pin."""
    torch.save({"model": STATE}, tmp_path / "w.pth")
    data = (tmp_path / "w.pth").read_bytes()
    pin = replace(pin_of(data), name="w.pth", package="", folder="large")
    with store.partial("p") as file:
        write_all(file.fileno(), data)
        store.install("p", file, "large", "w.pth")
    return locate(pin), pin


def open_and_load(path: Path, pin: PinnedFile, mmap: bool = False) -> dict[str, torch.Tensor]:
    with open_verified(path, pin) as file:
        return load_state_dict(file, key="model", mmap=mmap)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_large_file_is_loaded_from_the_open_file(
    large: tuple[Path, PinnedFile], mmap: bool
) -> None:
    loaded = open_and_load(*large, mmap=mmap)
    assert loaded.keys() == STATE.keys()
    assert all(torch.equal(loaded[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_large_file_swapped_after_the_check_changes_nothing(
    large: tuple[Path, PinnedFile], mmap: bool
) -> None:
    path, pin = large
    file = open_verified(path, pin)
    other = path.with_name("other.pth")
    torch.save({"model": {"a": torch.zeros(1)}}, other)
    other.replace(path)
    assert load_state_dict(file, key="model", mmap=mmap)["a"].equal(STATE["a"])
    file.close()


def test_a_large_file_written_to_after_the_check_is_refused(
    large: tuple[Path, PinnedFile],
) -> None:
    path, pin = large
    times = path.stat()
    await_tick(path)

    def load() -> None:
        with open_verified(path, pin) as file:
            with path.open("r+b") as writer:
                writer.seek(path.stat().st_size // 2)
                writer.write(b"tampered")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # hides it from make
            load_state_dict(file, key="model")

    with pytest.raises(IntegrityError, match="changed while it was being loaded"):
        load()


def test_the_errors_of_a_load_are_not_hidden_by_the_check(large: tuple[Path, PinnedFile]) -> None:
    path, pin = large

    def load(opened: list[VerifiedFile]) -> None:
        with open_verified(path, pin) as file:
            opened.append(file)
            path.chmod(0o600)
            load_state_dict(file, key="other")

    opened: list[VerifiedFile] = []
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(opened)
    assert opened[0].file.closed


def damage_flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damage_truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def damage_append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def damage_link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def damage_mode(path: Path) -> None:
    path.chmod(0o664)


def damage_directory(path: Path) -> None:
    path.parent.chmod(0o775)


@pytest.mark.parametrize(
    "damage",
    [
        damage_flip,
        damage_truncate,
        damage_append,
        damage_link,
        damage_mode,
        damage_directory,
    ],
)
def test_a_large_file_that_is_not_right_or_not_safe_is_not_parsed(
    large: tuple[Path, PinnedFile],
    damage: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, pin = large
    damage(path)
    loaded: list[object] = []
    monkeypatch.setattr(torch, "load", lambda *a, **k: loaded.append((a, k)))
    with pytest.raises(IntegrityError) as caught:
        open_and_load(path, pin)
    assert caught.value.exit_code == 3
    assert caught.value.remedy
    assert loaded == []
    with pytest.raises(IntegrityError):
        verify(pin)


def test_a_large_file_is_hashed_in_bounded_memory(store: ModelStore) -> None:
    """200 MB in a process that may have no more than 150 MB above what it starts with."""
    size_bytes = 200_000_000
    zeros = hashlib.sha256()
    with store.partial("p") as file:
        for _ in range(200):
            chunk = bytes(1_000_000)
            zeros.update(chunk)
            write_all(file.fileno(), chunk)
        path = store.install("p", file, "large", "w.pth")
    code = (
        "import resource, sys, pathlib\n"
        "from photoramd.models.weights.catalog import EMBEDDED\n"
        "from photoramd.models.weights.verified import open_verified\n"
        "from dataclasses import replace\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + 150_000_000\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "pin = replace(EMBEDDED.weights, size_bytes=int(sys.argv[2]), sha256=sys.argv[3])\n"
        "with open_verified(pathlib.Path(sys.argv[1]), pin) as file: print(file.file.tell())\n"
    )
    command = [sys.executable, "-c", code, path, str(size_bytes), zeros.hexdigest()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_a_large_file_of_another_size_is_refused_before_it_is_hashed(
    large: tuple[Path, PinnedFile],
) -> None:
    path, pin = large
    damage_truncate(path)
    counts: list[int] = []
    with pytest.raises(IntegrityError, match=f"bytes, expected {pin.size_bytes:,}"):
        open_verified(path, pin, counts.append)
    assert counts == []


def test_progress_is_told_of_every_byte(large: tuple[Path, PinnedFile]) -> None:
    path, pin = large
    counts: list[int] = []
    open_verified(path, pin, counts.append).close()
    assert sum(counts) == pin.size_bytes


def test_a_file_that_is_not_installed_names_its_place_and_the_command(store: ModelStore) -> None:
    with pytest.raises(ModelError, match="not installed") as caught:
        locate(RAM_PLUS.weights)
    assert caught.value.path == str(store.root / "ram++" / "ram_plus_swin_large_14m.pth")
    assert caught.value.remedy == "photoramd model fetch ram++"


def test_a_bad_file_in_the_first_store_is_not_passed_over(
    large: tuple[Path, PinnedFile], store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, pin = large
    first = ModelStore(store.root.with_name("first"))
    with first.partial("p") as file:
        write_all(file.fileno(), b"bad")
        first.install("p", file, "large", "w.pth")
    monkeypatch.setattr(verified, "search_stores", lambda: (first, store))
    assert locate(pin) == first.path("large", "w.pth")
    with pytest.raises(IntegrityError):
        verify(pin)
    first.path("large", "w.pth").unlink()
    assert verify(pin) == path


# Files of which only the first digits of the digest are published


def test_a_part_of_a_digest_opens_nothing(large: tuple[Path, PinnedFile]) -> None:
    path, pin = large
    short = replace(pin, sha256=pin.sha256[:8])
    assert not short.is_full
    for function in (open_verified, read_verified):
        with pytest.raises(ValueError, match="not enough"):
            function(path, short)


def test_the_noted_digest_is_demanded(large: tuple[Path, PinnedFile], store: ModelStore) -> None:
    path, pin = large
    short = replace(pin, sha256=pin.sha256[:8], size_bytes=None)
    with pytest.raises(IntegrityError, match="not noted"):
        resolve_digest(short)
    store.record("large", "w.pth", pin.sha256)
    assert resolve_digest(short) == replace(short, sha256=pin.sha256)
    assert verify(short) == path
    damage_flip(path)
    with pytest.raises(IntegrityError, match="SHA-256"):
        verify(short)


def test_a_noted_digest_that_is_not_the_published_one_is_refused(
    large: tuple[Path, PinnedFile], store: ModelStore
) -> None:
    _, pin = large
    other = hashlib.sha256(b"other").hexdigest()
    store.record("large", "w.pth", other)
    with pytest.raises(IntegrityError, match=f"{other}, expected {pin.sha256[:8]}"):
        resolve_digest(replace(pin, sha256=pin.sha256[:8]))


# The pins themselves


def test_ram_plus_is_pinned_to_exact_bytes_at_fixed_revisions() -> None:
    assert [pin.name for pin in RAM_PLUS.files] == [
        "ram_plus_swin_large_14m.pth",
        "ram_tag_list.txt",
        "ram_tag_list_threshold.txt",
    ]
    assert [pin.size_bytes for pin in RAM_PLUS.files] == [3_010_210_801, 41_904, 22_016]
    assert all(pin.is_full for pin in RAM_PLUS.files)
    hub = RAM_PLUS.weights.hub
    assert hub is not None
    assert len(hub.revision) == 40
    for pin in RAM_PLUS.companions:
        assert pin.url.startswith("https://raw.githubusercontent.com/")
        assert "/7cb804a8609e9f4b1a50b7f31436d2df40bb9481/" in pin.url


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_every_file_has_one_origin_and_a_place(model: catalog.Model) -> None:
    for pin in model.files:
        assert [bool(pin.package), bool(pin.hub), bool(pin.url)].count(True) == 1
        assert bool(pin.folder) != bool(pin.package)
        assert set(pin.sha256) <= set("0123456789abcdef")
        assert pin.is_full or (len(pin.sha256) == 8 and pin.about_bytes > 1_000_000)
        assert "/" not in pin.name + pin.folder
