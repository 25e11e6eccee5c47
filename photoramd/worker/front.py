"""What daemons talk to: a small application of ASGI before the replicas.

The token is compared before anything of a body is read, and what is refused without it ends its
connection. Who has the token may still be old, wrong or broken: bodies are bounded in size and in
number, and what they hold is checked before the model sees it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from photoramd import __version__
from photoramd.clock import Monotonic, monotonic
from photoramd.models.remote.protocol import (
    MEDIA_TYPE,
    MODEL_PATH,
    SCORES_PATH,
    ModelAnswer,
    Problem,
)
from photoramd.system.token import Token
from photoramd.worker import requests
from photoramd.worker.requests import Expected, RefusedError, refusal
from photoramd.worker.scorer import FailedError, LostError, Scorer, UnavailableError

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_BODIES = 2
"""So many requests of the largest size may be in memory for each that is worked on."""

_RETRY_SECONDS = 1

_WARNING_SECONDS = 60.0
"""A wrong token is worth a line of the log so often."""


def held_bytes(at_once: int, expected: Expected) -> int:
    """Return how many bytes of requests may be in memory while so many are worked on."""
    return _BODIES * at_once * expected.most_bytes


class _GoneError(Exception):
    """The client went away."""


class Front:
    """The application.

    Args:
        expected: What requests must agree with.
        token: What daemons must show.
        scorer: The model.
        device: What it runs on, for people.
    """

    def __init__(self, expected: Expected, token: Token, scorer: Scorer, device: str) -> None:
        self._expected = expected
        self._token = token
        self._scorer = scorer
        self._device = device
        self._bytes = 0
        self._warned_at: Monotonic | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            answer = await self._answer(scope, headers, receive)
        except _GoneError:
            return
        except RefusedError as refused:
            await _refuse(refused, send)
        except asyncio.CancelledError:
            # The worker ends. Uvicorn's own answer would say that something is wrong with it.
            await _refuse(_unavailable(), send)
        else:
            await _send(send, 200, answer, [])

    async def _answer(
        self, scope: MutableMapping[str, Any], headers: dict[bytes, bytes], receive: Receive
    ) -> bytes:
        self._require_token(headers, scope["client"])
        match scope["method"], scope["path"]:
            case "GET", path if path == MODEL_PATH:
                return self._model()
            case "POST", path if path == SCORES_PATH:
                return await self._scores(headers, receive)
            case method, path if path in (MODEL_PATH, SCORES_PATH):
                raise refusal(405, "no_such_thing", f"not by {method}", closes=True)
        raise refusal(404, "no_such_thing", "there is nothing at this address", closes=True)

    def _require_token(self, headers: dict[bytes, bytes], client: tuple[str, int] | None) -> None:
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"bearer" and self._token.is_same(token.strip()):
            return
        now = monotonic()
        if token and (self._warned_at is None or now - self._warned_at >= _WARNING_SECONDS):
            self._warned_at = now
            log.warning("a wrong token came from %s", client[0] if client else "a socket")
        message = "this worker asks for a token" if not token else "this is another token"
        raise refusal(401, "unauthorized", message, closes=True)

    def _model(self) -> bytes:
        at_once = self._scorer.at_once
        if not at_once:
            raise _unavailable()
        return requests.encode(
            ModelAnswer(
                identity=self._expected.identity,
                version=__version__,
                device=self._device,
                at_once=at_once,
            )
        )

    async def _scores(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        if headers.get(b"content-type", b"").partition(b";")[0].strip() != MEDIA_TYPE.encode():
            raise refusal(415, "wrong_type", f"only {MEDIA_TYPE} is understood", closes=True)
        if b"content-length" in headers and b"transfer-encoding" in headers:
            # The first would be counted, and as much read as the second has.
            message = "the length of the request is ambiguous"
            raise refusal(400, "malformed", message, closes=True)
        most = self._expected.most_bytes
        size = int(headers.get(b"content-length", most))
        if size > most:
            raise self._too_large()
        at_once = self._scorer.at_once
        if self._bytes + size > held_bytes(at_once, self._expected):
            # Read, so that the answer is; without the end of a request clients look for none.
            await self._body(receive, keeps=False)
            raise _busy() if at_once else _unavailable()
        self._bytes += size
        try:
            body = await self._body(receive)
            digests, pictures = await asyncio.to_thread(requests.read, body, self._expected)
            del body
            scores, features = await self._scorer.scores(pictures)
        except UnavailableError as error:
            raise _unavailable() from error
        except LostError as error:
            message = "the model's process was lost with these pictures"
            raise refusal(500, "lost", message) from error
        except FailedError as error:
            raise refusal(500, "failed", str(error)[:2000]) from error
        finally:
            self._bytes -= size
        return requests.write(self._expected.identity, digests, scores, features)

    async def _body(self, receive: Receive, *, keeps: bool = True) -> bytearray:
        """Return a request's body, whose size the header need not have said, or throw it away."""
        body, size = bytearray(), 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            piece = message.get("body", b"")
            size += len(piece)
            if keeps:
                body += piece
            if size > self._expected.most_bytes:
                raise self._too_large()
            if not message.get("more_body"):
                return body

    def _too_large(self) -> RefusedError:
        message = f"a request may have {self._expected.most_bytes} bytes"
        return refusal(413, "too_large", message, closes=True)


def _unavailable() -> RefusedError:
    return _later(Problem(code="unavailable", message="no model is loaded now"))


def _busy() -> RefusedError:
    return _later(Problem(code="busy", message="too much is asked for at once"))


def _later(problem: Problem) -> RefusedError:
    return RefusedError(503, problem, retry_seconds=_RETRY_SECONDS)


async def _refuse(refused: RefusedError, send: Send) -> None:
    more = [(b"connection", b"close")] if refused.closes else []
    if refused.retry_seconds is not None:
        more.append((b"retry-after", str(refused.retry_seconds).encode()))
    if refused.status == 401:
        more.append((b"www-authenticate", b"Bearer"))
    await _send(send, refused.status, requests.encode(refused.problem), more)


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = str(len(body)).encode()
    more = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": more})
    await send({"type": "http.response.body", "body": body})
