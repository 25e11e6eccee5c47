"""Debian for tests: a root file system of this host's release, and what pip installs into it.

Another release, or one of Ubuntu, is made with PHOTORAMD_TEST_RELEASE=trixie and its address in
PHOTORAMD_TEST_MIRROR. What its Python needs is fetched inside, with the host's network.

What takes long to fetch is kept in a cache directory ($PHOTORAMD_TEST_CACHE, by default
~/.cache/photoramd-tests), so that machines and containers of tests need no network.
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
SCRIPTS = Path("/usr/share/debootstrap/scripts")
EXTRAS = "raw,systemd,web,worker"
BUILD_TOOLS = ("hatchling", "setuptools", "wheel")


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


def base(packages: Sequence[str] = ()) -> Path:
    """A fresh root file system with these packages, made by debootstrap.

    They come from where this host has its own.
    """
    own = platform.freedesktop_os_release()["VERSION_CODENAME"]
    release = os.environ.get("PHOTORAMD_TEST_RELEASE", own)
    mirror = os.environ.get("PHOTORAMD_TEST_MIRROR") or _mirror(release)
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8]
    target = cache() / f"{release}-{digest}"
    with made(target) as partial:
        if partial is not None:
            progress(f"debootstrap {release} (about a minute)")
            options = ["--variant=minbase"]
            options += [f"--include={','.join(packages)}"] if packages else []
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


def wheels(origin: Path | None = None) -> Path:
    """Everything that pip installs, fetched as this host's pip is configured to.

    Args:
        origin: The root file system that it is for; None: one with this host's Python.
    """
    wanted = ["-c", "constraints.txt", f".[{EXTRAS}]", *BUILD_TOOLS]
    content = [REPOSITORY / "constraints.txt", REPOSITORY / "pyproject.toml"]
    read = b"".join(path.read_bytes() for path in content)
    digest = hashlib.sha256(read + EXTRAS.encode()).hexdigest()[:8]
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = own if origin is None else os.readlink(origin / "usr/bin/python3")
    target = cache() / f"wheels-{python}-{digest}"
    with made(target) as partial:
        if partial is not None:
            progress(f"pip download, {python}")
            download = ["-m", "pip", "download", "--quiet"]
            if origin is None or python == own:
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


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"timed out: {what}"
        time.sleep(0.1)
