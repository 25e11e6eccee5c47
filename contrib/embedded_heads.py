#!/usr/bin/env python3
"""Train the embedded model's heads: words for people and scenes.

    python contrib/embedded_heads.py [--packages DIR] [--apart N] --data TABLE PHOTOS ... HEADS

A TABLE has a row for each photo: ``file``, perhaps ``source``, and a column for each word with
1 (to be seen), 0 (not to be seen) or nothing (unknown). PHOTOS is the directory of the files.
Several pairs may be given. Words are those of the heads in
photoramd/models/embedded/keywords.tsv; other columns are left out.

A head is a logistic regression on what the networks give for a photo: the classifier's 1,280
pooled features and the highest logit of each of the detector's 80 objects. A room's head learns
from photos taken indoors, that of an outdoor scene from those taken outdoors, because it is only
asked there.

One photo in N (3), chosen by its file name, is kept apart: nothing is learned from it. For each
word the table shows, for several thresholds, precision and recall on photos that the head has
not seen: those of the others by cross-validation (to choose a threshold by), and those kept
apart (to judge it by).

HEADS gets a line for each word: the word, and its coefficients and intercept.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from embedded_model import LOGIT_LIMITS, build
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from photoramd.images.decoder import decode
from photoramd.models.embedded.combination import SCENE
from photoramd.models.embedded.crop import CROP, INPUTS, split
from photoramd.models.embedded.keywords import read_evidence
from photoramd.models.embedded.runtime import onnxruntime

Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int8]

INVERSE_PENALTY = 0.01
"""scikit-learn's C. Between .002 and .05 little changes; rooms need more than .002."""

FOLDS = 5
MAX_PIXELS = 120_000_000
TARGETS = (0.97, 0.95, 0.93, 0.90)
SIDES = ("indoors", "outdoors")
DIGITS = 4


@dataclass
class Data:
    """Labelled photos.

    Attributes:
        inputs: What the heads see, shape (photos, 1360).
        labels: By word, shape (photos,): 1, 0 or -1 for unknown.
        fold: Shape (photos,): which fold of the cross-validation; -1 for those kept apart.
    """

    inputs: Array
    labels: dict[str, Labels]
    fold: npt.NDArray[np.int64]


