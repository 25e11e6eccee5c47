"""What one worker says is believed only if it fits what was asked; all else names a remedy."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from photoramd.errors import ConfigError
from photoramd.models.features import SIZE
from photoramd.models.preprocessing import digest_of
from photoramd.models.remote.answers import Expected
from photoramd.models.remote.client import Client, clients
from photoramd.models.remote.failures import (
    FailedPicturesError,
    Kind,
    LostPicturesError,
    WorkerError,
)
from photoramd.models.remote.protocol import MODEL_PATH, ModelAnswer, ScoresAnswer
from photoramd.models.remote.trust import client_context
from photoramd.system.token import Token
from tests.support.certificates import Authority
from tests.support.daemons import wait_for
from tests.support.tiny_tagger import DESCRIPTION, TinyTagger, picture
from tests.support.worker_double import TOKEN, Reply, Seen, WorkerDouble, problem

PICTURES = [(digest_of(each), each) for each in (picture(255, 0, 0), picture(0, 102, 51))]

SECONDS = 5.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def worker(authority: Authority) -> Iterator[WorkerDouble]:
    with WorkerDouble(TinyTagger(), authority.server("127.0.0.1")) as running:
        yield running


@pytest.fixture
def client(worker: WorkerDouble, authority: Authority) -> Iterator[Client]:
    made = client_of(worker, authority)
    yield made
    made.close()


def client_of(worker: WorkerDouble, authority: Authority, token: str = TOKEN) -> Client:
    context = client_context(authority.ca_file)
    return Client(worker.url, Token(token), context, Expected.of(DESCRIPTION))


def scores_failure(client: Client) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        client.scores(PICTURES, SECONDS)
    assert TOKEN not in f"{caught.value.reason} {caught.value.remedy}"
    return caught.value


def model_failure(client: Client) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        client.model()
    return caught.value


def test_a_worker_says_what_it_is(client: Client, worker: WorkerDouble) -> None:
    assert client.model().device == "cpu"
    assert worker.seen[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert client.valid_until is not None
    assert client.valid_until > time.time() + 80 * 86400


def test_scores_and_features_come_as_the_model_gave_them(client: Client) -> None:
    scores, features = client.scores(PICTURES, SECONDS)
    expected = TinyTagger().scores_and_features([pixels for _, pixels in PICTURES])
    np.testing.assert_array_equal(scores, expected[0])
    assert features is not None
    np.testing.assert_array_equal(features, expected[1])


def test_a_model_without_features_has_none(client: Client, worker: WorkerDouble) -> None:
    answer_with(worker, lambda answer: msgspec.structs.replace(answer, features=None))
    assert client.scores(PICTURES, SECONDS)[1] is None


def test_connections_are_used_again(client: Client, worker: WorkerDouble) -> None:
    for _ in range(5):
        client.scores(PICTURES, SECONDS)
    assert len(worker._connections) == 1


def answer_with(worker: WorkerDouble, change: Callable[[ScoresAnswer], ScoresAnswer]) -> None:
    def say(seen: Seen) -> Reply:
        return Reply(body=msgspec.msgpack.encode(change(worker.scores(seen.body))))

    worker.says = say


def scores_of(*values: float) -> memoryview:
    return memoryview(np.array(values, "<f4").tobytes())


ANSWERS: dict[str, tuple[dict[str, object], str]] = {
    "swapped": ({"digests": [d for d, _ in reversed(PICTURES)]}, "other pictures"),
    "other pictures": ({"digests": [b"0" * 16, b"1" * 16]}, "other pictures"),
    "fewer pictures": ({"digests": [PICTURES[0][0]]}, "other pictures"),
    "short rows": ({"scores": scores_of(0, 0, 0)}, "12 bytes of scores instead of 24"),
    "long rows": ({"scores": scores_of(*[0] * 7)}, "28 bytes of scores instead of 24"),
    "not a number": ({"scores": scores_of(0, 0, np.nan, 0, 0, 0)}, "no probabilities"),
    "infinite": ({"scores": scores_of(0, 0, np.inf, 0, 0, 0)}, "no probabilities"),
    "negative": ({"scores": scores_of(0, 0, -0.1, 0, 0, 0)}, "no probabilities"),
    "above one": ({"scores": scores_of(0, 0, 1.01, 0, 0, 0)}, "no probabilities"),
    "short features": ({"features": memoryview(bytes(SIZE))}, f"{SIZE} bytes of features instead"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_hostile_answer_is_refused(client: Client, worker: WorkerDouble, name: str) -> None:
    changes, reason = ANSWERS[name]
    answer_with(worker, lambda answer: msgspec.structs.replace(answer, **changes))
    error = scores_failure(client)
    assert error.kind is Kind.ANSWER
    assert reason in error.reason


IDENTITIES: dict[str, tuple[dict[str, object], tuple[str, str]]] = {
    "protocol": ({"protocol": 2}, ("protocol 2", "needs 1")),
    "model": ({"model": "ram++"}, ("model ram++", "needs embedded")),
    "revision": ({"revision": "ffff"}, ("revision ffff", "needs 0123456789ab")),
    "columns": ({"columns": "ee"}, ("list of labels ee", f"needs {DESCRIPTION.columns_digest}")),
}


@pytest.mark.parametrize("name", IDENTITIES)
@pytest.mark.parametrize("way", ["told", "with scores", "refused"])
def test_another_model_is_refused_with_both_named(
    client: Client, worker: WorkerDouble, name: str, way: str
) -> None:
    changes, texts = IDENTITIES[name]
    other = msgspec.structs.replace(worker.identity, **changes)
    if way == "told":
        answer = ModelAnswer(identity=other, version="1", device="cpu", at_once=1)
        worker.says = lambda _: Reply(body=msgspec.msgpack.encode(answer))
        error = model_failure(client)
    elif way == "with scores":
        answer_with(worker, lambda each: msgspec.structs.replace(each, identity=other))
        error = scores_failure(client)
    else:
        worker.says = lambda _: problem(409, "other_model", identity=other)
        error = scores_failure(client)
    assert error.kind is Kind.OTHER_MODEL
    assert all(text in error.reason for text in texts)
    assert error.remedy


def test_a_worker_that_refuses_its_own_model_is_not_believed(
    client: Client, worker: WorkerDouble
) -> None:
    worker.says = lambda _: problem(409, "other_model", identity=worker.identity)
    assert scores_failure(client).kind is Kind.ANSWER


REPLIES: dict[str, tuple[Reply, Kind, str]] = {
    "garbage": (Reply(raw=b"SSH-2.0-OpenSSH_9.2\r\n"), Kind.UNREACHABLE, "cannot be reached"),
    "nothing": (Reply(raw=b""), Kind.UNREACHABLE, "cannot be reached"),
    "reset": (Reply(resets=True), Kind.UNREACHABLE, "cannot be reached"),
    "cut": (
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Type: application/msgpack\r\n"
              b"Content-Length: 100\r\n\r\nabc"), Kind.UNREACHABLE, "cannot be reached"),
    "no MessagePack": (Reply(body=b"\xc1"), Kind.ANSWER, "cannot be read"),
    "another message": (Reply(body=b"\x80"), Kind.ANSWER, "cannot be read"),
    "a page": (Reply(body=b"<p>", headers={"Content-Type": "text/html"}), Kind.ANSWER, "text/html"),
    "compressed": (Reply(headers={"Content-Encoding": "gzip"}), Kind.ANSWER, "the type"),
    "endless": (
        Reply(headers={"Content-Length": "10000000000"}), Kind.ANSWER, "10000000000 bytes"),
    "of unknown size": (
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Type: application/msgpack\r\n\r\nabc"),
        Kind.ANSWER, "an unknown number of bytes"),
    "of a size that is none": (
        Reply(headers={"Content-Length": "9" * 5000}), Kind.UNREACHABLE, "cannot be reached"),
    "of two sizes": (
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Type: application/msgpack\r\nContent-Length: 3\r\n"
              b"Transfer-Encoding: chunked\r\n\r\n" + 64 * (b"10000\r\n" + b"x" * 65536 + b"\r\n")),
        Kind.ANSWER, "an unknown number of bytes"),
    "elsewhere": (
        Reply(302, headers={"Location": "https://example.org/"}), Kind.ANSWER, "elsewhere"),
    "401": (problem(401, "unauthorized"), Kind.REFUSED, "refuses the token"),
    "503 without a model": (
        problem(503, "unavailable", "no model"), Kind.NO_MODEL, "no model"),
    "503": (problem(503, "busy", "too much"), Kind.BUSY, "too much"),
    "422": (problem(422, "wrong_digest"), Kind.ANSWER, "wrong_digest"),
    "413": (problem(413, "too_large"), Kind.ANSWER, "too_large"),
    "500 of a proxy": (
        Reply(500, b"oops", {"Content-Type": "text/plain"}), Kind.ANSWER, "status 500"),
    "a code of tomorrow": (problem(418, "teapot"), Kind.ANSWER, "status 418"),
    "control characters": (problem(503, "busy", "a\x1b[2Jb\nc"), Kind.BUSY, r"a\x1b[2Jb\nc"),
}  # fmt: skip


@pytest.mark.parametrize("name", REPLIES)
def test_what_is_no_answer_names_the_reason(
    client: Client, worker: WorkerDouble, name: str
) -> None:
    reply, kind, reason = REPLIES[name]
    worker.says = lambda _: reply
    for error in (scores_failure(client), model_failure(client)):
        assert error.kind is kind
        assert reason in error.reason


def test_pictures_that_are_lost_or_fail_are_told_apart(
    client: Client, worker: WorkerDouble
) -> None:
    worker.says = lambda _: problem(500, "lost")
    with pytest.raises(LostPicturesError):
        client.scores(PICTURES, SECONDS)
    worker.says = lambda _: problem(500, "failed", "odd pixels")
    with pytest.raises(FailedPicturesError, match="odd pixels"):
        client.scores(PICTURES, SECONDS)
    # Which it cannot mean where it was asked about none.
    error = model_failure(client)
    assert error.kind is Kind.ANSWER
    assert "odd pixels" in error.reason


def test_who_does_not_answer_is_given_up(client: Client, worker: WorkerDouble) -> None:
    hang = threading.Event()
    worker.says = lambda _: hang.wait(60) and None
    with pytest.raises(WorkerError, match="does not answer within 0 seconds") as caught:
        client.scores(PICTURES, 0.2)
    hang.set()
    assert caught.value.kind is Kind.UNREACHABLE


@pytest.mark.parametrize("ends", ["cut", "close"])
def test_a_wait_can_be_ended(client: Client, worker: WorkerDouble, ends: str) -> None:
    hang = threading.Event()
    worker.says = lambda _: hang.wait(60) and None
    caught: list[Exception] = []

    def ask() -> None:
        try:
            client.scores(PICTURES, 60)
        except WorkerError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(lambda: worker.seen)
    getattr(client, ends)()
    thread.join(5)
    assert not thread.is_alive()
    assert len(caught) == 1
    hang.set()
    worker.says = lambda _: None
    if ends == "cut":
        client.model()  # over another connection
    else:
        assert "being stopped" in model_failure(client).reason


def test_who_is_away_cannot_be_reached(client: Client, worker: WorkerDouble) -> None:
    worker.stop()
    error = model_failure(client)
    assert error.kind is Kind.UNREACHABLE
    assert "photoramd worker run" in error.remedy
    worker.start()
    client.model()


@pytest.mark.parametrize(
    ("hosts", "days", "reason"),
    [
        (("127.0.0.1",), -1, "has expired"),
        (("127.0.0.1",), 400, "not valid yet"),
        (("127.0.0.2", "desktop.lan"), 90, "for another name"),
    ],
)
def test_a_certificate_must_be_valid_and_of_this_worker(
    authority: Authority, hosts: tuple[str, ...], days: int, reason: str
) -> None:
    with WorkerDouble(TinyTagger(), authority.server(*hosts, days=days)) as worker:
        client = client_of(worker, authority)
        error = model_failure(client)
        client.close()
        assert worker.seen == []
    assert error.kind is Kind.TRUST
    assert reason in error.reason


def test_another_authority_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "somebody else")
    with WorkerDouble(TinyTagger(), other.server("127.0.0.1")) as worker:
        client = client_of(worker, authority)
        error = model_failure(client)
        client.close()
        assert worker.seen == []
    assert error.kind is Kind.TRUST
    assert "cluster.ca_file" in error.remedy


def test_without_a_file_only_the_system_s_authorities_are_trusted(worker: WorkerDouble) -> None:
    client = Client(worker.url, Token(TOKEN), client_context(None), Expected.of(DESCRIPTION))
    assert model_failure(client).kind is Kind.TRUST
    client.close()


def test_old_tls_is_not_agreed_on(authority: Authority) -> None:
    context = client_context(authority.ca_file)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_plain_server_gets_no_token(authority: Authority) -> None:
    with WorkerDouble(TinyTagger()) as worker:
        worker.url = worker.url.replace("http:", "https:")
        client = client_of(worker, authority)
        error = model_failure(client)
        client.close()
        assert worker.seen == []
    assert error.kind is Kind.TRUST
    assert "TLS" in error.reason


def test_another_token_is_refused(worker: WorkerDouble, authority: Authority) -> None:
    client = client_of(worker, authority, token="f" * 32)
    assert model_failure(client).kind is Kind.REFUSED
    client.close()


def test_proxies_of_the_environment_are_not_used(
    worker: WorkerDouble, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    client = client_of(worker, authority)
    assert client.model().identity == worker.identity
    client.close()


def test_the_token_is_in_no_log(
    client: Client, worker: WorkerDouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client.model()
    client.scores(PICTURES, SECONDS)
    worker.says = lambda _: problem(401, "unauthorized")
    scores_failure(client)
    ours = [each for each in caplog.records if each.name.startswith("photoramd")]
    assert not any(TOKEN in each.getMessage() for each in ours)
    assert TOKEN not in repr(client.__dict__)


def test_files_that_cannot_be_used_are_named(tmp_path: Path, authority: Authority) -> None:
    token = tmp_path / "token"
    with pytest.raises(ConfigError, match="there is no such file") as caught:
        clients(["https://a:1"], str(token), "", DESCRIPTION)
    assert "photoramd worker token" in str(caught.value.remedy)
    token.write_text(TOKEN)
    token.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read the token"):
        clients(["https://a:1"], str(token), "", DESCRIPTION)
    token.chmod(0o600)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        clients(["https://a:1"], str(token), str(tmp_path / "ca.pem"), DESCRIPTION)
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match="has no certificate"):
        clients(["https://a:1"], str(token), str(tmp_path / "ca.pem"), DESCRIPTION)
    (one,) = clients(["https://a:1/"], str(token), str(authority.ca_file), DESCRIPTION)
    assert one.url == "https://a:1"
    one.close()


def test_a_request_names_what_it_wants(client: Client, worker: WorkerDouble) -> None:
    client.model()
    assert worker.seen[0].path == MODEL_PATH
    assert worker.seen[0].headers["User-Agent"].startswith("photoramd/")
