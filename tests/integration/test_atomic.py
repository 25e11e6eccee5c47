"""Atomic replacement, on real file systems, with real kills and real errors.

Needs root (to mount a small file system, to own files of others, to drop single
capabilities) and the programs strace, unshare and setpriv.
"""

from __future__ import annotations

import errno
import os
import pickle
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from photoramd.errors import ChangedError, SidecarError, WriteError
from photoramd.photo import Fingerprint
from photoramd.system import atomic, write_errors
from photoramd.system.renameat2 import EXCHANGE
from tests.support.clock import bound
from tests.support.files import await_tick

OLD = b"old" * 1000
NEW = b"new and longer" * 1000
REPOSITORY = Path(__file__).parents[3]

# Prints the name and errno of the error, or "done". Like a caller with a database, it notes
# what it is about to commit.
CHILD = """
import os, pickle, sys
from pathlib import Path
from photoramd.system import write_errors
from photoramd.system import atomic
from photoramd.errors import PhotoramdError
from photoramd.photo import Fingerprint

target, data, note = Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), Path(sys.argv[3])
expected = Fingerprint.of(target.lstat()) if target.exists() else None
try:
    prepared = atomic.prepare(target, data, expected=expected)
    if note != Path("/dev/null"):
        note.write_bytes(pickle.dumps(prepared))
    atomic.commit(prepared)
    answer = "done"
except PhotoramdError as error:
    answer = f"{type(error).__name__} {getattr(error, 'errno', '')}".strip()
os.write(1, answer.encode())
"""


def fingerprint(path: Path) -> Fingerprint:
    return Fingerprint.of(path.lstat())


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


def sweep(directory: Path) -> int:
    """What a scan does with leftovers; returns how many there were."""
    return sum(atomic.remove_temporary(path) for path in directory.iterdir())


def write(target: Path, data: bytes, expected: Fingerprint | None) -> Fingerprint:
    return atomic.commit(atomic.prepare(target, data, expected=expected))


def run_child(
    target: Path, *prefix: str, data: bytes = NEW, note: str = "/dev/null"
) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-c", CHILD, str(target), data.hex(), note]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=bound(60), check=False
    )


def answer(target: Path, *prefix: str, data: bytes = NEW) -> str:
    finished = run_child(target, *prefix, data=data)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def strace(*injections: str) -> tuple[str, ...]:
    options = [word for injection in injections for word in ("-e", f"inject={injection}")]
    calls = ",".join(injection.partition(":")[0] for injection in injections)
    return ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}",
            *options)  # fmt: skip


def require_root() -> None:
    assert os.geteuid() == 0, "needs root: run the tests as root, or in a container as root"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "IMG.JPG.xmp"
    path.write_bytes(OLD)
    return path


# What a replacement is


@pytest.mark.parametrize("year", [1905, 2024, 2445])
def test_a_date_that_is_kept_is_a_millisecond_later_in_any_century(
    tmp_path: Path, year: int
) -> None:
    target = tmp_path / "photo.jpg"
    target.write_bytes(OLD)
    seconds = (year - 1970) * 31_556_952
    os.utime(target, (seconds, seconds))
    # Older XFS and others know no later second than one in 2038, and take that instead.
    seconds = int(target.stat().st_mtime) - 1
    os.utime(target, (seconds, seconds))
    expected = Fingerprint.of(target.lstat())
    assert -(2**63) <= expected.mtime_ns < 2**63
    prepared = atomic.prepare(target, NEW, expected=expected, keep_date=True)
    assert atomic.commit(prepared) == prepared.after
    assert target.stat().st_mtime_ns == seconds * 10**9 + 10**6


def test_a_new_file_is_whole_and_alone(tmp_path: Path) -> None:
    target = tmp_path / "IMG.JPG.xmp"
    after = write(target, NEW, None)
    assert target.read_bytes() == NEW
    assert after == fingerprint(target)
    assert names(tmp_path) == [target.name]


def test_an_existing_file_is_replaced_by_a_new_inode(target: Path) -> None:
    before = fingerprint(target)
    write(target, NEW, before)
    assert target.read_bytes() == NEW
    assert fingerprint(target).inode != before.inode
    assert names(target.parent) == [target.name]


