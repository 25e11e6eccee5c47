"""A worker with real Ray and the embedded model: one for all tests, that the last ones hurt."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest

from photoramd.models import registry
from photoramd.models.features import SIZE
from photoramd.models.preprocessing import Pixels
from photoramd.models.remote.protocol import (
    MODEL_PATH,
    MOST_PHOTOS,
    ModelAnswer,
    ScoresAnswer,
    identity_of,
)
from photoramd.worker.certificate import Made, make
from tests.support.clock import bound
from tests.support.daemons import wait_for
from tests.support.programs import free_port
from tests.support.workers import (
    Client,
    Worker,
    embedded,
    problem_of,
    request_of,
    scores_of,
)

DESCRIPTION = embedded()
IDENTITY = identity_of(DESCRIPTION)
COLUMNS = len(DESCRIPTION.vocabulary.columns)

MOST_RECOVERY_SECONDS = 60.0
"""Much more than it takes: other tests run beside."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worker")


@pytest.fixture(scope="module")
def made(directory: Path) -> Made:
    return make(directory / "tls", ["localhost", "127.0.0.1"], datetime.now(UTC))


@pytest.fixture(scope="module")
def trust(made: Made) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=made.authority)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.fixture(scope="module")
def worker(directory: Path, made: Made) -> Iterator[Worker]:
    """A worker that every address of this machine leads to, as on a desktop."""
    options = ("--certificate", made.certificate, "--key", made.key)
    with Worker(directory, *options, host="0.0.0.0") as running:  # noqa: S104
        yield running


@pytest.fixture
def client(worker: Worker, trust: ssl.SSLContext) -> Iterator[Client]:
    with worker.client(trust) as asking:
        yield asking


def pictures(count: int) -> list[Pixels]:
    random = np.random.default_rng(count)
    return [random.integers(0, 256, (140176, 3), np.uint8) for _ in range(count)]


def test_scores_are_those_of_the_model_here(client: Client) -> None:
    given = pictures(5)
    answer = client.post(request_of(given, IDENTITY))
    tagger = registry.load("embedded")
    assert answer.status_code == 200
    np.testing.assert_array_equal(scores_of(answer, COLUMNS), tagger.scores(given))
    decoded = msgspec.msgpack.decode(answer.content, type=ScoresAnswer)
    assert decoded.features is not None
    assert len(decoded.features) == len(given) * SIZE


def test_what_the_worker_is(client: Client) -> None:
    model = msgspec.msgpack.decode(client.get(MODEL_PATH).content, type=ModelAnswer)
    assert (model.identity, model.device, model.at_once) == (IDENTITY, "cpu", 2)


def test_another_model_and_other_pixels_are_refused(client: Client) -> None:
    other = msgspec.structs.replace(IDENTITY, revision="another")
    answer = client.post(request_of(pictures(1), other))
    assert (answer.status_code, problem_of(answer).identity) == (409, IDENTITY)
    body = bytearray(request_of(pictures(1), IDENTITY))
    body[-1] ^= 1
    answer = client.post(bytes(body))
    assert (answer.status_code, problem_of(answer).code) == (422, "wrong_digest")


def exchange(worker: Worker, trust: ssl.SSLContext, data: bytes) -> bytes:
    """What the server sends for raw bytes until it closes, within its time for them."""
    with (
        socket.create_connection(("127.0.0.1", worker.port), 30) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(data)
        answer = b""
        try:
            while piece := secure.recv(65536):
                answer += piece
        except (ConnectionResetError, ssl.SSLEOFError):
            pass
        return answer


def head(worker: Worker, *lines: str, token: str | None = None) -> bytes:
    named = [
        "POST /v1/scores HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {token or worker.token}",
        "Content-Type: application/msgpack",
        *lines,
    ]
    return "\r\n".join([*named, "", ""]).encode()


def test_a_wrong_token_ends_the_connection_before_the_body(
    worker: Worker, trust: ssl.SSLContext
) -> None:
    data = head(worker, "Content-Length: 20000000", token="f" * 32)
    began = time.monotonic()
    answer = exchange(worker, trust, data)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert time.monotonic() - began < bound(5), "nothing was waited for"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Content-Length: 2000000000",), b"413"),
        (("Content-Length: 5", "Content-Length: 6"), b"400"),
        (("Content-Length: -1",), b"400"),
        (("Content-Length: 1", "Transfer-Encoding: chunked"), b"400"),
    ],
)
def test_odd_lengths(
    lines: tuple[str, ...], status: bytes, worker: Worker, trust: ssl.SSLContext
) -> None:
    assert exchange(worker, trust, head(worker, *lines)).split()[1] == status


