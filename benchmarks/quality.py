"""Measure the embedded tagger on labelled photos.

    python -m benchmarks.quality --imagenet LABELS.csv PHOTOS --coco LABELS.csv PHOTOS
        [--draft 24] [--precision float32 bfloat16] [--json]

- ImageNet (header ``file,imagenet_class_index``): accuracy of the classes, and of keywords. A
  keyword is right if it stands for the photo's class, alone or among others.
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
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.photos import camera_photos
from photoramd.decoder import decode
from photoramd.keywords import Rules, kept, select
from photoramd.taggers import Scores, load
from photoramd.taggers.imagenet import ImagenetTagger, read_table

MAX_PIXELS = 120_000_000
FULL_SIDE = 1 << 20
DRAFT_SIDES = (768, 512, 448, 384, 320, 256)

Is_right = Callable[[str], bool]

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
    "donut": ["dessert", "food"], "cake": ["dessert", "food"], "frisbee": ["toy"],
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

    def add(self, keywords: Collection[str], is_right: Is_right) -> None:
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

    def of_class(self, index: int) -> Is_right:
        """Whether a keyword stands for a class."""
        return lambda keyword: index in self.classes[keyword]

    def of_objects(self, objects: Iterable[str]) -> Is_right:
        """Whether a keyword is right for a photo with these objects of COCO's."""
        own: list[frozenset[int]] = []
        words: set[str] = set()
        for name in objects:
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


def scores_of(tagger: ImagenetTagger, paths: Iterable[Path], side: int = FULL_SIDE) -> Scores:
    """Scores of files, float32, shape (files, labels)."""
    rows = []
    for path in paths:
        image = decode(path, side=side, max_pixels=MAX_PIXELS).image
        rows.append(tagger.scores([tagger.pixels(image)]))
    return np.concatenate(rows)


def keywords_of(tagger: ImagenetTagger, row: npt.NDArray[np.float32]) -> list[str]:
    """The calibrated keywords of one photo."""
    stored = kept(tagger.vocabulary, row)
    return [tag.name for tag in select(tagger.vocabulary, stored, Rules())]


def measure_imagenet(
    tagger: ImagenetTagger, truth: Sequence[int], scores: Scores
) -> tuple[dict[str, float], Counter[str]]:
    """Accuracy and keyword quality on photos of one known class each."""
    meanings, quality = Meanings(), KeywordQuality()
    leaves = [entry for entry in read_table() if not entry.is_kind]
    absorbed = set(range(1000)) - {c for entry in leaves for c in entry.classes}
    hits = Counter({1: 0, 5: 0})
    counted = 0
    for index, row in zip(truth, scores, strict=True):
        quality.add(keywords_of(tagger, row), meanings.of_class(index))
        if index in absorbed:
            continue
        counted += 1
        order = np.argsort(-row[: len(leaves)], kind="stable")
        ranks = [r for r, column in enumerate(order[:5]) if index in leaves[column].classes]
        for limit in hits:
            hits[limit] += bool(ranks) and ranks[0] < limit
    figures = {f"top-{limit} accuracy": hits[limit] / counted for limit in hits}
    return figures | quality.figures(), quality.wrong


def measure_coco(
    tagger: ImagenetTagger, truth: Sequence[Sequence[str]], scores: Scores
) -> tuple[dict[str, float], Counter[str]]:
    """Keyword quality on photos of everyday scenes."""
    meanings, quality = Meanings(), KeywordQuality()
    for objects, row in zip(truth, scores, strict=True):
        quality.add(keywords_of(tagger, row), meanings.of_objects(objects))
    return quality.figures(), quality.wrong


def compare(tagger: ImagenetTagger, one: Scores, other: Scores) -> dict[str, float]:
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


def measure_draft(tagger: ImagenetTagger, count: int) -> dict[str, dict[str, float]]:
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
    for precision in arguments.precision:
        tagger = load("embedded", threads=1, precision=precision)
        assert isinstance(tagger, ImagenetTagger)
        for name in ("imagenet", "coco"):
            if not (place := getattr(arguments, name)):
                continue
            labels, photos = place
            rows = read_labels(labels)
            scores = scores_of(tagger, [photos / file for file, _ in rows])
            title = f"{name}, {precision}, {len(rows)} photos"
            if name == "imagenet":
                result = measure_imagenet(tagger, [int(v) for _, v in rows], scores)
            else:
                truth = [[o for o in v.split("|") if o] for _, v in rows]
                result = measure_coco(tagger, truth, scores)
            results[title], wrong[title] = result
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
