"""Fetch files from the network: resume after any interruption, retry after transient errors.

The hub is asked through huggingface-hub's client, so that its settings count (``HF_TOKEN``,
``HF_ENDPOINT``, ``HF_HUB_OFFLINE``, proxies). The client's own function for whole downloads
starts over whenever the process was interrupted, which never brings 3 GB over a home's line, so
the bytes are received here. Other servers are asked with the HTTP library that the client uses,
without any token.

Nothing here decides whether the bytes are right; a file that is known to be wrong beforehand is
not fetched at all.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from photoramd import __version__
from photoramd.errors import PIP, ModelError
from photoramd.models.weights.catalog import HubFile, PinnedFile
from photoramd.models.weights.verified import Progress, WrongBytesError
from photoramd.system.files import write_all

if TYPE_CHECKING:
    import httpx2

MIRROR_VARIABLE = "PHOTORAMD_MIRROR"

_ATTEMPTS = 6
"""How many failures in a row, without a byte between them, until we give up."""

_CONNECT_SECONDS = 20.0
_SILENCE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 60.0
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_IMPORT = "or copy the file from another machine: photoramd model import FILE"


class _TransientError(Exception):
    """An error that may pass.

    Attributes:
        message: What to say if it does not.
        wait_seconds: How long the server asks us to wait.
    """

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, slots=True)
class _Request:
    session: httpx2.Client
    url: str
    headers: Mapping[str, str]
    pin: PinnedFile

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


class Downloader:
    """Fetches pinned files.

    Args:
        hub_endpoint: Address of the hub; None leaves it to the client (``HF_ENDPOINT``).
        mirror: Address of a server that has the other servers' files, each below its host's
            name, such as ``https://nas.local/mirror``; None asks the other servers.
        attempts: How many failures in a row until it gives up.
        pause: Waits for a number of seconds.
    """

    def __init__(
        self,
        *,
        hub_endpoint: str | None = None,
        mirror: str | None = None,
        attempts: int = _ATTEMPTS,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._hub_endpoint = hub_endpoint
        self._mirror = mirror
        self._attempts = attempts
        self._pause = pause

    @classmethod
    def from_environment(cls) -> Downloader:
        """Create one from the user's environment variables."""
        return cls(mirror=os.environ.get(MIRROR_VARIABLE) or None)

    def fetch(self, pin: PinnedFile, file: BinaryIO, progress: Progress) -> None:
        """Fetch the rest of a file, from where an earlier attempt ended.

        Args:
            pin: What to fetch.
            file: Unbuffered, open for reading and writing.
            progress: Called with the number of bytes that came, negative if some were in vain.

        Raises:
            WrongBytesError: The server has other bytes than the pinned ones.
            ModelError: The network, the server or the disk failed.
        """
        try:
            import httpx2
        except ImportError as error:
            raise ModelError(
                f"downloads need the package httpx2: {error}",
                remedy=f"{PIP} httpx2",
            ) from error
        try:
            if pin.hub is not None:
                self._receive(self._hub_request(pin, pin.hub), file, progress)
                return
            timeout = httpx2.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
            with httpx2.Client(follow_redirects=True, timeout=timeout) as session:
                agent = {"User-Agent": f"photoramd/{__version__}"}
                self._receive(_Request(session, self._web_url(pin), agent, pin), file, progress)
        except (
            httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.TooManyRedirects, ValueError,
        ) as error:  # fmt: skip
            raise ModelError(
                f"{pin.name} cannot be fetched: {error}",
                remedy=f"check HF_ENDPOINT, {MIRROR_VARIABLE} and the proxy's variables, {_IMPORT}",
            ) from error

    def _web_url(self, pin: PinnedFile) -> str:
        if self._mirror is None:
            return pin.url
        parts = urlsplit(pin.url)
        return f"{self._mirror.rstrip('/')}/{parts.netloc}{parts.path}"

    def _hub_request(self, pin: PinnedFile, place: HubFile) -> _Request:
        """Ask the hub about a file; its answer must agree with the pin."""
        from huggingface_hub import constants, get_hf_file_metadata, get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        if "HF_HUB_DISABLE_TELEMETRY" not in os.environ:
            # The client would report which libraries are installed and which program runs it,
            # and fetch a list of such programs first. Users who want that can set it to 0.
            constants.HF_HUB_DISABLE_TELEMETRY = True
        url = hf_hub_url(
            place.repository, pin.name, revision=place.revision, endpoint=self._hub_endpoint
        )

        def ask() -> None:
            metadata = get_hf_file_metadata(
                url,
                timeout=_CONNECT_SECONDS,
                library_name="photoramd",
                library_version=__version__,
                endpoint=self._hub_endpoint,
            )
            etag = metadata.etag or ""
            # Mirrors of the hub need not say all of this; the digest of the bytes decides.
            if _SHA256.fullmatch(etag) and etag != pin.sha256:
                raise _offered(pin, f"a file with SHA-256 {etag}, expected {pin.sha256}")
            if metadata.size is not None:
                _check_offered_size(pin, metadata.size)

        self._insist(lambda: _translated(ask, urlsplit(url).netloc, pin))
        # The hub redirects to a signed address that expires, so each attempt begins here. The
        # session does not pass the token on to another host.
        headers = build_hf_headers(library_name="photoramd", library_version=__version__)
        return _Request(get_session(), url, {**headers, "Accept-Encoding": "identity"}, pin)

    def _receive(self, request: _Request, file: BinaryIO, progress: Progress) -> None:
        def attempt() -> None:
            _translated(lambda: _receive_once(request, file, progress), request.host, request.pin)

        self._insist(attempt, lambda: file.seek(0, os.SEEK_END))

    def _insist(self, step: Callable[[], None], position: Callable[[], int] = int) -> None:
        """Repeat a step until it succeeds, fails for good, or gets nowhere for too long."""
        failures = 0
        while True:
            before = position()
            try:
                step()
            except _TransientError as error:
                failures = 1 if position() > before else failures + 1
                if failures >= self._attempts:
                    raise ModelError(
                        f"{error.message}; gave up after {failures} attempts",
                        remedy="check the network and the proxy's variables (HTTPS_PROXY) and run "
                        f"the command again: it goes on where it stopped; {_IMPORT}",
                    ) from error
                wait = 2.0 ** (failures - 1) if error.wait_seconds is None else error.wait_seconds
                self._pause(min(wait, _LONGEST_PAUSE_SECONDS))
            else:
                return


