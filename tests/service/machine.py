"""A small machine with a real systemd: Debian or Ubuntu, booted by systemd-nspawn.

It needs no network: its packages and wheels are fetched before, and kept (tests.support.debian).
It gets the files of the working copy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.debian import REPOSITORY, base, cache, run, wait_for, wheels

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "procps", "sudo"),
    *("python3-venv", "python3-dev", "gcc", "pkg-config", "libsystemd-dev"),
    "libimage-exiftool-perl",
)
BOOT_SECONDS = 60.0


class Machine:
    """A booted machine.

    Attributes:
        root: Its root directory, as this host sees it; the numbers of users are the same.
    """

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        self._leader = leader

    def try_(self, script: str, *, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a shell script inside, as root."""
        enter = ["nsenter", "-t", str(self._leader), "-a", "--"]
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        command = [*enter, *clean, "HOME=/root", "LANG=C.UTF-8", "sh", "-euc", f"cd /; {script}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)

    def run(self, script: str, *, timeout: float = 120) -> str:
        """Run a shell script inside, as root, that must succeed; returns what it printed."""
        done = self.try_(script, timeout=timeout)
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout

    def show(self, *properties: str) -> dict[str, str]:
        """Properties of the service."""
        names = " ".join(f"-p {name}" for name in properties)
        lines = self.run(f"systemctl show photoramd.service {names}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def path(self, inside: str) -> Path:
        """A path inside, as this host sees it."""
        return self.root / inside.lstrip("/")


@contextmanager
def booted() -> Iterator[Machine]:
    """A fresh machine with the working copy at /src and the wheels at /wheels."""
    origin = base(PACKAGES)
    store = wheels(origin)
    place = Path(tempfile.mkdtemp(prefix="machine.", dir=cache()))
    root = place / "root"
    try:
        run("cp", "-a", "--reflink=auto", origin, root)
        _copy_sources(root / "src")
        with _boot(root, ["--bind-ro", f"{store}:/wheels"], place / "console") as leader:
            machine = Machine(root, leader)
            states = ("running", "degraded")
            is_up = lambda: machine.try_("systemctl is-system-running").stdout.strip() in states  # noqa: E731
            wait_for(is_up, "the machine to boot", BOOT_SECONDS)
            yield machine
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _copy_sources(target: Path) -> None:
    """The files of the working copy, without what git ignores."""
    listing = run(
        "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=REPOSITORY
    )
    for name in filter(None, listing.split("\0")):
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, target / name)


@contextmanager
def _boot(root: Path, options: Sequence[str], console: Path) -> Iterator[int]:
    """Boot; yields the process id of its init. Nothing of it is left afterwards."""
    # Without a network of its own kind: what is installed comes from the wheels.
    command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot"]
    command += ["--private-network", "--console=pipe", f"--machine=photoramd-{os.getpid()}"]
    with console.open("wb") as log:
        process = subprocess.Popen(
            [*command, *options, "--directory", os.fspath(root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(lambda: process.poll() is not None or _init(process.pid), "systemd-nspawn")
        init = _init(process.pid)
        assert init is not None, console.read_text()
        yield init
    finally:
        process.terminate()  # an orderly shutdown
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()  # what runs inside dies with it
            process.wait()


def _init(nspawn: int) -> int | None:
    """Return the first process inside; None before its maker, which comes first, has made it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
            numbers = re.search(r"^NSpid:(.*)$", Path(f"/proc/{child}/status").read_text(), re.M)
            if numbers is not None and numbers[1].split()[1:] == ["1"]:
                return int(child)
    return None
