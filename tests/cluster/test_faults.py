"""Faults of workers, of networks and of the daemon: each photo is written exactly once.

Partitions are of network namespaces, and processes are killed with SIGKILL. After each fault the
photos go on by themselves, without a failed one.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from tests.cluster.conftest import SOME, World
from tests.support.machines import Credentials, Machine, signal_all
from tests.support.network import Network

PARTS = {
    "replica": "ServeReplica",
    "controller": "ServeController",
    "raylet": "raylet/raylet",
    "directory": "gcs_server",
    "worker": "worker run",
}
"""What a worker consists of, by texts in the processes' command lines."""


@pytest.mark.parametrize("part", [part for part in PARTS if part != "worker"])
def test_a_part_of_a_worker_is_killed(world: World, machine: Machine, part: str) -> None:
    world.begin()
    machine.send(PARTS[part])
    world.wait_until_done()
    world.check()
    assert len(world.lines(machine.url)) <= 10
    machine.wait_until_ready()


def test_a_worker_is_switched_off_and_on(world: World, machine: Machine) -> None:
    world.begin()
    machine.switch_off()
    time.sleep(5)
    machine.switch_on()
    world.wait_until_done()
    world.check()


def test_the_daemon_is_killed_while_groups_are_under_way(world: World) -> None:
    world.daemon.start()
    world.put()
    for written in (SOME, 4 * SOME, 7 * SOME):
        world.wait_for_written(written)
        world.daemon.stop(signal.SIGKILL)
        world.daemon.start()
    world.wait_until_done()
    world.check(killed=True)


@pytest.mark.parametrize(
    ("to_there", "from_there"), [(True, True), (True, False), (False, True)],
    ids=["both directions", "to the worker", "from the worker"],
)  # fmt: skip
@pytest.mark.parametrize("seconds", [25, 140])
def test_a_partition(
    world: World,
    machine: Machine,
    networks: tuple[Network, Network],
    seconds: float,
    to_there: bool,
    from_there: bool,
) -> None:
    world.begin()
    networks[0].cut(to_there=to_there, from_there=from_there)
    try:
        time.sleep(seconds)
        before = world.daemon.states()["written"]
    finally:
        networks[0].heal()
    healed = time.monotonic()
    world.wait_for_written(before + 1)
    assert time.monotonic() - healed < 25  # 15 by design, and what a busy machine needs
    world.wait_until_done()
    world.check()
    assert len(world.lines(machine.url)) <= 10


@pytest.mark.parametrize("part", ["replica", "worker"])
def test_a_part_of_a_worker_stands_still(world: World, machine: Machine, part: str) -> None:
    world.begin()
    machine.send(PARTS[part], signal.SIGSTOP)
    try:
        time.sleep(30)
    finally:
        signal_all(machine.find(PARTS[part]), signal.SIGCONT)
    world.wait_until_done()
    world.check()
    machine.wait_until_ready()


def test_a_machine_is_suspended_in_a_batch(
    world: World, machine: Machine, networks: tuple[Network, Network]
) -> None:
    world.begin()
    machine.signal_everything(signal.SIGSTOP)
    networks[0].cut()
    time.sleep(40)
    networks[0].heal()
    machine.signal_everything(signal.SIGCONT)
    world.wait_until_done()
    world.check()


def test_one_worker_comes_and_another_goes(
    make_world: Callable[[str], World],
    machine: Machine,
    other_machine: Machine,
    credentials: Credentials,
) -> None:
    other_machine.switch_off()
    world = make_world(credentials.cluster(machine.url, other_machine.url))
    world.begin()
    other_machine.switch_on()
    other_machine.wait_until_ready()
    world.daemon.wait_for_log(f"{other_machine.url} is available", "the other worker to be used")
    machine.switch_off()
    world.wait_until_done()
    world.check()
    machine.switch_on()
    machine.wait_until_ready()


def test_a_daemon_that_starts_without_workers_waits_for_them(
    world: World, machine: Machine
) -> None:
    machine.switch_off()
    world.put()
    world.daemon.start()
    world.daemon.wait_for_log(machine.url, "that no worker is there to be said")
    time.sleep(20)
    assert world.daemon.states() == {"pending": len(world.photos)}
    assert len(world.lines(machine.url)) <= 2
    machine.switch_on()
    machine.wait_until_ready()
    world.wait_until_done()
    world.check()
