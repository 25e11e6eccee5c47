"""The section ``[hooks]``: its keys, and what a command or an address must be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from msgspec import Meta

from photoramd.config.section import Section, Text
from photoramd.errors import printable

PATH = "{path}"
"""The argument of a command in whose place the photos' paths are put."""

MOST_PHOTOS = 256
"""So many of the longest paths (4 KiB) still fit into a command line (2 MiB)."""

Target: TypeAlias = str | tuple[Text, ...]
"""The address of a server, or a command: a program and its arguments. Empty: nothing."""


class Hooks(Section, frozen=True, kw_only=True):
    """What is told of photos that were just tagged: a program or a server of yours."""

    tagged: Annotated[
        Target,
        Meta(
            description='A command, such as ["/usr/local/bin/new-photos", "{path}"], which gets '
            "the paths, or without {path} JSON on its standard input; or an address that JSON is "
            "sent to. Empty: nothing.",
            extra={
                "allowed": "a list of texts (a program, absolute or on PATH, and its arguments), "
                "or an address that begins with http:// or https://"
            },
        ),
    ] = ()
    timeout_seconds: Annotated[
        float,
        Meta(gt=0, le=600, description="A command or request that takes longer is ended."),
    ] = 30.0
    wait_seconds: Annotated[
        float,
        Meta(
            ge=0, le=3600, description="How long a photo waits for others, to be told of together."
        ),
    ] = 2.0
    max_photos: Annotated[
        int,
        Meta(ge=1, le=MOST_PHOTOS, description="The most photos that are told of together."),
    ] = 100


def problems(hooks: Hooks) -> Iterator[str]:
    """Yield what is wrong with the form of the hooks."""
    tagged = hooks.tagged
    if not tagged:
        return
    reasons = _of_address(tagged) if isinstance(tagged, str) else _of_command(tagged)
    yield from (f"hooks.tagged: {reason}" for reason in reasons)


def missing_program(hooks: Hooks) -> str:
    """Return why the program of a hook cannot be started now; empty if it can, or there is none."""
    if isinstance(hooks.tagged, str) or not hooks.tagged:
        return ""
    program = hooks.tagged[0]
    if shutil.which(program) is not None:
        return ""
    if not os.path.isabs(program):
        return f"{printable(program)} is not on PATH"
    if not os.path.exists(program):
        return f"{printable(program)} is not there"
    return f"{printable(program)} is not a program that this user may start"


def _of_address(address: str) -> Iterator[str]:
    try:
        parts = urlsplit(address)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname)
        # Reading it checks it.
        is_good = is_good and parts.port != 0
    except ValueError:
        is_good = False
    # It may hold a secret, and what is shown here ends in logs.
    if not is_good or not address.isascii() or not address.isprintable() or " " in address:
        yield (
            "not an address; allowed: http:// or https://, then a server, or a list: "
            "a program and its arguments"
        )


def _of_command(command: tuple[str, ...]) -> Iterator[str]:
    program, *arguments = command
    if any("\0" in each for each in command):
        yield "a text with a NUL cannot be an argument"
    if PATH in program:
        yield f"the program itself cannot be {PATH}; allowed: a program, absolute or on PATH"
    elif "/" in program and not os.path.isabs(program):
        yield f"{printable(program)} is a relative path; allowed: a program, absolute or on PATH"
    elif " " in program and len(command) == 1 and shutil.which(program) is None:
        yield "there is no shell to divide it into words; write each word as a text of its own"
    if any(PATH in each and each != PATH for each in arguments):
        yield f"{PATH} stands for whole arguments, one for each photo; write it alone"
    if arguments.count(PATH) > 1:
        yield f"{PATH} can stand there once only"
