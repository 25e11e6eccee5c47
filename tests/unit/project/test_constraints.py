"""pyproject.toml and the files of pins agree: what is needed is pinned, and nothing else."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
REMEDY = "make constraints"

_PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<marker>[^#\\]+))?")
_DIGEST = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")


@dataclass
class Pin:
    """One version of a package, on the machines that its marker is about.

    Attributes:
        version: Exactly this one.
        marker: Where it counts; None: everywhere.
        via: What needs it, as the generator noted: packages, or our own pyproject.toml.
        digests: SHA-256 of its files.
    """

    version: str
    marker: Marker | None
    via: set[str] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)

    def counts(self, environment: dict[str, str]) -> bool:
        return self.marker is None or self.marker.evaluate(environment)


Pins = dict[str, list[Pin]]


def read(text: str) -> Pins:
    """All pins of a file by the name of the package."""
    pins: Pins = defaultdict(list)
    latest: Pin | None = None
    for line in text.splitlines():
        if match := _PIN.match(line):
            marker = match["marker"]
            latest = Pin(match["version"], Marker(marker.strip()) if marker else None)
            pins[match["name"]].append(latest)
        if latest is not None:
            latest.digests.update(_DIGEST.findall(line))
            _, _, via = line.partition("# via ")
            latest.via.update(word.strip() for word in via.split(",") if word)
    return dict(pins)


def environment(python: str, machine: str) -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
    }


ENVIRONMENTS = [environment(python, machine) for python in PYTHONS for machine in MACHINES]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
RUNTIME = [
    *PROJECT["project"]["dependencies"],
    *(each for name, needs in EXTRAS.items() if name != "dev" for each in needs),
]
TOOLS: list[str] = PROJECT["dependency-groups"]["release"]
WANTED = {
    "constraints.txt": [*RUNTIME, *EXTRAS["dev"]],
    # What has no wheel is compiled by tools that no digest covers.
    "constraints-hashes.txt": [each for each in RUNTIME if not each.startswith("systemd-python")],
    "contrib/container/requirements.txt": [
        *PROJECT["project"]["dependencies"],
        *EXTRAS["raw"],
        *EXTRAS["web"],
    ],
    "contrib/release-tools.txt": TOOLS,
}
WITH_DIGESTS = [file for file in WANTED if file != "constraints.txt"]


def disagreements(pins: Pins, wanted: Iterable[str]) -> list[str]:
    """What is wrong between a file of pins and the requirements that it was made of."""
    requirements = [Requirement(text) for text in wanted]
    # "photoramd[raw]" within an extra means the requirements of another one.
    named = {
        canonicalize_name(each.name): each for each in requirements if each.name != "photoramd"
    }
    found = []
    for name, requirement in named.items():
        for where in ENVIRONMENTS:
            if requirement.marker is not None and not requirement.marker.evaluate(where):
                continue
            versions = [pin.version for pin in pins.get(name, []) if pin.counts(where)]
            if len(versions) != 1:
                found.append(f"{name}: {len(versions)} pins on {where}")
            elif not requirement.specifier.contains(versions[0], prereleases=True):
                found.append(f"{name}: {versions[0]} does not satisfy {requirement.specifier}")
    for name, several in pins.items():
        for needed in (need for pin in several for need in pin.via):
            if needed.startswith("photoramd"):
                if name not in named:
                    found.append(f"{name}: pyproject.toml no longer names it")
            elif not needed.startswith("-c ") and needed not in pins:
                found.append(f"{name}: {needed}, which needed it, is gone")
        if not all(pin.via for pin in several):
            found.append(f"{name}: nothing needs it")
    return found


def pins_of(file: str) -> Pins:
    return read((ROOT / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", WANTED)
def test_the_pins_are_those_that_pyproject_asks_for(file: str) -> None:
    assert disagreements(pins_of(file), WANTED[file]) == [], REMEDY


def test_the_extra_all_has_every_other_extra_but_dev() -> None:
    named = {extra for text in EXTRAS["all"] for extra in Requirement(text).extras}
    assert named == EXTRAS.keys() - {"all", "dev"}


@pytest.mark.parametrize("file", WITH_DIGESTS)
def test_every_pin_of_a_release_has_digests_and_the_version_of_constraints(file: str) -> None:
    everything = pins_of("constraints.txt")
    for name, several in pins_of(file).items():
        assert all(pin.digests for pin in several), name
        for pin in several if name in everything else ():
            assert pin.version in {each.version for each in everything[name]}, f"{name}: {REMEDY}"


def test_all_that_a_user_installs_is_pinned_in_both_files() -> None:
    hashed, everything = pins_of("constraints-hashes.txt"), pins_of("constraints.txt")
    assert hashed.keys() <= everything.keys(), REMEDY
    development = everything.keys() - hashed.keys()
    direct = {canonicalize_name(Requirement(text).name) for text in EXTRAS["dev"]}
    reached = {name for name in development if name in direct | {"systemd-python"}}
    while more := {n for n in development - reached for pin in everything[n] if pin.via & reached}:
        reached |= more
    assert reached == development, f"nothing of development needs them: {REMEDY}"


@pytest.mark.parametrize("file", WANTED)
def test_the_files_do_not_say_where_the_packages_came_from(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not re.findall(r"\w+://|^-|^--(?!hash)|^/", text, re.MULTILINE)


def without_pillow(text: str) -> str:
    return re.sub(r"(?m)^pillow==.*\n", "", text)


def old_torch(text: str) -> str:
    return re.sub(r"(?m)^torch==\S+", "torch==2.0.0", text)


def unneeded(text: str) -> str:
    return text + "left-over==1.0    # via photoramd (pyproject.toml)\n"


def orphaned(text: str) -> str:
    return text + "left-over==1.0    # via gone-package\n"


@pytest.mark.parametrize("damage", [without_pillow, old_torch, unneeded, orphaned])
def test_a_disagreement_is_noticed(damage: Callable[[str], str]) -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert disagreements(read(damage(text)), WANTED["constraints.txt"])
