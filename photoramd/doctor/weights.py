"""Check the configured model and its weights, as a start would find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from photoramd.config import schema
from photoramd.doctor.finding import Finding, Grade, failure
from photoramd.errors import ModelError, PhotoramdError, printable
from photoramd.models.registry import require_packages, specification
from photoramd.models.weights import converted, verified
from photoramd.models.weights.catalog import Model, PinnedFile, known_model
from photoramd.models.weights.converted import CopyName

_ANY = "auto"


def examine_model(chosen: schema.Model, notice: Callable[[str], object]) -> Iterator[Finding]:
    """Check that the configured model can be used here, and its weights."""
    try:
        model = known_model(chosen.name)
        model.require(device=chosen.device, precision=chosen.precision)
        require_packages(model.name)
    except ModelError as error:
        yield failure("model", error)
    else:
        yield from examine_weights(model, chosen.precision, notice)


def examine_weights(
    model: Model, precision: str, notice: Callable[[str], object]
) -> Iterator[Finding]:
    """Check every byte of a model's files, and of the converted copies that are loaded instead.

    Args:
        model: The configured model.
        precision: The configured precision.
        notice: Called with each file's name before it is read, which can take seconds.
    """
    calibrated = specification(model.name).calibrated_precision
    serving = [
        (copy, path)
        for copy, path in converted.installed_copies(model.weights)
        if precision == copy.precision or (precision == _ANY and copy.precision != calibrated)
    ]
    try:
        if precision == calibrated and not serving:
            raise ModelError(
                f"{model.name} was not calibrated for {precision}",
                remedy=f"photoramd model calibrate {model.name} DIR, or another model.precision",
            )
        for pin in model.files:
            # With a copy, the original may have been deleted.
            if pin == model.weights and serving and not _is_installed(pin):
                continue
            path = verified.locate(pin)
            notice(f"verifying {printable(path)}")
            verified.verify(pin)
            yield Finding("model", Grade.OK, f"{model.name}: {pin.name} is the pinned file")
        for copy, path in serving:
            notice(f"verifying {printable(path)}")
            yield _copy(model, copy, path)
    except PhotoramdError as error:
        yield failure("model", error)


def _copy(model: Model, copy: CopyName, path: Path) -> Finding:
    verified = converted.open_copy(copy)
    if verified is None:
        raise ModelError("was deleted meanwhile", path=path)
    with verified:
        return Finding("model", Grade.OK, f"{model.name}: {copy.file} is what was converted")


def _is_installed(pin: PinnedFile) -> bool:
    try:
        verified.locate(pin)
    except ModelError:
        return False
    return True
