"""``photoramd model eval``: judge a model by labelled photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photoramd.cli.options import NamedPath, collected
from photoramd.cli.output import console, print_json
from photoramd.cli.photos import decoded, load_model
from photoramd.cli.values import complete_model
from photoramd.config import loader
from photoramd.errors import NoImagesError, printable

if TYPE_CHECKING:
    from photoramd.cli import Settings
    from photoramd.models.evaluation import Count, Evaluation, Truth
    from photoramd.models.rules import Rules
    from photoramd.models.vocabulary import Vocabulary

_THRESHOLDS = tuple(step / 10 for step in range(1, 10))

Photos = Sequence[tuple[Mapping[str, float], "Truth"]]
"""The stored scores of each photo, and what it shows."""


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """The options of the command, by their names."""

    directory: Path
    labels: Path
    name: str | None
    precision: str | None
    count_all: bool
    as_json: bool


@click.command("eval")
@click.argument("directory", type=NamedPath(exists=True, file_okay=False))
@click.option(
    "--labels",
    type=NamedPath(exists=True, dir_okay=False),
    required=True,
    help="CSV: file,keywords with | between them, or file and a column for each word (1, 0).",
)
@click.option(
    "--model",
    "name",
    shell_complete=complete_model,
    help="The model. Default: the configured one.",
)
@click.option("--precision", help="Of the model. Default: the configured one.")
@click.option(
    "--all",
    "count_all",
    is_flag=True,
    help="Count keywords that the labels never mention as wrong, instead of leaving them out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
@collected(EvalOptions)
def evaluate(settings: Settings, options: EvalOptions) -> None:
    """Judge the keywords of labelled photos, for the configured thresholds and others.

    The photos are those that the labels name, below DIRECTORY; they are only read. A keyword is
    right if the photo shows it, or something below it (animal for a dog), or what is above it
    (beagle for a dog). Words are judged one by one, too, each with all keywords below it.
    """
    configuration = loader.load(settings.config_path, need_file=False)
    from photoramd.daemon.assembly import rules
    from photoramd.models import evaluation
    from photoramd.models.vocabulary import kept

    truth = evaluation.read_labels(options.labels)
    paths = {options.directory / name: name for name in truth}
    is_there = {path: path.is_file() for path in paths}
    missing = [path for path, found in is_there.items() if not found]
    for path in missing[:5]:
        click.echo(f"{printable(path)}: not there", err=True)
    if len(missing) > 5:
        click.echo(f"and {len(missing) - 5} more are not there", err=True)
    present = [path for path, found in is_there.items() if found]
    if not present:
        raise NoImagesError(f"none of the photos of {options.labels} is in {options.directory}")
    model = configuration.model
    name = options.name or model.name
    tagger = load_model(name, options.precision or model.precision, model)
    photos: list[tuple[Mapping[str, float], Truth]] = []
    for batch in decoded(tagger, present, configuration.decode.max_pixels, "Tagging"):
        rows = tagger.scores([each.pixels for _, each in batch])
        for (path, _), row in zip(batch, rows, strict=True):
            photos.append((kept(tagger.vocabulary, row), truth[paths[path]]))
    among = None
    if not options.count_all:
        among = evaluation.mentioned(tagger.vocabulary, truth.values())
    judged = _judge(tagger.vocabulary, photos, rules(configuration), among)
    if options.as_json:
        head = {"model": name, "revision": tagger.revision, "photos": len(photos)}
        print_json(head | {"thresholds": {key: _plain(each) for key, each in judged.items()}})
    else:
        _show(name, judged)


def _judge(
    vocabulary: Vocabulary, photos: Photos, rules: Rules, among: frozenset[str] | None
) -> dict[str, Evaluation]:
    """Return evaluations by threshold, the configured one first."""
    from photoramd.models.evaluation import evaluate as judge

    first = "calibrated" if rules.threshold is None else f"{rules.threshold:g}"
    chosen = {first: rules}
    chosen |= {f"{value:g}": replace(rules, threshold=value) for value in _THRESHOLDS}
    return {name: judge(vocabulary, photos, each, among=among) for name, each in chosen.items()}


def _plain(each: Evaluation) -> dict[str, Any]:
    words = {
        word: {
            "right": count.right,
            "wrong": count.wrong,
            "missing": count.missing,
            "precision": count.precision,
            "recall": count.recall,
        }
        for word, count in sorted(each.words.items())
    }
    return each.as_dict() | {"words": words, "wrong": dict(each.wrong.most_common())}


def _show(name: str, judged: Mapping[str, Evaluation]) -> None:
    from rich import box
    from rich.table import Table

    (configured, first), *_ = judged.items()
    out = console()
    table = Table(box=box.SIMPLE_HEAD, title=f"{name}, {first.photos} photos", title_style="")
    for column in ("threshold", "precision", "recall", "with a right one", "with any", "a photo"):
        table.add_column(column, justify="left" if column == "threshold" else "right")
    keys = ("precision", "recall", "photos_with_right", "photos_with_any", "keywords")
    for threshold, each in judged.items():
        figures = each.as_dict()
        table.add_row(threshold, *(_figure(figures[key]) for key in keys))
    out.print(table)
    words = Table(box=box.SIMPLE_HEAD, title=f"words, threshold {configured}", title_style="")
    for column in ("word", "to be seen", "given", "right", "precision", "recall"):
        words.add_column(column, justify="left" if column == "word" else "right")
    for word, count in sorted(first.words.items(), key=_most_frequent):
        shown, given = count.right + count.missing, count.right + count.wrong
        figures_of = (_figure(count.precision), _figure(count.recall))
        words.add_row(word, str(shown), str(given), str(count.right), *figures_of)
    out.print(words)
    if first.wrong:
        wrong = (f"{word} {count}" for word, count in first.wrong.most_common(20))
        out.print(f"wrong: {', '.join(wrong)}", soft_wrap=True, highlight=False)
    if first.unknown:
        out.print(
            f"left out: {first.unknown} keywords of which the labels say nothing (see --all)",
            soft_wrap=True,
            highlight=False,
        )


def _most_frequent(item: tuple[str, Count]) -> tuple[int, str]:
    word, count = item
    return -(count.right + count.missing), word


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
