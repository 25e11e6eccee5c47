"""A second machine on this one: a network namespace, with a cable that can be cut."""

from __future__ import annotations

import os
import subprocess
import uuid
from typing import Self

NOBODY = "02:00:00:00:00:99"
"""The hardware address of no machine: what is sent there is lost without a word."""


class Network:
    """A network namespace and the cable to it. Use it as a context manager; it needs root.

    Args:
        number: Tells several networks at once apart, 1 to 250.

    Attributes:
        here: The address of this machine on the cable.
        there: That of the other one.
        prefix: What runs a command there.
    """

    def __init__(self, number: int = 1) -> None:
        assert os.geteuid() == 0, "this test must run as root, to make network namespaces"
        self._name = f"photoramd-{uuid.uuid4().hex[:8]}"
        self._cable, self._far = f"ph{self._name[-6:]}a", f"ph{self._name[-6:]}b"
        self.here, self.there = f"10.213.{number}.1", f"10.213.{number}.2"
        self.prefix = ["ip", "netns", "exec", self._name]

    def __enter__(self) -> Self:
        _ip("netns", "add", self._name)
        try:
            _ip("link", "add", self._cable, "type", "veth", "peer", self._far, "netns", self._name)
            _ip("addr", "add", f"{self.here}/30", "dev", self._cable)
            _ip("link", "set", self._cable, "up")
            _ip("-n", self._name, "addr", "add", f"{self.there}/30", "dev", self._far)
            for device in (self._far, "lo"):
                _ip("-n", self._name, "link", "set", device, "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        _ip("netns", "del", self._name)

    def cut(self, *, to_there: bool = True, from_there: bool = True) -> None:
        """Lose what is sent, in one direction or in both."""
        lost = ("lladdr", NOBODY, "nud", "permanent")
        if to_there:
            _ip("neigh", "replace", self.there, "dev", self._cable, *lost)
        if from_there:
            _ip("-n", self._name, "neigh", "replace", self.here, "dev", self._far, *lost)

    def heal(self) -> None:
        """Let everything through again."""
        for command in (
            ["neigh", "del", self.there, "dev", self._cable],
            ["-n", self._name, "neigh", "del", self.here, "dev", self._far],
        ):
            subprocess.run(["ip", *command], check=False, capture_output=True)

    def processes(self) -> list[int]:
        """The processes there."""
        done = subprocess.run(
            ["ip", "netns", "pids", self._name], check=True, capture_output=True, text=True
        )
        return [int(each) for each in done.stdout.split()]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
