"""Ask one worker over HTTPS.

Whatever is not the answer to what was asked is a `WorkerError`: it says what is wrong and what can
be done, and is never a picture's fault. Nothing here tries again.
"""

from __future__ import annotations

import socket
import ssl
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from photoramd import __version__
from photoramd.clock import UnixTime
from photoramd.errors import PIP, ModelError
from photoramd.models.description import Description
from photoramd.models.features import Vectors
from photoramd.models.preprocessing import Pixels
from photoramd.models.remote import answers, protocol
from photoramd.models.remote.answers import Expected
from photoramd.models.remote.failures import FailedPicturesError, Kind, WorkerError
from photoramd.models.remote.protocol import ModelAnswer, ScoresRequest
from photoramd.models.remote.trust import client_context, distrust, expiry
from photoramd.models.tagger import Scores
from photoramd.system.token import Token, read_token

CONNECT_SECONDS = 5.0

PROBE_SECONDS = 10.0
"""What is asked of a worker besides scores is answered within this time."""

_DEAD_SECONDS = 15
"""So long after a machine went silent its connections end, whatever they wait for."""

_IDLE_SECONDS = 4.0
"""Less than the worker leaves a connection open that nothing comes over: none ends just then."""

_SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_SECONDS * 1000),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _DEAD_SECONDS // 3),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _DEAD_SECONDS // 3),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2),
)

_NEW_CONNECTIONS = ("connection.connect_tcp.complete", "connection.start_tls.complete")
"""What httpcore's trace extension calls them: https://www.encode.io/httpcore/extensions/."""

_STRANGER = "is it photoramd worker run that listens there?"

_START = "start it (photoramd worker run), or check the network and the firewall in between"


