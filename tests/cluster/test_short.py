"""The short part of these tests, which every run of the tests has."""

from __future__ import annotations

import time

from tests.cluster.conftest import World
from tests.support.machines import Machine
from tests.support.network import Network


def test_a_worker_is_killed(world: World, machine: Machine) -> None:
    world.begin()
    machine.send("worker run")
    world.wait_until_done()
    world.check()
    assert len(world.lines(machine.url)) <= 4
    machine.wait_until_ready()


def test_a_short_partition(
    world: World, machine: Machine, networks: tuple[Network, Network]
) -> None:
    world.begin()
    networks[0].cut()
    time.sleep(5)  # so long it lasts
    networks[0].heal()
    world.wait_until_done()
    world.check()
    assert len(world.lines(machine.url)) <= 4
