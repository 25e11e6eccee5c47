"""``photoramd scan``: tag what is new in directories, once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd.cli.options import NamedPath
from photoramd.cli.output import print_json
from photoramd.cli.progress import Progress, exit_if_nothing_succeeded, is_watched, sentence
from photoramd.config import loader
from photoramd.errors import ConfigError, ExitCode, NoImagesError, PhotoramdError, printable

if TYPE_CHECKING:
    from photoramd.cli import Settings


@click.command("scan")
@click.argument(
    "paths",
    nargs=-1,
    metavar="[PATH]...",
    type=NamedPath(exists=True, file_okay=False),
)
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, errors only.")
@click.pass_context
def command(context: click.Context, paths: tuple[Path, ...], as_json: bool, quiet: bool) -> None:
    """Tag what is new in directories, once.

    Without PATH, all configured directories. A directory that is not configured gets
    the default settings: its photos are tagged, and get sidecars.
    """
    settings: Settings = context.obj
    configuration = loader.load(settings.config_path, need_file=False)
    tops = [Path(os.path.realpath(path)) for path in paths]
    tops = tops or [watch.path for watch in configuration.watch]
    if not tops:
        raise ConfigError(
            "no directory to scan",
            remedy="name one (photoramd scan PATH), or write a configuration"
            " (photoramd config init)",
        )
    tops = [top for top in dict.fromkeys(tops) if not any(t in top.parents for t in tops)]
    extra = [top for top in tops if not is_watched(top, configuration)]
    # Configured directories below a named one keep their own settings.
    tops += [w.path for w in configuration.watch if any(top in w.path.parents for top in extra)]
    shown = Progress(enabled=not quiet and not as_json)
    from photoramd.daemon.assembly import assemble

    with shown, assemble(configuration, extra, shown.note) as daemon:
        completed = daemon.scan_once(
            [os.fspath(top) for top in tops], lambda outcomes: shown.update(outcomes, daemon)
        )
        away, seen = daemon.offline_below(tops), daemon.seen
    summary = shown.summary(completed)
    if as_json:
        print_json(summary)
    elif not quiet:
        click.echo(sentence(summary))
    if not completed:
        context.exit(ExitCode.INTERRUPTED)
    if away:
        raise PhotoramdError(
            "not there, not readable, or not the directory it was; its photos keep their state",
            path=away[0],
            remedy="mount it, or correct its path; photoramd status tells more",
        )
    if not seen:
        raise NoImagesError(f"no images found in {', '.join(printable(top) for top in tops)}")
    exit_if_nothing_succeeded(context, summary)
