"""Deliver tagged photos once: start the configured command, or send them to the address.

Either is a process that gets everything at once and has a limit of time. No shell is involved:
a photo's path is an argument, or a text in JSON.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from photoramd.config.hooks import PATH, Hooks
from photoramd.daemon import webhook
from photoramd.errors import printable
from photoramd.photo import PhotoState, Tag
from photoramd.system import child, process_group

log = logging.getLogger(__name__)

VARIABLES = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""What a command gets of the daemon's environment, which may hold secrets and systemd's own."""

_OUTPUT_LINES = 20
"""At most so many lines of what a command wrote are logged."""


@dataclass(frozen=True, slots=True)
class TaggedPhoto:
    """A photo whose keywords were written.

    Attributes:
        path: The photo, absolute.
        tags: Its keywords, the surest first.
    """

    path: str
    tags: Sequence[Tag]

    @property
    def is_utf8(self) -> bool:
        """Whether its path is text; if not, some programs refuse all of the JSON with it."""
        try:
            self.path.encode()
        except UnicodeEncodeError:
            return False
        return True

    def as_json(self) -> dict[str, Any]:
        """Return it as `photoramd query --json` shows a photo."""
        return {
            "file": self.path,
            "state": str(PhotoState.WRITTEN),
            "tags": [tag.name for tag in self.tags],
            "confidences": [round(tag.confidence, 4) for tag in self.tags],
        }


class DeliveryError(Exception):
    """Photos could not be delivered.

    Attributes:
        is_final: Whether another attempt would end in the same way.
    """

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


def deliver(hooks: Hooks, photos: Sequence[TaggedPhoto], is_wanted: Callable[[], bool]) -> None:
    """Deliver photos to the configured command or address.

    Args:
        hooks: What is configured.
        photos: The photos.
        is_wanted: Asked ten times a second whether to go on.

    Raises:
        DeliveryError: It failed; the message says why.
        StoppedError: It was not wanted any more.
    """
    if isinstance(hooks.tagged, str):
        _post(hooks.tagged, hooks, photos, is_wanted)
    else:
        _start(hooks.tagged, hooks, photos, is_wanted)


def _start(
    command: Sequence[str],
    hooks: Hooks,
    photos: Sequence[TaggedPhoto],
    is_wanted: Callable[[], bool],
) -> None:
    environment = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    given = b"" if PATH in command else _lines(photo.as_json() for photo in photos)
    words: list[str] = []
    for word in command:
        words += [photo.path for photo in photos] if word == PATH else [word]
    name = printable(command[0])
    done = _run(name, child.Program(words, environment), given, hooks, is_wanted)
    for line in done.output.splitlines()[:_OUTPUT_LINES]:
        log.info("Hook: %s", printable(os.fsdecode(line)))
    if done.code < 0:
        raise DeliveryError(f"{name} was ended by signal {-done.code}")
    if done.code:
        raise DeliveryError(f"{name} ended with {done.code}")


def _post(
    address: str, hooks: Hooks, photos: Sequence[TaggedPhoto], is_wanted: Callable[[], bool]
) -> None:
    request = {
        "address": address,
        "timeout_seconds": hooks.timeout_seconds,
        "body": {"version": 1, "photos": [photo.as_json() for photo in photos]},
    }
    # The address as a whole may hold a secret.
    name = urlsplit(address).hostname or ""
    done = _run(name, child.module(webhook.__name__), _lines([request]), hooks, is_wanted)
    if done.code:
        said = done.output.splitlines()[-1:] or [b"the request failed"]
        reason = printable(os.fsdecode(said[0]))
        raise DeliveryError(f"{name}: {reason}", is_final=done.code == webhook.REFUSED)


def _run(
    name: str,
    program: child.Program,
    given: bytes,
    hooks: Hooks,
    is_wanted: Callable[[], bool],
) -> process_group.Finished:
    try:
        return process_group.run(
            program, given, timeout_seconds=hooks.timeout_seconds, is_wanted=is_wanted
        )
    except OSError as error:  # a time-out is one, too
        raise DeliveryError(f"{name}: {error.strerror or error}") from error


def _lines(values: Iterable[object]) -> bytes:
    """Return values as JSON, each on a line of ASCII.

    Undecodable bytes of a path, which Python holds as lone surrogates, become escapes from
    which a reader can restore them.
    """
    return b"".join(json.dumps(value).encode("ascii") + b"\n" for value in values)
