"""``photoramd serve``: show the photos in a browser, and to programs."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from photoramd.cli.options import NamedPath, collected, require_extra
from photoramd.config import gallery, loader
from photoramd.daemon import sd_notify
from photoramd.database.readonly import open_readonly
from photoramd.errors import StoreError, UsageError, printable
from photoramd.system import log
from photoramd.system.ending import leave_hung_threads

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.config.schema import Config
    from photoramd.web.site import Site

logger = logging.getLogger(__name__)

_PARTS = ("starlette", "uvicorn", "jinja2")


@dataclass(frozen=True)
class _Options:
    """The options; None is what the configuration says."""

    listen: str | None
    base_path: str | None
    token_file: Path | None
    host: tuple[str, ...]
    read_only: bool
    new_token: Path | None


_FILE = NamedPath(dir_okay=False)


@click.command("serve")
@click.option(
    "--listen",
    metavar="WHERE",
    help="An address and a port, or unix: and the path of a socket. Default: 127.0.0.1:8700.",
)
@click.option("--base-path", metavar="/PATH", help="Where a proxy shows the gallery.")
@click.option("--token-file", type=_FILE, metavar="FILE", help="Ask for the token in this file.")
@click.option(
    "--host",
    multiple=True,
    metavar="NAME",
    help="A further name that the gallery is reached by. Can be repeated.",
)
@click.option("--read-only", is_flag=True, help="Let nobody change tags or have photos retried.")
@click.option(
    "--new-token", type=_FILE, metavar="FILE", help="Write a new token into a new file, and end."
)
@click.pass_obj
@collected(_Options)
def command(settings: Settings, options: _Options) -> None:
    """Show the photos in a browser, and to programs, until stopped.

    What is not given is as the section [gallery] of the configuration says. Without a token
    only this machine can look: an address that others can reach is refused then.
    """
    log.configure(verbose=settings.verbose)
    require_extra("the gallery", "web", _PARTS)
    if options.new_token is not None:
        _write_token(options.new_token)
        return
    configuration = _configured(settings.config_path, options)
    with sd_notify.connect() as notifier:
        # They take a third of a second, and an error in the configuration should not wait.
        from photoramd.net.sockets import addresses, listening
        from photoramd.web.server import require_safety, serve

        site = _site(configuration, read_only=options.read_only)
        with listening(configuration.gallery.listen, "gallery.listen") as sockets:
            require_safety(site, sockets)

            def ready() -> None:
                for address in addresses(sockets, configuration.gallery.base_path):
                    click.echo(f"The gallery is at {address}")
                notifier.ready(lambda: True)

            serve(site, sockets, ready, notifier.beat)
    # They wait for a disk that does not answer, and Python would wait for them.
    leave_hung_threads("a disk does not answer: what was asked of it is given up")


def _write_token(path: Path) -> None:
    from photoramd.system.token import make_token

    make_token(path)
    click.echo(f"A new token is in {printable(path)}, for this user's eyes only.")
    click.echo("Start photoramd serve with it, and log in with what the file contains.")


def _configured(path: Path | None, options: _Options) -> Config:
    """Return the configuration, with what the options say instead.

    Raises:
        ConfigError: The configuration has errors.
        UsageError: An option is not allowed.
    """
    configuration = loader.load(path, need_file=False)
    given = configuration.gallery
    changes = {
        "listen": options.listen,
        "base_path": options.base_path,
        "token_file": options.token_file and os.fspath(options.token_file.absolute()),
        "hosts": (*given.hosts, *options.host) if options.host else None,
    }
    changed = replace(given, **{key: each for key, each in changes.items() if each is not None})
    for problem in gallery.problems(changed):
        raise UsageError(problem.removeprefix("gallery."))
    return replace(configuration, gallery=changed)


def _site(configuration: Config, *, read_only: bool) -> Site:
    from photoramd.system.token import read_token
    from photoramd.web.access import Access
    from photoramd.web.readers import Readers
    from photoramd.web.site import Site

    database = configuration.state.path
    try:
        open_readonly(database).close()
    except StoreError as error:
        # It may come, or be mended; until then the pages say so.
        logger.warning("%s; %s", error, error.remedy)
    token_file = configuration.gallery.token_file
    return Site(
        configuration,
        database,
        Readers(database),
        Access(read_token(Path(token_file))) if token_file else None,
        _why_read_only(database, asked_for=read_only),
    )


def _why_read_only(database: Path, *, asked_for: bool) -> str | None:
    if asked_for:
        return "it was started with --read-only"
    may_write = all(os.access(each, os.W_OK) for each in (database, database.parent))
    if os.path.exists(database) and not may_write:
        return "the database is another user's: run it as the user of the daemon to change that"
    return None
