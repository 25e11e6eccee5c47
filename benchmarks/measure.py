"""Time cases in turns, round by round, so that whatever else the machine does meets all alike."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import Figure, Judged, Latency, Spread
from benchmarks.report import progress

Work = Callable[[Callable[[], None]], object]
"""What is timed. It is given a function to call at the end of each of its steps."""


@dataclass(frozen=True)
class Case:
    """Something to time.

    Attributes:
        name: Of the figure.
        items: What one run of the work deals with: so many photos, say.
        prepare: Makes the work, before the clock starts, and tidies up after it.
        against: Names of the cases that it is judged by, in multiples of their cost.
        unit: What the items are.
        device: Where it runs.
    """

    name: str
    items: int
    prepare: Callable[[], AbstractContextManager[Work]]
    against: tuple[str, ...] = ()
    unit: str = "photos"
    device: str = "cpu"


def ready(work: Work) -> Callable[[], AbstractContextManager[Work]]:
    """For work that needs no preparation."""
    return lambda: nullcontext(work)


@dataclass
class Run:
    """Seconds an item of one run of a case, and of each step; memory in MiB."""

    wall: float = 0.0
    cpu: float = 0.0
    steps: list[float] = field(default_factory=list)
    peak_rss_mib: float = 0.0
    device_mib: float | None = None


def measure(title: str, cases: Sequence[Case], rounds: int) -> list[Figure]:
    """Run all cases in turns; a first round warms up and is dropped.

    A figure is judged by its cost an item as a multiple of the calibration's: in processor time
    by the median over the rounds, by the clock by the best run of each.
    """
    runs: dict[str, list[Run]] = {case.name: [] for case in cases}
    with progress(title, (rounds + 1) * len(cases)) as advance:
        for round_ in range(rounds + 1):
            for case in cases:
                run = time_once(case)
                if round_:
                    runs[case.name].append(run)
                advance(case.name)
    return [_figure(case, runs) for case in cases]


def time_once(case: Case) -> Run:
    """One run of a case."""
    run = Run()
    memory = DeviceMemory(case.device)
    with case.prepare() as work:
        forget_peak()
        memory.forget_peak()
        started, busy = time.perf_counter(), time.process_time()
        last = started

        def lap() -> None:
            nonlocal last
            now = time.perf_counter()
            run.steps.append(now - last)
            last = now

        work(lap)
        run.wall = (time.perf_counter() - started) / case.items
        run.cpu = (time.process_time() - busy) / case.items
        run.peak_rss_mib = peak_rss_mib()
        run.device_mib = memory.peak_mib()
    return run


def _figure(case: Case, runs: dict[str, list[Run]]) -> Figure:
    own = runs[case.name]
    steps = [1000 * step for run in own for step in run.steps]
    device_mib = [run.device_mib for run in own if run.device_mib is not None]
    return Figure(
        case.name,
        case.device,
        case.unit,
        Spread.of([60 / run.wall for run in own]),
        Spread.of([1000 * run.cpu for run in own]),
        Latency.of(steps) if steps else None,
        round(max(run.peak_rss_mib for run in own), 1),
        round(max(device_mib), 1) if device_mib else None,
        tuple(each for against in case.against for each in _judged(own, runs[against], against)),
    )


def _judged(runs: Sequence[Run], others: Sequence[Run], against: str) -> Iterator[Judged]:
    """Processor time round by round; by the clock the best run of each, the least disturbed."""
    ratios = [run.cpu / other.cpu for run, other in zip(runs, others, strict=True)]
    yield Judged.of("cpu", against, ratios)
    least = min(run.wall for run in runs) / min(other.wall for other in others)
    yield Judged.of("wall", against, [least])


# --- Memory ---


def forget_peak() -> None:
    """Start anew with the peak of resident memory (proc(5), clear_refs); only Linux can."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def peak_rss_mib() -> float:
    """The most memory that this process held since `forget_peak`, or ever where there is none."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = int(line.split()[1])
        return peak / 2**10
    return peak / 2**20


class DeviceMemory:
    """The memory that torch has in use on a GPU."""

    def __init__(self, device: str) -> None:
        self._device = device

    def forget_peak(self) -> None:
        """Start anew."""
        if self._device == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()

    def peak_mib(self) -> float | None:
        """The peak; with MPS, which keeps none, what is allocated now; None on a CPU."""
        if self._device == "cpu":
            return None
        import torch

        if self._device == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        return torch.mps.driver_allocated_memory() / 2**20
