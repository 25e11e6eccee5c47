"""Measure RAM++ on random weights of the full size, against the published way to compute it.

    python -m benchmarks.ram_plus [--rounds 3] [--photos 16] [--threads 2] [--cap native vnni avx2]
        [--variants published float32 bfloat16 int8] [--checkpoint FILE] [--json]

Each variant is a process of its own. They take turns, round by round, so that whatever else the
machine does meets all alike; figures are medians over the rounds, ratios are medians of the
ratios within each round. ``published`` is plain eager float32 (`benchmarks.ram_plus_reference`)
on all threads, which decodes photos whole, one after the other. The others are the tagger as the
daemon runs it, with decoding ahead, from JPEGs of 24 megapixels.

``--cap`` measures with the instruction sets of older processors: ``vnni`` for AVX512-VNNI without
AVX512-BF16, ``avx2`` for AVX2 alone. int8 is calibrated with the photos of `tests.support.samples`;
behind it stands the largest number of an input, and what all else calculates with.

Without ``--checkpoint`` the weights (1.3 GB) are made in a temporary directory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import IO, Any

VARIANTS = ("published", "float32", "bfloat16", "int8")

CAPS: Mapping[str, Mapping[str, str]] = {
    "native": {},
    "vnni": {
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI",
        "ATEN_CPU_CAPABILITY": "avx512",
    },
    "avx2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}

_DISTINCT_PHOTOS = 8
_PUBLISHED_PHOTOS = 3
"""In a round; it takes long enough."""
_BATCH = 8
_MAX_PIXELS = 120_000_000
_TOP = 15


# --- One variant in a process of its own ---


def work(variant: str, checkpoint: Path, photos: Sequence[Path], threads: int) -> None:
    """Answer commands on standard input, one a line: ``run`` or ``logits``."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    torch.set_num_threads(threads)
    imported = _resident_bytes("VmRSS")
    started = time.perf_counter()
    subject = (
        _Published(checkpoint)
        if variant == "published"
        else _Tagger(variant, checkpoint, photos[0], threads)
    )
    ready = time.perf_counter() - started
    _say(imported_bytes=imported, ready_seconds=ready, notes=subject.notes)
    for line in sys.stdin:
        if line.strip() == "logits":
            _say(logits=[subject.logits(photo) for photo in photos[:_DISTINCT_PHOTOS]])
            continue
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far: see proc(5)
        busy, started = time.process_time(), time.perf_counter()
        seconds, count = subject.run(photos)
        _say(
            model_seconds=seconds / count,
            seconds=(time.perf_counter() - started) / count,
            processor_seconds=(time.process_time() - busy) / count,
            resident_bytes=_resident_bytes("VmRSS"),
            peak_bytes=_resident_bytes("VmHWM"),
        )


class _Published:
    notes = ""

    def __init__(self, checkpoint: Path) -> None:
        import torch

        from photoramd.models.ram_plus.network import RAM_PLUS_SHAPE as SHAPE
        from tests.support.ram_plus_reference import ReferenceRamPlus

        weights = torch.load(checkpoint, weights_only=True)["model"]
        self._network = ReferenceRamPlus(weights, SHAPE.encoder, SHAPE.decoder)

    def run(self, photos: Sequence[Path]) -> tuple[float, int]:
        """Seconds spent in the model, and for how many photos."""
        seconds = 0.0
        for photo in photos[:_PUBLISHED_PHOTOS]:
            image = self._read(photo)
            started = time.perf_counter()
            self._logits(image)
            seconds += time.perf_counter() - started
        return seconds, _PUBLISHED_PHOTOS

    def logits(self, photo: Path) -> list[float]:
        """Of the pixels that the tagger sees."""
        from photoramd.images.decoder import decode

        return self._logits(_input(decode(photo, side=768, max_pixels=_MAX_PIXELS).image))

    def _read(self, photo: Path) -> Any:
        from PIL import Image, ImageOps

        with Image.open(photo) as image:
            return _input(ImageOps.exif_transpose(image).convert("RGB"))

    def _logits(self, pixels: Any) -> list[float]:
        import torch

        from photoramd.models.ram_plus.tagger import normalise

        with torch.inference_mode():
            logits: list[float] = self._network.logits(normalise(pixels))[0].tolist()
        return logits


