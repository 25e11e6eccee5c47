"""The front, with a pretended model behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest

from photoramd.models.features import Vectors
from photoramd.models.preprocessing import digest_of
from photoramd.models.remote.protocol import (
    MEDIA_TYPE,
    MODEL_PATH,
    MOST_PHOTOS,
    SCORES_PATH,
    Identity,
    ModelAnswer,
    Problem,
    ScoresAnswer,
    ScoresRequest,
)
from photoramd.models.tagger import Scores
from photoramd.system.token import Token
from photoramd.worker.front import Front
from photoramd.worker.requests import Expected
from photoramd.worker.scorer import FailedError, LostError, Stack, UnavailableError
from tests.support import loops

SECRET = "0123456789abcdef" * 2
IDENTITY = Identity(protocol=1, model="small", revision="r1", columns="c1")
EXPECTED = Expected(IDENTITY, (2, 2, 3))
PICTURES = [np.full((2, 2, 3), number, np.uint8) for number in (1, 2, 3)]


@dataclass
class FakeScorer:
    """In place of the replicas: scores are the sum and the first byte of each picture."""

    at_once: int = 2
    error: Exception | None = None
    goes_on: asyncio.Event | None = None
    seen: list[Stack] = field(default_factory=list)

    async def scores(self, pictures: Stack) -> tuple[Scores, Vectors | None]:
        self.seen.append(pictures)
        if self.goes_on is not None:
            await self.goes_on.wait()
        if self.error is not None:
            raise self.error
        rows = [[each.sum(), each.flat[0]] for each in pictures]
        return np.array(rows, np.float32), None


@dataclass
class Answer:
    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    read: int = 0

    @property
    def problem(self) -> Problem:
        return msgspec.msgpack.decode(self.body, type=Problem)


def request(**changes: object) -> bytes:
    given: dict[str, Any] = {
        "identity": IDENTITY,
        "digests": [digest_of(each) for each in PICTURES],
        "shape": [2, 2, 3],
        "pixels": [each.tobytes() for each in PICTURES],
    }
    return msgspec.msgpack.encode(ScoresRequest(**(given | changes)))


async def asked(
    front: Front,
    method: str = "POST",
    path: str = SCORES_PATH,
    body: bytes | None = None,
    **headers: str | None,
) -> Answer:
    body = request() if body is None else body
    given: dict[str, str | None] = {
        "authorization": f"Bearer {SECRET}",
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
    }
    given |= {name.replace("_", "-"): each for name, each in headers.items()}
    scope: MutableMapping[str, Any] = {
        "type": "http",
        "method": method,
        "path": path,
        "client": ("192.0.2.7", 1),
        "headers": [(k.encode(), v.encode()) for k, v in given.items() if v is not None],
    }
    pieces = [body[at : at + 40] for at in range(0, len(body), 40)] or [b""]
    answer = Answer()

    async def receive() -> MutableMapping[str, Any]:
        piece = pieces[answer.read]
        answer.read += 1
        more = answer.read < len(pieces)
        return {"type": "http.request", "body": piece, "more_body": more}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.status, answer.headers = message["status"], dict(message["headers"])
        else:
            answer.body += message["body"]

    await front(scope, receive, send)
    return answer


def ask(scorer: FakeScorer, *arguments: Any, **headers: Any) -> Answer:
    async def run() -> Answer:
        return await asked(Front(EXPECTED, Token(SECRET), scorer, "cpu"), *arguments, **headers)

    return loops.run(run)


def test_scores_come_with_the_digests_and_the_identity() -> None:
    answer = ask(FakeScorer())
    assert (answer.status, answer.headers[b"content-type"]) == (200, MEDIA_TYPE.encode())
    decoded = msgspec.msgpack.decode(answer.body, type=ScoresAnswer)
    assert decoded.identity == IDENTITY
    assert decoded.digests == [digest_of(each) for each in PICTURES]
    rows = np.frombuffer(decoded.scores, "<f4").reshape(-1, 2)
    assert rows.tolist() == [[12, 1], [24, 2], [36, 3]]


def test_the_model_is_known_while_one_is_loaded() -> None:
    answer = ask(FakeScorer(at_once=4), "GET", MODEL_PATH, b"")
    model = msgspec.msgpack.decode(answer.body, type=ModelAnswer)
    assert (model.identity, model.at_once, model.device) == (IDENTITY, 4, "cpu")
    answer = ask(FakeScorer(at_once=0), "GET", MODEL_PATH, b"")
    assert (answer.status, answer.problem.code) == (503, "unavailable")
    assert answer.headers[b"retry-after"] == b"1"


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer x",
        f"Basic {SECRET}",
        f"Bearer {SECRET}0",
        f"Bearer {SECRET[1:]}",
    ],
)
def test_without_the_token_nothing_is_read(
    given: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    for method, path in (("POST", SCORES_PATH), ("GET", MODEL_PATH), ("GET", "/other")):
        answer = ask(FakeScorer(), method, path, authorization=given)
        assert (answer.status, answer.problem.code) == (401, "unauthorized")
        assert answer.read == 0
        assert answer.headers[b"connection"] == b"close"
    assert SECRET not in caplog.text
    assert len(caplog.records) <= 3


def test_wrong_tokens_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        front = Front(EXPECTED, Token(SECRET), FakeScorer(), "cpu")
        for _ in range(50):
            await asked(front, authorization="Bearer wrong")

    loops.run(run)
    assert [each.message for each in caplog.records] == ["a wrong token came from 192.0.2.7"]


LARGEST = EXPECTED.most_bytes


@pytest.mark.parametrize(
    ("arguments", "headers", "status", "code"),
    [
        (("POST", "/v1/other"), {}, 404, "no_such_thing"),
        (("PUT", SCORES_PATH), {}, 405, "no_such_thing"),
        (("POST", MODEL_PATH), {}, 405, "no_such_thing"),
        ((), {"content_type": None}, 415, "wrong_type"),
        ((), {"content_type": "application/json"}, 415, "wrong_type"),
        ((), {"content_length": str(LARGEST + 1)}, 413, "too_large"),
    ],
)
def test_what_the_head_shows_is_refused_before_the_body(
    arguments: tuple[str, ...], headers: dict[str, str | None], status: int, code: str
) -> None:
    answer = ask(FakeScorer(), *arguments, **headers)
    assert (answer.status, answer.problem.code, answer.read) == (status, code, 0)


def test_a_body_of_unknown_size_is_read_up_to_the_limit() -> None:
    answer = ask(FakeScorer(), body=b"x" * (2 * LARGEST), content_length=None)
    assert (answer.status, answer.problem.code) == (413, "too_large")
    assert answer.read == LARGEST // 40 + 1


OTHER = msgspec.structs.replace


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"shape": [2, 3, 2]}, 400, "malformed"),
        ({"shape": [12]}, 400, "malformed"),
        ({"pixels": [b"\0" * 12, b"\0" * 12, b"\0" * 11]}, 400, "malformed"),
        ({"pixels": [b"\0" * 12] * 2}, 400, "malformed"),
        ({"digests": [b"\0" * 15] * 3}, 400, "malformed"),
        ({"digests": [b"\0" * 16] * 3}, 422, "wrong_digest"),
        ({"digests": [digest_of(PICTURES[n]) for n in (1, 0, 2)]}, 422, "wrong_digest"),
        ({"pixels": []}, 400, "malformed"),
        ({"pixels": [b""] * (MOST_PHOTOS + 1)}, 400, "malformed"),
        ({"identity": OTHER(IDENTITY, protocol=2)}, 409, "other_model"),
        ({"identity": OTHER(IDENTITY, model="large")}, 409, "other_model"),
        ({"identity": OTHER(IDENTITY, revision="r2")}, 409, "other_model"),
        ({"identity": OTHER(IDENTITY, columns="c2")}, 409, "other_model"),
    ],
)
def test_what_does_not_fit_never_reaches_the_model(
    changes: dict[str, object], status: int, code: str
) -> None:
    scorer = FakeScorer()
    answer = ask(scorer, body=request(**changes))
    assert (answer.status, answer.problem.code, scorer.seen) == (status, code, [])


def test_another_revision_is_named_with_both() -> None:
    answer = ask(FakeScorer(), body=request(identity=OTHER(IDENTITY, revision="r2")))
    assert answer.problem.identity == IDENTITY
    assert answer.problem.message == "asked for revision r2, here it is r1"


@pytest.mark.parametrize("body", [b"", b"\xc1", b"{}", b"\x93", request()[:-1], b"\x91" * 3000])
def test_garbage(body: bytes) -> None:
    answer = ask(FakeScorer(), body=body)
    assert (answer.status, answer.problem.code) == (400, "malformed")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (FailedError("they are odd"), 500, "failed"),
        (LostError(), 500, "lost"),
        (UnavailableError(), 503, "unavailable"),
    ],
)
def test_what_the_model_says(error: Exception, status: int, code: str) -> None:
    answer = ask(FakeScorer(error=error))
    assert (answer.status, answer.problem.code) == (status, code)
    assert b"connection" not in answer.headers


def test_only_so_many_bytes_are_in_memory() -> None:
    # Of the largest size: two for each that is worked on, and so many more of a smaller one.
    most = 2 * 2 * EXPECTED.most_bytes // len(request())

    async def run() -> list[Answer]:
        scorer = FakeScorer(at_once=2, goes_on=asyncio.Event())
        front = Front(EXPECTED, Token(SECRET), scorer, "cpu")
        waiting = [asyncio.ensure_future(asked(front)) for _ in range(most)]
        await until(lambda: len(scorer.seen) == most)
        refused = await asked(front)
        assert (refused.status, refused.problem.code) == (503, "busy")
        assert refused.read == len(request()) // 40 + 1, "it is read, so that the answer is, too"
        assert scorer.goes_on is not None
        scorer.goes_on.set()
        answers = list(await asyncio.gather(*waiting))
        return [*answers, await asked(front)]

    assert most > 100
    assert [each.status for each in loops.run(run)] == [200] * (most + 1)


def test_a_body_of_unknown_size_counts_as_the_largest() -> None:
    async def run() -> None:
        scorer = FakeScorer(at_once=1, goes_on=asyncio.Event())
        front = Front(EXPECTED, Token(SECRET), scorer, "cpu")
        waiting = [asyncio.ensure_future(asked(front, content_length=None)) for _ in range(2)]
        await until(lambda: len(scorer.seen) == 2)
        assert (await asked(front)).problem.code == "busy"
        assert scorer.goes_on is not None
        scorer.goes_on.set()
        await asyncio.gather(*waiting)

    loops.run(run)


def test_what_is_under_way_when_the_worker_ends_is_to_be_asked_again() -> None:
    async def run() -> tuple[Answer, Answer]:
        scorer = FakeScorer(goes_on=asyncio.Event())
        front = Front(EXPECTED, Token(SECRET), scorer, "cpu")
        call = asyncio.ensure_future(asked(front))
        await until(lambda: len(scorer.seen) == 1)
        call.cancel()  # as uvicorn does
        ended = await call
        assert scorer.goes_on is not None
        scorer.goes_on.set()
        return ended, await asked(front)

    ended, later = loops.run(run)
    assert (ended.status, ended.problem.code) == (503, "unavailable")
    assert later.status == 200


def test_a_body_of_two_sizes_is_refused_unread() -> None:
    scorer = FakeScorer()
    answer = ask(scorer, content_length="1", transfer_encoding="chunked")
    assert (answer.status, answer.problem.code) == (400, "malformed")
    assert answer.headers[b"connection"] == b"close"
    assert (answer.read, scorer.seen) == (0, [])


def test_without_a_model_nothing_is_kept() -> None:
    answer = ask(FakeScorer(at_once=0))
    assert (answer.status, answer.problem.code) == (503, "unavailable")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)