def chunk(size: int) -> bytes:
    """So many bytes as a part of a body: RFC 9112, 7.1."""
    return b"%x\r\n" % size + bytes(size) + b"\r\n"


def test_a_body_without_end_costs_no_memory(worker: Worker, trust: ssl.SSLContext) -> None:
    limit = MOST_PHOTOS * 140176 * 3 + 65536
    whole, rest = divmod(limit, 65536)
    # The last byte is the first too many, so that all is sent before the answer can come.
    pieces = chunk(65536) * whole + chunk(rest + 1)
    data = head(worker, "Transfer-Encoding: chunked") + pieces
    assert b"413" in exchange(worker, trust, data)[:20]


def test_garbage_and_plain_http_on_the_port(worker: Worker, trust: ssl.SSLContext) -> None:
    assert exchange(worker, trust, b"\0\1\2 garbage\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    for data in (b"GET /v1/model HTTP/1.1\r\nHost: a\r\n\r\n", os.urandom(4096)):
        with socket.create_connection(("127.0.0.1", worker.port), 30) as plain:
            plain.sendall(data)
            with suppress(ConnectionResetError):
                assert b"HTTP" not in plain.recv(4096)


def test_slow_clients_are_let_go(worker: Worker, trust: ssl.SSLContext, client: Client) -> None:
    with ThreadPoolExecutor(2) as pool:
        began = time.monotonic()
        half = pool.submit(exchange, worker, trust, b"POST /v1/scores HTTP/1.1\r\nHost: a\r\n")
        with socket.create_connection(("127.0.0.1", worker.port), 30) as silent:
            # No TLS at all; asyncio itself would wait for a minute.
            assert client.get(MODEL_PATH).status_code == 200
            assert not silent.recv(100)
        assert half.result().startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < bound(20)


def listening(numbers: dict[int, str]) -> dict[tuple[str, str], int]:
    """What processes listen on: the name and the address, in the form of /proc/net/tcp."""
    sockets = {}
    for number in numbers:
        for link in Path(f"/proc/{number}/fd").iterdir():
            with_inode = os.readlink(link) if link.is_symlink() else ""
            if with_inode.startswith("socket:["):
                sockets[with_inode[8:-1]] = number
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[3] == "0A" and parts[9] in sockets:
                address, port = parts[1].split(":")
                found[numbers[sockets[parts[9]]], address] = int(port, 16)
    return found


LOOPBACK = (
    "0100007F",  # 127.0.0.1
    "0000000000000000FFFF00000100007F",  # the same, as IPv6
    "00000000000000000000000001000000",  # ::1
)


def test_only_the_front_can_be_reached_by_other_machines(worker: Worker) -> None:
    found = listening(worker.processes())
    assert len(found) > 5, "Ray listens, too"
    open_to_others = {name: port for name, port in found.items() if name[1] not in LOOPBACK}
    assert list(open_to_others.values()) == [worker.port]


def test_no_secret_can_be_seen(worker: Worker) -> None:
    environment = Path(f"/proc/{worker.process_of('raylet')}/environ").read_bytes()
    variables = dict(each.partition(b"=")[::2] for each in environment.split(b"\0"))
    ray_token = Path(os.fsdecode(variables[b"RAY_AUTH_TOKEN_PATH"]))
    assert ray_token.stat().st_mode & 0o777 == 0o600
    assert ray_token.parent.stat().st_mode & 0o777 == 0o700
    secrets = (worker.token.encode(), ray_token.read_bytes())
    places = [worker.log, *(each for each in ray_token.parent.rglob("*.*") if each.is_file())]
    for number in worker.processes():
        places += [Path(f"/proc/{number}/{name}") for name in ("cmdline", "environ")]
    for place in places:
        if place != ray_token:
            assert not any(secret in place.read_bytes() for secret in secrets), place


def test_a_replica_that_is_killed_is_lost_with_what_ran_and_comes_again(
    worker: Worker, client: Client, trust: ssl.SSLContext
) -> None:
    body = request_of(pictures(MOST_PHOTOS), IDENTITY)
    replica = worker.process_of("ray::ServeReplica")
    with ThreadPoolExecutor(2) as pool, worker.client(trust) as other:
        calls = [pool.submit(each.post, body) for each in (client, other)]
        worker.wait_until_computing(replica)
        os.kill(replica, signal.SIGKILL)
        answers = [each.result() for each in calls]
    codes = sorted("" if a.status_code == 200 else problem_of(a).code for a in answers)
    assert codes in (["", "lost"], ["busy", "lost"]), "only one of them ran"
    recover(client)


def recover(client: Client) -> None:
    body, began = request_of(pictures(1), IDENTITY), time.monotonic()
    wait_for(lambda: client.post(body).status_code == 200, "a replica")
    assert time.monotonic() - began < bound(MOST_RECOVERY_SECONDS)


def test_nothing_is_left_when_it_ends(worker: Worker, client: Client) -> None:
    recover(client)
    numbers = worker.processes()
    assert len(numbers) > 5
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < bound(10)
    wait_for(lambda: not any(Path(f"/proc/{each}").exists() for each in numbers))
    assert "Traceback" not in worker.text


def test_it_ends_when_ray_is_gone(tmp_path: Path) -> None:
    with Worker(tmp_path) as running:
        numbers = running.processes()
        os.kill(running.process_of("gcs_server"), signal.SIGKILL)
        assert running.process.wait(30) == 4
        wait_for(lambda: not any(Path(f"/proc/{each}").exists() for each in numbers))
        assert "Ray's process gcs_server has ended" in running.text


def test_a_stop_while_it_starts(tmp_path: Path) -> None:
    running = Worker(tmp_path)
    with running.log.open("wb") as log:
        running.process = subprocess.Popen([*map(str, running.command)], stdout=log, stderr=log)
    running.process_of("raylet")
    numbers = running.processes()
    assert running.stop() == 0
    wait_for(lambda: not any(Path(f"/proc/{each}").exists() for each in numbers))


def test_weights_that_were_changed_are_refused(directory: Path, tmp_path: Path) -> None:
    copy = tmp_path / "site"
    source = Path(registry.__file__).parents[1]
    shutil.copytree(source, copy / "photoramd", ignore=shutil.ignore_patterns("__pycache__"))
    weights = copy / "photoramd/models/embedded/embedded.onnx"
    data = bytearray(weights.read_bytes())
    data[1000] ^= 1
    weights.write_bytes(data)
    environment = {"PYTHONPATH": os.fspath(copy)}
    done = Worker(tmp_path, environment=environment).run(copy)
    assert done.returncode == 3
    assert "Starting Ray" not in done.stdout
    assert done.stderr.count("7952dd8a") == 1, done.stderr
    assert "SHA-256" in done.stderr


def test_what_is_refused_before_anything_starts(tmp_path: Path, made: Made) -> None:
    def refused(*options: object, host: str = "127.0.0.1", model: str = "name = 'embedded'") -> str:
        done = Worker(tmp_path, *options, host=host, model=model).run()
        assert done.returncode != 0
        assert "Starting Ray" not in done.stdout
        return done.stderr

    assert "needs a certificate" in refused(host="0.0.0.0")  # noqa: S104
    assert "give both, or none" in refused("--certificate", made.certificate)
    assert "cannot run on another machine" in refused(model="name = 'torchvision:convnext_tiny'")
    assert "must be said" in refused(model="name = 'ram++'\nprecision = 'bfloat16'")
    (tmp_path / "token").chmod(0o644)
    assert "others may read the token" in refused()
    (tmp_path / "token").chmod(0o600)
    with socket.socket() as taken:
        port = free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert "another process listens there" in refused("--listen", f"127.0.0.1:{port}")


def test_ray_is_imported_by_nobody_who_does_not_run_it() -> None:
    code = "import sys, photoramd.worker.run, photoramd.worker.front; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
