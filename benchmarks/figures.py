"""What was measured, as values that go to JSON and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import msgspec

FORMAT = 1
"""Of the JSON file; raised when its fields change their meaning."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of repeated measurements and how far they lie apart.

    Attributes:
        median: The middle one.
        mad: The median of their distances from it.
        least: The smallest.
        most: The largest.
    """

    median: float
    mad: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one or more values."""
        middle = median(values)
        distance = median(abs(value - middle) for value in values)
        return cls(_round(middle), _round(distance), _round(min(values)), _round(max(values)))


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of single steps, over all rounds; percentiles by nearest rank."""

    p50: float
    p95: float
    most: float
    samples: int

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Latency:
        """Of one or more steps."""
        ordered = sorted(milliseconds)

        def percentile(share: float) -> float:
            return _round(ordered[math.ceil(share * len(ordered)) - 1])

        return cls(percentile(0.5), percentile(0.95), _round(ordered[-1]), len(ordered))


@dataclass(frozen=True, slots=True)
class Judged:
    """The number that a regression shows in: the larger, the worse.

    Attributes:
        by: What it is: a key of `benchmarks.check.TOLERANCES`.
        against: The calibration that it is a multiple of, if it is one.
        value: The median over the rounds.
        low: The lower quartile of the rounds.
        high: The upper quartile.
    """

    by: str
    against: str
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, by: str, against: str, values: Sequence[float]) -> Judged:
        """Of the values of the rounds."""
        ordered, last = sorted(values), len(values) - 1
        low, high = ordered[last // 4], ordered[last - last // 4]
        return cls(by, against, _round(median(values)), _round(low), _round(high))


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured.

    Attributes:
        name: Unique in a result, the same in every run.
        device: ``cpu``, ``cuda`` or ``mps``.
        unit: What is counted: ``photos``, ``queries``.
        per_minute: So many of them by the clock.
        cpu_ms: Processor time of one of them, of all threads of the process.
        latency_ms: Of single steps: a photo, a batch, a query.
        peak_rss_mib: The most memory that the process held meanwhile.
        device_mib: The most memory of the device that torch had in use.
        judged: What a regression shows in.
    """

    name: str
    device: str = "cpu"
    unit: str = "photos"
    per_minute: Spread | None = None
    cpu_ms: Spread | None = None
    latency_ms: Latency | None = None
    peak_rss_mib: float | None = None
    device_mib: float | None = None
    judged: tuple[Judged, ...] = ()


@dataclass(slots=True)
class Result:
    """Everything that one command measured.

    Attributes:
        command: What was run.
        date: When it began, ISO 8601, UTC.
        seconds: How long it took.
        machine: What it ran on; see `benchmarks.machine.describe`.
        devices: ``cpu``, ``cuda`` and ``mps``: what they are, or why they are absent.
        fixtures: By the name of a set what its photos were checked by.
        absent: What was not measured, and why.
        figures: What was.
    """

    command: str
    date: str
    seconds: float = 0.0
    machine: dict[str, str | int | float] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    fixtures: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    format: int = FORMAT

    def add(self, other: Result) -> None:
        """Take over what another command measured."""
        self.devices |= other.devices
        self.fixtures |= other.fixtures
        self.absent |= other.absent
        self.figures += other.figures

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")


def load(path: Path) -> Result:
    """Read what `Result.save` wrote.

    Raises:
        SystemExit: There is no such file, or it is something else; the message says so.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except OSError as error:
        raise SystemExit(f"{path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise SystemExit(f"{path}: no figures of these benchmarks: {error}") from error


def _round(value: float) -> float:
    """To four significant digits: more are noise, and make versions hard to compare."""
    return float(f"{value:.4g}")
