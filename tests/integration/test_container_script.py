"""The entry point of the container's image, with the capabilities that compose.yaml leaves it.

It runs alone, with a stub in place of photoramd, on an overlay of this machine's root directory
that has the container's directories; tests/container has the real image. It needs root.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "contrib/container/photoramd.sh"
OWNER, GROUP, STRANGER = 1026, 100, 1001

# What photoramd does of which the script knows: it makes a file that must not be there yet.
_STUB = """\
#!/bin/sh
set -eu
file=$2
case "$3 ${4:-}" in
  "config init") ;;
  "serve --new-token") file=$5 ;;
  *) echo "started by $(id -u):$(id -g)"; exit ;;
esac
if [ -e "$file" ]; then echo "$file exists already" >&2; exit 1; fi
: >"$file"
"""

# Arguments: where it may mount, /config, the script, the stub, and the script's own.
_CONTAINER = """\
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
root=$1/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$root"
mkdir -p "$root/config" "$root/opt/photoramd/bin"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$2" "$root/config"
cp "$3" "$root/script"
cp "$4" "$root/opt/photoramd/bin/photoramd"
chmod 755 "$root/script" "$root/opt/photoramd/bin/photoramd"
shift 4
exec chroot "$root" setpriv --bounding-set=-all,+chown,+setgid,+setuid /script "$@"
"""


@dataclass
class Room:
    """Directories of a test.

    Attributes:
        path: For what is mounted.
        config: What the container has as /config.
    """

    path: Path
    config: Path

    def start(self, *words: str, user: str = str(OWNER)) -> subprocess.CompletedProcess[str]:
        stub = self.path / "stub"
        stub.write_text(_STUB)
        place = self.path / "place"
        place.mkdir(exist_ok=True)
        shell = ("unshare", "--mount", "sh", "-euc", _CONTAINER, "sh")
        return subprocess.run(
            [*shell, place, self.config, SCRIPT, stub, *words],
            env={"PATH": os.environ["PATH"], "PUID": user, "PGID": str(GROUP)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def room(tmp_path: Path) -> Room:
    config = tmp_path / "config"
    config.mkdir()
    return Room(tmp_path, config)


def belongs_to(path: Path) -> int:
    return path.stat().st_uid


def test_a_directory_that_was_just_made_is_given_to_the_user(room: Room) -> None:
    done = room.start("run")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"started by {OWNER}:{GROUP}\n"
    assert belongs_to(room.config) == belongs_to(room.config / "config.toml") == OWNER


@pytest.mark.parametrize("mode", [0o755, 0o700])
@pytest.mark.parametrize("name", ["photo.jpg", ""], ids=["full", "empty"])
def test_a_directory_of_another_stays_theirs(room: Room, mode: int, name: str) -> None:
    # Root without capabilities cannot list one that is closed to others.
    os.chown(room.config, STRANGER, STRANGER)
    if name:
        (room.config / name).touch()
    room.config.chmod(mode)
    done = room.start("run")
    assert done.returncode == 78
    assert f"may not write in /config, which belongs to {STRANGER}:{STRANGER}" in done.stderr
    assert belongs_to(room.config) == STRANGER


def test_a_directory_of_root_that_has_something_stays_roots(room: Room) -> None:
    (room.config / "something").touch()
    assert room.start("run").returncode == 78
    assert belongs_to(room.config) == 0


@pytest.mark.parametrize(
    "words", [("run",), ("serve", "--token-file", "/config/gallery-token")], ids=["run", "serve"]
)
def test_in_a_directory_that_is_closed_to_others_it_starts_again(
    room: Room, words: tuple[str, ...]
) -> None:
    os.chown(room.config, OWNER, GROUP)
    room.config.chmod(0o700)
    for _ in range(2):
        done = room.start(*words)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"started by {OWNER}:{GROUP}\n"


@pytest.mark.parametrize("number", ["0", "00", "4294967295", "4294967296"])
def test_root_is_refused_by_whatever_number(room: Room, number: str) -> None:
    done = room.start("run", user=number)
    assert done.returncode == 78
    assert "it must not run as root" in done.stderr
    assert not list(room.config.iterdir())