@pytest.mark.parametrize("exists", [True, False])
def test_the_fingerprint_after_the_rename_is_known_before_it(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "IMG.JPG.xmp"
    if exists:
        target.write_bytes(OLD)
    prepared = atomic.prepare(target, NEW, expected=fingerprint(target) if exists else None)
    assert target.exists() == exists
    assert prepared.temporary.parent == tmp_path
    assert prepared.temporary.name.startswith(".photoramd-")
    assert atomic.commit(prepared) == prepared.after == fingerprint(target)


def test_a_discarded_replacement_leaves_nothing(target: Path) -> None:
    prepared = atomic.prepare(target, NEW, expected=fingerprint(target))
    atomic.discard(prepared)
    atomic.discard(prepared)
    assert target.read_bytes() == OLD
    assert names(target.parent) == [target.name]


def test_any_name_will_do(tmp_path: Path) -> None:
    for name in (b"-a.jpg.xmp", b"@a", b"$a", b"a\nb.xmp", b"\xff\xfe.xmp", b" lead.xmp"):
        target = tmp_path / os.fsdecode(name)
        write(target, OLD, None)
        write(target, NEW, fingerprint(target))
        assert target.read_bytes() == NEW
    assert len(names(tmp_path)) == 6


def test_a_name_with_no_room_for_the_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match="too long"):
        write(tmp_path / ("a" * 252 + ".xmp"), NEW, None)
    assert names(tmp_path) == []


# Other programs


def edit_in_place(target: Path) -> None:
    target.write_bytes(b"theirs")


def edit_by_rename(target: Path) -> None:
    other = target.with_name("other")
    other.write_bytes(b"theirs")
    other.rename(target)


@pytest.mark.parametrize("edit", [edit_in_place, edit_by_rename])
def test_an_edit_between_prepare_and_commit_lives(
    target: Path, edit: Callable[[Path], None]
) -> None:
    prepared = atomic.prepare(target, NEW, expected=fingerprint(target))
    edit(target)
    with pytest.raises(ChangedError):
        atomic.commit(prepared)
    assert target.read_bytes() == b"theirs"
    assert names(target.parent) == [target.name]


def test_an_edit_between_read_and_prepare_lives(target: Path) -> None:
    seen = fingerprint(target)
    edit_by_rename(target)
    with pytest.raises(ChangedError):
        atomic.prepare(target, NEW, expected=seen)
    assert target.read_bytes() == b"theirs"
    assert names(target.parent) == [target.name]


def test_a_same_length_edit_with_the_old_date_lives(target: Path) -> None:
    seen = target.lstat()
    prepared = atomic.prepare(target, NEW, expected=Fingerprint.of(seen))
    await_tick(target)
    target.write_bytes(b"OLD" * 1000)
    os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    with pytest.raises(ChangedError):
        atomic.commit(prepared)
    assert target.read_bytes() == b"OLD" * 1000


