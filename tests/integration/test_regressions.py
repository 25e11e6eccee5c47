"""The benchmarks' check: what it fails on, what it lets pass, and that it finds a real slowdown."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import fixtures, table
from benchmarks.check import TOLERANCES, compare, load_baselines, main
from benchmarks.figures import Figure, Judged, Latency, Result, Spread, load

MACHINE: dict[str, str | int | float] = {
    "architecture": "x86_64",
    "capabilities": "avx2",
    "python": "3.11.7",
    "valgrind": "valgrind-3.19.0",
    "pillow": "13.0.0",
}


def result(value: float, by: str = "cpu", **machine: str) -> Result:
    judged = (Judged.of(by, "Pillow", [value]),)
    return Result("", "2026-01-01", machine=MACHINE | machine, figures=[Figure("f", judged=judged)])


@pytest.mark.parametrize("by", TOLERANCES)
def test_what_is_within_the_tolerance_passes_and_what_is_beyond_is_worse(by: str) -> None:
    limit = 100 * TOLERANCES[by]
    assert not compare([result(100, by)], [result(limit, by)]).worse
    (worse,) = compare([result(100, by)], [result(limit * 1.01, by)]).worse
    assert "f (cpu)" in str(worse)
    assert "expected 100" in str(worse)


def test_the_best_of_several_attempts_counts() -> None:
    attempts = [result(300), result(101), result(200)]
    (only,) = compare([result(100)], attempts).compared.values()
    assert only.actual == 101


def test_another_processor_or_python_is_not_compared() -> None:
    for other in ({"capabilities": "avx2 avx512f"}, {"python": "3.12.1"}):
        found = compare([result(1)], [result(9, **other)])
        assert not found.compared
        assert next(iter(other)) in found.unlike["cpu"]


def test_instructions_are_compared_with_the_same_versions_only() -> None:
    assert compare([result(1, "cpu")], [result(9, "cpu", pillow="13.0.1")]).worse
    found = compare([result(1, "instructions")], [result(9, "instructions", pillow="13.0.1")])
    assert "pillow: 13.0.0 there, 13.0.1 here" in found.unlike["instructions"]


def test_what_was_not_measured_or_has_no_baseline_is_named() -> None:
    other = Result("", "", machine=MACHINE, figures=[replace(result(1).figures[0], name="new")])
    found = compare([result(1)], [other])
    assert (found.unmeasured, found.unknown) == ({"f"}, {"new"})


def test_nothing_to_compare_is_neither_success_nor_regression(tmp_path: Path) -> None:
    assert main(["--baselines", str(tmp_path)]) == 2
    result(1).save(tmp_path / "baselines" / "cpu.json")
    result(1, architecture="aarch64").save(tmp_path / "other.json")
    arguments = ["--baselines", str(tmp_path / "baselines"), "--measured"]
    assert main([*arguments, str(tmp_path / "other.json")]) == 2


def test_on_another_processor_the_rest_is_no_success_but_may_be_a_regression(
    tmp_path: Path,
) -> None:
    def both(cpu: float, count: float, **machine: str) -> Result:
        made = result(cpu, **machine)
        made.add(result(count, "count"))
        return made

    both(1, 2).save(tmp_path / "baselines" / "cpu.json")
    arguments = ["--baselines", str(tmp_path / "baselines"), "--measured"]
    for count, code in ((2, 2), (3, 1)):
        both(9, count, capabilities="neon").save(tmp_path / "other.json")
        assert main([*arguments, str(tmp_path / "other.json")]) == code


def test_a_baseline_of_another_device_counts_for_that_device_only(tmp_path: Path) -> None:
    on_gpu = replace(result(1).figures[0], device="cuda")
    there = Result("", "", machine={}, figures=[*result(7).figures, on_gpu])
    there.save(tmp_path / "cuda.json")
    result(1).save(tmp_path / "cpu.json")
    here = Result("", "", machine=MACHINE, figures=there.figures)
    found = compare(load_baselines(tmp_path), [here])
    assert [each.key[1] for each in found.worse] == ["cpu"]
    assert "unknown there" in found.unlike["cpu"]


def test_percentiles_are_by_nearest_rank() -> None:
    assert Latency.of([float(n) for n in range(100, 0, -1)]) == Latency(50, 95, 100, 100)
    assert Latency.of([7]) == Latency(7, 7, 7, 1)
    assert Spread.of([1, 2, 10]) == Spread(2, 1, 1, 10)


def test_the_recorded_baseline_can_be_compared_with_itself() -> None:
    baselines = load_baselines(table.BASELINES)
    found = compare(baselines, baselines)
    assert len(found.compared) > 50
    assert not found.worse
    assert not found.unlike
    assert not found.unmeasured
    assert not found.unknown


def test_the_documentation_has_the_figures_of_the_baseline() -> None:
    text = table.DOCUMENT.read_text(encoding="utf-8")
    [baseline] = load_baselines(table.BASELINES)
    assert text == table.replaced(text, baseline), "make docs"


# What a careless change might do: every photo is worked on for longer than it takes to decode,
# on a slow machine too.
SLOW = """
from PIL import Image
from photoramd.images import decoder
quick = decoder.to_rgb
picture = Image.new("RGB", (1600, 1200))
def slow(image):
    picture.resize((800, 600), Image.Resampling.LANCZOS)
    return quick(image)
