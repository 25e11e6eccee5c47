"""Send one request to a server, in a process of its own, which can be ended at any moment.

    python -P -m photoramd.daemon.webhook

`photoramd.daemon.delivery` starts it and gives it a JSON object on standard input: ``address``,
``timeout_seconds`` and ``body``. The exit code is 0, `AGAIN` or `REFUSED`, and standard output
then has the reason.
"""

from __future__ import annotations

import json
import math
import signal
import sys
from typing import Any

from photoramd import __version__

AGAIN = 75
"""It failed, and another attempt may not (EX_TEMPFAIL of sysexits.h)."""

REFUSED = 65
"""The server does not take it (EX_DATAERR)."""

_TRANSIENT = frozenset({408, 425, 429})
_GRACE_SECONDS = 5


def main() -> None:
    """Send what standard input says, and end the process."""
    request = json.load(sys.stdin)
    # The other side ends this process in time; if it was killed itself, the kernel does.
    signal.alarm(math.ceil(request["timeout_seconds"]) + _GRACE_SECONDS)
    code, reason = _send(request)
    print(reason)  # noqa: T201
    sys.exit(code)


def _send(request: dict[str, Any]) -> tuple[int, str]:
    """Return the exit code, and why it is not 0."""
    import httpx2

    headers = {"Content-Type": "application/json", "User-Agent": f"photoramd/{__version__}"}
    body = json.dumps(request["body"]).encode("ascii")
    try:
        # Redirects are not followed: what was configured is told, nobody else.
        with (
            httpx2.Client(timeout=request["timeout_seconds"]) as client,
            client.stream("POST", request["address"], content=body, headers=headers) as response,
        ):
            status, phrase = response.status_code, response.reason_phrase
    except (httpx2.TransportError, OSError) as error:
        return AGAIN, str(error) or type(error).__name__
    except (httpx2.InvalidURL, ValueError) as error:
        return REFUSED, str(error)
    if 200 <= status < 300:
        return 0, ""
    is_final = status < 500 and status not in _TRANSIENT
    return REFUSED if is_final else AGAIN, f"it answers {status} {phrase}".rstrip()


if __name__ == "__main__":
    main()
