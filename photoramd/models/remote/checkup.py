"""Look at a worker once, as a daemon would: for people who set one up."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from photoramd.clock import UnixTime
from photoramd.models.preprocessing import Pixels, digest_of
from photoramd.models.remote.client import Client
from photoramd.models.remote.failures import FailedPicturesError, Kind, WorkerError

_ANSWER_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Checkup:
    """What was found; None is what was not found out.

    Attributes:
        url: The worker.
        error: Why it cannot be used.
        device: What the model runs on there.
        version: Its version of photoramd.
        at_once: How many requests it works on at a time.
        valid_until: Until when its certificate is valid.
        seconds: How long it took for each picture of a group of test pictures.
    """

    url: str
    error: WorkerError | None = None
    device: str | None = None
    version: str | None = None
    at_once: int | None = None
    valid_until: UnixTime | None = None
    seconds: float | None = None


def check(client: Client, group: list[Pixels] | None = None) -> Checkup:
    """Ask a worker what it is, and have it look at pictures.

    Args:
        client: Asks it.
        group: The pictures; None: it is not asked for scores.
    """
    try:
        model = client.model()
    except WorkerError as error:
        return Checkup(client.url, error, valid_until=client.valid_until)
    found = Checkup(
        client.url,
        device=model.device,
        version=model.version,
        at_once=model.at_once,
        valid_until=client.valid_until,
    )
    if not group:
        return found
    began = time.monotonic()
    try:
        client.scores([(digest_of(each), each) for each in group], _ANSWER_SECONDS)
    except WorkerError as error:
        return replace(found, error=error)
    except FailedPicturesError as error:
        return replace(found, error=WorkerError(Kind.ANSWER, f"the model failed: {error}"))
    return replace(found, seconds=(time.monotonic() - began) / len(group))
