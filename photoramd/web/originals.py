"""Photos as the files that they are, opened without following a link and sent to be saved."""

from __future__ import annotations

import io
import logging
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from photoramd.database.picture_keys import key_of_file
from photoramd.images.formats import HEAD_BYTES, recognise
from photoramd.photo import Fingerprint
from photoramd.pictures.subjects import is_watched
from photoramd.system.beneath import open_read
from photoramd.system.files import why_not_opened
from photoramd.web.picture_versions import is_known

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 18
_UNKNOWN = "application/octet-stream"
_MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "HEIF": "image/heif",
}
MEDIA_TYPES = frozenset({_UNKNOWN, *_MEDIA_TYPES.values()})
"""Of the files that are sent."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class OpenOriginal:
    """A photo's file.

    Attributes:
        file: The open file, which whoever has it closes.
        name: Its name.
        media_type: By its first bytes; never one that browsers run.
        fingerprint: What it is.
    """

    file: io.FileIO
    name: str
    media_type: str
    fingerprint: Fingerprint


def open_original(path: Path, roots: Sequence[Path]) -> OpenOriginal:
    """Open a photo's file.

    Args:
        path: Its path.
        roots: The watched directories, without symbolic links.

    Raises:
        HTTPException: It is not below any of them, or cannot be opened.
    """
    if not is_watched(path, roots):
        raise HTTPException(404, "the photo is in no watched directory")
    try:
        file = io.FileIO(open_read(path))
    except (OSError, ValueError) as error:
        raise HTTPException(404, f"the photo: {why_not_opened(error)}") from error
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise HTTPException(404, "the photo is no longer a file")
        head = os.pread(file.fileno(), HEAD_BYTES, 0)
    except OSError as error:
        file.close()
        raise HTTPException(404, f"the photo cannot be read: {error.strerror}") from error
    except HTTPException:
        file.close()
        raise
    media_type = _MEDIA_TYPES.get(recognise(head) or "", _UNKNOWN)
    return OpenOriginal(file, path.name, media_type, Fingerprint.of(status))


class SentFile(StreamingResponse):
    """Sends a file, or a part of it, and closes it.

    Args:
        request: The request.
        opened: The file.
        limiter: Of the threads that read files.
    """

    def __init__(self, request: Request, opened: OpenOriginal, limiter: CapacityLimiter) -> None:
        self._file = opened.file
        self._limiter = limiter
        size = opened.fingerprint.size
        tag = f'"{key_of_file(opened.fingerprint).hex()}"'
        headers = {
            "ETag": tag,
            "Accept-Ranges": "bytes",
            "Content-Disposition": disposition(opened.name),
        }
        status, self._at, self._end = 200, 0, size
        if is_known(request, tag):
            status, self._end = 304, 0
        elif size and request.headers.get("if-range", tag) == tag:
            part = _part(request.headers.get("range", ""), size)
            if part is not None:
                status, (self._at, self._end) = 206, part
                headers["Content-Range"] = f"bytes {self._at}-{self._end - 1}/{size}"
            if self._at >= self._end:
                status, self._at, self._end = 416, 0, 0
                headers["Content-Range"] = f"bytes */{size}"
        if status != 304:
            headers["Content-Length"] = str(self._end - self._at)
        if request.method == "HEAD":
            self._at = self._end
        super().__init__((), status, headers, opened.media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file; a client that goes away ends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()

    async def stream_response(self, send: Send) -> None:
        """Send the file, piece by piece."""
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        at = self._at
        while at < self._end:
            piece = await to_thread.run_sync(self._read, at, limiter=self._limiter)
            if not piece:
                # The server ends the connection, and so the browser knows that there is more.
                log.warning("a photo became shorter while it was sent, or could not be read")
                return
            at += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _read(self, at: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), min(_CHUNK_BYTES, self._end - at), at)
        except OSError:
            return b""


def disposition(name: str) -> str:
    """Return the ``Content-Disposition`` that saves a file under its name (RFC 6266, RFC 8187)."""
    text = os.fsencode(name).decode("utf-8", "replace")
    text = "".join("_" if not each.isprintable() or each in '"\\/' else each for each in text)
    plain = text.encode("ascii", "replace").decode().replace("?", "_").replace("%", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(text, safe='')}"


def _part(wanted: str, size: int) -> tuple[int, int] | None:
    """Return the part that is asked for, from and up to; None: all (RFC 9110, 14.1.2)."""
    found = _RANGE.fullmatch(wanted.strip())
    if found is None or not (found[1] or found[2]):
        return None  # several parts, too: who asks for them must take all
    if not found[1]:
        return max(0, size - int(found[2])), size
    first, last = int(found[1]), int(found[2] or size)
    return None if last < first else (first, min(last + 1, size))
