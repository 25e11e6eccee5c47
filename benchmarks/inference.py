"""Measure the models: by device, precision and batch size, without decoding.

    python -m benchmarks inference [--quick] [--models embedded ram++]
        [--precisions float32 bfloat16 int8] [--batches 1 4 8 16] [--devices cpu cuda mps]
        [--threads N] [--rounds 7] [--json FILE]

Each model in each precision has a process of its own, so its peak memory is its own. RAM++ gets
random weights of its exact layout: speed does not depend on their values. Threads are the
daemon's: all cores. Steps are batches. Judged as a multiple of a float32 matrix product in the same
process, torch's for RAM++, numpy's (one thread) for the embedded model, which does without torch.
``crop`` is what makes the model's input of a decoded photo, in the decoding threads.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from PIL import Image

from benchmarks import calibration, machine, report
from benchmarks.figures import Result
from benchmarks.measure import Case, measure, ready
from photoramd.errors import ModelError
from photoramd.models.preprocessing import Pixels
from photoramd.models.registry import load
from photoramd.models.tagger import Tagger
from photoramd.models.weights.catalog import RAM_PLUS, known_model
from photoramd.system.cpu import available_cores, has_bfloat16
from tests.support.samples import sample_photos

DEVICES = ("cpu", "cuda", "mps")
PRECISIONS = ("float32", "bfloat16", "int8")
BATCHES = (1, 4, 8, 16)
_RAM_PLUS_BATCHES = (1, 4)
"""On a CPU, where its images go one by one whatever the batch, and take a second each."""
_IMAGES = 32
"""In a run, of a model that takes milliseconds."""


@contextmanager
def checkpoint(models: Sequence[str], precisions: Sequence[str]) -> Iterator[Path | None]:
    """Random weights, if RAM++ is wanted; for int8 they are calibrated."""
    if RAM_PLUS.name not in models:
        yield None
        return
    # Only here: they import torch.
    from tests.support.random_weights import calibrate_stored, stored_checkpoint, stored_pin

    with (
        tempfile.TemporaryDirectory(prefix="ram-plus-") as name,
        report.progress("random weights for RAM++, 1.3 GB", 2) as advance,
    ):
        made = stored_checkpoint(Path(name))
        advance("made")
        if "int8" in precisions:
            calibrate_stored(stored_pin(made))
        advance("calibrated")
        yield made


def loaded(options: argparse.Namespace, model: str, precision: str, device: str) -> Tagger:
    """A model; RAM++ with random weights.

    Raises:
        ModelError: It is not there, or not in this precision or on this device.
    """
    if model != RAM_PLUS.name:
        threads = options.threads or available_cores()
        return load(model, threads=threads, precision=precision, device=device)
    from tests.support.random_weights import stored_tagger

    threads = options.threads or available_cores()
    return stored_tagger(Path(options.worker), precision=precision, device=device, threads=threads)


def photos_like_decoded(side: int) -> list[Image.Image]:
    """Upright RGB photos whose shorter side is 1.2 times the given one."""
    images = []
    for path in sample_photos().values():
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        scale = 1.2 * side / min(image.size)
        images.append(image.resize((round(image.width * scale), round(image.height * scale))))
    return images


def cases(
    tagger: Tagger, precision: str, device: str, batches: Sequence[int], images: int
) -> Iterator[Case]:
    """The calibration first."""
    library = "torch" if tagger.name == RAM_PLUS.name else "numpy"
    matrices = f"{library} product beside {tagger.name}, {precision}"
    if device != "cpu":
        matrices += f", {device}"
    against = (matrices,)
    decoded = photos_like_decoded(tagger.decode_side)
    pixels = [tagger.pixels(image) for image in decoded]
    if library == "torch":
        yield calibration.gemm(matrices, device)
    else:
        yield calibration.product(matrices)
    for size in batches:
        batch = [pixels[index % len(pixels)] for index in range(size)]
        times = math.ceil(images / size)
        name = f"inference, {tagger.name}, {precision}, batch {size}"
        yield Case(name, size * times, ready(scoring(tagger, batch, times)), against, device=device)
    if device == "cpu":
        name = f"crop, {tagger.name}, beside {precision}"
        yield Case(name, len(decoded), ready(cropping(tagger, decoded)), against)


def scoring(
    tagger: Tagger, batch: Sequence[Pixels], times: int
) -> Callable[[Callable[[], None]], None]:
    """One batch, some times."""

    def work(lap: Callable[[], None]) -> None:
        for _ in range(times):
            tagger.scores(batch)
            lap()

    return work


def cropping(tagger: Tagger, images: Sequence[Image.Image]) -> Callable[[Callable[[], None]], None]:
    """Cropping and resizing."""

    def work(lap: Callable[[], None]) -> None:
        for image in images:
            tagger.pixels(image)
            lap()

    return work


def add(options: argparse.Namespace, result: Result) -> None:
    """Measure each model, device and precision in a process of its own."""
    if options.worker is not None:
        add_one(options, result)
        return
    result.devices = machine.devices()
    models = options.models or (["embedded"] if options.quick else ["embedded", "ram++"])
    for device in options.devices:
        if result.devices[device].startswith("absent"):
            result.absent[f"inference on {device}"] = result.devices[device]
    devices = [
        device for device in options.devices if f"inference on {device}" not in result.absent
    ]
    with checkpoint(models, options.precisions) as weights:
        for chosen in product(models, devices, options.precisions):
            add_alone(options, result, chosen, weights)
    if options.quick and not options.models:
        result.absent["inference, ram++"] = "not with --quick"


def add_alone(
    options: argparse.Namespace,
    result: Result,
    chosen: tuple[str, str, str],
    weights: Path | None,
) -> None:
    """Measure one model in a process of its own, unless it cannot run so."""
    model, device, precision = chosen
    name = ", ".join(chosen)
    if model != RAM_PLUS.name and device != "cpu":
        result.absent[f"inference, {name}"] = "this model runs on the CPU only"
    elif precision not in known_model(model).precisions:
        result.absent[f"inference, {name}"] = "the model has no such precision"
    elif precision == "bfloat16" and device == "cpu" and not has_bfloat16():
        result.absent[f"inference, {name}"] = "the processor does not multiply bfloat16 itself"
    else:
        arguments = [
            "--worker",
            str(weights or ""),
            "--models",
            model,
            "--devices",
            device,
            "--precisions",
            precision,
        ]
        if options.batches:
            arguments += ["--batches", *map(str, options.batches)]
        if options.threads:
            arguments += ["--threads", str(options.threads)]
        result.add(report.alone("inference", [*arguments, *report.passed_on(options)]))


def add_one(options: argparse.Namespace, result: Result) -> None:
    """Measure one model in this process."""
    (model,), (device,), (precision,) = options.models, options.devices, options.precisions
    is_slow = model == RAM_PLUS.name and device == "cpu"
    batches = options.batches or (_RAM_PLUS_BATCHES if is_slow else BATCHES)
    if options.quick:
        batches = options.batches or (1, 8)
    try:
        tagger = loaded(options, model, precision, device)
    except ModelError as error:
        result.absent[f"inference, {model}, {device}, {precision}"] = error.message
        return
    rounds = options.rounds or (5 if options.quick else 7)
    rounds = min(rounds, 3) if is_slow else rounds
    made = list(cases(tagger, precision, device, batches, 1 if is_slow else _IMAGES))
    result.figures += measure(f"{model}, {precision}, {device}", made, rounds)


def main(argv: Sequence[str]) -> None:
    """Measure and show."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    parser = report.parser("inference", __doc__)
    parser.add_argument("--models", nargs="+", metavar="NAME", help="default: embedded ram++")
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, metavar="NAME")
    parser.add_argument("--devices", nargs="+", default=DEVICES, choices=DEVICES)
    parser.add_argument("--batches", type=int, nargs="+", metavar="N")
    parser.add_argument("--threads", type=int, metavar="N")
    parser.add_argument("--worker", metavar="CHECKPOINT", help=argparse.SUPPRESS)
    report.run("inference", parser.parse_args(argv), argv, add)
