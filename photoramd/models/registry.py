"""Load a tagger by the name of its model.

Nothing here imports torch; the modules of the models do, when `load` asks for one of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from photoramd.errors import PIP, ModelError
from photoramd.models.weights.verified import EMBEDDED, RAM_PLUS, known_model

if TYPE_CHECKING:
    from photoramd.models.tagger import Tagger


def load(
    name: str,
    *,
    threads: int | None = None,
    precision: str = "auto",
    device: str = "auto",
    is_wanted: Callable[[str], bool] | None = None,
) -> Tagger:
    """Load a model by its name in the configuration; takes seconds.

    Args:
        name: Such as ``embedded``.
        threads: For RAM++ how many photos it looks at at a time; for other models the threads of
            their library, for the whole process. None leaves it to the model.
        precision: Of weights and activations, such as ``float32``; ``auto`` leaves it to the model.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``; models other than RAM++ run on the CPU.
        is_wanted: Which labels can become keywords. RAM++ spares the work for others, if they are
            many; its revision then depends on it.

    Raises:
        IntegrityError: The weights are not the pinned bytes.
        ModelError: There is no such model, it has not these settings, or its weights or libraries
            are missing.
    """
    model = known_model(name)
    model.require(device=device, precision=precision)
    if model is EMBEDDED:
        with libraries(name):
            from photoramd.models.efficientnet_lite.tagger import ImagenetTagger
        return ImagenetTagger.load(threads=threads, precision=precision)
    if name.startswith("torchvision:"):
        with libraries(name):
            from photoramd.models.torchvision import ZooTagger
        return ZooTagger.load(model, threads=threads, precision=precision)
    if model is RAM_PLUS:
        with libraries(name):
            from photoramd.models.ram_plus.tagger import RamPlusTagger
        return RamPlusTagger.load(
            device=device, precision=precision, threads=threads, is_wanted=is_wanted
        )
    raise ModelError(f"the model {name} cannot be loaded")


@contextmanager
def libraries(name: str) -> Iterator[None]:
    """Around the import of a model's module, which imports its libraries.

    Raises:
        ModelError: They are missing.
    """
    # Threads that wait for each other must not keep processors busy; read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        yield
    except (ImportError, OSError) as error:
        raise ModelError(
            f"the model {name} needs torch and torchvision: {error}",
            remedy=f"install them into the same environment: {PIP} torch torchvision",
        ) from error
