"""The registry of taggers: how each model is loaded, by the name of its family.

Nothing here imports torch; the modules of the models do, when `load` asks for one of them. A new
tagger is one module and one `register` below.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from photoramd.errors import PIP, IntegrityError, ModelError
from photoramd.models.weights.catalog import Model, known_model

if TYPE_CHECKING:
    from photoramd.models.description import Description
    from photoramd.models.tagger import Tagger


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model should be loaded.

    Attributes:
        model: The model.
        threads: For RAM++, how many photos it infers at a time; for other models, the number of
            torch's threads in the whole process. None leaves it to the model.
        precision: Of weights and activations, such as ``float32``; ``auto`` leaves it to the model.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``; models other than RAM++ run on the CPU.
        is_wanted: Tells which labels can become keywords. RAM++ skips the work for the others if
            there are many; its revision then depends on it.
    """

    model: Model
    threads: int | None = None
    precision: str = "auto"
    device: str = "auto"
    is_wanted: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True)
class Specification:
    """What differs between families of models.

    Attributes:
        load: Imports the model's module and loads it.
        uses_all_cores: Whether inference gets all threads. Otherwise one computes, and decoding,
            the larger part of the work, takes the others.
        calibrated_precision: The precision that needs a calibration first, if there is one.
        packages: Packages of the extra ``torch`` that it needs.
        describe: Returns what is known of it, with a precision and a device, without them and
            without the weights; None if that cannot be known, so that it cannot run elsewhere.
        differs: Whether its scores depend on the precision and on the device.
    """

    load: Callable[[LoadOptions], Tagger]
    uses_all_cores: bool = False
    calibrated_precision: str | None = None
    packages: tuple[str, ...] = ()
    describe: Callable[[str, str], Description] | None = None
    differs: bool = False


_TORCH = ("torch", "torchvision")

_SPECIFICATIONS: dict[str, Specification] = {}


def register(family: str, specification: Specification) -> None:
    """Register a family of models: those of this name, or of names that begin with ``FAMILY:``."""
    _SPECIFICATIONS[family] = specification


def specification(name: str) -> Specification:
    """Return the specification of a model by its name in the configuration.

    Raises:
        ModelError: There is no such model, or it cannot be loaded.
    """
    known_model(name)
    try:
        return _SPECIFICATIONS[name.partition(":")[0]]
    except KeyError:
        raise ModelError(f"the model {name} cannot be loaded") from None


def load(
    name: str,
    *,
    threads: int | None = None,
    precision: str = "auto",
    device: str = "auto",
    is_wanted: Callable[[str], bool] | None = None,
) -> Tagger:
    """Load a model by its name in the configuration; takes seconds.

    For the arguments see `LoadOptions`.

    Raises:
        IntegrityError: The weights are not the pinned bytes.
        ModelError: There is no such model, it does not support the options, or its weights or
            libraries are missing.
    """
    model = known_model(name)
    model.require(device=device, precision=precision)
    return specification(name).load(LoadOptions(model, threads, precision, device, is_wanted))


def describe(name: str, *, precision: str, device: str) -> Description:
    """Return what is known of a model that runs elsewhere, which must be said exactly.

    Args:
        name: The model.
        precision: Its precision there.
        device: What it runs on there.

    Raises:
        IntegrityError: A list that belongs to it is not what it must be.
        ModelError: There is no such model, it cannot run elsewhere, or a list is missing.
    """
    require_remote(name, precision=precision, device=device)
    describes = specification(name).describe
    assert describes is not None  # noqa: S101  it was looked for
    try:
        return describes(precision, device)
    except IntegrityError:
        raise
    except ModelError as error:
        remedy = f"photoramd model fetch {name} --without-weights"
        raise ModelError(error.message, path=error.path, remedy=remedy) from error


def require_remote(name: str, *, precision: str, device: str) -> None:
    """Require a model that can run elsewhere, and all that must be said of it; reads nothing.

    Raises:
        ModelError: There is no such model, it cannot run elsewhere, or that is not exact.
    """
    known_model(name).require(device=device, precision=precision)
    chosen = specification(name)
    if chosen.describe is None:
        raise ModelError(
            f"the model {name} cannot run on another machine",
            remedy="set model.name to one of: " + ", ".join(sorted(remote_models())),
        )
    if chosen.differs and precision not in ("float32", "bfloat16"):
        raise ModelError(
            f"which precision {name} has on another machine must be said",
            remedy='set model.precision to "bfloat16" or "float32"',
        )
    if chosen.differs and device == "auto":
        devices = ", ".join(known_model(name).devices)
        raise ModelError(
            f"what {name} runs on on another machine must be said",
            remedy=f"set model.device to one of: {devices}",
        )


def remote_models() -> tuple[str, ...]:
    """Return the names of the models that can run on another machine."""
    return tuple(name for name, each in _SPECIFICATIONS.items() if each.describe is not None)


def require_packages(name: str) -> None:
    """Look for the packages that a model needs, without importing them.

    Raises:
        ModelError: There is no such model, or one of them is not installed.
    """
    for package in specification(name).packages:
        if find_spec(package) is None:
            raise _lacks(name, f"{package} is not installed")


@contextmanager
def libraries(name: str) -> Iterator[None]:
    """Wrap the import of a model's module, which imports its libraries.

    Raises:
        ModelError: They are missing.
    """
    # Waiting threads must not keep cores busy. torch reads this when it is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        yield
    except (ImportError, OSError) as error:
        raise _lacks(name, str(error)) from error


def _lacks(name: str, reason: str) -> ModelError:
    return ModelError(
        f"the model {name} needs torch and torchvision: {reason}",
        remedy=f"install them into the same environment: {PIP} 'photoramd[torch]'",
    )


def _load_embedded(options: LoadOptions) -> Tagger:
    from photoramd.models.embedded.tagger import EmbeddedTagger

    return EmbeddedTagger.load(threads=options.threads, precision=options.precision)


def _load_torchvision(options: LoadOptions) -> Tagger:
    with libraries(options.model.name):
        from photoramd.models.torchvision import ZooTagger
    return ZooTagger.load(options.model, threads=options.threads, precision=options.precision)


def _load_ram_plus(options: LoadOptions) -> Tagger:
    with libraries(options.model.name):
        from photoramd.models.ram_plus.tagger import RamPlusTagger
    return RamPlusTagger.load(
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        is_wanted=options.is_wanted,
    )


def _describe_embedded(_precision: str, _device: str) -> Description:
    from photoramd.models.embedded import identity

    return identity.describe()


def _describe_ram_plus(precision: str, device: str) -> Description:
    from photoramd.models.ram_plus import identity

    return identity.describe(precision, device)


register(
    "embedded",
    Specification(_load_embedded, uses_all_cores=True, describe=_describe_embedded),
)
register("torchvision", Specification(_load_torchvision, packages=_TORCH))
register(
    "ram++",
    Specification(
        _load_ram_plus,
        uses_all_cores=True,
        calibrated_precision="int8",
        packages=_TORCH,
        describe=_describe_ram_plus,
        differs=True,
    ),
)
