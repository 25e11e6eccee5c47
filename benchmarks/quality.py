"""Measure the embedded tagger on labelled photos.

    python -m benchmarks.quality --imagenet LABELS.csv PHOTOS --coco LABELS.csv PHOTOS
        [--draft 24] [--precision float32 bfloat16] [--json]

- ImageNet (header ``file,imagenet_class_index``): accuracy of the classes, and of keywords. A
  keyword is right if it stands for the photo's class, alone or among others. Many of these
  photos show more than one thing, or were labelled wrongly, so keywords are also judged by
  the reassessed labels of "Are we done with ImageNet?" (arXiv 2006.07159, part of timm),
  for files that have their original names, ``ILSVRC2012_val_00000001.JPEG``.
- COCO (header ``file,objects``, objects separated by ``|``): a keyword is right if it names an
  object in the photo, something above it (animal for a dog) or something below it (beagle).
  Objects that the tagger has no word for (giraffe) have only words above. What is in a photo
  but not among COCO's 80 objects counts as wrong, so precision is understated.
- Draft: what reducing a JPEG as it is decoded does to the scores, on camera-sized photos made
  from the sample photos.

With a second precision, everything is measured with it too, and its keywords are compared.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

import numpy as np
import numpy.typing as npt
from PIL import Image

from photoramd.images.decoder import decode
from photoramd.models.imagenet import read_table
from photoramd.models.registry import load
from photoramd.models.rules import Rules, select
from photoramd.models.tagger import Scores, Tagger
from photoramd.models.vocabulary import kept
from tests.support.photos import camera_photos

MAX_PIXELS = 120_000_000
FULL_SIDE = 1 << 20
DRAFT_SIDES = (768, 512, 448, 384, 320, 256)

IsRight = Callable[[str], bool]

# COCO's objects and the keywords that mean them.
SAME = {
    "person": ["person"], "bicycle": ["bicycle"], "car": ["car"], "motorbike": ["motorcycle"],
    "aeroplane": ["airplane"], "bus": ["bus"], "train": ["train"], "truck": ["truck"],
    "boat": ["boat"], "traffic light": ["traffic light"], "stop sign": ["street sign"],
    "parking meter": ["parking meter"], "bench": ["park bench"], "bird": ["bird"],
    "cat": ["cat"], "dog": ["dog"], "horse": ["horse"], "sheep": ["sheep"],
    "cow": ["cattle"], "elephant": ["elephant"], "bear": ["bear"], "zebra": ["zebra"],
    "backpack": ["backpack"], "umbrella": ["umbrella"], "handbag": ["purse"], "tie": ["tie"],
    "skis": ["ski"], "sports ball": ["ball"], "tennis racket": ["racket"],
    "bottle": ["bottle"], "wine glass": ["goblet", "red wine"], "cup": ["cup"],
    "knife": ["knife"], "spoon": ["wooden spoon", "ladle"], "bowl": ["bowl"],
    "banana": ["banana"], "apple": ["apple"], "orange": ["orange"], "broccoli": ["broccoli"],
    "hot dog": ["hot dog"], "pizza": ["pizza"], "chair": ["chair"], "sofa": ["sofa"],
    "pottedplant": ["flowerpot"], "bed": ["bed"], "diningtable": ["dining table"],
    "toilet": ["toilet"], "tvmonitor": ["television", "computer monitor"],
    "laptop": ["laptop"], "mouse": ["computer mouse"], "remote": ["remote control"],
    "keyboard": ["computer keyboard"], "cell phone": ["mobile phone"],
    "microwave": ["microwave oven"], "oven": ["stove"], "toaster": ["toaster"],
    "sink": ["sink"], "refrigerator": ["refrigerator"], "book": ["book"], "clock": ["clock"],
    "vase": ["vase"], "teddy bear": ["teddy bear"], "hair drier": ["hair dryer"],
}  # fmt: skip

# COCO's objects that no keyword means, and the keywords above them.
ABOVE = {
    "giraffe": ["animal"], "sandwich": ["food"], "carrot": ["vegetable", "food"],
    "donut": ["dessert", "food"], "cake": ["dessert", "food"],
    "frisbee": ["toy", "sports equipment"],
    "kite": ["toy"], "snowboard": ["sports equipment"], "baseball bat": ["sports equipment"],
    "baseball glove": ["sports equipment"], "skateboard": ["sports equipment"],
    "surfboard": ["sports equipment"], "fire hydrant": [], "suitcase": ["bag"],
    "fork": ["tableware"], "scissors": ["tool"], "toothbrush": ["toiletries", "bathroom"],
}  # fmt: skip

# Words that are not above an object by its classes but true wherever it is.
ALSO = {
    "toilet": ["bathroom"], "sink": ["bathroom", "kitchenware"], "oven": ["kitchenware"],
    "refrigerator": ["kitchenware"], "microwave": ["kitchenware"], "knife": ["tableware"],
    "spoon": ["tableware", "kitchenware"], "wine glass": ["drink", "tableware"],
    "pottedplant": ["plant"], "cup": ["coffee", "drink"], "vase": ["flower", "plant"],
    "bottle": ["drink"], "chair": ["table"], "diningtable": ["furniture", "tableware"],
    "keyboard": ["desk"], "mouse": ["desk"], "laptop": ["desk"], "tvmonitor": ["desk"],
    "pizza": ["tableware", "plate"], "broccoli": ["plate"], "stop sign": ["traffic light"],
}  # fmt: skip


@dataclass
class KeywordQuality:
    """Keywords of many photos, counted.

    Attributes:
        precision: Share of the keywords that are right.
        photos_with_right: Share of the photos with at least one right keyword.
        photos_with_any: Share of the photos with at least one keyword.
        per_photo: Mean number of keywords.
        wrong: The most frequent wrong keywords and how often they occurred.
    """

    photos: int = 0
    keywords: int = 0
    right: int = 0
    with_right: int = 0
    with_any: int = 0
    wrong: Counter[str] = field(default_factory=Counter)

    def add(self, keywords: Collection[str], is_right: IsRight) -> None:
        """Count one photo."""
        right = [keyword for keyword in keywords if is_right(keyword)]
        self.photos += 1
        self.keywords += len(keywords)
        self.right += len(right)
        self.with_right += bool(right)
        self.with_any += bool(keywords)
        self.wrong.update(set(keywords) - set(right))

    def figures(self) -> dict[str, float]:
        """The figures by name."""
        return {
            "keyword precision": self.right / max(self.keywords, 1),
            "photos with a right keyword": self.with_right / self.photos,
            "photos with a keyword": self.with_any / self.photos,
            "keywords per photo": self.keywords / self.photos,
        }


class Meanings:
    """Which ImageNet classes each keyword of the embedded tagger stands for."""

    def __init__(self) -> None:
        self.classes = {entry.keyword: frozenset(entry.classes) for entry in read_table()}

    def of_classes(self, indices: Iterable[int]) -> IsRight:
        """Whether a keyword stands for one of some classes."""
        known = frozenset(indices)
        return lambda keyword: not known.isdisjoint(self.classes[keyword])

    def of_objects(self, objects: Iterable[str]) -> IsRight:
        """Whether a keyword is right for a photo with these objects of COCO's."""
        own: list[frozenset[int]] = []
        words: set[str] = set()
        for name in filter(None, objects):
            own += [self.classes[keyword] for keyword in SAME.get(name, [])]
            if name not in SAME:
                words.update(ABOVE[name])
            words.update(ALSO.get(name, []))

        def is_right(keyword: str) -> bool:
            mine = self.classes[keyword]
            return keyword in words or any(mine <= other or mine >= other for other in own)

        return is_right