class _Tagger:
    def __init__(self, precision: str, checkpoint: Path, photo: Path, threads: int) -> None:
        import torch

        from photoramd.models.layers.linear import Precision
        from photoramd.models.ram_plus.network import RAM_PLUS_SHAPE
        from photoramd.models.ram_plus.tagger import RamPlusTagger, choose_precision, load_network
        from photoramd.models.vocabulary import Vocabulary
        from photoramd.pipeline.inference import decode_input
        from tests.support.random_weights import stored_pin

        pin = stored_pin(checkpoint)
        cpu = torch.device("cpu")
        # Measured even where photoramd refuses it.
        emulated = Precision.best(torch.bfloat16, cpu) if precision == "bfloat16" else None
        layer_precision = emulated or choose_precision(precision, cpu)
        self.notes = "" if layer_precision.packed else "not packed"
        if layer_precision.quantization is not None:
            kind = str(layer_precision.dtype).removeprefix("torch.")
            self.notes = f"{layer_precision.quantization.levels}, {kind}"
        network = load_network(pin, RAM_PLUS_SHAPE, layer_precision)
        labels = tuple(map(str, range(RAM_PLUS_SHAPE.decoder.tags)))
        vocabulary = Vocabulary(labels, (0.65,) * len(labels), ((),) * len(labels), 0.2)
        self._threads = threads
        self._tagger = RamPlusTagger(network, vocabulary, pin.sha256, threads=threads)
        self._tagger.scores([decode_input(self._tagger, photo, _MAX_PIXELS).pixels])

    def run(self, photos: Sequence[Path]) -> tuple[float, int]:
        """Seconds spent in the model, and for how many photos."""
        from photoramd.errors import PhotoramdError
        from photoramd.pipeline.inference import Decoded, decode_input
        from photoramd.pipeline.lookahead import LookAhead

        def decode(path: Path) -> Decoded:
            return decode_input(self._tagger, path, _MAX_PIXELS)

        seconds, rest = 0.0, iter(photos)
        with LookAhead(decode, threads=self._threads, depth=2 * _BATCH) as ahead:
            while True:
                for _, photo in zip(range(ahead.room), rest, strict=False):
                    ahead.submit(photo)
                batch: list[Any] = []
                while len(batch) < _BATCH and len(ahead):
                    _, decoded = ahead.take()
                    if isinstance(decoded, PhotoramdError):
                        raise decoded
                    batch.append(decoded.pixels)
                if not batch:
                    return seconds, len(photos)
                started = time.perf_counter()
                self._tagger.scores(batch)
                seconds += time.perf_counter() - started

    def logits(self, photo: Path) -> list[float]:
        """Of the pixels that the tagger sees."""
        from photoramd.pipeline.inference import decode_input

        pixels = decode_input(self._tagger, photo, _MAX_PIXELS).pixels
        logits: list[float] = self._tagger.logits([pixels])[0].tolist()
        return logits


def _input(image: Any) -> Any:
    import numpy as np
    import torch
    from PIL import Image

    small = image.resize((384, 384), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(small)[None])


def _resident_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(field)


def _say(**values: object) -> None:
    print(json.dumps(values), flush=True)


# --- All variants ---


class _Process:
    """A variant at work."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.ram_plus", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.start = self._read()

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command and wait for the answer."""
        stream = self._process.stdin
        assert stream is not None
        stream.write(f"{command}\n")
        stream.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        stream: IO[str] | None = self._process.stdout
        assert stream is not None
        line = stream.readline()
        if not line:
            raise RuntimeError("the process of a variant has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(
    variants: Sequence[str],
    common: Sequence[str],
    environment: Mapping[str, str],
    rounds: int,
) -> dict[str, dict[str, Any]]:
    """Figures by variant."""
    with ExitStack() as stack:
        processes: dict[str, _Process] = {}
        for variant in variants:
            # A first start may write a converted copy, which the second one loads.
            for _ in range(1 if variant == "published" else 2):
                process = _Process(["--worker", variant, *common], environment)
                if variant in processes:
                    processes[variant].close()
                processes[variant] = process
            stack.callback(processes[variant].close)
        runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in variants}
        for _ in range(rounds):
            for variant, process in processes.items():
                runs[variant].append(process.ask("run"))
        logits = {variant: p.ask("logits")["logits"] for variant, p in processes.items()}
        return {
            variant: _figures(
                processes[variant].start,
                runs[variant],
                runs.get("published"),
                logits[variant],
                logits.get("published"),
            )
            for variant in variants
        }


