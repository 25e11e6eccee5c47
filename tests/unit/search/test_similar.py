"""The nearest vectors, and groups of those that are nearly the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from photoramd.database.features import Features, features_path
from photoramd.database.vectors import StoredVectors
from photoramd.models.features import SIZE, Vectors, quantised
from photoramd.search import near_duplicates as duplicates
from photoramd.search.near_duplicates import near_duplicates
from photoramd.search.similar import CANDIDATES, Similar, cosines, signs_of

Array = npt.NDArray[np.float32]
Load = Callable[[Vectors], Similar]


def digest(number: int) -> bytes:
    """As good as random, and tells the number."""
    return (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "little") + number.to_bytes(
        8, "little"
    )


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    opened = []

    def make(vectors: Vectors) -> Similar:
        path = features_path(tmp_path / "photoramd.db")
        with closing(Features(path, "1")) as features:
            features.save({digest(n): row.tobytes() for n, row in enumerate(vectors)})
        stored = StoredVectors(path, "1")
        opened.append(stored)
        return Similar.load(stored)

    yield make
    for each in opened:
        each.close()


def noise(count: int, seed: int = 1) -> Array:
    values = np.random.default_rng(seed).standard_normal((count, SIZE), np.float32)
    result: Array = values / np.linalg.norm(values, axis=1, keepdims=True)
    return result


def changed(values: Array, cosine: float, seed: int) -> Array:
    """Vectors with this cosine to the given ones."""
    other = noise(len(values), seed)
    other -= np.sum(other * values, axis=1, keepdims=True) * values
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    result: Array = cosine * values + np.float32(np.sqrt(1 - cosine**2)) * other
    return result


def test_a_cosine_is_kept_by_eight_bits() -> None:
    values = noise(50)
    exact = values @ values.T
    vectors = quantised(1000 * values)
    assert np.abs(cosines(vectors, vectors) - exact).max() < 0.003
    whole = vectors.astype(np.float32)
    assert np.abs(whole @ whole.T / 512**2 - exact).max() < 0.01
    assert not quantised(np.zeros((1, SIZE), np.float32)).any()


def test_signs_are_one_bit_a_number() -> None:
    vectors = quantised(noise(3))
    different = np.bitwise_count(signs_of(vectors)[:, 0] ^ signs_of(vectors)[:, 2]).sum()
    assert different == ((vectors[0] > 0) != (vectors[2] > 0)).sum()


def test_the_nearest_come_first_and_are_those_of_all_vectors(load: Load) -> None:
    values = noise(CANDIDATES + 3000)
    values[10:15] = [changed(values[:1], 0.5 + n / 10, 50 + n)[0] for n in range(5)]
    vectors = quantised(values)
    found = load(vectors).nearest(vectors[0], 6)
    assert [each.digest for each in found] == [digest(n) for n in (0, 14, 13, 12, 11, 10)]
    assert [each.cosine for each in found] == pytest.approx([1, 0.9, 0.8, 0.7, 0.6, 0.5], abs=0.01)


def test_only_given_rows_are_looked_at(load: Load) -> None:
    vectors = quantised(noise(500))
    similar = load(vectors)
    rows = similar.rows([digest(9), digest(3), digest(400), digest(1000)])
    assert [similar.digests[row].tobytes() for row in rows] == [digest(n) for n in (3, 9, 400)]
    assert {each.digest for each in similar.nearest(vectors[0], 10, rows)} == {
        digest(3),
        digest(9),
        digest(400),
    }
    assert similar.nearest(vectors[0], 10, similar.rows([])) == []


def test_equal_vectors_are_no_more_than_were_asked_for(load: Load) -> None:
    vectors = np.repeat(quantised(noise(1)), CANDIDATES + 500, axis=0)
    assert len(load(vectors).nearest(vectors[0], 30)) == 30


def test_a_picture_that_was_forgotten_meanwhile_is_not_found(load: Load) -> None:
    vectors = quantised(noise(20))
    similar = load(vectors)
    with closing(Features(similar.stored.path, "1")) as features:
        features.forget([digest(3)])
    assert digest(3) not in {each.digest for each in similar.nearest(vectors[3], 20)}
    assert similar.nearest(vectors[3], 20, similar.rows([digest(3)])) == []
    assert near_duplicates(similar, threshold=0) != [] == near_duplicates(similar)


def test_nothing_is_found_where_there_is_nothing(load: Load) -> None:
    similar = load(quantised(noise(1)))
    assert near_duplicates(similar) == []
    assert len(similar.nearest(quantised(noise(1, 2))[0], 5)) == 1
    assert similar.nearest(quantised(noise(1))[0], 0) == []
    with closing(Features(similar.stored.path, "1")) as features:
        features.forget([digest(0)])
    empty = Similar.load(similar.stored)
    assert len(empty) == 0
    assert empty.nearest(quantised(noise(1))[0], 5) == []
    assert len(empty.rows([digest(0)])) == 0
    assert near_duplicates(empty) == []


def test_copies_are_grouped_and_nothing_else(load: Load) -> None:
    values = noise(6000)
    values[3000:3200] = changed(values[:200], 0.93, 2)
    values[3200:3400] = changed(values[:200], 0.97, 3)
    # Alike, but not nearly the same.
    values[3400:3600] = changed(values[200:400], 0.85, 4)
    groups = near_duplicates(load(quantised(values)))
    # The surest copy comes second: the first is the one that both others are nearly the same as.
    expected = [[digest(n), digest(3200 + n), digest(3000 + n)] for n in range(200)]
    assert groups == expected


def test_groups_are_made_within_given_rows(load: Load) -> None:
    values = noise(100)
    values[50:52] = changed(values[:2], 0.95, 2)
    similar = load(quantised(values))
    rows = similar.rows([digest(n) for n in (1, 30, 50, 51)])
    parts: list[float] = []
    assert near_duplicates(similar, within=rows, progress=parts.append) == [[digest(1), digest(51)]]
    assert (parts[0], parts) == (0, sorted(parts))
    assert 0.9 < parts[-1] < 1
    assert near_duplicates(similar, threshold=0.97) == []


def test_a_chain_is_no_group(load: Load) -> None:
    """The first and the last have nothing in common, though each is near its neighbours."""
    steps = 12
    ends = noise(2)
    ends[1] -= ends[1] @ ends[0] * ends[0]
    ends[1] /= np.linalg.norm(ends[1])
    angles = np.linspace(0, np.pi / 2, steps, dtype=np.float32)
    vectors = quantised(np.cos(angles)[:, None] * ends[0] + np.sin(angles)[:, None] * ends[1])
    groups = near_duplicates(load(vectors), threshold=0.9)
    assert len(groups) > 1
    table = cosines(vectors, vectors)
    numbers = [[int.from_bytes(each[8:], "little") for each in group] for group in groups]
    assert max(Counter(chain.from_iterable(numbers)).values()) == 1
    assert all(table[group[0], each] >= 0.9 for group in numbers for each in group)


def test_a_time_lapse_is_grouped_in_bounded_memory(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of pictures, all nearly the same, with caches of a few."""
    monkeypatch.setattr(duplicates, "_CACHED", 1000)
    monkeypatch.setattr(duplicates, "_PAIRS", 400)
    monkeypatch.setattr(duplicates, "LARGEST", 800)
    scene = np.repeat(noise(1), 3000, axis=0)
    values = np.concatenate([changed(scene, 0.99, 2), noise(500, 3)])
    groups = near_duplicates(load(quantised(values)))
    assert sorted(map(len, groups)) == [600, 800, 800, 800]
    numbers = {int.from_bytes(each[8:], "little") for group in groups for each in group}
    assert numbers == set(range(3000))


def test_copies_are_found_among_many_that_are_alike(load: Load) -> None:
    """Two thousand pictures of one thing, not nearly the same, and copies of some of them."""
    values = changed(np.repeat(noise(1), 2000, axis=0), float(np.sqrt(0.87)), 2)
    copies = changed(values[:200], 0.97, 3)
    groups = near_duplicates(load(quantised(np.concatenate([values, copies]))))
    found = {frozenset(group) for group in groups}
    expected = {frozenset([digest(n), digest(2000 + n)]) for n in range(200)}
    assert len(found & expected) >= 190
    assert len(found - expected) <= 10
