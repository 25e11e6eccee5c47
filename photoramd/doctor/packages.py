"""Whether the installed Python packages are those that photoramd was made for."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

# torchvision's is among them: it works with one version of torch only, and pip lets a
# different build of torch be put beside it.
_ASKED = ("photoramd", "torchvision")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that somebody requires.

    Attributes:
        name: Its name.
        wanted: Which versions will do, such as ``>=9.0``; empty: any.
        installed: Which one is there; None: none.
        wanted_by: Who requires it.
    """

    name: str
    wanted: str
    installed: str | None
    wanted_by: str

    @property
    def is_good(self) -> bool:
        """Whether a version that will do is installed."""
        specifiers = SpecifierSet(self.wanted)
        return self.installed is not None and specifiers.contains(self.installed, prereleases=True)


def python() -> Package:
    """Return the interpreter.

    Raises:
        PackageNotFoundError: photoramd runs without being installed.
    """
    wanted = distribution("photoramd").metadata["Requires-Python"]
    return Package("Python", wanted, platform.python_version(), "photoramd")


def packages() -> Iterator[Package]:
    """Yield the packages that photoramd and torchvision require here, without those of extras.

    Raises:
        PackageNotFoundError: photoramd runs without being installed.
    """
    for name in _ASKED:
        try:
            required = distribution(name).requires or ()
        except PackageNotFoundError:
            if name == "photoramd":
                raise
            continue  # it is missing, which has been said
        for requirement in map(Requirement, required):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                version = _version(requirement.name)
                yield Package(requirement.name, str(requirement.specifier), version, name)


def _version(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None