def _translated(step: Callable[[], None], host: str, pin: PinnedFile) -> None:
    """Turn the network libraries' errors into ours."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        step()
    except HfHubHTTPError as error:
        raise _refusal(error.response, host, pin) from error
    except OfflineModeIsEnabled as error:
        raise ModelError(
            "HF_HUB_OFFLINE forbids downloads", remedy=f"unset HF_HUB_OFFLINE, {_IMPORT}"
        ) from error
    except (httpx2.UnsupportedProtocol, httpx2.TooManyRedirects):
        raise
    except (httpx2.TransportError, httpx2.DecodingError) as error:
        detail = str(error) or type(error).__name__
        raise _TransientError(f"no connection to {host} ({detail})") from error


def _receive_once(request: _Request, file: BinaryIO, progress: Progress) -> None:
    """Request the rest of a file, once."""
    pin = request.pin
    position = file.seek(0, os.SEEK_END)
    if position == pin.size_bytes:
        return
    if pin.size_bytes is not None and position > pin.size_bytes:
        position = _begin_anew(file, position, progress)
    # Compressed bytes cannot be resumed in the middle.
    headers = {**request.headers, "Accept-Encoding": "identity"}
    if position:
        headers["Range"] = f"bytes={position}-"
    with request.session.stream(
        "GET", request.url, headers=headers, timeout=_timeout()
    ) as response:
        if request.url.startswith("https:") and response.url.scheme != "https":
            raise ModelError(f"{request.host} redirects to an unencrypted address")
        begin, total = _range_of(response, position)
        if response.status_code == 416:
            if total == position:
                return
            _begin_anew(file, position, progress)
            raise _TransientError(f"{request.host} does not have bytes from {position} on")
        if response.status_code not in (200, 206) or begin not in (0, position):
            raise _refusal(response, request.host, pin)
        if total is not None:
            _check_offered_size(pin, total)
        if begin != position:
            _begin_anew(file, position, progress)
        _write(response, file, pin, progress)
        if total is not None and file.tell() < total:
            raise _TransientError(f"{request.host} ended the connection early")


def _write(response: httpx2.Response, file: BinaryIO, pin: PinnedFile, progress: Progress) -> None:
    # Where no exact size is published, at least the disk is not filled.
    limit = pin.size_bytes if pin.size_bytes is not None else 2 * pin.about_bytes
    for chunk in response.iter_bytes():
        if file.tell() + len(chunk) > limit:
            raise _offered(pin, f"more than {limit:,} bytes")
        try:
            write_all(file.fileno(), chunk)
        except OSError as error:
            raise _full_or_broken(error, pin) from error
        progress(len(chunk))


def _full_or_broken(error: OSError, pin: PinnedFile) -> ModelError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ModelError(
            f"the disk became full while {pin.name} was fetched",
            remedy="make room and run the command again: it goes on where it stopped",
        )
    return ModelError(f"{pin.name} cannot be written: {error.strerror}")


def _begin_anew(file: BinaryIO, position: int, progress: Progress) -> int:
    file.seek(0)
    file.truncate()
    progress(-position)
    return 0


def _range_of(response: httpx2.Response, position: int) -> tuple[int, int | None]:
    """Return where a response's bytes belong, and the whole file's size if the response says it."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status_code in (206, 416):
        # A partial response that does not say which part it is: -1 is no position.
        return (int(match[1] or position), int(match[2])) if match else (-1, None)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _timeout() -> httpx2.Timeout:
    import httpx2

    return httpx2.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)


