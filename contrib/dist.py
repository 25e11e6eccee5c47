#!/usr/bin/env python3
"""Build the sdist and the wheel of what is committed, twice, and leave them in dist/.

    python contrib/dist.py [REVISION]

The first time from an export of the revision (HEAD), the second time from what is inside the
first sdist, in another directory, with another umask. Times in the archives are the commit's.
Exits with 1 if the two differ in a byte: then something of the machine is in them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "dist"


def main() -> None:
    """Build, compare, and put the result into dist/."""
    revision = sys.argv[1] if len(sys.argv) > 1 else "HEAD"
    epoch = git("log", "-1", "--format=%ct", revision).decode().strip()
    with tempfile.TemporaryDirectory(prefix="photoramd-dist-") as temporary:
        directory = Path(temporary).resolve()
        source = directory / "source"
        source.mkdir()
        archive = git("archive", "--format=tar", revision)
        subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
        first = build(source, directory / "first", epoch, umask=0o022)
        second = build(unpack(first, directory / "again"), directory / "second", epoch, umask=0o077)
        differences = compare(first, second)
        if differences:
            print(f"NOT reproducible: {', '.join(differences)}", file=sys.stderr)
            sys.exit(1)
        shutil.rmtree(TARGET, ignore_errors=True)
        shutil.copytree(first, TARGET)
    digests = "".join(f"{digest(path)}  {path.name}\n" for path in sorted(TARGET.iterdir()))
    (TARGET / "SHA256SUMS").write_text(digests, encoding="utf-8")
    print(f"Built twice, the same both times:\n{digests}", end="")


def git(*arguments: str) -> bytes:
    """What git prints."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def build(source: Path, target: Path, epoch: str, *, umask: int) -> Path:
    """Build both archives of a source tree; returns where they are."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", target],
        cwd=source,
        env=os.environ | {"SOURCE_DATE_EPOCH": epoch},
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"hatchling cannot build it:\n{done.stderr}")
    return target


def unpack(built: Path, directory: Path) -> Path:
    """Unpack the sdist; returns the source tree in it."""
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(directory, filter="data")
    [source] = directory.iterdir()
    return source


def compare(first: Path, second: Path) -> list[str]:
    """Names of the files that are not the same in two directories."""
    names = {path.name for directory in (first, second) for path in directory.iterdir()}
    return sorted(name for name in names if digest(first / name) != digest(second / name))


def digest(path: Path) -> str:
    """A file's SHA-256; empty if there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


if __name__ == "__main__":
    main()