def _figures(
    start: Mapping[str, Any],
    runs: Sequence[Mapping[str, Any]],
    published: Sequence[Mapping[str, Any]] | None,
    logits: Sequence[Sequence[float]],
    reference: Sequence[Sequence[float]] | None,
) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "seconds": median(run["seconds"] for run in runs),
        "model seconds": median(run["model_seconds"] for run in runs),
        "processor seconds": median(run["processor_seconds"] for run in runs),
        "resident GB": max(run["resident_bytes"] for run in runs) / 1e9,
        "peak GB": max(run["peak_bytes"] for run in runs) / 1e9,
        "torch alone GB": start["imported_bytes"] / 1e9,
        "ready seconds": start["ready_seconds"],
        "notes": start["notes"],
    }
    if published is not None:
        pairs = list(zip(published, runs, strict=True))
        figures["ratio end to end"] = median(p["seconds"] / r["seconds"] for p, r in pairs)
        figures["ratio of the models"] = median(
            p["model_seconds"] / r["model_seconds"] for p, r in pairs
        )
        figures["ratio, its model to our all"] = median(
            p["model_seconds"] / r["seconds"] for p, r in pairs
        )
        figures["ratio of processor time"] = median(
            p["processor_seconds"] / r["processor_seconds"] for p, r in pairs
        )
    if reference is not None:
        figures |= _distance(reference, logits)
    return figures


def _distance(
    reference: Sequence[Sequence[float]], logits: Sequence[Sequence[float]]
) -> dict[str, float]:
    import numpy as np

    from photoramd.models.comparison import compare
    from photoramd.models.rules import Rules
    from photoramd.models.vocabulary import Vocabulary

    one, two = np.array(reference, np.float64), np.array(logits, np.float64)
    # With random weights the calibrated thresholds mean nothing: the surest tags are compared.
    labels = tuple(map(str, range(one.shape[1])))
    vocabulary = Vocabulary(labels, (0.0,) * len(labels), ((),) * len(labels), 0.0)
    truth, other = ((1 / (1 + np.exp(-x))).astype(np.float32) for x in (one, two))
    found = compare(vocabulary, zip(truth, other, strict=True), Rules(top_n=_TOP))
    return {
        "largest difference of a logit": float(np.abs(one - two).max()),
        "cosine of the logits": found.cosine,
        "correlation of the logits": found.correlation,
        "largest difference of a probability": found.largest_difference,
        "mean difference of probabilities": found.mean_difference,
        f"F1 of the {_TOP} surest tags": found.f1,
    }


@contextmanager
def materials(checkpoint: Path | None, count: int) -> Iterator[tuple[Path, list[Path]]]:
    """A checkpoint in a model store, and photos."""
    from tests.support.photos import camera_photos
    from tests.support.random_weights import stored_checkpoint

    with tempfile.TemporaryDirectory(prefix="ram-plus-") as name:
        directory = Path(name)
        target = stored_checkpoint(directory, checkpoint)
        photos = camera_photos(directory / "photos", 24, _DISTINCT_PHOTOS, seed=1)
        yield target, [photos[number % len(photos)] for number in range(count)]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ram_plus", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=2 * _DISTINCT_PHOTOS)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--cap", nargs="+", choices=CAPS, default=["native"])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.worker:
        work(arguments.worker, arguments.paths[0], arguments.paths[1:], arguments.threads)
        return
    results = {}
    with materials(arguments.checkpoint, arguments.photos) as (checkpoint, photos):
        common = ["--threads", str(arguments.threads), str(checkpoint), *map(str, photos)]
        if "int8" in arguments.variants:
            from tests.support.random_weights import calibrate_stored, stored_pin

            calibrate_stored(stored_pin(checkpoint))
        for cap in arguments.cap:
            results[cap] = measure(arguments.variants, common, CAPS[cap], arguments.rounds)
            if not arguments.json:
                _report(cap, results[cap])
    if arguments.json:
        print(json.dumps(results))


def _report(cap: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    print(f"\n{cap}\n{'':38}" + "".join(f"{variant:>14}" for variant in results))
    names = dict.fromkeys(name for figures in results.values() for name in figures)
    for name in names:
        cells = (figures.get(name, "") for figures in results.values())
        shown = (f"{cell:14.5f}" if isinstance(cell, float) else f"{cell:>14}" for cell in cells)
        print(f"{name:38}" + "".join(shown), flush=True)


if __name__ == "__main__":
    main()
