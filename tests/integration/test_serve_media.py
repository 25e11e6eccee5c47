"""Pictures and files of photos: what is sent, and what never leaves."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from photoramd.clock import UnixTime
from photoramd.database.connection import Database
from photoramd.database.queue import Queue
from photoramd.photo import Fingerprint, Photo
from photoramd.web.picture_versions import version_of
from tests.support.daemons import Photoramd, wait_for
from tests.support.gallery import Gallery, read_all, status_of

Put = Callable[[str, str], Path]

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!DOCTYPE html><script>alert(1)</script>"


@dataclass
class Served:
    """A gallery with photos, and what asks it."""

    photoramd: Photoramd
    gallery: Gallery
    client: httpx2.Client

    def id_of(self, path: Path) -> int:
        """The number of a photo in the database."""
        with closing(sqlite3.connect(self.photoramd.database)) as connection:
            sql = "SELECT id FROM photos WHERE name = ?"
            ((number,),) = connection.execute(sql, (os.fsencode(path.name),)).fetchall()
        return int(number)

    def get(self, path: Path | int, what: str, **headers: str) -> httpx2.Response:
        """What is sent of a photo."""
        number = path if isinstance(path, int) else self.id_of(path)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(f"api/v1/photos/{number}/{what}", headers=named)


@pytest.fixture
def photoramd(tmp_path: Path, album: Path) -> Iterator[Photoramd]:
    cache = tmp_path / "cache"
    instance = Photoramd(tmp_path, album, gallery=f"cache = '{cache}'")
    yield instance
    instance.close()


Serve = Callable[..., Served]


@pytest.fixture
def serve(photoramd: Photoramd) -> Iterator[Serve]:
    """Serve what is in the album, and in other directories that the daemon once knew."""
    started: list[Served] = []

    def start(*further: Path) -> Served:
        files = [*photoramd.album.rglob("*.*"), *further]
        found = [Photo(each, Fingerprint.of(each.stat())) for each in files]
        with Database(photoramd.database) as database:
            Queue(database).enqueue(found, UnixTime(1))
        gallery = Gallery(photoramd)
        started.append(Served(photoramd, gallery, gallery.client()))
        return started[-1]

    yield start
    for each in started:
        each.client.close()
        with each.gallery:
            assert each.gallery.stop() == 0
        assert "Traceback" not in each.gallery.log, each.gallery.log


def test_pictures_are_small_known_again_and_kept_for_ever_by_their_version(
    serve: Serve, put: Put
) -> None:
    photo = put("cat", "a.jpg")
    served = serve()
    for what, side, kind in (("thumbnail", 320, "webp"), ("preview", 1440, "jpeg")):
        answer = served.get(photo, what)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == f"image/{kind}"
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Content-Encoding" not in answer.headers
        with Image.open(io.BytesIO(answer.content)) as image:
            assert max(image.size) <= side
            assert image.format == kind.upper()
        again = served.get(photo, what, If_None_Match=answer.headers["ETag"])
        assert (again.status_code, again.content) == (304, b"")
        other = served.get(photo, f"{what}?v=000000000000")
        assert other.headers["Cache-Control"] == "private, no-cache"
    version = version_of(Fingerprint.of(photo.stat()))
    kept = served.get(photo, f"thumbnail?v={version}")
    assert kept.headers["Cache-Control"] == "private, max-age=31536000, immutable"


def test_the_original_is_sent_to_be_saved(serve: Serve, put: Put) -> None:
    photo = put("cat", "a.jpg")
    odd = put("coffee", 'naïve "photo"; x=\\y\n.png')
    bytes_ = put("coffee", os.fsdecode(b"\xff\xfe.png"))
    served = serve()
    answer = served.get(photo, "original")
    assert answer.content == photo.read_bytes()
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename=\"a.jpg\"; filename*=UTF-8''a.jpg"
    )
    again = served.get(photo, "original", If_None_Match=answer.headers["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    head = served.client.head(f"api/v1/photos/{served.id_of(photo)}/original")
    assert head.headers["Content-Length"] == str(photo.stat().st_size)
    assert head.content == b""
    answer = served.get(odd, "original")
    assert answer.content == odd.read_bytes()
    assert answer.headers["Content-Disposition"] == (
        'attachment; filename="na_ve _photo_; x=_y_.png"; '
        "filename*=UTF-8''na%C3%AFve%20_photo_%3B%20x%3D_y_.png"
    )
    answer = served.get(bytes_, "original")
    assert answer.content == bytes_.read_bytes()
    assert answer.headers["Content-Disposition"].endswith("filename*=UTF-8''%EF%BF%BD%EF%BF%BD.png")


def test_a_part_of_the_original(serve: Serve, put: Put) -> None:
    photo = put("cat", "a.jpg")
    served = serve()
    content = photo.read_bytes()
    size = len(content)
    for wanted, start, end in (
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=100-", 100, size),
        ("bytes=-50", size - 50, size),
        (f"bytes=-{size * 2}", 0, size),
        (f"bytes=10-{size * 2}", 10, size),
    ):
        answer = served.get(photo, "original", Range=wanted)
        assert answer.status_code == 206, wanted
        assert answer.content == content[start:end]
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
    for wanted in (f"bytes={size}-", "bytes=-0"):
        answer = served.get(photo, "original", Range=wanted)
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
    for wanted in ("bytes=5-2", "bytes=-", "items=0-1", "bytes=0-1,3-4", "bytes=a-b", "x" * 999):
        answer = served.get(photo, "original", Range=wanted)
        assert (answer.status_code, answer.content) == (200, content), wanted
    stale = served.get(photo, "original", Range="bytes=0-9", If_Range='"other"')
    assert (stale.status_code, stale.content) == (200, content)


def test_ids_that_are_none(serve: Serve, put: Put) -> None:
    put("cat", "a.jpg")
    served = serve()
    for number in (0, 999, 2**31, 2**63 - 1, 2**63, 10**40):
        for what in ("thumbnail", "preview", "original"):
            assert served.get(number, what).status_code == 404


def test_photos_outside_the_watched_directories(
    serve: Serve, put: Put, tmp_path: Path, album: Path
) -> None:
    put("cat", "a.jpg")
    other, beside = tmp_path / "other", tmp_path / "album-private"
    for each in (other, beside):
        each.mkdir()
        shutil.copy(album / "a.jpg", each / f"{each.name}.jpg")
    outside = [other / "other.jpg", beside / "album-private.jpg"]
    served = serve(*outside)
    for photo in outside:
        answer = served.get(photo, "original")
        assert answer.status_code == 404
        assert answer.json()["title"] == "the photo is in no watched directory"
        for what in ("thumbnail", "preview"):
            assert served.get(photo, what).status_code == 422


def test_links_are_not_followed_wherever_they_are(
    serve: Serve, put: Put, tmp_path: Path, album: Path
) -> None:
    names = ("top.jpg", "a/middle.jpg", "b/c/deep.jpg")
    photos = [put("cat", name) for name in names]
    secret = tmp_path / "secret"
    (secret / "c").mkdir(parents=True)
    for name in ("top.jpg", "middle.jpg", "c/deep.jpg"):
        shutil.copy(photos[0], secret / name)
    served = serve()
    for photo in photos:
        assert served.get(photo, "original").status_code == 200
    photos[0].unlink()
    photos[0].symlink_to(secret / "top.jpg")
    for name in ("a", "b"):
        shutil.rmtree(album / name)
        (album / name).symlink_to(secret)
    for photo in photos:
        assert photo.exists(), "the link leads somewhere"
        answer = served.get(photo, "original")
        assert answer.status_code == 404
        assert "symbolic link" in answer.json()["title"]
        assert served.get(photo, "preview").status_code == 422


def test_what_only_has_the_name_of_a_photo(serve: Serve, put: Put) -> None:
    photo = put("cat", "a.jpg")
    served = serve()
    xml = b"<?xml version='1.0'?>" + SVG
    bom = b"\xef\xbb\xbf" + HTML
    for content in (SVG, xml, HTML, bom, b"%PDF-1.7", b"GIF" + HTML, b""):
        photo.write_bytes(content)
        answer = served.get(photo, "original")
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["Content-Type"] == "application/octet-stream"
        # As it is: a download that goes on later would mix two forms of it.
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["Content-Length"] == str(len(content))
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        answer = served.get(photo, "preview")
        assert answer.status_code in (422, 503)
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_what_is_no_file_any_more(serve: Serve, put: Put) -> None:
    photo = put("cat", "a.jpg")
    served = serve()
    number = served.id_of(photo)
    photo.unlink()
    assert served.get(number, "original").status_code == 404
    os.mkfifo(photo)
    assert served.get(number, "original").status_code == 404
    assert served.get(number, "preview").status_code == 422
    photo.unlink()
    photo.mkdir()
    assert served.get(number, "original").status_code == 404


def large(photo: Path) -> bytes:
    """Make a photo larger than what sockets and buffers hold; its new content."""
    content = photo.read_bytes() + os.urandom(1 << 24)
    photo.write_bytes(content)
    return content


def begin(served: Served, photo: Path) -> tuple[socket.socket, bytes]:
    connection = served.gallery.connect()
    number = served.id_of(photo)
    request = f"GET /api/v1/photos/{number}/original HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connection.sendall(request.encode())
    return connection, connection.recv(1000)


def test_a_photo_that_becomes_a_link_while_it_is_sent(
    serve: Serve, put: Put, tmp_path: Path
) -> None:
    photo = put("cat", "a.jpg")
    content = large(photo)
    served = serve()
    connection, received = begin(served, photo)
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret" * (len(content) // 6 + 1))
    photo.unlink()
    photo.symlink_to(secret)
    pieces = [received.partition(b"\r\n\r\n")[2]]
    with closing(connection):
        while sum(map(len, pieces)) < len(content):
            pieces.append(connection.recv(1 << 20))
    # What was opened goes on to be sent.
    assert hashlib.sha256(b"".join(pieces)).digest() == hashlib.sha256(content).digest()
    assert served.get(photo, "original").status_code == 404


def test_a_photo_that_becomes_shorter_while_it_is_sent(serve: Serve, put: Put) -> None:
    photo = put("cat", "a.jpg")
    content = large(photo)
    served = serve()
    connection, received = begin(served, photo)
    os.truncate(photo, 100_000)
    with closing(connection):
        received += read_all(connection)
    assert f"content-length: {len(content)}".encode() in received
    assert len(received) < len(content)
    wait_for(lambda: "became shorter while it was sent" in served.gallery.log)
    assert status_of(served.gallery.get("/healthz")) == 200
    assert served.get(photo, "original").status_code == 200


def test_clients_that_go_away_leave_nothing_open(serve: Serve, put: Put) -> None:
    photo = put("cat", "a.jpg")
    large(photo)
    served = serve()
    directory = Path(f"/proc/{served.gallery.process.pid}/fd")

    def opened() -> int:
        return sum(os.path.realpath(each) == os.fspath(photo) for each in directory.iterdir())

    for _ in range(5):
        connection, _ = begin(served, photo)
        connection.close()
    with closing(begin(served, photo)[0]):
        wait_for(lambda: opened() == 1, "one transfer")
    wait_for(lambda: opened() == 0, "no transfer")


def test_many_ask_for_pictures_at_once(serve: Serve, put: Put) -> None:
    photos = [put(sample, f"{sample}.jpg") for sample in ("cat", "coffee", "china")]
    served = serve()
    statuses: list[int] = []

    def ask() -> None:
        with served.gallery.client() as client:
            for photo in photos * 4:
                path = f"api/v1/photos/{served.id_of(photo)}/preview"
                statuses.append(client.get(path).status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert statuses == [200] * 96
