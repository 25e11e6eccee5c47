"""The gallery behind the servers that the documentation shows: nginx and Caddy of Debian.

They run as contrib/proxy has them, but for places, as another user; and once more with the path
taken away before it is handed on.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest

from photoramd.clock import UnixTime
from photoramd.database.connection import Database
from photoramd.database.queue import Queue
from photoramd.photo import Fingerprint, Photo
from tests.support.clock import bound
from tests.support.daemons import Photoramd, unprivileged, wait_for
from tests.support.programs import free_port

EXAMPLES = Path(__file__).parents[2] / "contrib" / "proxy"
NOBODY = 65534
NAME = "nas.example"
TOKEN = "a-token-for-this-test-of-0123456789-abcdef"  # noqa: S105


class Stage:
    """A gallery at a socket's file, and a proxy before it."""

    def __init__(self, directory: Path, cat: Path) -> None:
        self.directory = directory
        self.socket = directory / "gallery.sock"
        self.certificate, self.key = directory / "certificate.pem", directory / "key.pem"
        self.token = directory / "token"
        self.album = directory / "album"
        self.album.mkdir()
        shutil.copyfile(cat, self.album / "cat.png")
        self.photoramd = Photoramd(
            directory,
            self.album,
            gallery=f'listen = "unix:{self.socket}"\nbase_path = "/photos"\nhosts = ["{NAME}"]\n'
            f'trusted_proxies = ["unix"]\ntoken_file = "{self.token}"\n'
            f'cache = "{directory / "cache"}"',
        )

    def prepare(self) -> None:
        """Make a token and a certificate, and tag the photo."""
        self.token.write_text(TOKEN)
        self.token.chmod(0o600)
        # As a directory's x for others; the key is for a test only.
        made = ("-out", self.certificate, "-keyout", self.key)
        subject = ("-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}")
        kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        subprocess.run(["openssl", "req", *kind, *subject, *made], check=True, capture_output=True)
        self.key.chmod(0o644)
        done = self.photoramd.run("scan")
        assert done.returncode == 0, done.stderr

    @contextmanager
    def served(self) -> Iterator[None]:
        """The gallery runs."""
        with running(
            self.photoramd.command("serve"), self.directory / "serve.log", self.socket.exists
        ):
            os.chown(self.socket, NOBODY, NOBODY)  # as SocketGroup= does
            yield


@contextmanager
def running(command: list[str], log: Path, is_ready: Callable[[], bool]) -> Iterator[None]:
    """A process that runs during a ``with`` block."""
    environment = {**os.environ, "HOME": os.fspath(log.parent)}
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)

    def has_begun() -> bool:
        assert process.poll() is None, log.read_text()
        return is_ready()

    try:
        wait_for(has_begun, command[-1])
        yield
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15), log.read_text()


@pytest.fixture(scope="module")
def stage(samples: dict[str, Path]) -> Iterator[Stage]:
    with TemporaryDirectory(prefix="photoramd-proxy.") as directory:
        made = Stage(Path(directory).resolve(), samples["cat"])
        made.prepare()
        with made.served():
            yield made


NGINX = """
daemon off; pid nginx.pid; error_log stderr warn; worker_processes 1;
events {{ }}
http {{
    access_log access.log;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    {site}
}}
"""

CADDY = """
{{
	admin off
	auto_https disable_redirects
}}
{site}
"""


def adapted(text: str, *changes: tuple[str, str]) -> str:
    """The text with changes that must have something to change."""
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    return text


