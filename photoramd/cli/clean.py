"""``photoramd clean``: remove sidecars of ours whose photos are gone."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photoramd.cli.options import NamedPath
from photoramd.cli.output import print_json, waiting
from photoramd.config import loader
from photoramd.errors import PhotoramdError, StoreError, printable

if TYPE_CHECKING:
    from photoramd.cli import Settings


@click.command("clean")
@click.argument("directory", metavar="DIR", type=NamedPath(exists=True, file_okay=False))
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def command(context: click.Context, directory: Path, dry_run: bool, as_json: bool) -> None:
    """Remove sidecars that photoramd made for photos that are gone.

    They are known by photoramd's provenance record in them. One that holds anything else, such as a
    rating of yours, stays and is named. The daemon may run. Exits with 4 if a sidecar
    could not be removed.
    """
    settings: Settings = context.obj
    database = loader.load(settings.config_path, need_file=False).state.path
    from photoramd.contained.client import shared
    from photoramd.database.readonly import open_readonly
    from photoramd.pipeline.clean import clean
    from photoramd.search import places
    from photoramd.watch.filters import is_photo_directory_name

    def seeds_of(path: Path) -> tuple[str, ...]:
        with suppress(StoreError), closing(open_readonly(database)) as connection:
            return places.seeds(connection, path)
        return ()

    top = Path(os.path.realpath(directory))
    orphans = clean(top, seeds_of, shared(), enters=is_photo_directory_name, dry_run=dry_run)
    with waiting("Looking for sidecars without photos"):
        found = list(orphans)
    removed = [each for each in found if not each.kept and each.error is None]
    kept = [each for each in found if each.kept]
    failed = [each for each in found if each.error is not None]
    if as_json:
        summary: dict[str, Any] = {
            "dry_run": dry_run,
            "removed": [printable(each.path) for each in removed],
            "kept": [{"file": printable(each.path), "reason": each.kept} for each in kept],
            "failed": [{"file": printable(e.path), "error": str(e.error)} for e in failed],
        }
        print_json(summary)
    else:
        for each in removed:
            click.echo(f"{printable(each.path)}: {'would be removed' if dry_run else 'removed'}")
        for each in kept:
            click.echo(f"{printable(each.path)}: stays, as {each.kept}")
        for each in failed:
            click.echo(str(each.error), err=True)
        if not found:
            click.echo("no sidecar of ours without its photo there")
    if failed:
        context.exit(PhotoramdError.exit_code)