decoder.to_rgb = slow
"""


def decode(target: Path, photos: Path, path: Path | None = None) -> Result:
    """Run the real benchmark, in a process that finds modules in ``path`` first."""
    arguments = ["--quick", "--rounds", "7", "--megapixels", "2", "--json", os.fspath(target)]
    environment = dict(os.environ)
    if path is not None:
        environment["PYTHONPATH"] = os.fspath(path)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "decode", *arguments, "--fixtures", photos],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = load(target)
    # Not by the clock, which tells of whatever else the machine does.
    result.figures = [
        replace(figure, judged=tuple(each for each in figure.judged if each.by == "cpu"))
        for figure in result.figures
    ]
    result.save(target)
    return result


def test_a_slowdown_of_decoding_fails_the_check_and_nothing_else_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    measured = decode(tmp_path / "baselines" / "cpu.json", photos)
    assert measured.fixtures["8 photos of 2 MP, seed 1"].startswith("pixels")
    arguments = ["--baselines", str(tmp_path / "baselines"), "--measured"]

    # Twice, as the check itself measures again what seems worse.
    same = [tmp_path / "same1.json", tmp_path / "same2.json"]
    for file in same:
        decode(file, photos)
    assert main([*arguments, *map(str, same)]) == 0

    (tmp_path / "injected").mkdir()
    (tmp_path / "injected" / "sitecustomize.py").write_text(SLOW)
    decode(tmp_path / "slow.json", photos, tmp_path / "injected")
    capsys.readouterr()
    assert main([*arguments, str(tmp_path / "slow.json")]) == 1
    output = capsys.readouterr().out
    assert "WORSE: decode 2 MP, side 448 (cpu), cpu: expected 1" in output
    assert "WORSE: Pillow" not in output


def test_photos_that_are_not_the_recorded_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "fixtures.json"
    record.write_text(fixtures.RECORD.read_text().replace("c7201197", "00000000"))
    monkeypatch.setattr(fixtures, "RECORD", record)
    with pytest.raises(SystemExit, match="pixels are not the recorded ones"):
        fixtures.photos(tmp_path / "photos", 2, 1)


def test_photos_that_were_changed_on_the_disk_are_made_anew(tmp_path: Path) -> None:
    made = fixtures.photos(tmp_path, 2, 8)
    before = made.paths[0].read_bytes()
    made.paths[0].write_bytes(b"changed")
    assert fixtures.photos(tmp_path, 2, 8).paths[0].read_bytes() == before
