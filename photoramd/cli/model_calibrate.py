"""``photoramd model calibrate``: whole numbers of 8 bits, fitted to one's own photos."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photoramd import config, pins
from photoramd.cli.model_compare import decode, echo_figures, look_at
from photoramd.cli.output import print_json
from photoramd.cli.tag import collect
from photoramd.errors import ModelError, NoImagesError, UsageError, printable

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.comparison import Comparison
    from photoramd.config import Config
    from photoramd.taggers.ram_plus_calibration import Calibration

_HELD_OUT = 4
"""One of so many photos is not calibrated with, but compared on."""


@click.command()
@click.argument("name", metavar="ram++")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
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
def calibrate(
    settings: Settings,
    name: str,
    paths: tuple[Path, ...],
    limit: int,
    anew: bool,
    accept: bool,
    as_json: bool,
) -> None:
    """Make the int8 weights of ram++, fitted to your photos.

    PATHS are photos or directories. Three of four photos are looked at with float32 numbers, to
    see what values occur; that can be interrupted and goes on when the command is given again,
    with the same photos or with others.
    On the others the tags of both are compared. The result is installed if they are near enough;
    if not, you are asked, or without a terminal the command ends with 3 and installs nothing.
    """
    if name != pins.RAM_PLUS.name:
        raise UsageError(f"only {pins.RAM_PLUS.name} can be calibrated, not {name!r}")
    configuration = config.load(settings.config_path, need_file=False)
    from photoramd.comparison import spread
    from photoramd.processor import available_cores
    from photoramd.taggers import libraries

    photos = spread(list(dict.fromkeys(collect(paths, recursive=True))), limit)
    if len(photos) < _HELD_OUT:
        raise NoImagesError(
            f"{len(photos)} photos are too few", remedy="name a directory with a hundred or more"
        )
    with libraries(name):
        from photoramd.taggers.ram_plus_calibration import Calibration, is_good

    threads = configuration.model.threads or available_cores()
    with Calibration.begin(threads, anew=anew) as calibration:
        try:
            compared, found = _calibrate(calibration, photos, configuration)
        except KeyboardInterrupt:
            click.echo("Interrupted; run the command again to go on.", err=True)
            raise
        if not as_json:
            click.echo(
                f"ram++, int8 against float32: calibrated with {len(calibration.seen)} photos, "
                f"compared on {compared} others"
            )
            echo_figures(found)
        good = is_good(found)
        path = calibration.install() if good or accept or _asked(found, as_json) else None
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
) -> tuple[int, Comparison]:
    """Look at most photos, and compare on the others; also returns how many these are."""
    from photoramd.assembly import rules
    from photoramd.comparison import compare

    max_pixels = configuration.decode.max_pixels
    held_out = photos[_HELD_OUT - 1 :: _HELD_OUT]
    others = [photo for number, photo in enumerate(photos, 1) if number % _HELD_OUT]

    def look(batch: Sequence[Any]) -> None:
        unseen = {each.digest.hex(): each.pixels for each in batch}
        unseen = {key: unseen[key] for key in unseen.keys() - calibration.seen}
        if unseen:
            calibration.look(unseen)

    look_at(decode(calibration.truth, others, max_pixels), look, "Calibrating", len(others))
    rest: list[Any] = []
    look_at(decode(calibration.truth, held_out, max_pixels), rest.extend, "Decoding", len(held_out))
    # Copies of photos that were calibrated with would prove less.
    fresh = {each.digest.hex(): each.pixels for each in rest}
    fresh = {key: fresh[key] for key in fresh if key not in calibration.seen}
    if not fresh:
        raise NoImagesError(
            "no photo is left to compare on", remedy="name a directory with other photos"
        )
    import numpy as np

    pixels = list(fresh.values())
    truth, found = [], []
    look_at(
        pixels, lambda b: truth.append(calibration.truth.scores(b)), "Tagging, float32", len(pixels)
    )
    tagger = calibration.quantise()
    look_at(pixels, lambda b: found.append(tagger.scores(b)), "Tagging, int8", len(pixels))
    scores = np.concatenate(truth), np.concatenate(found)
    return len(pixels), compare(tagger.vocabulary, *scores, rules(configuration))


def _doubt(found: Comparison) -> str:
    if not found.keywords:
        return "the photos that were compared have no tags, which proves nothing"
    return f"correlation {found.correlation:.4f}, F1 of the tags {found.f1:.3f}"


def _asked(found: Comparison, as_json: bool) -> bool:
    """Whether a person wants it all the same; False if there is none to ask."""
    if as_json or not sys.stdin.isatty():
        return False
    return click.confirm(f"{_doubt(found)}. Install it all the same?", err=True)
