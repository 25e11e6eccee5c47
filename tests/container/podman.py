"""podman from Debian's packages, with images and containers of its own, and our image in it.

The base is made by debootstrap, as no registry is asked, and wheels are fetched before: during the
build only Debian's packages come from the network. Images are kept with the rest of what is
fetched (tests.support.debian); a layer is built again only when something in it has changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.support.debian import REPOSITORY, base, cache, progress, run, wheels

IMAGE = "localhost/photoramd"
_BASE = "localhost/photoramd-test-base"
_CONTAINERFILES = REPOSITORY / "contrib/container"

_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{0}/storage"
runroot = "{0}/run"
"""
# Machines of tests may have no systemd, and may not raise limits.
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
# crun refuses to work where cgroups of version 1 and 2 are mixed.
_SETUP = """\
! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
echo ready; exec sleep infinity
"""
# Of Debian's slim images, which have no documentation either.
_LEFT_OUT = ("usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "var/lib/apt/lists/*")


class Podman:
    """podman, in a mount namespace of its own. Use it as a context manager; it needs root.

    Args:
        directory: For its configuration.
    """

    def __init__(self, directory: Path) -> None:
        assert os.geteuid() == 0, "this test must run as root, as podman does here"
        place = cache() / "podman"
        place.mkdir(parents=True, exist_ok=True)
        (directory / "storage.conf").write_text(_STORAGE.format(place))
        (directory / "containers.conf").write_text(_CONTAINERS)
        self._environment = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": os.fspath(directory / "storage.conf"),
            "CONTAINERS_CONF": os.fspath(directory / "containers.conf"),
        }

    def __enter__(self) -> Self:
        command = ["unshare", "--mount", "--kill-child", "--fork", "sh", "-euc", _SETUP]
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        self._enter = ["nsenter", "--mount", f"--target={self._holder.pid}"]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._holder.stdout is not None
        self._holder.stdout.close()
        self._holder.kill()
        self._holder.wait()

    def try_(
        self, *words: str, program: str = "podman", cwd: Path = REPOSITORY, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of podman's, or another program that runs podman."""
        return subprocess.run(
            [*self._enter, f"--wd={cwd}", "--", program, *words],
            env=self._environment | environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def __call__(self, *words: str) -> str:
        """Run a command of podman's that must succeed; returns what it printed."""
        done = self.try_(*words)
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()

    def build(self, name: str = "Containerfile", tag: str = IMAGE, **arguments: str) -> None:
        """Build an image of the working copy, with a base of this host's Debian."""
        given = {"BASE": self._base(), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"} | arguments
        progress(f"podman build, {name} (about a minute)")
        self(
            *("build", "--format=docker", f"--tag={tag}", f"--file={_CONTAINERFILES / name}"),
            *("--network=host", f"--volume={wheels()}:/wheels:ro"),
            *(f"--build-arg={key}={value}" for key, value in given.items()),
            os.fspath(REPOSITORY),
        )

    def _base(self) -> str:
        """The image of this host's Debian, made if it is not there."""
        root = base()
        source = f"{_BASE}:{root.name}"
        if self.try_("image", "exists", source).returncode:
            archive = cache() / f"podman/{root.name}.tar"
            left_out = [f"--exclude=./{each}" for each in _LEFT_OUT]
            run("tar", "-C", root, "-cf", archive, *left_out, ".")
            self("import", os.fspath(archive), source)
            archive.unlink()
        return source

    @contextmanager
    def running(self, *options: str, image: str = IMAGE, command: str = "") -> Iterator[Container]:
        """A container in the background, with these options of `podman run`."""
        name = self("run", "--detach", *options, image, *command.split())
        try:
            yield Container(self, name)
        finally:
            self("rm", "--force", "--time=0", name)

    def compose(self, *words: str, cwd: Path, **environment: str) -> str:
        """Run a command of podman-compose that must succeed; returns what it printed."""
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        program = shutil.which("podman-compose", path=programs)
        assert program, "the test needs podman-compose: make test-container brings it"
        done = self.try_(*words, program=program, cwd=cwd, **environment)
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout


class Container:
    """A container.

    Attributes:
        name: Its name, or its number.
    """

    def __init__(self, podman: Podman, name: str) -> None:
        self.name = name
        self._podman = podman

    def run(self, *words: str) -> str:
        """Run a command inside that must succeed; returns what it printed."""
        return self._podman("exec", self.name, *words)

    def photoramd(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of photoramd's inside, as its users do."""
        return self._podman.try_("exec", self.name, "photoramd", *words)

    def log(self) -> str:
        """What it has printed."""
        done = self._podman.try_("logs", self.name)
        return done.stdout + done.stderr

    def stop(self, seconds: int) -> int:
        """Stop it, by force after that time; returns its exit code."""
        self._podman("stop", f"--time={seconds}", self.name)
        return self.exit_code()

    def exit_code(self) -> int:
        """Wait for its end; returns its exit code."""
        return int(self._podman("wait", self.name))

    def is_healthy(self) -> bool:
        """Whether the health check of its image finds it well."""
        return self._podman.try_("healthcheck", "run", self.name).returncode == 0

    def processes(self) -> Iterator[tuple[str, dict[str, str]]]:
        """The command line and /proc/PID/status of each of its processes."""
        top = int(self._podman("inspect", "--format={{.State.Pid}}", self.name))
        namespace = os.stat(f"/proc/{top}/ns/pid").st_ino
        for each in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (each / "ns/pid").stat().st_ino == namespace:
                    lines = (each / "status").read_text().splitlines()
                    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
                    yield (each / "cmdline").read_text().replace("\0", " "), status
