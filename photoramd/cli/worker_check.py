"""``photoramd worker check``: look at workers as a daemon does."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from photoramd.cli.answers import CheckedWorker
from photoramd.cli.output import print_json, waiting
from photoramd.config import loader
from photoramd.config.schema import Config
from photoramd.errors import ConfigError, ModelUnavailableError, UsageError

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.models.remote.checkup import Checkup

_PICTURES = 8


@click.command("check")
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, urls: tuple[str, ...], as_json: bool) -> None:
    """Look at workers as a daemon does, and have each tag a few made-up pictures.

    Without URL, all configured workers. Token, certificate and model are as the sections
    [cluster] and [model] of the configuration say. Exits with 3 if a worker cannot be used.
    """
    settings: Settings = context.obj
    configuration = loader.load(settings.config_path)
    found = _check(configuration, urls or configuration.cluster.workers, quiet=as_json)
    if as_json:
        print_json([_plain(each) for each in found])
    else:
        for each in found:
            _echo(each)
    if any(each.error for each in found):
        context.exit(ModelUnavailableError.exit_code)


def _check(configuration: Config, urls: tuple[str, ...], *, quiet: bool) -> list[Checkup]:
    """Look at workers, one after the other.

    Raises:
        ConfigError: There is no worker, no token, or no certificate of the authority.
        ModelError: The model cannot run elsewhere, or a list that belongs to it is missing.
        UsageError: An address is not allowed.
    """
    from photoramd.config import cluster
    from photoramd.models import registry
    from photoramd.models.known import known_pictures
    from photoramd.models.remote.checkup import check
    from photoramd.models.remote.client import clients

    model, chosen = configuration.model, configuration.cluster
    if not urls:
        raise ConfigError("no worker is configured", remedy="name one, or set cluster.workers")
    if not chosen.token_file:
        raise ConfigError("cluster.token_file: missing", remedy="set it to the workers' token")
    for problem in cluster.problems(replace(chosen, workers=urls), configuration.worker):
        raise UsageError(problem)
    description = registry.describe(model.name, precision=model.precision, device=model.device)
    group = known_pictures(description.crop, _PICTURES)
    found = []
    for client in clients(urls, chosen.token_file, chosen.ca_file, description):
        with nullcontext() if quiet else waiting(f"Asking {client.url}"):
            found.append(check(client, group))
        client.close()
    return found


def _plain(found: Checkup) -> CheckedWorker:
    return CheckedWorker(
        url=found.url,
        good=found.error is None,
        problem=found.error.reason if found.error else None,
        remedy=(found.error.remedy or None) if found.error else None,
        device=found.device,
        version=found.version,
        at_once=found.at_once,
        certificate_until=found.valid_until,
        seconds_a_picture=found.seconds,
    )


def _echo(found: Checkup) -> None:
    click.echo(f"{found.url}: {'well' if found.error is None else 'cannot be used'}")
    if found.error is not None:
        click.echo(f"  {found.error.reason}")
        if found.error.remedy:
            click.echo(f"  -> {found.error.remedy}")
    if found.device is not None:
        click.echo(f"  model:       the one that is needed, on {found.device}")
        click.echo(f"  version:     {found.version}")
    if found.valid_until is not None:
        until = datetime.fromtimestamp(found.valid_until)
        click.echo(f"  certificate: valid until {until:%Y-%m-%d}")
    if found.seconds is not None:
        click.echo(f"  speed:       {found.seconds:.3f} s a picture, {_PICTURES} at a time")