def test_an_edit_between_the_last_look_and_the_rename_lives(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = atomic.prepare(target, NEW, expected=fingerprint(target))
    rename = atomic.rename

    def edit_and_rename(source: str, destination: str, flags: int, directory: int) -> None:
        monkeypatch.setattr(atomic, "rename", rename)
        edit_by_rename(target)
        rename(source, destination, flags, directory)

    monkeypatch.setattr(atomic, "rename", edit_and_rename)
    with pytest.raises(ChangedError):
        atomic.commit(prepared)
    assert target.read_bytes() == b"theirs"
    assert names(target.parent) == [target.name]


def test_a_file_that_appeared_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "IMG.JPG.xmp"
    prepared = atomic.prepare(target, NEW, expected=None)
    target.write_bytes(b"theirs")
    with pytest.raises(ChangedError):
        atomic.commit(prepared)
    assert target.read_bytes() == b"theirs"
    assert names(tmp_path) == [target.name]


def test_a_file_that_went_away_does_not_come_back(target: Path) -> None:
    prepared = atomic.prepare(target, NEW, expected=fingerprint(target))
    target.unlink()
    with pytest.raises(ChangedError):
        atomic.commit(prepared)
    assert names(target.parent) == []


def test_a_directory_that_went_away_is_a_change(target: Path) -> None:
    prepared = atomic.prepare(target, NEW, expected=fingerprint(target))
    target.parent.rename(target.parent.with_name("elsewhere"))
    with pytest.raises(ChangedError):
        atomic.commit(prepared)
    with pytest.raises(ChangedError):
        atomic.settle(target, prepared.temporary, prepared.after)


# What is never replaced


def test_a_symbolic_link_is_refused_and_stays_one(target: Path) -> None:
    link = target.with_name("link.xmp")
    link.symlink_to(target)
    with pytest.raises(SidecarError, match="symbolic link"):
        atomic.prepare(link, NEW, expected=fingerprint(link))
    with pytest.raises(SidecarError, match="symbolic link"):
        atomic.prepare(link, NEW, expected=None)
    assert link.is_symlink()
    assert target.read_bytes() == OLD


def test_a_hard_link_is_refused_and_stays_one(target: Path) -> None:
    target.with_name("second").hardlink_to(target)
    with pytest.raises(SidecarError, match="hard links"):
        atomic.prepare(target, NEW, expected=fingerprint(target))
    assert target.stat().st_nlink == 2


def test_a_link_made_after_prepare_is_noticed(target: Path) -> None:
    prepared = atomic.prepare(target, NEW, expected=fingerprint(target))
    await_tick(target)
    target.with_name("second").hardlink_to(target)
    with pytest.raises(ChangedError):
        atomic.commit(prepared)
    assert target.stat().st_nlink == 2


def test_a_directory_or_pipe_is_refused(tmp_path: Path) -> None:
    pipe, directory = tmp_path / "pipe.xmp", tmp_path / "directory.xmp"
    os.mkfifo(pipe)
    directory.mkdir()
    for path in (pipe, directory):
        with pytest.raises(SidecarError, match="no regular file"):
            atomic.prepare(path, NEW, expected=fingerprint(path))
    assert names(tmp_path) == ["directory.xmp", "pipe.xmp"]


def test_a_read_only_file_is_refused(target: Path) -> None:
    target.chmod(0o444)
    with pytest.raises(SidecarError, match="read-only") as caught:
        atomic.prepare(target, NEW, expected=fingerprint(target))
    assert caught.value.remedy
    assert target.read_bytes() == OLD
    assert stat.S_IMODE(target.stat().st_mode) == 0o444
    assert names(target.parent) == [target.name]


def test_an_owner_that_cannot_be_kept_is_refused(target: Path) -> None:
    require_root()
    os.chown(target, 12345, 23456)
    before = fingerprint(target)
    assert answer(target, "setpriv", "--bounding-set=-chown") == "SidecarError"
    assert fingerprint(target) == before
    assert names(target.parent) == [target.name]


# What is kept


def pack_acl(*entries: tuple[int, int, int]) -> bytes:
    """POSIX ACL as an extended attribute: version 2, then tag, permissions and id of each."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
# user::rw-, user:1234:rw-, group::r--, mask::rw-, other::---
ACL = pack_acl(
    (0x01, 6, NOBODY), (0x02, 6, 1234), (0x04, 4, NOBODY), (0x10, 6, NOBODY), (0x20, 0, NOBODY)
)
ACCESS = "system.posix_acl_access"


def test_mode_owner_acl_and_attributes_of_an_existing_file_are_kept(target: Path) -> None:
    require_root()
    os.chown(target, 12345, 23456)
    os.setxattr(target, ACCESS, ACL)
    os.setxattr(target, "user.note", b"mine")
    os.setxattr(target, "trusted.note", b"root's")
    before = target.stat()
    write(target, NEW, fingerprint(target))
    after = target.stat()
    assert (after.st_uid, after.st_gid) == (12345, 23456)
    assert after.st_mode == before.st_mode
    assert os.getxattr(target, ACCESS) == ACL
    assert os.getxattr(target, "user.note") == b"mine"
    assert os.getxattr(target, "trusted.note") == b"root's"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o777, 0o602])
def test_the_mode_is_kept_whatever_the_umask(target: Path, mode: int) -> None:
    target.chmod(mode)
    mask = os.umask(0o077)
    try:
        write(target, NEW, fingerprint(target))
    finally:
        os.umask(mask)
    assert stat.S_IMODE(target.stat().st_mode) == mode


def test_an_existing_file_without_acl_gets_none_from_its_directory(target: Path) -> None:
    target.chmod(0o640)
    os.setxattr(target.parent, "system.posix_acl_default", ACL)
    write(target, NEW, fingerprint(target))
    assert ACCESS not in os.listxattr(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("photo_mode", "mode"), [(0o644, 0o644), (0o777, 0o666), (0o444, 0o644), (0o400, 0o600)]
)
def test_a_new_file_is_as_accessible_as_its_photo(
    tmp_path: Path, photo_mode: int, mode: int
) -> None:
    require_root()
    photo, target = tmp_path / "IMG.JPG", tmp_path / "IMG.JPG.xmp"
    photo.write_bytes(b"photo")
    photo.chmod(photo_mode)
    os.chown(photo, 12345, 23456)
    atomic.commit(atomic.prepare(target, NEW, expected=None, beside=photo))
    status = target.stat()
    assert stat.S_IMODE(status.st_mode) == mode
    assert (status.st_uid, status.st_gid) == (12345, 23456)


def test_a_new_file_gets_the_acl_of_its_photo(tmp_path: Path) -> None:
    photo, target = tmp_path / "IMG.JPG", tmp_path / "IMG.JPG.xmp"
    photo.write_bytes(b"photo")
    os.setxattr(photo, ACCESS, ACL)
    atomic.commit(atomic.prepare(target, NEW, expected=None, beside=photo))
    assert os.getxattr(target, ACCESS) == ACL


# Errors of the system


def test_a_full_disk_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    script = """
        set -e
        mount -t tmpfs -o size=64k tmpfs "$1"
        cd "$1"
        printf old > IMG.xmp
        head -c 40000 /dev/zero > ballast
        shift
        "$@"
        printf ' '
        cat IMG.xmp
        printf ' %s' $(ls -A)
        """
    target = tmp_path / "IMG.xmp"
    shell = ("unshare", "-m", "sh", "-c", script, "sh", str(tmp_path))
    require_root()
    assert (
        answer(target, *shell, data=b"n" * 30_000)
        == f"WriteError {errno.ENOSPC} old IMG.xmp ballast"
    )


def test_a_read_only_file_system_is_told_apart(target: Path) -> None:
    require_root()
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && "$@"'
    shell = ("unshare", "-m", "sh", "-c", script, "sh", str(target.parent))
    assert answer(target, *shell) == f"WriteError {errno.EROFS}"
    assert target.read_bytes() == OLD


def test_a_directory_that_may_not_be_written_is_told_apart(target: Path) -> None:
    require_root()
    target.parent.chmod(0o555)
    said = answer(target, "setpriv", "--bounding-set=-dac_override,-dac_read_search")
    target.parent.chmod(0o755)
    assert said == f"WriteError {errno.EACCES}"
    assert target.read_bytes() == OLD


@pytest.mark.parametrize(
    ("call", "error", "when"),
    [
        ("write", "ENOSPC", 1),
        ("fchmod", "EPERM", 1),
        ("fsync", "EIO", 1),
        ("fsync", "EDQUOT", 1),
        ("renameat2", "EROFS", 1),
        ("renameat2", "EIO", 1),
        ("fsync", "EIO", 2),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_a_failed_step_leaves_the_old_state_and_no_temporary(
    tmp_path: Path, call: str, error: str, when: int, exists: bool
) -> None:
    target = tmp_path / "IMG.JPG.xmp"
    if exists:
        target.write_bytes(OLD)
    said = answer(target, *strace(f"{call}:error={error}:when={when}"))
    assert said == f"WriteError {getattr(errno, error)}"
    assert names(tmp_path) == ([target.name] if exists else [])
    if exists:
        assert target.read_bytes() == OLD


@pytest.mark.parametrize(
    "missing",
    [
        ("renameat2:error=EINVAL",),
        ("renameat2:error=ENOSYS", "linkat:error=EPERM", "link:error=EPERM"),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_file_systems_without_the_newer_calls_are_written_too(
    tmp_path: Path, missing: tuple[str, ...], exists: bool
) -> None:
    target = tmp_path / "IMG.JPG.xmp"
    if exists:
        target.write_bytes(OLD)
    assert answer(target, *strace(*missing)) == "done"
    assert target.read_bytes() == NEW
    assert target.stat().st_nlink == 1
    assert names(tmp_path) == [target.name]


def test_a_directory_that_cannot_be_synced_is_no_error(target: Path) -> None:
    assert answer(target, *strace("fsync:error=EINVAL:when=2")) == "done"
    assert target.read_bytes() == NEW


def test_write_errors_say_what_to_do(tmp_path: Path) -> None:
    error = write_errors.failure(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
    assert error.errno == errno.ENOSPC
    assert error.concerns_file_system
    assert "space" in (error.remedy or "")
    assert not WriteError("stale", errno.ESTALE).concerns_file_system


# Kills


BEFORE_RENAME = ["write:{}:when=1", "fchmod:{}:when=1", "fsync:{}:when=1", "renameat2:{}:when=1"]
AFTER_RENAME = ["fsync:{}:when=2", "unlinkat:{}:when=1"]


@pytest.mark.parametrize(
    ("step", "exists", "is_new"),
    [(step, exists, False) for step in BEFORE_RENAME for exists in (True, False)]
    + [(step, True, True) for step in AFTER_RENAME]
    # A new file leaves no temporary to unlink.
    + [(AFTER_RENAME[0], False, True)],
)
def test_killed_at_any_step_the_file_is_old_or_new_and_the_rest_is_swept(
    tmp_path: Path, step: str, exists: bool, is_new: bool
) -> None:
    target = tmp_path / "IMG.JPG.xmp"
    if exists:
        target.write_bytes(OLD)
    killed = run_child(target, *strace(step.format("signal=SIGKILL")))
    assert killed.returncode == -9, killed.stderr
    state = target.read_bytes() if target.exists() else None
    assert state == (NEW if is_new else OLD if exists else None)
    left = [name for name in names(tmp_path) if name != target.name]
    # After the rename of a new file there is none; otherwise our content or the old one.
    assert len(left) == (0 if is_new and not exists else 1)
    assert sweep(tmp_path) == len(left)
    assert names(tmp_path) == ([target.name] if exists or is_new else [])


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("step", ["renameat2:{}:when=1", *AFTER_RENAME])
def test_after_a_kill_settling_knows_whether_the_write_counts(
    tmp_path: Path, step: str, exists: bool
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    target, note = photos / "IMG.JPG.xmp", tmp_path / "note"
    if exists:
        target.write_bytes(OLD)
    run_child(target, *strace(step.format("signal=SIGKILL")), note=str(note))
    prepared = pickle.loads(note.read_bytes())  # noqa: S301  our own
    is_done = atomic.settle(target, prepared.temporary, prepared.after)
    state = target.read_bytes() if target.exists() else None
    assert state == (NEW if is_done else OLD if exists else None)
    assert is_done == (not exists and step in AFTER_RENAME)
    assert names(photos) == ([target.name] if exists or is_done else [])


def test_sweep_removes_nothing_but_its_own(tmp_path: Path) -> None:
    kept = [".photoramd-marker", "x.photoramd-1.tmp", ".other.tmp", "IMG.JPG.xmp"]
    for name in kept:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".photoramd-directory.tmp").mkdir()
    (tmp_path / ".photoramd-link.tmp").symlink_to("IMG.JPG.xmp")
    (tmp_path / ".photoramd-0123456789abcdef.tmp").write_bytes(b"left over")
    assert sweep(tmp_path) == 1
    assert names(tmp_path) == sorted([*kept, ".photoramd-directory.tmp", ".photoramd-link.tmp"])


def test_settling_before_the_rename_begins_anew(target: Path) -> None:
    prepared = atomic.prepare(target, NEW, expected=fingerprint(target))
    assert not atomic.settle(target, prepared.temporary, prepared.after)
    assert target.read_bytes() == OLD
    assert names(target.parent) == [target.name]


def test_settling_after_the_rename_is_done(target: Path) -> None:
    prepared = atomic.prepare(target, NEW, expected=fingerprint(target))
    atomic.commit(prepared)
    assert atomic.settle(target, prepared.temporary, prepared.after)
    assert target.read_bytes() == NEW


def test_settling_brings_back_an_edit_that_was_exchanged_away(target: Path) -> None:
    prepared = atomic.prepare(target, NEW, expected=fingerprint(target))
    edit_by_rename(target)
    atomic.rename(prepared.temporary.name, target.name, EXCHANGE, prepared.directory.fd)
    assert not atomic.settle(target, prepared.temporary, prepared.after)
    assert target.read_bytes() == b"theirs"
    assert names(target.parent) == [target.name]


def test_settling_a_file_with_two_names_leaves_it_one(tmp_path: Path) -> None:
    target = tmp_path / "IMG.JPG.xmp"
    prepared = atomic.prepare(target, NEW, expected=None)
    target.hardlink_to(prepared.temporary)
    assert atomic.settle(target, prepared.temporary, prepared.after)
    assert target.read_bytes() == NEW
    assert names(tmp_path) == [target.name]
