"""Check that the installed Python packages are those that photoramd was made for."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from photoramd import __version__
from photoramd.doctor.finding import ERROR, Finding, Grade
from photoramd.errors import PIP

# torchvision's requirements count, too: it works with one version of torch only, and pip lets a
# different build of torch be installed beside it.
_ASKED = ("photoramd", "torchvision")

_SHOWN = ("onnxruntime", "torch", "torchvision")
"""Those whose versions matter for tags."""

_EXTRA = "torch"
"""The extra whose packages count where they are installed."""

_REINSTALL = "install photoramd into its environment anew, with -c constraints.txt"


@dataclass(frozen=True, slots=True)
class Package:
    """A required package.

    Attributes:
        name: Its name.
        wanted: The versions that will do, such as ``>=9.0``; empty for any.
        installed: The installed version; None if it is missing.
        wanted_by: The package that requires it.
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


def examine_packages() -> Iterator[Finding]:
    """Compare the versions of Python and of the packages with those that are needed."""
    try:
        interpreter = python()
        installed = list(packages())
    except PackageNotFoundError:
        yield Finding(
            "packages",
            Grade.WARNING,
            f"photoramd {__version__} is not installed; versions cannot be compared",
            f"{PIP} -c constraints.txt .",
        )
        return
    grade: Grade = Grade.OK if interpreter.is_good else Grade.ERROR
    yield Finding(
        "python",
        grade,
        f"{interpreter.installed}; {interpreter.wanted} is needed",
        None if interpreter.is_good else "make the environment with another Python",
        0 if interpreter.is_good else ERROR,
    )
    for package in installed:
        if not package.is_good:
            found = package.installed or "missing"
            yield Finding(
                "packages",
                Grade.ERROR,
                f"{package.name} is {found}; {package.wanted_by} needs {package.wanted or 'it'}",
                _REINSTALL,
                ERROR,
            )
    if all(package.is_good for package in installed):
        named = {package.name: package.installed for package in installed}
        shown = ", ".join(f"{name} {named[name]}" for name in _SHOWN if name in named)
        yield Finding(
            "packages", Grade.OK, f"photoramd {__version__}, {shown}, {len(named)} in all"
        )


def python() -> Package:
    """Return the interpreter.

    Raises:
        PackageNotFoundError: photoramd runs without being installed.
    """
    wanted = distribution("photoramd").metadata["Requires-Python"]
    return Package("Python", wanted, platform.python_version(), "photoramd")


def packages() -> Iterator[Package]:
    """Yield the packages that photoramd and torchvision require here.

    Those of extras are left out, but for torch and torchvision where they are installed.

    Raises:
        PackageNotFoundError: photoramd runs without being installed.
    """
    for name in _ASKED:
        try:
            required = distribution(name).requires or ()
        except PackageNotFoundError:
            if name == "photoramd":
                raise
            continue  # it is missing, which was reported before
        for requirement in map(Requirement, required):
            version = _version(requirement.name)
            if _applies(requirement, "") or (version and _applies(requirement, _EXTRA)):
                yield Package(requirement.name, str(requirement.specifier), version, name)


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _version(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None
