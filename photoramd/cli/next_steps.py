"""Say what to do next, for ``photoramd`` without a command: by what is there, quickly."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from photoramd.config import loader
from photoramd.database.lock import holder
from photoramd.database.readonly import open_readonly
from photoramd.errors import ConfigError, StoreError, printable
from photoramd.system import paths
from photoramd.system.container import how_to, is_container

if TYPE_CHECKING:
    from photoramd.config.schema import Config

UNIT = Path("/etc/systemd/system/photoramd.service")
"""Where contrib/install.sh puts the service."""


def next_steps(path: Path | None) -> Iterator[str]:
    """Yield the lines.

    Args:
        path: The configuration file; None looks in the usual places.
    """
    option = "" if path is None else f" --config {shlex.quote(printable(path))}"
    program = f"photoramd{option}"
    if path is None and paths.find_config() is None:
        yield "photoramd tags the photos in the directories that it watches, once each."
        yield "There is no configuration yet. Begin with the directory of your photos:"
        yield from _commands(program, {"config init --photos DIR": "write the configuration"})
        yield "Or look first what the model sees in a photo; nothing is changed:"
        yield from _commands(program, {"tag PHOTO": "print its tags"})
    else:
        yield from _configured(path, program)
    yield f"All commands: {program} --help"


def _configured(path: Path | None, program: str) -> Iterator[str]:
    check = {"config check": "name what is wrong"}
    try:
        config = loader.load(path, need_watch=True)
    except ConfigError as error:
        yield f"The configuration needs a change: {error}"
        if error.remedy:
            yield f"  {error.remedy}"
        yield from _commands(program, check)
        return
    if holder(config.state.path) is None:
        yield from _stopped(program)
        return
    yield f"photoramd is running{_counted(config)}"
    yield from _commands(
        program,
        {
            "status": "what is done, waiting and wrong",
            "query cat": "find photos by tags, dates, cameras and places",
            "serve": "show them in a browser",
        },
    )


def _stopped(program: str) -> Iterator[str]:
    yield "photoramd is configured, but not running."
    meanings = {"doctor": "check what it needs", "scan": "tag what is new, once, and end"}
    if is_container():
        yield f"On the machine that runs the container: {how_to('start')}"
    elif UNIT.exists() and program == "photoramd":
        yield "  sudo systemctl start photoramd"
    else:
        meanings = {"run": "start it here, until Ctrl-C", **meanings}
    yield from _commands(program, meanings)


def _counted(config: Config) -> str:
    from photoramd.search.overview import counts

    try:
        with closing(open_readonly(config.state.path)) as connection:
            found = {state: count for state, count in counts(connection).items() if count}
    except StoreError as error:
        return f"; {error.message} ({error.remedy})" if error.remedy else ""
    return ": " + (
        ", ".join(f"{n:,} photos {state}" for state, n in found.items()) or "no photos yet"
    )


def _commands(program: str, meanings: Mapping[str, str]) -> Iterator[str]:
    width = max(map(len, meanings))
    for command, meaning in meanings.items():
        yield f"  {program} {command:<{width}}  {meaning}"
