"""Measure the keywords of models that need no download, on labelled photos.

    python -m benchmarks quality --imagenet LABELS.csv PHOTOS --coco LABELS.csv PHOTOS
        --words LABELS.csv PHOTOS [--model embedded] [--draft 24] [--json]

Keywords are judged as `photoramd model eval` does (`photoramd.models.evaluation`), with these
labels:

- ImageNet (header ``file,imagenet_class_index``): the keywords for the photo's class, and for the
  kinds above it. Many of these photos show more than one thing, or were labelled wrongly, so
  keywords are also judged by the reassessed labels of "Are we done with ImageNet?" (arXiv
  2006.07159, part of timm), for files that have their original names,
  ``ILSVRC2012_val_00000001.JPEG``. Only keywords for ImageNet's classes are judged, and whether
  there is a person is left out: it is often beside the point.
- COCO (header ``file,objects``, objects separated by ``|``): the keywords for the objects.
  Only keywords for things are judged, not those for places. What is in a photo but not among
  COCO's 80 objects counts as wrong, so precision is understated.
- Words (header ``file,WORD,...``, or ``file,keywords``): as `photoramd model eval`.
- Draft: what reducing a JPEG as it is decoded does to the scores, on camera-sized photos made
  from the sample photos.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

import numpy as np
from PIL import Image

from benchmarks.decode import MAX_PIXELS
from photoramd.images.decoder import decode
from photoramd.keywords import fold
from photoramd.models.embedded.keywords import read_evidence
from photoramd.models.evaluation import Evaluation, Truth, evaluate, mentioned, read_labels
from photoramd.models.imagenet import read_table
from photoramd.models.preprocessing import Pixels
from photoramd.models.registry import load
from photoramd.models.rules import Rules, select
from photoramd.models.tagger import Scores, Tagger
from photoramd.models.vocabulary import kept
from photoramd.system.cpu import available_cores
from tests.support.photos import camera_photos

FULL_SIDE = 1 << 20
DRAFT_SIDES = (768, 512, 448, 384, 320, 256)

# Names of COCO's objects in labels that follow an older custom.
OLD_NAMES = {
    "motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch",
    "pottedplant": "potted plant", "diningtable": "dining table", "tvmonitor": "tv",
}  # fmt: skip

# Keywords that are true wherever an object is, without standing above it.
ALSO = {
    "toilet": ["bathroom"], "sink": ["bathroom", "kitchenware"], "oven": ["kitchenware"],
    "refrigerator": ["kitchenware"], "microwave": ["kitchenware"], "knife": ["tableware"],
    "spoon": ["kitchenware"], "wine glass": ["drink"], "potted plant": ["flower"],
    "cup": ["coffee", "drink"], "vase": ["flower", "plant"], "bottle": ["drink"],
    "chair": ["table"], "dining table": ["tableware"], "keyboard": ["desk"], "mouse": ["desk"],
    "laptop": ["desk"], "tv": ["desk"], "pizza": ["tableware", "plate"], "broccoli": ["plate"],
    "cake": ["dessert"], "donut": ["dessert"], "toothbrush": ["bathroom"],
}  # fmt: skip


def imagenet_truths(rows: Sequence[tuple[str, str]]) -> Iterator[tuple[str, list[Truth]]]:
    """Labels by name: the classes of the photos, and if known the reassessed ones."""
    table = read_table()

    def truth(classes: Iterable[int]) -> Truth:
        known = frozenset(classes)
        return Truth(
            frozenset(fold(e.keyword) for e in table if not known.isdisjoint(e.classes)), None
        )

    yield "imagenet", [truth([int(index)]) for _, index in rows]
    if several := reassessed(rows):
        yield "imagenet, reassessed", list(map(truth, several))


def reassessed(rows: Iterable[tuple[str, str]]) -> list[set[int]] | None:
    """Each photo's class and those of its reassessed labels; None for other photos."""
    spec = find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return None
    info = Path(spec.submodule_search_locations[0]) / "data/_info/imagenet_real_labels.json"
    labels = json.loads(info.read_text())
    result = []
    for file, index in rows:
        match = re.fullmatch(r"ILSVRC2012_val_(\d{8})\.JPEG", file)
        if match is None:
            return None
        result.append({int(index), *labels[int(match[1]) - 1]})
    return result


def imagenet_words() -> frozenset[str]:
    """The keywords that ImageNet's labels judge."""
    scenes = {row.keyword for row in read_evidence() if not row.label.startswith("object: ")}
    return frozenset(fold(e.keyword) for e in read_table() if e.keyword not in scenes)


def coco_truth(objects: str) -> Truth:
    """What a photo with these objects of COCO's shows."""
    keywords = {row.label.removeprefix("object: "): row for row in read_evidence()}
    words: set[str] = set()
    for name in filter(None, objects.split("|")):
        name = OLD_NAMES.get(name, name)
        row = keywords[name]
        words.update((row.keyword, *row.same, *row.above, *ALSO.get(name, ())))
    return Truth(frozenset(map(fold, words)), None)


def things(tagger: Tagger) -> frozenset[str]:
    """The keywords for things, which COCO's labels judge."""
    scenes = {row.keyword for row in read_evidence() if row.label.startswith("scene: ")}
    places = (scenes - {"person"}) | {"landscape", "coast"}
    people = {row.keyword for row in read_evidence() if row.label.startswith("people: ")}
    return frozenset(map(fold, tagger.vocabulary.labels)) - frozenset(map(fold, places | people))


def read_rows(labels: Path) -> list[tuple[str, str]]:
    """The rows of a CSV file of two columns, without its header."""
    with labels.open(newline="") as file:
        return [(row[0], row[1]) for row in list(csv.reader(file))[1:]]


