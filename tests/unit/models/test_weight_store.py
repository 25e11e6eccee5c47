"""The model store: whole files or none, which nobody else can change."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from photoramd.errors import IntegrityError, ModelError
from photoramd.models.weights.store import (
    ModelStore,
    default_store,
    open_trusted,
    search_stores,
)
from photoramd.system.files import write_all

DIGEST = "ab" * 32


def require_root() -> None:
    assert os.geteuid() == 0, "this test needs root"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path.resolve() / "data" / "models")


def put(store: ModelStore, data: bytes = b"weights", name: str = "w.pth") -> Path:
    with store.partial("p") as file:
        write_all(file.fileno(), data)
        return store.install("p", file, "model", name)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Installing


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_an_installed_file_can_be_read_by_all_and_written_by_its_owner(
    store: ModelStore, umask: int
) -> None:
    before = os.umask(umask)
    try:
        path = put(store)
    finally:
        os.umask(before)
    assert path == store.root / "model" / "w.pth"
    assert path.read_bytes() == b"weights"
    assert (mode(path), mode(path.parent), mode(store.root)) == (0o644, 0o755, 0o755)
    assert mode(store.root / ".partial") == 0o700
    assert list((store.root / ".partial").iterdir()) == []


def test_an_installed_file_replaces_the_old_one_whole(store: ModelStore) -> None:
    path = put(store, b"old")
    with path.open("rb") as old:
        assert put(store, b"new") == path
        assert old.read() == b"old"
    assert path.read_bytes() == b"new"


def test_an_installed_file_replaces_a_link_not_what_it_leads_to(
    store: ModelStore, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"other")
    path = put(store)
    path.unlink()
    path.symlink_to(other)
    put(store)
    assert not path.is_symlink()
    assert other.read_bytes() == b"other"


def test_a_file_that_is_not_whole_stays_for_the_next_time(store: ModelStore) -> None:
    def interrupted() -> None:
        with store.partial("p") as file:
            write_all(file.fileno(), b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert mode(store.partial_path("p")) == 0o600
    with store.partial("p") as file:
        assert file.read() == b"half"


def test_a_discarded_file_is_gone(store: ModelStore) -> None:
    with store.partial("p") as file:
        write_all(file.fileno(), b"half")
        store.discard("p")
    store.discard("p")
    assert not store.partial_path("p").exists()


def test_two_processes_do_not_work_on_one_file(store: ModelStore) -> None:
    with (
        store.partial("p"),
        pytest.raises(ModelError, match="another process"),
        store.partial("p"),
    ):
        pass


def test_a_link_in_the_place_of_a_partial_file_is_not_followed(
    store: ModelStore, tmp_path: Path
) -> None:
    put(store)
    other = tmp_path / "other"
    other.write_bytes(b"other")
    store.partial_path("p").symlink_to(other)
    with pytest.raises(ModelError), store.partial("p"):
        pass
    assert other.read_bytes() == b"other"


def test_a_store_that_others_may_write_to_is_not_written_to(store: ModelStore) -> None:
    put(store)
    store.root.chmod(0o775)
    with pytest.raises(IntegrityError, match="others may write") as caught, store.partial("p"):
        pass
    assert caught.value.remedy == f"verify it afterwards: chmod go-w {store.root}"


def test_a_directory_in_the_files_place_is_an_error(store: ModelStore) -> None:
    (store.root / "model" / "w.pth" / "x").mkdir(parents=True)
    for path in (store.root, store.root / "model"):
        path.chmod(0o755)
    with pytest.raises(ModelError):
        put(store)


def test_the_free_space_is_that_of_the_nearest_directory_that_exists(store: ModelStore) -> None:
    assert not store.root.parent.exists()
    there = os.statvfs(store.root.parents[1])
    assert store.free_bytes() == pytest.approx(there.f_bavail * there.f_frsize, rel=0.2)


# Trust


@pytest.mark.parametrize("bits", [0o020, 0o002])
@pytest.mark.parametrize("which", ["w.pth", "model", "models"])
def test_what_others_could_change_is_refused(store: ModelStore, which: str, bits: int) -> None:
    path = put(store)
    [bad] = [each for each in (path, path.parent, store.root) if each.name == which]
    bad.chmod(mode(bad) | bits)
    with pytest.raises(IntegrityError, match="others may write to it") as caught:
        open_trusted(path)
    assert caught.value.path == str(bad)
    assert f"chmod go-w {bad}" in (caught.value.remedy or "")
    bad.chmod(mode(bad) & ~0o022)
    open_trusted(path).close()


@pytest.mark.parametrize("which", ["w.pth", "model", "models"])
def test_what_belongs_to_somebody_else_is_refused(store: ModelStore, which: str) -> None:
    require_root()
    path = put(store)
    [bad] = [each for each in (path, path.parent, store.root) if each.name == which]
    os.chown(bad, 12345, -1)
    with pytest.raises(IntegrityError, match="belongs to user 12345") as caught:
        open_trusted(path)
    assert f"chown root: {bad}" in (caught.value.remedy or "")


def test_a_file_of_root_is_good_for_everybody() -> None:
    require_root()
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = put(ModelStore(Path(directory).resolve() / "models"))
        os.seteuid(12345)
        try:
            open_trusted(path).close()
        finally:
            os.seteuid(0)


def test_a_sticky_directory_of_all_is_no_danger(store: ModelStore) -> None:
    path = put(store)
    store.root.chmod(0o1777)
    open_trusted(path).close()


def test_a_link_to_the_file_is_refused(store: ModelStore) -> None:
    path = put(store)
    link = path.with_name("link.pth")
    link.symlink_to(path)
    with pytest.raises(IntegrityError, match="symbolic link"):
        open_trusted(link)


def test_a_link_to_its_directory_is_refused(store: ModelStore) -> None:
    path = put(store)
    (store.root / "link").symlink_to(path.parent)
    with pytest.raises(IntegrityError, match="symbolic link"):
        open_trusted(store.root / "link" / "w.pth")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_directory_is_refused_at_once(
    store: ModelStore, make: Callable[[Path], None]
) -> None:
    path = put(store).with_name("other")
    make(path)
    path.chmod(0o644)
    with pytest.raises(IntegrityError, match="not a regular file"):
        open_trusted(path)


def test_a_missing_file_is_missing(store: ModelStore) -> None:
    put(store)
    with pytest.raises(FileNotFoundError):
        open_trusted(store.path("model", "other"))
    with pytest.raises(FileNotFoundError):
        open_trusted(store.path("other", "w.pth"))


# Noted digests


def test_a_digest_is_noted_in_the_format_of_sha256sum(store: ModelStore) -> None:
    path = put(store)
    done = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True)
    store.record("model", "w.pth", done.stdout.split()[0])
    check = ["sha256sum", "--strict", "-c", "w.pth.sha256"]
    subprocess.run(check, cwd=path.parent, check=True, capture_output=True)
    assert store.recorded("model", "w.pth") == done.stdout.split()[0]


def test_a_noted_digest_can_be_replaced(store: ModelStore) -> None:
    store.record("model", "w.pth", "cd" * 32)
    store.record("model", "w.pth", DIGEST)
    assert store.recorded("model", "w.pth") == DIGEST


def test_without_a_note_there_is_no_digest(store: ModelStore) -> None:
    assert store.recorded("model", "w.pth") is None


@pytest.mark.parametrize("content", [b"", b"ab", DIGEST.upper().encode(), b"\xff" * 64])
def test_a_damaged_note_is_refused(store: ModelStore, content: bytes) -> None:
    store.record("model", "w.pth", DIGEST)
    store.path("model", "w.pth.sha256").write_bytes(content)
    with pytest.raises(IntegrityError, match="holds no SHA-256"):
        store.recorded("model", "w.pth")


def test_a_note_that_others_could_change_is_refused(store: ModelStore) -> None:
    store.record("model", "w.pth", DIGEST)
    store.path("model", "w.pth.sha256").chmod(0o664)
    with pytest.raises(IntegrityError, match="others may write"):
        store.recorded("model", "w.pth")


# Places


def test_root_installs_into_the_systems_store(monkeypatch: pytest.MonkeyPatch) -> None:
    require_root()
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert default_store() == ModelStore(Path("/var/lib/photoramd/models"))
    assert search_stores() == (default_store(),)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_DATA_HOME": "/somewhere"}, "/somewhere/photoramd/models"),
        ({"XDG_DATA_HOME": "relative"}, "/home/me/.local/share/photoramd/models"),
        ({}, "/home/me/.local/share/photoramd/models"),
    ],
)
def test_a_user_installs_at_home_and_also_finds_the_systems(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for name, value in ({"HOME": "/home/me"} | environment).items():
        monkeypatch.setenv(name, value)
    assert [str(store.root) for store in search_stores()] == [
        expected,
        "/var/lib/photoramd/models",
    ]


def test_a_store_linked_to_a_larger_disk_is_followed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path.resolve() / "disk"
    disk.mkdir(mode=0o755)
    link = tmp_path / "models"
    link.symlink_to(disk)
    monkeypatch.setattr("photoramd.models.weights.store.SYSTEM_STORE", link)
    require_root()
    store = default_store()
    assert store.root == disk
    open_trusted(put(store)).close()


# Errors of the system


def test_a_full_disk_and_a_read_only_one_are_told_apart(tmp_path: Path) -> None:
    require_root()
    code = """
import sys, pathlib
from photoramd.models.weights.store import ModelStore, store_error
from photoramd.system.files import write_all
store = ModelStore(pathlib.Path(sys.argv[1]))
try:
    with store.partial("p") as file:
        try:
            write_all(file.fileno(), bytes(100_000))
        except OSError as error:
            raise store_error(error, store.root)
except Exception as error:
    print(error.exit_code, error.message, "|", error.remedy)
"""
    script = 'mount -t tmpfs -o size=64k"$1" tmpfs "$2" && exec "$3" -c "$4" "$2"'
    for option, expected in (("", "3 the disk is full |"), (",ro", "3 no access (Read-only")):
        command = ["unshare", "-m", "sh", "-c", script, "sh", option, tmp_path, sys.executable]
        done = subprocess.run([*command, code], check=True, capture_output=True, text=True)
        assert done.stdout.startswith(expected), done.stdout