def nginx(stage: Stage, place: Path, port: int, *, takes_path: bool) -> list[str]:
    site = adapted(
        (EXAMPLES / "nginx.conf").read_text(),
        ("unix:/run/photoramd-gallery.sock", f"unix:{stage.socket}"),
        (r"listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        (r"listen \[::\]:443 ssl;", ""),
        (r"/etc/ssl/certs/\S+(?=;)", os.fspath(stage.certificate)),
        (r"/etc/ssl/private/\S+(?=;)", os.fspath(stage.key)),
    )
    if takes_path:
        site = adapted(site, ("(proxy_pass http://photoramd_gallery);", r"\1/;"))
    (place / "nginx.conf").write_text(NGINX.format(site=site))
    return [program("nginx", "nginx-light"), "-e", "stderr", "-p", f"{place}/", "-c", "nginx.conf"]


def caddy(stage: Stage, place: Path, port: int, *, takes_path: bool) -> list[str]:
    site = adapted(
        (EXAMPLES / "Caddyfile").read_text(),
        ("unix//run/photoramd-gallery.sock", f"unix/{stage.socket}"),
        (r"(?m)^nas\.example \{", f"{NAME}:{port} {{\n\ttls {stage.certificate} {stage.key}"),
    )
    if takes_path:
        site = adapted(site, (r"(?m)^\thandle ", "\thandle_path "))
    (place / "Caddyfile").write_text(CADDY.format(site=site))
    return [program("caddy", "caddy"), "run", "--config", os.fspath(place / "Caddyfile")]


def program(name: str, package: str) -> str:
    """Where a server is: in Debian only root looks there."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, f"the tests need {name}: apt-get install {package}"
    return found


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Visitor:
    """Asks the proxy, by its name, with cookies.

    Each proxy has visitors from an address of their own: wrong tokens are counted by it.
    """

    def __init__(self, stage: Stage, port: int) -> None:
        self.port = port
        self.top = f"https://127.0.0.1:{port}/photos/"
        self.origin = f"https://{NAME}:{port}"
        context = ssl.create_default_context(cafile=os.fspath(stage.certificate))
        address = f"127.0.{port >> 8}.{port & 255}"
        transport = httpx2.HTTPTransport(verify=context, local_address=address)
        self.client = httpx2.Client(transport=transport, timeout=bound(30))

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self._ask("GET", path, headers)

    def post(self, path: str, content: object, **headers: str) -> httpx2.Response:
        return self._ask("POST", path, {"Origin": self.origin, **headers}, content)

    def log_in(self) -> httpx2.Response:
        return self.post("api/v1/login", {"token": TOKEN})

    def stream(self, path: str) -> httpx2.Response:
        """An answer whose content is not read yet."""
        request = self.client.build_request(
            "GET",
            urljoin(self.top, path),
            headers={"Host": f"{NAME}:{self.port}"},
            extensions={"sni_hostname": NAME},
        )
        return self.client.send(request, stream=True)

    def _ask(
        self, method: str, path: str, headers: dict[str, str], content: object = None
    ) -> httpx2.Response:
        return self.client.request(
            method,
            urljoin(self.top, path),
            headers={"Host": f"{NAME}:{self.port}", **headers},
            extensions={"sni_hostname": NAME},
            **({} if content is None else {"json": content}),
        )


@contextmanager
def before(
    stage: Stage, make: Callable[..., list[str]], *, takes_path: bool = False
) -> Iterator[int]:
    """A proxy before a gallery; its port."""
    with TemporaryDirectory(dir=stage.directory) as directory:
        place = Path(directory)
        os.chown(place, NOBODY, NOBODY)
        prefix = unprivileged(place)
        port = free_port()
        command = [*prefix, *make(stage, place, port, takes_path=takes_path)]
        with running(command, place / "log", lambda: answers(port)):
            yield port


@pytest.fixture(
    scope="module",
    params=[(nginx, False), (nginx, True), (caddy, False), (caddy, True)],
    ids=["nginx", "nginx takes the path", "caddy", "caddy takes the path"],
)
def proxy(request: pytest.FixtureRequest, stage: Stage) -> Iterator[int]:
    """The port of a proxy."""
    make, takes_path = request.param
    with before(stage, make, takes_path=takes_path) as port:
        yield port


@pytest.fixture
def visitor(stage: Stage, proxy: int) -> Iterator[Visitor]:
    made = Visitor(stage, proxy)
    with made.client:
        yield made


def test_pages_come_with_what_they_need_below_the_path(visitor: Visitor) -> None:
    moved = visitor.get("/photos")
    assert moved.status_code == 308
    assert urljoin(visitor.top, moved.headers["Location"]).endswith("/photos/")
    asked = visitor.get("?q=cat")
    assert asked.status_code == 303
    login = visitor.get(asked.headers["Location"])
    assert asked.headers["Location"].startswith("/photos/login?")
    assert (login.status_code, login.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert visitor.log_in().status_code == 204
    (photo, *_) = visitor.get("api/v1/photos?q=cat").json()["photos"]
    for path in ("?q=cat", f"p/{photo['id']}?q=cat"):
        page = visitor.get(path)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        parts = re.findall(r'(?:src|href)="([^"]*static/[^"]*|[^"]*\?v=[^"]*)"', page.text)
        assert len(parts) >= 3
        for part in parts:
            found = visitor.get(urljoin(urljoin(visitor.top, path), part))
            assert found.status_code == 200, (path, part)
            assert "immutable" in found.headers["Cache-Control"]


def test_a_login_has_a_cookie_for_the_path_and_for_tls_only(visitor: Visitor) -> None:
    assert visitor.get("api/v1/status").status_code == 401
    answer = visitor.log_in()
    assert answer.status_code == 204
    (cookie,) = answer.headers.get_list("set-cookie")
    _, *attributes = (each.strip().lower() for each in cookie.split(";"))
    assert {"path=/photos", "secure", "httponly", "samesite=strict"} <= set(attributes)
    assert visitor.get("api/v1/status").json()["can_edit"] is True
    assert visitor.post("api/v1/logout", {}).status_code == 204
    assert visitor.get("api/v1/status").status_code == 401


def test_the_api_and_pictures_come_through(visitor: Visitor, stage: Stage) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    photos = visitor.get("api/v1/photos?q=cat", **bearer).json()["photos"]
    (photo,) = [each for each in photos if each["name"] == "cat.png"]
    picture = visitor.get(photo["thumbnail"], **bearer)
    assert (picture.status_code, picture.headers["Content-Type"]) == (200, "image/webp")
    original = visitor.get(f"api/v1/photos/{photo['id']}/original", **bearer)
    assert original.content == (stage.album / "cat.png").read_bytes()
    assert "attachment" in original.headers["Content-Disposition"]


def test_what_other_sites_send_is_refused(visitor: Visitor) -> None:
    assert visitor.log_in().status_code == 204
    edit = {"photos": [1], "add": ["x"], "reject": []}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": f"http://{NAME}:{visitor.port}", "Sec-Fetch-Site": "cross-site"},
    ):
        assert visitor.post("api/v1/edits", edit, **headers).status_code == 403
    # Caddy itself answers for names that it does not have, with nothing.
    foreign = visitor.get("", Host="evil.example")
    assert foreign.status_code in (400, 421) or not foreign.content


def test_events_come_at_once(visitor: Visitor, stage: Stage) -> None:
    assert visitor.log_in().status_code == 204
    began = time.monotonic()
    answer = visitor.stream("api/v1/events")
    try:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        wanted = {"event: status", "event: change"}
        while wanted:
            wanted.discard(next(lines))
        # A proxy that collects 4 KiB or more would have nothing to send before the time-out.
        assert time.monotonic() - began < bound(20)
        new = stage.album / f"{visitor.port}.png"
        shutil.copyfile(stage.album / "cat.png", new)
        with Database(stage.photoramd.database) as database:
            Queue(database).enqueue([Photo(new, Fingerprint.of(new.stat()))], UnixTime(1))
        while next(lines) != "event: change":
            pass
    finally:
        answer.close()


class Connections(ThreadingUnixStreamServer):
    """A gallery that would keep connections, and counts them."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(os.fspath(path), Answering)
        self.count = 0

    def get_request(self) -> tuple[socket.socket, Any]:
        self.count += 1
        return super().get_request()


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("make", [nginx, caddy])
def test_no_change_is_sent_into_a_connection_that_was_idle(
    stage: Stage, make: Callable[..., list[str]]
) -> None:
    other = copy(stage)
    other.socket = stage.directory / f"{make.__name__}.sock"
    with Connections(other.socket) as gallery:
        os.chown(other.socket, NOBODY, NOBODY)
        threading.Thread(target=gallery.serve_forever, args=(0.05,), daemon=True).start()
        with before(other, make) as port:
            visitor = Visitor(stage, port)
            with visitor.client:
                for _ in range(3):
                    assert visitor.post("api/v1/edits", {}).status_code == 204
        gallery.shutdown()
    assert gallery.count == 3


def test_nobody_guesses_tokens_as_somebody_else(visitor: Visitor) -> None:
    statuses = []
    for number in range(20):
        headers = {
            "X-Forwarded-For": f"198.51.100.{number}",
            "Forwarded": f"for=198.51.100.{number}",
        }
        statuses.append(visitor.post("api/v1/login", {"token": "wrong"}, **headers).status_code)
    assert statuses[0] in (401, 429)
    assert statuses[-1] == 429