def read_labels(labels: Path) -> list[tuple[str, str]]:
    """The rows of a CSV file of two columns, without its header."""
    with labels.open(newline="") as file:
        return [(row[0], row[1]) for row in list(csv.reader(file))[1:]]


def scores_of(tagger: Tagger, paths: Iterable[Path], side: int = FULL_SIDE) -> Scores:
    """Scores of files, float32, shape (files, labels)."""
    rows = []
    for path in paths:
        image = decode(path, side=side, max_pixels=MAX_PIXELS).image
        rows.append(tagger.scores([tagger.pixels(image)]))
    return np.concatenate(rows)


def keywords_of(tagger: Tagger, row: npt.NDArray[np.float32]) -> list[str]:
    """The calibrated keywords of one photo."""
    stored = kept(tagger.vocabulary, row)
    return [tag.name for tag in select(tagger.vocabulary, stored, Rules())]


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


def keyword_quality(tagger: Tagger, truth: Iterable[IsRight], scores: Scores) -> KeywordQuality:
    """Quality of the keywords, photo by photo."""
    quality = KeywordQuality()
    for is_right, row in zip(truth, scores, strict=True):
        quality.add(keywords_of(tagger, row), is_right)
    return quality


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


def compare(tagger: Tagger, one: Scores, other: Scores) -> dict[str, float]:
    """How far two sets of scores of the same photos lie apart."""
    difference = np.abs(one - other)
    pairs = [
        (set(keywords_of(tagger, a)), set(keywords_of(tagger, b)))
        for a, b in zip(one, other, strict=True)
    ]
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