class Networks:
    """The networks without heads: from a photo to what the heads see."""

    def __init__(self, packages: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        model = build(packages, {}).SerializeToString()
        self._session = onnxruntime.InferenceSession(model, options)

    def inputs(self, photo: Path) -> Array:
        """Return what the heads see of a photo, shape (1360,)."""
        image = decode(photo, side=CROP.decode_side, max_pixels=MAX_PIXELS).image
        feed = dict(zip(INPUTS, (part[None] for part in split(CROP.pixels(image))), strict=True))
        features, objects = self._session.run(["features", "objects"], feed)
        best = np.clip(objects[0].max(0), 1e-6, 1 - 1e-6)
        logits = np.clip(np.log(best / (1 - best)), *LOGIT_LIMITS)
        return np.concatenate([features[0], logits]).astype(np.float32)


def read(
    data: Sequence[tuple[Path, Path]], words: Sequence[str], apart: int, networks: Networks
) -> Data:
    """Read tables and photos."""
    rows = []
    for table, photos in data:
        with table.open(newline="", encoding="utf-8") as file:
            rows += [(photos / row["file"], row) for row in csv.DictReader(file)]
    with ThreadPoolExecutor() as pool:
        results = pool.map(networks.inputs, (path for path, _ in rows))
        inputs = np.stack(list(track(results, "Photos", total=len(rows))))
    values = {"1": 1, "0": 0}
    labels = {
        word: np.array([values.get(row.get(word) or "", -1) for _, row in rows], np.int8)
        for word in words
    }
    digests = [int(hashlib.sha256(path.name.encode()).hexdigest(), 16) for path, _ in rows]
    fold = np.array([-1 if n % apart == 0 else n // apart % FOLDS for n in digests])
    return Data(inputs, labels, fold)


def fit(inputs: Array, labels: Labels) -> Array:
    """Return the coefficients and the intercept, shape (1361,), for inputs as they are."""
    scaler = StandardScaler().fit(inputs)
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=5000)
    model.fit(scaler.transform(inputs), labels)
    weight = model.coef_[0] / scaler.scale_
    return np.append(weight, model.intercept_[0] - weight @ scaler.mean_).astype(np.float32)


def probability(head: Array, inputs: Array) -> Array:
    """Return probabilities, shape (photos,)."""
    result: Array = 1 / (1 + np.exp(-(inputs @ head[:-1] + head[-1])))
    return result


def learnable(data: Data, word: str, side: str | None) -> npt.NDArray[np.bool_]:
    """Return which photos a head can learn from."""
    known = data.labels[word] >= 0
    return known & (data.labels[side] == 1) if side else known


def out_of_fold(data: Data, word: str, side: str | None) -> tuple[Array, Array]:
    """Return the final head, and probabilities of all photos by heads that have not seen them."""
    usable = learnable(data, word, side) & (data.fold >= 0)
    head = fit(data.inputs[usable], data.labels[word][usable])
    result = probability(head, data.inputs)
    for fold in range(FOLDS):
        others = usable & (data.fold != fold)
        if data.labels[word][others].max() > 0:
            mine = data.fold == fold
            result[mine] = probability(
                fit(data.inputs[others], data.labels[word][others]), data.inputs[mine]
            )
    return head, result


def report(word: str, scores: Array, data: Data) -> None:
    """Print precision and recall at the thresholds that reach several precisions."""
    labels = data.labels[word]
    seen, apart = (labels >= 0) & (data.fold >= 0), (labels >= 0) & (data.fold < 0)
    order = np.argsort(-scores[seen])
    right = np.cumsum(labels[seen][order] == 1)
    # Half a right and half a wrong photo more, so that two right ones do not count as proof.
    smoothed = (right + 0.5) / (np.arange(1, len(order) + 1) + 1)
    print(f"{word}: {right[-1]} photos to learn from, {(labels[apart] == 1).sum()} apart")
    for target in TARGETS:
        reached = np.flatnonzero(smoothed >= target)
        if not len(reached):
            continue
        threshold = float(scores[seen][order][reached[-1]])
        parts = []
        for part in (seen, apart):
            chosen, truth = scores[part] >= threshold, labels[part] == 1
            hits = int((chosen & truth).sum())
            parts.append(f"{hits} of {chosen.sum()} right, recall {hits / max(1, truth.sum()):.2f}")
        print(f"  {threshold:.3f}: {parts[0]}; apart: {parts[1]}")


def main(argv: Sequence[str] | None = None) -> None:
    """Train, report and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("heads", type=Path, metavar="HEADS")
    pair = ("TABLE", "PHOTOS")
    parser.add_argument("--data", nargs=2, type=Path, action="append", required=True, metavar=pair)
    parser.add_argument("--packages", type=Path, default=Path("build/packages"), metavar="DIR")
    parser.add_argument("--apart", type=int, default=3, metavar="N")
    arguments = parser.parse_args(argv)
    rows = [row for row in read_evidence() if row.label.startswith(SCENE)]
    words = {row.label.removeprefix(SCENE): row.above for row in rows}
    data = read(arguments.data, list(words), arguments.apart, Networks(arguments.packages))
    heads, scores = {}, {}
    for word, above in track(words.items(), "Heads"):
        side = next((each for each in SIDES if each in above), None)
        heads[word], scores[word] = out_of_fold(data, word, side)
    for word, above in words.items():
        gated = scores[word].copy()
        for side in SIDES:
            if side in above:
                gated[scores[side] < 0.5] = 0
        report(word, gated, data)
    lines = [
        f"{word}\t{' '.join(f'{value:.{DIGITS}g}' for value in head)}\n"
        for word, head in heads.items()
    ]
    arguments.heads.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
