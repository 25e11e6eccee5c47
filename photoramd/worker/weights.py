"""Verify a model's files before anything is started for it."""

from __future__ import annotations

from photoramd.errors import ModelError
from photoramd.models.weights import converted, verified
from photoramd.models.weights.catalog import known_model


def verify(name: str) -> None:
    """Read every byte of a model's files; of the weights or of their converted copies.

    Raises:
        IntegrityError: One is not what it must be.
        ModelError: One is missing, or cannot be read.
    """
    model = known_model(name)
    for pin in model.companions:
        verified.verify(pin)
    copies = converted.installed_copies(model.weights)
    for copy, path in copies:
        opened = converted.open_copy(copy)
        if opened is None:
            raise ModelError("was deleted meanwhile", path=path)
        opened.close()
    try:
        verified.locate(model.weights)
    except ModelError:
        if copies:  # with a copy, the original may be deleted
            return
        raise
    verified.verify(model.weights)