class Client:
    """Asks a worker, from several threads at once.

    Args:
        url: Its address, with a scheme and a port.
        token: What it asks for.
        context: How connections are made, as by `photoramd.models.remote.trust.client_context`.
        expected: What its answers must fit.

    Attributes:
        valid_until: Until when its certificate is valid; None: not known, or it has none.

    Raises:
        ModelError: The HTTP library is missing.
    """

    def __init__(self, url: str, token: Token, context: ssl.SSLContext, expected: Expected) -> None:
        try:
            import httpx2
        except ImportError as error:
            raise ModelError(
                f"workers are asked with the package httpx2: {error}", remedy=f"{PIP} httpx2"
            ) from error
        self.url = url
        self.valid_until: UnixTime | None = None
        self._expected = expected
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._asking = 0
        self._is_closed = False
        self._encode = msgspec.msgpack.Encoder().encode
        transport = httpx2.HTTPTransport(
            verify=context,
            trust_env=False,
            limits=httpx2.Limits(keepalive_expiry=_IDLE_SECONDS),
            socket_options=_SOCKET_OPTIONS,
        )
        self._http = httpx2.Client(
            base_url=url,
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            headers={
                "Authorization": token.header,
                "Accept": protocol.MEDIA_TYPE,
                "Accept-Encoding": "identity",
                "User-Agent": f"photoramd/{__version__}",
            },
        )

    def model(self) -> ModelAnswer:
        """Return what the worker is: the model that is expected.

        Raises:
            WorkerError: It is another one, or does not answer.
        """
        most = protocol.MOST_MESSAGE_BYTES
        try:
            body = self._ask("GET", protocol.MODEL_PATH, PROBE_SECONDS, most)
        except FailedPicturesError as error:  # of which there are none
            reason = f"it does not say which model it has: {error}"
            raise WorkerError(Kind.ANSWER, reason, _STRANGER) from error
        return answers.read_model(body, self._expected)

    def scores(
        self, pictures: Sequence[tuple[bytes, Pixels]], seconds: float
    ) -> tuple[Scores, Vectors | None]:
        """Return scores, float32, shape (pictures, columns), and features if the model has some.

        Args:
            pictures: Digests and pixels; at most `photoramd.models.remote.protocol.MOST_PHOTOS`.
            seconds: How long nothing may come of the answer.

        Raises:
            LostPicturesError: The model's process was lost with the pictures.
            FailedPicturesError: The model refused the pictures.
            WorkerError: There is no answer that fits.
        """
        digests = [digest for digest, _ in pictures]
        request = ScoresRequest(
            identity=self._expected.identity,
            digests=digests,
            shape=list(pictures[0][1].shape),
            pixels=[pixels.data.cast("B") for _, pixels in pictures],
        )
        most = self._expected.most_bytes(len(pictures))
        body = self._ask("POST", protocol.SCORES_PATH, seconds, most, self._encode(request))
        return answers.read_scores(body, self._expected, digests)

    def cut(self) -> None:
        """End all connections; whoever waits for an answer gets a WorkerError."""
        with self._lock:
            open_ones = list(self._sockets)
        for each in open_ones:
            with suppress(OSError):  # it has ended
                # Not that of `ssl.SSLSocket`, which is for the one thread that reads.
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut what is under way, and ask no more; harmless if repeated."""
        with self._lock:
            self._is_closed = True
            is_idle = not self._asking
        self.cut()
        if is_idle:
            self._http.close()

    def _ask(
        self,
        method: str,
        path: str,
        seconds: float,
        most_bytes: int,
        content: bytes | None = None,
    ) -> bytes:
        """Return the body of an answer with the status 200."""
        import httpx2

        with self._lock:
            if self._is_closed:
                raise WorkerError(Kind.UNREACHABLE, "photoramd is being stopped")
            self._asking += 1
        try:
            timeout = httpx2.Timeout(seconds, connect=CONNECT_SECONDS)
            headers = {} if content is None else {"Content-Type": protocol.MEDIA_TYPE}
            with self._http.stream(
                method,
                path,
                content=content,
                headers=headers,
                timeout=timeout,
                extensions={"trace": self._note},
            ) as response:
                return self._read(response, most_bytes)
        except httpx2.TimeoutException as error:
            connects = isinstance(error, httpx2.ConnectTimeout)
            limit = CONNECT_SECONDS if connects else seconds
            what = "it cannot be reached" if connects else "it does not answer"
            reason = f"{what} within {limit:.0f} seconds"
            raise WorkerError(Kind.UNREACHABLE, reason, _START) from error
        except (httpx2.TransportError, UnicodeError) as error:  # some names cannot be asked for
            raise distrust(error) or _unreachable(error) from error
        finally:
            self._end()

    def _read(self, response: Any, most_bytes: int) -> bytes:
        """Return the body of an answer; too large a one is not read.

        Raises:
            FailedPicturesError: See `photoramd.models.remote.answers.refusal`.
            WorkerError: See there; or the answer is of another type, or too large.
        """
        status = response.status_code
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if response.is_redirect:
            raise WorkerError(
                Kind.ANSWER,
                "it sends whoever asks elsewhere, which is not followed",
                "name the worker itself in cluster.workers",
            )
        if kind != protocol.MEDIA_TYPE or "Content-Encoding" in response.headers:
            raise WorkerError(
                Kind.ANSWER,
                f"it answers with the status {status} and the type "
                f"{answers.text_of(kind) or 'none'}, not {protocol.MEDIA_TYPE}",
                _STRANGER,
            )
        most = most_bytes if status == 200 else protocol.MOST_MESSAGE_BYTES
        length = response.headers.get("Content-Length", "")
        # With a Transfer-Encoding the length says nothing: RFC 9112, section 6.3.
        is_chunked = "Transfer-Encoding" in response.headers
        is_told = length.isdecimal() and len(length) < 20 and not is_chunked
        if not is_told or int(length) > most:
            size = answers.text_of(length) if is_told else "an unknown number of"
            reason = f"its answer has {size} bytes, and may have {most}"
            raise WorkerError(Kind.ANSWER, reason, _STRANGER)
        body = b"".join(response.iter_raw())
        if status != 200:
            raise answers.refusal(status, body, self._expected)
        return body

    def _note(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep the sockets of new connections, which only httpcore's trace tells."""
        if event not in _NEW_CONNECTIONS:
            return
        made = info["return_value"].get_extra_info("socket")
        if isinstance(made, ssl.SSLSocket) and (certificate := made.getpeercert()):
            self.valid_until = expiry(certificate)
        with self._lock:
            self._sockets.add(made)
            is_closed = self._is_closed
        if is_closed:
            self.cut()

    def _end(self) -> None:
        with self._lock:
            self._asking -= 1
            is_over = self._is_closed and not self._asking
        if is_over:
            self._http.close()


def clients(
    urls: Sequence[str], token_file: str, ca_file: str, description: Description
) -> list[Client]:
    """Return what asks the workers of a configuration.

    Args:
        urls: Their addresses.
        token_file: Has the token that they ask for.
        ca_file: The only authority that is trusted; empty: those that this machine trusts.
        description: Their model.

    Raises:
        ConfigError: The token, or the certificate of the authority, cannot be used.
        ModelError: The HTTP library is missing.
    """
    token = read_token(Path(token_file), "photoramd worker token")
    context = client_context(Path(ca_file) if ca_file else None)
    expected = Expected.of(description)
    return [Client(url.rstrip("/"), token, context, expected) for url in urls]


def _unreachable(error: Exception) -> WorkerError:
    reason = answers.text_of(str(error)) or type(error).__name__
    return WorkerError(Kind.UNREACHABLE, f"it cannot be reached ({reason})", _START)
