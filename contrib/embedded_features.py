#!/usr/bin/env python3
"""Fit the projection from the embedded model's pooled features to vectors for similar photos.

    python contrib/embedded_features.py PHOTOS ... FILE

PHOTOS are directories of photos; FILE is photoramd/models/embedded/features.npz. The projection
is a principal component analysis of the features' roots, whose directions are then turned by a
fixed random rotation, so that each number tells as much as any other: without it, signs find .59
instead of .98 (see below). With the roots, copies of a photo are told better from other photos.

The file is made of all photos. To judge it, a second one is made of every other photo and tried
on the rest: of the 50 photos that the whole features find most similar, how many are among the
50 that the vectors find, and how many of these are among the 200 whose vectors have the most
signs in common.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track

from photoramd.images.decoder import decode
from photoramd.models.embedded.projection import Projection, roots
from photoramd.models.embedded.tagger import EmbeddedTagger
from photoramd.models.features import SIZE

Array = npt.NDArray[np.float32]

MAX_PIXELS = 120_000_000
SEED = 3


def fit(pooled: Array) -> Projection:
    """Return the projection of pooled features, shape (photos, 1280)."""
    values = roots(pooled)
    mean = values.mean(0, dtype=np.float64)
    directions = np.linalg.svd(values - mean, full_matrices=False)[2][:SIZE].T
    # Of NumPy's generators this one never changes.
    noise = np.random.RandomState(SEED).standard_normal((SIZE, SIZE))
    basis = directions @ np.linalg.qr(noise)[0]
    # A hundredth of an entry is lost, and three quarters of the file.
    whole = np.rint(basis * (127 / np.abs(basis).max()))
    return Projection(mean.astype(np.float32), whole.astype(np.float32))


def nearest(similarity: Array, count: int) -> npt.NDArray[np.intp]:
    """Return for each photo the columns of those most similar to it, itself left out."""
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1)[:, :count]


def shared(some: npt.NDArray[np.intp], others: npt.NDArray[np.intp]) -> float:
    """Return which share of some is among the others, on average over the rows."""
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(some, others, strict=True)]))


def judge(pooled: Array) -> None:
    """Show how much a projection of every other photo loses on the rest."""
    projection, rest = fit(pooled[::2]), pooled[1::2]
    whole = roots(rest) - projection.mean
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    vectors = projection.vectors(rest).astype(np.float32)
    signs = np.where(vectors > 0, np.float32(1), np.float32(-1))
    found = nearest(vectors @ vectors.T, 50)
    print(f"of 50 found by whole features: {shared(nearest(whole @ whole.T, 50), found):.3f}")
    print(f"of 50 found by vectors, by signs: {shared(found, nearest(signs @ signs.T, 200)):.3f}")


def main(argv: Sequence[str] | None = None) -> None:
    """Fit, judge and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTOS")
    parser.add_argument("file", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    tagger = EmbeddedTagger.load()
    paths = [path for each in arguments.photos for path in sorted(each.iterdir())]
    rows = []
    for path in track(paths, "Photos"):
        image = decode(path, side=tagger.decode_side, max_pixels=MAX_PIXELS).image
        rows.append(tagger.pooled(tagger.pixels(image)))
    pooled = np.stack(rows)
    judge(pooled)
    made = fit(pooled)
    np.savez_compressed(arguments.file, mean=made.mean, basis=made.basis.astype(np.int8))
    print(f"{arguments.file}: {arguments.file.stat().st_size:,} bytes, of {len(paths)} photos")


if __name__ == "__main__":
    main()
