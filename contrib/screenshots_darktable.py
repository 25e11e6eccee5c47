"""A picture of a real darktable that shows the keywords which photoramd wrote into sidecars."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageGrab

from tests.support.programs import running
from tests.support.samples import sample_photos

SIZE = (1280, 800)
PHOTOS = ("astronaut", "cat", "china", "coffee", "flower", "imagenet_99")
"""In the order of darktable's grid, three in a row; the second is chosen."""
CHOSEN = "cat.png"
OWN_KEYWORD = "Whiskers"
SETTINGS = {
    "ui_last/window_w": SIZE[0],
    "ui_last/window_h": SIZE[1],
    "ui_last/window_x": 0,
    "ui_last/window_y": 0,
    "ui_last/maximized": "FALSE",
    "lighttable/ui/1/left_visible": "FALSE",
    "lighttable/ui/1/bottom_visible": "FALSE",
    "plugins/lighttable/images_in_row": 3,
    "plugins/lighttable/tagging/expanded": "TRUE",
    "opencl": "FALSE",
    "write_sidecar_files": "never",
}
LEAST_COLOURS = 10_000
"""An empty screen and an empty grid have fewer, photos have more."""
SECONDS = 90


def take(directory: Path) -> Image.Image:
    """Tag a few photos and return darktable's lighttable with the tags of one of them.

    Args:
        directory: An empty directory for photos, settings and databases.

    Raises:
        TimeoutError: darktable did not show the photos in time.
        FileNotFoundError: A package with photos is missing.
    """
    album = directory / "Photos"
    tag(album, directory)
    settings = directory / "darktable"
    settings.mkdir()
    lines = [f"{key}={value}" for key, value in SETTINGS.items()]
    (settings / "darktablerc").write_text("\n".join(lines), encoding="utf-8")
    display = f":{os.getpid() % 10_000 + 100}"
    environment = {**os.environ, "DISPLAY": display, "HOME": os.fspath(directory)}
    screen = ["Xvfb", display, "-screen", "0", f"{SIZE[0]}x{SIZE[1]}x24"]
    places = ["--configdir", settings, "--cachedir", directory / "cache"]
    darktable = ["darktable", *places, "--library", settings / "library.db", album]
    with running(screen, environment):
        wait_for(display)
        with running(darktable, environment):
            settled(display, LEAST_COLOURS)
            choose = ["xdotool", "mousemove", "500", "250", "click", "1", "sleep", "1"]
            aside = ["mousemove", "1120", "750"]
            subprocess.run([*choose, *aside], env=environment, check=True)
            return settled(display, LEAST_COLOURS)


def tag(album: Path, directory: Path) -> None:
    """Fill an album, one photo of it with a keyword of its user's, and let photoramd tag it."""
    album.mkdir()
    samples = sample_photos()
    for name in PHOTOS:
        shutil.copyfile(samples[name], album / f"{name}{samples[name].suffix}")
    keyword = f"-XMP-dc:Subject={OWN_KEYWORD}"
    subprocess.run(["exiftool", "-q", "-overwrite_original", keyword, album / CHOSEN], check=True)
    config = directory / "config.toml"
    config.write_text(
        f"[[watch]]\npath = '{album}'\n[debounce]\nquiet_seconds = 0.1\n"
        f"[state]\npath = '{directory}/photoramd.db'\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "photoramd", "--config", config, "scan"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def wait_for(display: str) -> None:
    """Wait until the screen can be read.

    Raises:
        TimeoutError: It cannot.
    """
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            ImageGrab.grab(xdisplay=display)
            return
        time.sleep(0.2)
    message = f"Xvfb did not start on {display}"
    raise TimeoutError(message)


def settled(display: str, colours: int) -> Image.Image:
    """Return the screen once it has enough colours and did not change for three seconds.

    Raises:
        TimeoutError: It never got there.
    """
    deadline = time.monotonic() + SECONDS
    picture, same = ImageGrab.grab(xdisplay=display), 0
    while time.monotonic() < deadline:
        time.sleep(1)
        before, picture = picture, ImageGrab.grab(xdisplay=display)
        is_same = picture.tobytes() == before.tobytes()
        same = same + 1 if is_same and picture.getcolors(colours) is None else 0
        if same == 3:
            return picture
    message = "darktable did not show the photos"
    raise TimeoutError(message)
