"""A real browser before real servers: one with photos that the real daemon tags, one with many."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

from tests.support import many_photos
from tests.support.daemons import Photoramd, wait_for
from tests.support.gallery import Gallery
from tests.support.samples import sample_photos

MANY = 100_000

expect.set_options(timeout=20_000)

_WITHOUT_DATE = 2
"""So many of the photos have none."""

# What a policy forbids is an error of the console, too; this names what it was.
_TELL_VIOLATIONS = """addEventListener('securitypolicyviolation', (event) => console.error(
    `securitypolicyviolation: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));"""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Debian's Chromium; its sandbox refuses to work for root."""
    program = shutil.which("chromium")
    assert program, "the tests need chromium: apt-get install chromium"
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    return {**browser_type_launch_args, "executable_path": program, "args": arguments}


@pytest.fixture(scope="session")
def base_url() -> None:
    """Addresses are whole. The plugin's own fixture is written in a way that pytest deprecates."""


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_context_args, "viewport": {"width": 1280, "height": 800}}


@pytest.fixture
def context(context: BrowserContext) -> BrowserContext:
    context.set_default_timeout(20_000)
    context.add_init_script(_TELL_VIOLATIONS)
    return context


@pytest.fixture
def page(page: Page) -> Iterator[Page]:
    """A page in which nothing may go wrong unseen: no error, nothing that the policy forbids."""
    with_errors(page)
    yield page
    assert page_errors(page) == []


def with_errors(page: Page) -> None:
    """Have the errors of a page collected."""
    found: list[str] = []
    page.found_errors = found  # type: ignore[attr-defined]

    def note(message: ConsoleMessage) -> None:
        # What the server answers is looked at where it is asked.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            found.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: found.append(f"{error.message}\n{error.stack}"))


def until(page: Page, condition: str) -> None:
    """Wait until an expression is true. Playwright's own way is forbidden by the page's policy."""
    wait_for(lambda: page.evaluate(condition), condition)


def page_errors(page: Page) -> list[str]:
    errors: list[str] = page.found_errors  # type: ignore[attr-defined]
    return errors


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Photoramd]:
    """A running daemon that has tagged some photos, of several days, cameras and folders."""
    directory = tmp_path_factory.mktemp("home").resolve()
    album = directory / "album"
    _fill(album)
    photoramd = Photoramd(
        directory,
        album,
        gallery=f"cache = '{directory}/cache'\nthumbnails = true",
        model="threads = 1",
    )
    photoramd.start()
    try:
        count = sum(1 for path in album.rglob("*") if path.suffix in (".jpg", ".png"))
        photoramd.wait_for_states(written=count - 1, failed=1)
        yield photoramd
    finally:
        photoramd.close()


def _fill(album: Path) -> None:
    arguments: list[str] = []
    for number, (name, sample) in enumerate(sorted(sample_photos().items())):
        folder = album / ("italy" if number % 3 else "garden")
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{name}{sample.suffix}"
        shutil.copyfile(sample, target)
        if number < _WITHOUT_DATE:
            continue
        camera = "R6" if number % 2 else "X-T4"
        date = f"{2024 - number // 8}:{number % 12 + 1:02}:{number % 5 + 10} 12:{number:02}:00"
        arguments += [
            "-overwrite_original", "-q", "-m", f"-DateTimeOriginal={date}",
            "-Make=Some", f"-Model={camera}", "-ISO=400", str(target), "-execute",
        ]  # fmt: skip
    (album / "italy" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    program = shutil.which("exiftool")
    assert program, "the tests need exiftool: apt-get install libimage-exiftool-perl"
    text = "\n".join(arguments)
    subprocess.run([program, "-@", "-"], input=text, text=True, check=True, capture_output=True)


@pytest.fixture(scope="session")
def gallery(home: Photoramd) -> Iterator[str]:
    """The address of a gallery of those photos."""
    with Gallery(home) as served:
        yield served.address


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Photoramd:
    """A configuration with a hundred thousand photos, whose files are not there."""
    directory = tmp_path_factory.mktemp("many").resolve()
    (directory / "photos").mkdir()
    photoramd = Photoramd(directory, directory / "photos", gallery=f"cache = '{directory}/cache'")
    many_photos.make(photoramd.database, MANY)
    return photoramd


@pytest.fixture(scope="session")
def many_gallery(many: Photoramd) -> Iterator[str]:
    """The address of a gallery of those."""
    with Gallery(many) as served:
        yield served.address


@pytest.fixture
def phone(browser: Any, browser_context_args: dict[str, Any]) -> Iterator[Page]:
    """A page on a phone, in the dark."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844},
        device_scale_factor=2,
        has_touch=True,
        is_mobile=True,
        color_scheme="dark",
        reduced_motion="reduce",
    )
    context.set_default_timeout(20_000)
    context.add_init_script(_TELL_VIOLATIONS)
    page = context.new_page()
    with_errors(page)
    yield page
    assert page_errors(page) == []
    context.close()


@pytest.fixture
def shown(page: Page, gallery: str) -> Callable[..., Page]:
    """Open a page of the gallery and wait until it works: shown("?q=dog")."""

    def open_page(path: str = "") -> Page:
        page.goto(gallery + path)
        page.wait_for_selector("#grid:not([hidden]) .tile.ready")
        return page

    return open_page
