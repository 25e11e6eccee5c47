"""``photoramd worker``: run the model for daemons on other machines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from photoramd.cli.options import NamedPath, collected, require_extra
from photoramd.config import cluster, loader
from photoramd.errors import ConfigError, UsageError, printable
from photoramd.system import log

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.config.schema import Config

_PARTS = ("ray", "uvicorn", "cryptography")

_FILE = NamedPath(dir_okay=False)


class _Group(click.Group):
    """The group; ``check`` is a daemon's view, and imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), "check"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "check":
            return super().get_command(ctx, cmd_name)
        from photoramd.cli import worker_check

        return worker_check.command


@click.group("worker", cls=_Group)
def command() -> None:
    """Run the model for daemons on other machines."""


@dataclass(frozen=True)
class _Options:
    """The options; None is what the configuration says."""

    listen: str | None
    token_file: Path | None
    certificate: Path | None
    key: Path | None
    replicas: int | None


@command.command()
@click.option("--listen", metavar="WHERE", help="An address and a port. Default: 127.0.0.1:8443.")
@click.option("--token-file", type=_FILE, metavar="FILE", help="Ask for the token in this file.")
@click.option("--certificate", type=_FILE, metavar="FILE", help="The worker's certificate, PEM.")
@click.option("--key", type=_FILE, metavar="FILE", help="The private key of it, PEM.")
@click.option(
    "--replicas",
    type=click.IntRange(0, 64),
    metavar="NUMBER",
    help="How many times the model is loaded; 0: once for each GPU, or once.",
)
@click.pass_obj
@collected(_Options)
def run(settings: Settings, options: _Options) -> None:
    """Serve the model to daemons on other machines, until stopped.

    What is not given is as the section [worker] of the configuration says; the model is that of
    [model]. Only this machine can reach it without a certificate.
    """
    log.configure(verbose=settings.verbose)
    require_extra("a worker", "worker", _PARTS)
    configuration = _configured(settings.config_path, options)
    from photoramd.cli.worker_run import run_configured

    run_configured(configuration)


@command.command()
@click.argument("file", type=_FILE)
def token(file: Path) -> None:
    """Write a new token into a new file; daemons need a copy of it."""
    from photoramd.system.token import make_token

    make_token(file)
    click.echo(f"A new token is in {printable(file)}, for this user's eyes only.")
    click.echo("Name it as token_file in [worker] here, and a copy of it in [cluster] of daemons.")


@command.command()
@click.argument("directory", type=NamedPath(file_okay=False))
@click.option(
    "--host",
    "hosts",
    multiple=True,
    required=True,
    metavar="NAME",
    help="A name or an address that daemons know this machine by. Can be repeated.",
)
@click.option("--renew", is_flag=True, help="Replace the worker's certificate that is there.")
def certificate(directory: Path, hosts: tuple[str, ...], renew: bool) -> None:
    """Make a certificate for a worker, and an authority that signs it if there is none.

    Daemons need the authority's certificate, ca.pem, and no key. For several workers make all
    certificates in one place: an authority that is in DIRECTORY is used again.
    """
    require_extra("a worker", "worker", _PARTS)
    from photoramd.worker.certificate import make

    made = make(directory, hosts, datetime.now(UTC), renews=renew)
    whether = "new" if made.is_new else "there already"
    click.echo(f"The authority, which daemons need as ca_file ({whether}):")
    click.echo(f"  {printable(made.authority)}")
    click.echo(f"The worker's certificate, until {made.ends_at:%Y-%m-%d}, and its key:")
    click.echo(f"  --certificate {printable(made.certificate)}")
    click.echo(f"  --key {printable(made.key)}")


def _configured(path: Path | None, options: _Options) -> Config:
    """Return the configuration, with what the options say instead.

    Raises:
        ConfigError: The configuration has errors, or lacks a token.
        UsageError: An option is not allowed.
    """
    configuration = loader.load(path, need_file=False)
    changes = {
        "listen": options.listen,
        "token_file": options.token_file and str(options.token_file.absolute()),
        "certificate_file": options.certificate and str(options.certificate.absolute()),
        "key_file": options.key and str(options.key.absolute()),
        "replicas": options.replicas,
    }
    given = {key: each for key, each in changes.items() if each is not None}
    changed = replace(configuration.worker, **given)
    for problem in cluster.problems(configuration.cluster, changed):
        raise UsageError(problem.removeprefix("worker."))
    if not changed.token_file:
        raise ConfigError(
            "a worker needs a token, which daemons must show",
            remedy="photoramd worker token FILE makes one; name it with --token-file FILE or as "
            "token_file in [worker]",
        )
    return replace(configuration, worker=changed)
