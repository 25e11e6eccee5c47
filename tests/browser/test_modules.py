"""The modules that compute, and what all modules weigh."""

from __future__ import annotations

import gzip
from typing import Any

from playwright.sync_api import Page

from photoramd.web import static_files

MOST_BYTES = 40_000

_LAYOUT = """async ([name, aspects, days, size]) => {
    const { justify } = await import(name);
    const layout = justify(Float32Array.from(aspects), days, size);
    const photos = [];
    for (let row = 0; row < layout.rows; row++) {
        layout.eachOf(row, (rank, x, y, width, height) => {
            photos.push([rank, x, y, width, height, row]);
        });
    }
    return { photos, days: layout.days, bottom: layout.bottom };
}"""

_MILLION = """async (name) => {
    const { justify } = await import(name);
    const aspects = new Float32Array(1e6).map((_, n) => [1.5, 0.67, 1.33][n % 3]);
    const days = Array.from({ length: 4000 }, () => ['2024-05-04', 250]);
    const layout = justify(aspects, days, { width: 1200, target: 220, gap: 5, heading: 50 });
    const row = layout.rowAt(layout.bottom / 2);
    return [layout.total, layout.endOf(layout.rows - 1), layout.rowOf(layout.start[row]) === row];
}"""


def laid_out(page: Page, gallery: str, aspects: list[float], days: list[Any], **size: int) -> Any:
    page.goto(f"{gallery}healthz")
    name = f"/{static_files.directory()}justify.js"
    size = {"width": 1000, "target": 200, "gap": 5, "heading": 50} | size
    return page.evaluate(_LAYOUT, [name, aspects, days, size])


def test_rows_fill_the_width_and_nothing_overlaps(page: Page, gallery: str) -> None:
    aspects = [(0.25, 0.67, 1, 1.5, 1.78, 4)[n * 7 % 6] for n in range(500)]
    days = [["2024-05-04", 1], ["2024-05-03", 2], ["2024-05-01", 300], ["2024-04-30", 1]]
    days += [["2024-04-02", 5]] * 30 + [[None, 46]]
    found = laid_out(page, gallery, aspects, days)
    photos = found["photos"]
    assert [photo[0] for photo in photos] == list(range(500))
    bottom = 0
    for before, (_, x, y, width, height, row) in zip([None, *photos], photos, strict=False):
        assert x >= 0
        assert x + width <= 1001
        assert height > 40
        if before and before[5] == row:
            assert x == before[1] + before[3] + 5 or abs(x - before[1] - before[3] - 5) <= 1
        bottom = max(bottom, y + height)
    assert bottom <= found["bottom"]
    # Full rows of the long day end at the right edge.
    rows = {row for rank, *_, row in photos if 3 <= rank < 295}
    ends = [max(x + w for _, x, _, w, _, r in photos if r == row) for row in rows]
    assert sum(end >= 999 for end in ends) >= len(ends) - 1
    # Short days share a line, each with room for its heading above.
    tops = [day["y"] for day in found["days"]]
    assert len(set(tops)) < len(tops)
    assert tops == sorted(tops)


def test_shapes_keep_their_proportions(page: Page, gallery: str) -> None:
    aspects = [1.5, 0.67, 1.33, 1.0] * 20
    found = laid_out(page, gallery, aspects, [[None, 80]], heading=0)
    for rank, _, _, width, height, _ in found["photos"]:
        assert abs(width / height - aspects[rank]) < 0.02


def test_a_million_are_laid_out(page: Page, gallery: str) -> None:
    page.goto(f"{gallery}healthz")
    name = f"/{static_files.directory()}justify.js"
    assert page.evaluate(_MILLION, name) == [1_000_000, 1_000_000, True]


def test_all_scripts_together_are_small() -> None:
    sizes = [
        len(gzip.compress(data, 9))
        for name, data in static_files.files().items()
        if name.endswith(".js")
    ]
    assert sum(sizes) < MOST_BYTES
