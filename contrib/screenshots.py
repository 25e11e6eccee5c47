#!/usr/bin/env python3
"""Make the pictures in docs/images: a real daemon, a real gallery and darktable, real photos.

    python contrib/screenshots.py [gallery|darktable]

The photos come inside packages that the extra dev installs (scikit-image, scikit-learn, foolbox);
they are given dates and cameras of no meaning. It needs exiftool; chromium for the gallery;
darktable, Xvfb and xdotool (Debian's packages darktable, xvfb, xdotool) for darktable.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, os.fspath(ROOT))

from contrib import screenshots_darktable  # noqa: E402
from tests.support.daemons import Photoramd  # noqa: E402
from tests.support.gallery import Gallery  # noqa: E402
from tests.support.samples import sample_photos  # noqa: E402

IMAGES = ROOT / "docs" / "images"

CAMERAS = (("Canon", "EOS R6"), ("FUJIFILM", "X-T4"), ("NIKON CORPORATION", "NIKON Z 6"))
FOLDERS = ("Garden", "Italy", "Museum", "Zoo")
SCALE = 1.5
QUALITY = 74


def main() -> None:
    """Make all of them, or those that are named."""
    wanted = sys.argv[1:] or ["gallery", "darktable"]
    if "gallery" in wanted:
        gallery()
    if "darktable" in wanted:
        with tempfile.TemporaryDirectory(prefix="photoramd-") as name:
            save(screenshots_darktable.take(Path(name).resolve()), "darktable")


def gallery() -> None:
    """Make those of the gallery."""
    with tempfile.TemporaryDirectory(prefix="photoramd-") as name:
        directory = Path(name).resolve()
        album = directory / "Photos"
        count = fill(album)
        photoramd = Photoramd(directory, album, gallery=f"cache = '{directory}/cache'")
        photoramd.start()
        try:
            photoramd.wait_for_states(written=count)
            with Gallery(photoramd) as gallery:
                take(gallery.address)
        finally:
            photoramd.close()


def fill(album: Path) -> int:
    """Copy the photos, with dates and cameras; return how many there are."""
    chance = random.Random(7)  # noqa: S311
    when = datetime(2024, 8, 3, 11, 40)
    left = 0
    folder = FOLDERS[0]
    arguments: list[str] = []
    photos = list(sample_photos().values())
    chance.shuffle(photos)
    for number, path in enumerate(photos):
        if not left:
            left = chance.choice((1, 2, 3, 5))
            when -= timedelta(days=chance.choice((1, 6, 40, 150)))
            folder = f"{when.year}/{chance.choice(FOLDERS)}"
        left -= 1
        when -= timedelta(minutes=7)
        make, model = CAMERAS[number % len(CAMERAS)]
        target = album / folder / f"IMG_{4200 - number}{path.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        arguments += [
            "-overwrite_original", "-q", "-m", f"-DateTimeOriginal={when:%Y:%m:%d %H:%M:%S}",
            f"-Make={make}", f"-Model={model}", "-ISO=200", "-FNumber=4", "-ExposureTime=1/250",
            "-FocalLength=35", str(target), "-execute",
        ]  # fmt: skip
    text = "\n".join(arguments)
    subprocess.run(["exiftool", "-@", "-"], input=text, text=True, check=True)
    return len(photos)


def take(address: str) -> None:
    """Take the pictures of a gallery."""
    program = shutil.which("chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        shoot(browser, address, "gallery-grid", width=1280, height=800)
        shoot(browser, address, "gallery-photo", width=1280, height=800, scheme="dark", opens=True)
        shoot(browser, address, "gallery-phone", width=390, height=760)
        browser.close()


def shoot(
    browser: Browser, address: str, name: str, *, width: int, height: int, **more: object
) -> None:
    """Take one picture."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=SCALE,
        color_scheme="dark" if more.get("scheme") == "dark" else "light",
        reduced_motion="reduce",
        is_mobile=width < 760,
    )
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector(".tile.ready")
    page.wait_for_timeout(1500)
    if more.get("opens"):
        page.locator(".tile .picture").nth(1).click()
        page.wait_for_selector(".stage.ready")
        page.wait_for_timeout(800)
    save(Image.open(io.BytesIO(page.screenshot())), name)
    context.close()


def save(picture: Image.Image, name: str) -> None:
    """Save a picture among the documents' and print its size."""
    path = IMAGES / f"{name}.webp"
    IMAGES.mkdir(exist_ok=True)
    picture.convert("RGB").save(path, quality=QUALITY, method=6)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
