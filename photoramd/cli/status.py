"""``photoramd status``: show what is done, waiting and wrong."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

import click

from photoramd.cli.output import Color, print_json, styled
from photoramd.clock import unix_time
from photoramd.config import loader
from photoramd.config.schedule import Schedule
from photoramd.database.health import RootState
from photoramd.database.readonly import open_readonly
from photoramd.errors import UsageError
from photoramd.images.formats import RAW_REMEDY
from photoramd.search.status import CountedReason, Status, StatusSettings, read_status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from photoramd.cli import Settings
    from photoramd.config.schema import Config

_HEALTH = {RootState.ONLINE: Color.GOOD, RootState.OFFLINE: Color.BAD}


@click.command("status")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "prometheus"]),
    default="text",
    help="Text (the default), a JSON object, or metrics for Prometheus.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.pass_obj
def command(settings: Settings, form: str, as_json: bool) -> None:
    """Show what is done, waiting and wrong."""
    if as_json and form == "prometheus":
        raise UsageError("--json and --format name two formats", remedy="leave one of them out")
    configuration = loader.load(settings.config_path, need_file=False)
    if form == "prometheus":
        _print_metrics(configuration.state.path)
        return
    status = _status(configuration)
    print_json(status) if as_json or form == "json" else _print(status)


def _print_metrics(database: Path) -> None:
    # Its library takes as long to import as a whole `status` takes.
    from photoramd.search.metrics import exposition

    with closing(open_readonly(database)) as connection:
        click.echo(exposition(connection, database), nl=False)


def _status(configuration: Config) -> Status:
    database = configuration.state.path
    wanted = StatusSettings(
        Schedule.parse(configuration.schedule.hours), configuration.model.renews
    )
    with closing(open_readonly(database)) as connection:
        return read_status(connection, database, wanted, unix_time())


def _print(status: Status) -> None:
    if status["running"]:
        running = f"{styled('running', Color.GOOD)} (process {status['process']})"
    else:
        running = styled("not running", Color.BAD)
    click.echo(f"photoramd:  {running}")
    click.echo(f"database:   {status['database']}")
    photos = ", ".join(f"{n} {state}" for state, n in status["photos"].items() if n)
    click.echo(f"photos:     {photos or 'none yet'}")
    if status["running"] and status["seconds_left"] is not None:
        click.echo(f"time left:  about {_duration(status['seconds_left'])} at the present speed")
    if status["to_renew"]:
        click.echo(f"new model:  {status['to_renew']} photos have tags of an earlier version;")
        click.echo("            they are tagged again when nothing else waits")
    if status["to_read"]:
        click.echo(f"to read:    {status['to_read']} photos, for your keywords, dates and cameras;")
        click.echo("            that happens when nothing else waits, without the model")
    found = status["places"]
    if found["embedded"] or found["fallbacks"]:
        counts = f"{found['sidecar']} in sidecars, {found['embedded']} inside photos"
        click.echo(f"keywords:   {counts}")
    if status["rests_until"]:
        until = datetime.fromtimestamp(status["rests_until"])
        click.echo(f"hours:      photos are found and queued; tagging begins at {until:%H:%M}")
    for root in status["roots"]:
        scanned = root["scanned_at"]
        if status["running"] and root["scanning_since"]:
            since = datetime.fromtimestamp(root["scanning_since"])
            photos = f"{root['scanned_photos']} photos seen since {since:%H:%M}"
            click.echo(f"scanning:   {root['path']}, {photos}")
        when = f", scanned {datetime.fromtimestamp(scanned):%Y-%m-%d %H:%M}" if scanned else ""
        health = styled(root["health"], _HEALTH.get(root["health"], Color.WARNING))
        click.echo(f"watched:    {root['path']} is {health}{when}")
        for key in ("reason", "remedy"):
            if root[key]:
                click.echo(f"            {root[key]}")
        if root["raw_left_out"]:
            click.echo(f"            camera RAW files that are not tagged: {root['raw_left_out']}")
            click.echo(f"            {RAW_REMEDY}")
    for worker in status["workers"]:
        state = "available" if worker["available"] else "not available"
        since = datetime.fromtimestamp(worker["since"])
        click.echo(f"worker:     {worker['url']} is {state} since {since:%Y-%m-%d %H:%M}")
        for text in (worker["reason"], worker["remedy"]):
            if text:
                click.echo(f"            {text}")
    _print_reasons("in a sidecar instead of inside the photo:", found["fallbacks"])
    _print_reasons(styled("problems:", Color.BAD), status["problems"])


def _duration(seconds: float) -> str:
    """Return a duration in the two largest units that matter."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "a minute"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _print_reasons(title: str, reasons: Sequence[CountedReason]) -> None:
    if reasons:
        click.echo(title)
    for each in reasons:
        click.echo(f"  {each['photos']:>6}  {each['reason']}")
        click.echo(f"          such as {each['example']}")
