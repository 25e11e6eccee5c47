#!/usr/bin/env python3
"""Show photoramd at work: the real daemon, a temporary directory, real photos.

    python contrib/demo.py [--model embedded] [--keep]

Copies photos from installed packages into a directory that the daemon watches and prints
each photo's tags as they appear, then a sidecar and a query. Nothing is downloaded, and
nothing is left behind unless --keep is given. A model whose files are not there is named with
the commands that bring them.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, os.fspath(Path(__file__).resolve().parents[1]))

from tests.support.samples import ALBUM, sample_photos

QUERIES = {"embedded": ("animal", "vehicle AND NOT rocket"), "ram++": ("cat", "food OR drink")}
TIMEOUT_SECONDS = 600
MODEL_ERROR = 3


def main() -> None:
    """Run the demo; exits with 1 if a photo was not tagged in time, 3 without the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="keep the temporary directory")
    parser.add_argument("--model", default="embedded", help="as `photoramd model list` names it")
    arguments = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # in a pipe, too: each photo when it is tagged
    require(arguments.model)
    directory = Path(tempfile.mkdtemp(prefix="photoramd-demo-")).resolve()
    try:
        show(directory, arguments.model)
    finally:
        if arguments.keep:
            print(f"\nKept: {directory}")
        else:
            shutil.rmtree(directory)


def require(model: str) -> None:
    """End with what to do if the files of a model are not there."""
    command = [sys.executable, "-m", "photoramd", "model", "info", model, "--json"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if answer.returncode:
        sys.exit(answer.returncode)
    described = json.loads(answer.stdout)
    if described["state"] == "installed":
        return
    missing = [file for file in described["files"] if file["path"] is None]
    print(f"The demo downloads nothing, and these files of {model} are not there:\n")
    for file in missing:
        print(f"  {file['file']}, {file['size_bytes']:,} bytes\n    {file['url']}")
    print(
        "\nEither let photoramd fetch them, with a network:\n\n"
        f"  {sys.executable} -m photoramd model fetch {model}\n\n"
        "or download them elsewhere, copy them here under any names, and:\n\n"
        f"  {sys.executable} -m photoramd model import FILE...\n\n"
        "Their digests are checked. Then start the demo again."
    )
    sys.exit(MODEL_ERROR)


def show(directory: Path, model: str) -> None:
    """The demo itself, in an empty directory."""
    photos = directory / "photos"
    photos.mkdir()
    config = directory / "config.toml"
    config.write_text(
        f"[[watch]]\npath = {json.dumps(os.fspath(photos))}\n\n"
        "[debounce]\nquiet_seconds = 1\n\n"
        f"[model]\nname = {json.dumps(model)}\n\n"
        f"[state]\npath = {json.dumps(os.fspath(directory / 'photoramd.db'))}\n",
        encoding="utf-8",
    )
    print(f"The configuration:\n\n{indent(config.read_text())}")
    samples = sample_photos(but=frozenset({"scikit-learn"}))
    with daemon(config, directory / "log") as process:
        wait_until(lambda: "Watching" in (directory / "log").read_text(), process)
        print("The daemon watches. Copying photos in:\n")
        for name, sample in ALBUM.items():
            shutil.copyfile(samples[sample], photos / name)
        seen: set[str] = set()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while len(seen) < len(ALBUM):
            for name in sorted(ALBUM.keys() - seen):
                details = ask(config, "show", os.fspath(photos / name))
                if isinstance(details, dict) and details["state"] == "written":
                    seen.add(name)
                    pairs = zip(details["tags"], details["confidences"], strict=True)
                    tags = ", ".join(f"{tag} {confidence:.2f}" for tag, confidence in pairs)
                    print(f"  {name:<16} {tags or 'nothing above the thresholds'}")
            if process.poll() is not None or time.monotonic() > deadline:
                print((directory / "log").read_text(), file=sys.stderr)
                sys.exit("the daemon did not tag all photos")
            time.sleep(0.1)
    # That of few tags, so that those above stay in view.
    sidecar = min(photos.glob("*.xmp"), key=lambda path: path.stat().st_size)
    print(f"\nThe sidecar {sidecar.name}:\n\n{indent(sidecar.read_text(encoding='utf-8'))}")
    for expression in QUERIES.get(model, QUERIES["embedded"]):
        print(f"photoramd query '{expression}':\n")
        for match in ask(config, "query", expression) or []:
            print(f"  {Path(match['file']).name:<16} {', '.join(match['tags'])}")
        print()
    print(
        "The daemon has been stopped; the photos themselves were not touched.\n"
        "What it sees in a photo of yours; nothing is changed:\n\n"
        f"  {os.path.relpath(sys.executable)} -m photoramd tag --format text PHOTO"
    )


@contextmanager
def daemon(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon as its users start it, stopped as systemd stops it."""
    with log.open("wb") as file:
        process = subprocess.Popen(photoramd(config, "run"), stderr=file)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def ask(config: Path, *arguments: str) -> object:
    """The JSON answer of a command; None if it has none yet."""
    answer = subprocess.run(
        photoramd(config, *arguments, "--json"), capture_output=True, check=False
    )
    return json.loads(answer.stdout) if answer.returncode == 0 else None


def photoramd(config: Path, *arguments: str) -> list[str]:
    """A command line."""
    return [sys.executable, "-m", "photoramd", "--config", os.fspath(config), *arguments]


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait for a condition, as long as the daemon lives."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("the daemon did not start")
        time.sleep(0.05)


def indent(text: str) -> str:
    """Text set in by four spaces."""
    return "".join(f"    {line}\n" for line in text.splitlines())


if __name__ == "__main__":
    main()