def _check_offered_size(pin: PinnedFile, size_bytes: int) -> None:
    if not pin.could_have(size_bytes):
        about = "" if pin.size_bytes is not None else "about "
        raise _offered(pin, f"{size_bytes:,} bytes, expected {about}{pin.needed_bytes:,}")


def _offered(pin: PinnedFile, what: str) -> WrongBytesError:
    return WrongBytesError(
        f"the server offers {what} as {pin.name}",
        remedy=f"nothing was installed; check HF_ENDPOINT and {MIRROR_VARIABLE}, {_IMPORT}",
    )


def _refusal(response: httpx2.Response, host: str, pin: PinnedFile) -> ModelError | _TransientError:
    """Return the error that an answer without the file means."""
    status = response.status_code
    said = f"{host} answers {status} {response.reason_phrase}".rstrip()
    if status in _TRANSIENT:
        wait = response.headers.get("Retry-After", "")
        return _TransientError(said, float(wait) if wait.isdecimal() else None)
    if status in (401, 403, 407):
        credentials = (
            "check your token, in HF_TOKEN or from `hf auth login`: an expired one is refused even "
            "where none is needed; unset it, or set a valid one, "
        )
        return ModelError(
            f"no access to {pin.name}: {said}",
            remedy=f"{credentials if pin.hub else 'check your proxy, '}{_IMPORT}",
        )
    if status in (404, 410, 451):
        return ModelError(
            f"{pin.name} is not there: {said}",
            remedy=f"check HF_ENDPOINT and {MIRROR_VARIABLE}, {_IMPORT}",
        )
    return ModelError(f"{pin.name} cannot be fetched: {said}", remedy=f"try later, {_IMPORT}")
