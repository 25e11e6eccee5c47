"""``photoramd model calibrate``: make int8 weights fitted to the user's photos."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd.cli.options import NamedPath, collected
from photoramd.cli.output import echo_comparison, print_json, waiting
from photoramd.cli.photos import collect_photos, decoded, scored
from photoramd.cli.values import complete_model
from photoramd.config import loader
from photoramd.errors import ModelError, NoImagesError, UsageError, printable
from photoramd.models.registry import specification
from photoramd.models.weights import catalog

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.config.schema import Config
    from photoramd.models.comparison import Comparison
    from photoramd.models.ram_plus.calibration import Calibration

_HELD_OUT = 4
"""One in this many photos is held out of the calibration, for the comparison."""


@dataclass(frozen=True, slots=True)
class CalibrateOptions:
    """The options of the command, by their names."""

    name: str
    paths: tuple[Path, ...]
    limit: int
    anew: bool
    accept: bool
    as_json: bool


@click.command()
@click.argument("name", metavar="ram++", shell_complete=complete_model)
@click.argument("paths", nargs=-1, required=True, type=NamedPath(exists=True))
@click.option(
    "--limit",
    type=click.IntRange(min=_HELD_OUT, max=10_000),
    default=128,
    show_default=True,
    help="At most so many photos, evenly spread.",
)
@click.option("--anew", is_flag=True, help="Forget what an unfinished calibration saw.")
@click.option("--accept", is_flag=True, help="Install the result, however far its tags differ.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
@collected(CalibrateOptions)
def calibrate(settings: Settings, options: CalibrateOptions) -> None:
    """Make the int8 weights of ram++, fitted to your photos.

    PATHS are photos or directories. Three of four photos are looked at with float32 numbers, to
    see what values occur; that can be interrupted and goes on when the command is given again,
    with the same photos or with others.
    On the others the tags of both are compared. The result is installed if they are near enough;
    if not, you are asked, or without a terminal the command ends with 3 and installs nothing.
    """
    name, as_json = options.name, options.as_json
    if name not in catalog.MODELS or specification(name).calibrated_precision is None:
        raise UsageError(f"only {catalog.RAM_PLUS.name} can be calibrated, not {name!r}")
    configuration = loader.load(settings.config_path, need_file=False)
    from photoramd.models.comparison import spread
    from photoramd.models.registry import libraries
    from photoramd.system.cpu import available_cores

    photos = spread(collect_photos(options.paths), options.limit)
    if len(photos) < _HELD_OUT:
        raise NoImagesError(
            f"{len(photos)} photos are too few", remedy="name a directory with a hundred or more"
        )
    threads = configuration.model.threads or available_cores()
    with ExitStack() as stack:
        with waiting(f"Loading {name}, float32"):
            with libraries(name):
                from photoramd.models.ram_plus.calibration import Calibration, is_good
            calibration = stack.enter_context(Calibration.begin(threads, anew=options.anew))
        try:
            found = _calibrate(calibration, photos, configuration)
        except KeyboardInterrupt:
            click.echo("Interrupted; run the command again to go on.", err=True)
            raise
        if not as_json:
            click.echo(
                f"ram++, int8 against float32: calibrated with {len(calibration.seen)} photos, "
                f"compared on {found.photos} others"
            )
            echo_comparison(found)
        good = is_good(found)
        path = calibration.install() if good or options.accept or _asked(found, as_json) else None
    if as_json:
        print_json(
            {"calibrated_with": len(calibration.seen), "good": good}
            | {"path": None if path is None else printable(path)}
            | found.as_dict()
        )
    if path is None:
        raise ModelError(
            f"not installed: {_doubt(found)}",
            remedy="calibrate with more photos, more like those to be tagged; or --accept it",
        )
    if not as_json:
        click.echo(f'Installed ({printable(path)}); precision = "int8" under [model] chooses it')


def _calibrate(
    calibration: Calibration, photos: Sequence[Path], configuration: Config
) -> Comparison:
    """Calibrate with most photos, and compare on the others."""
    from photoramd.daemon.assembly import rules
    from photoramd.pipeline.direct import compare_scores

    max_pixels = configuration.decode.max_pixels
    held_out = photos[_HELD_OUT - 1 :: _HELD_OUT]
    others = [photo for number, photo in enumerate(photos, 1) if number % _HELD_OUT]
    for batch in decoded(calibration.truth, others, max_pixels, "Calibrating"):
        unseen = {each.digest.hex(): each.pixels for _, each in batch}
        unseen = {key: unseen[key] for key in unseen.keys() - calibration.seen}
        if unseen:
            calibration.look(unseen)
    # Copies of photos that were calibrated with would prove less.
    seen = {bytes.fromhex(digest) for digest in calibration.seen}
    fresh = scored(calibration.truth, held_out, max_pixels, "float32", seen)
    truth = {each.digest: each for each in fresh}
    if not truth:
        raise NoImagesError(
            "no photo is left to compare on", remedy="name a directory with other photos"
        )
    with waiting("Quantizing"):
        tagger = calibration.quantize()
    again = scored(tagger, [each.path for each in truth.values()], max_pixels, "int8")
    found, _ = compare_scores(tagger, truth, again, rules(configuration))
    return found


def _doubt(found: Comparison) -> str:
    if not found.keywords:
        return "the photos that were compared have no tags, which proves nothing"
    return f"correlation {found.correlation:.4f}, F1 of the tags {found.f1:.3f}"


def _asked(found: Comparison, as_json: bool) -> bool:
    """Return whether the user wants it anyway; False without a terminal to ask on."""
    if as_json or not sys.stdin.isatty():
        return False
    return click.confirm(f"{_doubt(found)}. Install it all the same?", err=True)