def report(results: Mapping[str, Mapping[str, float]], wrong: Mapping[str, Counter[str]]) -> None:
    """Print results as tables."""
    for title, figures in results.items():
        print(f"\n{title}")
        for name, value in figures.items():
            print(f"  {name:34} {value:.4f}")
        if wrong.get(title):
            print("  wrong:", ", ".join(f"{k} {n}" for k, n in wrong[title].most_common(30)))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    pair = ("LABELS", "PHOTOS")
    parser.add_argument("--imagenet", nargs=2, type=Path, metavar=pair)
    parser.add_argument("--coco", nargs=2, type=Path, metavar=pair)
    parser.add_argument("--draft", type=int, default=0, metavar="N", help="photos of each size")
    parser.add_argument("--precision", nargs="+", default=["float32"])
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    arguments = parse(argv)
    results: dict[str, dict[str, float]] = {}
    wrong: dict[str, Counter[str]] = {}
    first: dict[str, Scores] = {}
    meanings = Meanings()

    def judge(title: str, truth: Iterable[IsRight], scores: Scores) -> None:
        quality = keyword_quality(tagger, truth, scores)
        results[title] = {**results.get(title, {}), **quality.figures()}
        wrong[title] = quality.wrong

    for precision in arguments.precision:
        tagger = load("embedded", threads=1, precision=precision)
        for name in ("imagenet", "coco"):
            if not (place := getattr(arguments, name)):
                continue
            labels, photos = place
            rows = read_labels(labels)
            scores = scores_of(tagger, [photos / file for file, _ in rows])
            title = f"{name}, {precision}, {len(rows)} photos"
            if name == "imagenet":
                results[title] = accuracy([int(index) for _, index in rows], scores)
                judge(title, [meanings.of_classes([int(index)]) for _, index in rows], scores)
                if several := reassessed(rows):
                    judge(f"{title}, reassessed", map(meanings.of_classes, several), scores)
            else:
                judge(title, [meanings.of_objects(v.split("|")) for _, v in rows], scores)
            stored = [len(kept(tagger.vocabulary, row)) for row in scores]
            results[title]["scores kept per photo"] = mean(stored)
            if name in first:
                against = f"{name}, {precision} against {arguments.precision[0]}"
                results[against] = compare(tagger, first[name], scores)
            first.setdefault(name, scores)
        if arguments.draft:
            results |= measure_draft(tagger, arguments.draft)
    if arguments.json:
        print(json.dumps({t: {**f, "wrong": wrong.get(t, {})} for t, f in results.items()}))
    else:
        report(results, wrong)


if __name__ == "__main__":
    main()