def scores_of(tagger: Tagger, paths: Iterable[Path], side: int = FULL_SIDE) -> Scores:
    """Scores of files, float32, shape (files, columns)."""

    def pixels(path: Path) -> Pixels:
        return tagger.pixels(decode(path, side=side, max_pixels=MAX_PIXELS).image)

    with ThreadPoolExecutor(available_cores()) as pool:
        return np.concatenate([tagger.scores([each]) for each in pool.map(pixels, paths)])


def accuracy(truth: Sequence[int], scores: Scores) -> dict[str, float]:
    """Accuracy of the leaves, on photos whose class has one.

    Classes under one name count as one, which adds about half a point to the usual figure.
    """
    leaves = [frozenset(entry.classes) for entry in read_table() if not entry.is_kind]
    with_leaf = frozenset[int]().union(*leaves)
    ranks = []
    for index, row in zip(truth, scores, strict=True):
        if index in with_leaf:
            order = np.argsort(-row[: len(leaves)], kind="stable").tolist()
            ranks.append(next(r for r, column in enumerate(order) if index in leaves[column]))
    return {f"top-{limit} accuracy": mean(rank < limit for rank in ranks) for limit in (1, 5)}


def compare(tagger: Tagger, one: Scores, other: Scores) -> dict[str, float]:
    """How far two sets of scores of the same photos lie apart."""
    difference = np.abs(one - other)

    def words(row: Scores) -> set[str]:
        stored = kept(tagger.vocabulary, row)
        return {tag.name for tag in select(tagger.vocabulary, stored, Rules())}

    pairs = [(words(a), words(b)) for a, b in zip(one, other, strict=True)]
    return {
        "largest difference of a score": float(difference.max()),
        "mean of the photos' largest": float(difference.max(axis=1).mean()),
        "photos with the same keywords": mean(a == b for a, b in pairs),
        "keywords in common": sum(len(a & b) for a, b in pairs)
        / max(1, sum(len(a | b) for a, b in pairs)),
    }


def measure_draft(tagger: Tagger, count: int) -> dict[str, dict[str, float]]:
    """Scores of reduced JPEGs against those of the same decoded in full."""
    results = {}
    with tempfile.TemporaryDirectory() as directory:
        for megapixels in (12, 24):
            place = Path(directory) / str(megapixels)
            paths = camera_photos(place, megapixels, count, seed=1)
            full = scores_of(tagger, paths)
            with Image.open(paths[0]) as image:
                shorter = min(image.size)
            for side in DRAFT_SIDES:
                scale = max(s for s in (1, 2, 4, 8) if shorter // s >= side)
                name = f"{megapixels} MP, side {side}: reduced by {scale}"
                results[name] = compare(tagger, full, scores_of(tagger, paths, side))
    return results


def figures(each: Evaluation) -> dict[str, float]:
    """Those that are known."""
    return {name: value for name, value in each.as_dict().items() if value is not None}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks quality", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    pair = ("LABELS", "PHOTOS")
    for name in ("imagenet", "coco", "words"):
        parser.add_argument(f"--{name}", nargs=2, type=Path, metavar=pair)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--draft", type=int, default=0, metavar="N", help="photos of each size")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    arguments = parse(argv)
    tagger = load(arguments.model, threads=available_cores())
    results: dict[str, dict[str, float]] = {}
    judged: dict[str, Evaluation] = {}

    def judge(title: str, truth: Sequence[Truth], scores: Scores, among: frozenset[str]) -> None:
        stored = [kept(tagger.vocabulary, row) for row in scores]
        pairs = list(zip(stored, truth, strict=True))
        judged[title] = evaluate(tagger.vocabulary, pairs, Rules(), among=among)
        results[title] = results.get(title, {}) | figures(judged[title])
        results[title]["scores_kept"] = mean(map(len, stored))

    if arguments.imagenet:
        labels, photos = arguments.imagenet
        rows = read_rows(labels)
        scores = scores_of(tagger, [photos / file for file, _ in rows])
        results["imagenet"] = accuracy([int(index) for _, index in rows], scores)
        for title, truth in imagenet_truths(rows):
            judge(title, truth, scores, imagenet_words())
    if arguments.coco:
        labels, photos = arguments.coco
        rows = read_rows(labels)
        scores = scores_of(tagger, [photos / file for file, _ in rows])
        judge("coco", [coco_truth(objects) for _, objects in rows], scores, things(tagger))
    if arguments.words:
        labels, photos = arguments.words
        known = read_labels(labels)
        scores = scores_of(tagger, [photos / file for file in known])
        among = mentioned(tagger.vocabulary, known.values())
        judge("words", list(known.values()), scores, among)
    if arguments.draft:
        results |= measure_draft(tagger, arguments.draft)
    if arguments.json:
        print(
            json.dumps({title: each | _words(judged.get(title)) for title, each in results.items()})
        )
    else:
        report(results, judged)


def _words(each: Evaluation | None) -> dict[str, object]:
    if each is None:
        return {}
    words = {w: {"precision": c.precision, "recall": c.recall} for w, c in each.words.items()}
    return {"wrong": each.wrong, "words": words}


def report(results: Mapping[str, Mapping[str, float]], judged: Mapping[str, Evaluation]) -> None:
    """Print results as tables."""
    for title, each in results.items():
        print(f"\n{title}")
        for name, value in each.items():
            print(f"  {name:34} {value:.4f}")
        if title in judged:
            wrong = judged[title].wrong.most_common(30)
            print("  wrong:", ", ".join(f"{word} {count}" for word, count in wrong))


if __name__ == "__main__":
    main()
