"""A small machine with a real systemd: this host's release of Debian, booted by systemd-nspawn.

Another release, or one of Ubuntu, is made with PHOTORAMD_TEST_RELEASE=trixie and its address in
PHOTORAMD_TEST_MIRROR. What its Python needs is fetched inside, with the host's network.

What takes long to fetch is kept in a cache directory ($PHOTORAMD_TEST_CACHE, by default
~/.cache/photoramd-tests): a fresh root file system, and the wheels that photoramd needs, so
that the machine itself needs no network. It gets the files of the working copy.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "procps", "sudo"),
    *("python3-venv", "python3-dev", "gcc", "pkg-config", "libsystemd-dev"),
    "libimage-exiftool-perl",
)
SCRIPTS = Path("/usr/share/debootstrap/scripts")
BUILD_TOOLS = ("hatchling", "setuptools", "wheel")
BOOT_SECONDS = 60.0


def cache() -> Path:
    """The directory of what is kept."""
    named = os.environ.get("PHOTORAMD_TEST_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "photoramd-tests"


def progress(text: str) -> None:
    """Say what takes long, at once; pytest shows it with -s."""
    print(f"[{time.strftime('%X')}] {text}", file=sys.stderr, flush=True)


@contextmanager
def made(target: Path) -> Iterator[Path | None]:
    """A directory to fill that becomes the target when it is whole; None if that is there."""
    if target.exists():
        yield None
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def base() -> Path:
    """A fresh root file system, made by debootstrap from where this host has its packages."""
    own = platform.freedesktop_os_release()["VERSION_CODENAME"]
    release = os.environ.get("PHOTORAMD_TEST_RELEASE", own)
    mirror = os.environ.get("PHOTORAMD_TEST_MIRROR") or _mirror(release)
    digest = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:8]
    target = cache() / f"{release}-{digest}"
    with made(target) as partial:
        if partial is not None:
            progress(f"debootstrap {release} (about a minute)")
            options = ["--variant=minbase", f"--include={','.join(PACKAGES)}"]
            script = []
            if "ubuntu" in mirror:
                options.append("--components=main,universe")
                script.append(SCRIPTS / "gutsy")  # that of all later ones, newer than debootstrap
            run("debootstrap", *options, release, partial, mirror, *script)
            # Packages that were unpacked are not needed again.
            shutil.rmtree(partial / "var/cache/apt/archives", ignore_errors=True)
    return target


def _mirror(release: str) -> str:
    """Where apt has this release from."""
    form = ["--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {release}"]
    found = run("apt-get", "indextargets", *form, "Component: main").splitlines()
    assert found, "apt knows no mirror; name one with PHOTORAMD_TEST_MIRROR"
    return found[0]


def wheels(origin: Path) -> Path:
    """Everything that pip installs on a machine, fetched as this host's pip is configured to."""
    content = [REPOSITORY / "constraints.txt", REPOSITORY / "pyproject.toml"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in content)).hexdigest()[:8]
    python = os.readlink(origin / "usr/bin/python3")
    target = cache() / f"wheels-{python}-{digest}"
    with made(target) as partial:
        if partial is not None:
            progress(f"pip download, {python}")
            wanted = ["-c", "constraints.txt", ".[raw,systemd,web]", *BUILD_TOOLS]
            download = ["-m", "pip", "download", "--quiet"]
            if python == f"python{sys.version_info.major}.{sys.version_info.minor}":
                run(sys.executable, *download, "-d", partial, *wanted, cwd=REPOSITORY)
            else:
                script = 'python3 -m venv /tmp/pip; cd /src; exec /tmp/pip/bin/python "$@"'
                inside = ["sh", "-ec", script, "sh", *download, "-d", "/wheels", *wanted]
                run(*_with_network(origin, partial), *inside)
    return target


def _with_network(origin: Path, store: Path) -> list[object]:
    """What runs a command inside, unbooted, with the host's network and pip's variables."""
    settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    readable = [f"{REPOSITORY}:/src"]
    if certificates := settings.get("PIP_CERT"):
        readable.append(os.path.realpath(certificates) + f":{certificates}")
    return [
        *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe"),
        *("--directory", origin, "--volatile=overlay", f"--bind={store}:/wheels"),
        *(f"--bind-ro={each}" for each in readable),
        *(f"--setenv={name}={value}" for name, value in settings.items()),
    ]


def run(*command: object, cwd: Path | None = None) -> str:
    """Run a command that must succeed; returns what it printed."""
    words = [os.fspath(word) if isinstance(word, Path) else str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


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


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"timed out: {what}"
        time.sleep(0.1)


@contextmanager
def booted() -> Iterator[Machine]:
    """A fresh machine with the working copy at /src and the wheels at /wheels."""
    origin = base()
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
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        wait_for(lambda: process.poll() is not None or children.read_text(), "systemd-nspawn")
        assert process.poll() is None, console.read_text()
        yield int(children.read_text().split()[0])
    finally:
        process.terminate()  # an orderly shutdown
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()  # what runs inside dies with it
            process.wait()
