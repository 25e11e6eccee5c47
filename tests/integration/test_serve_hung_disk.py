"""A disk that does not answer, as a share whose server is gone: it holds up nothing but itself."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.support.daemons import Photoramd, wait_for
from tests.support.gallery import Gallery, seconds_of

Put = Callable[[str, str], Path]

MANY = 100
"""More than may be opened at a time."""

HUNG = """
import threading
from photoramd.contained import client
from photoramd.web import originals

def hang(module):
    real = module.open_read
    def open_read(path):
        if path.name.startswith("hung"):
            threading.Event().wait()
        return real(path)
    module.open_read = open_read

hang(client)
hang(originals)
import photoramd.cli
photoramd.cli.main()
"""
"""photoramd, for which opening some files never ends."""


@pytest.fixture
def served(tmp_path: Path, album: Path, put: Put) -> Iterator[tuple[Gallery, dict[str, int]]]:
    """A gallery with photos, and their numbers."""
    put("cat", "a.jpg")
    put("cat", "b.jpg")
    for number in range(4):
        put("coffee", f"hung{number}.jpg")
    cache = f"cache = '{tmp_path / 'cache'}'"
    assert Photoramd(tmp_path, album, gallery=cache).run("scan").returncode == 0
    photoramd = Photoramd(tmp_path, album, gallery=cache, program=HUNG)
    with closing(sqlite3.connect(photoramd.database)) as connection:
        rows = connection.execute("SELECT name, id FROM photos").fetchall()
    with Gallery(photoramd) as gallery:
        yield gallery, {os.fsdecode(name): number for name, number in rows}


def ask(gallery: Gallery, path: str) -> socket.socket:
    """Ask for something that may never come."""
    connection = gallery.connect()
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def threads(gallery: Gallery) -> int:
    return len(list(Path(f"/proc/{gallery.process.pid}/task").iterdir()))


def test_files_that_never_open(served: tuple[Gallery, dict[str, int]]) -> None:
    gallery, numbers = served
    with ExitStack() as stack, gallery.client() as client:
        before = threads(gallery)
        path = f"/api/v1/photos/{numbers['hung0.jpg']}/original"
        for _ in range(MANY):
            stack.enter_context(closing(ask(gallery, path)))
        wait_for(lambda: client.get(path).status_code == 504)
        assert threads(gallery) < before + 40
        for page in ("", "api/v1/photos", "api/v1/status", f"p/{numbers['hung0.jpg']}"):
            assert client.get(page).status_code == 200, page
        assert seconds_of(gallery.stop) < 10
        assert gallery.process.returncode == 0


def test_pictures_of_files_that_never_open(served: tuple[Gallery, dict[str, int]]) -> None:
    gallery, numbers = served
    with ExitStack() as stack, gallery.client() as client:
        kept = f"api/v1/photos/{numbers['a.jpg']}/thumbnail"
        assert client.get(kept).status_code == 200
        for at in range(MANY):
            hung = numbers[f"hung{at % 4}.jpg"]
            stack.enter_context(closing(ask(gallery, f"/api/v1/photos/{hung}/preview")))
        for page in (kept, "", "api/v1/photos", f"api/v1/photos/{numbers['b.jpg']}/original"):
            assert client.get(page).status_code == 200, page
        assert seconds_of(gallery.stop) < 10
        assert gallery.process.returncode == 0
