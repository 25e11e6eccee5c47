"""photoramd's worker as a service on a real systemd, which gives it its port."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.service.machine import Machine, booted
from tests.support.debian import progress, wait_for

pytestmark = pytest.mark.timeout(1800)

SERVICE, SOCKET = "photoramd-worker.service", "photoramd-worker.socket"
SITE = "/opt/photoramd/lib/python3*/site-packages/photoramd"
WEIGHTS = f"{SITE}/models/embedded/*.onnx"
CHECK = "timeout 100 /opt/photoramd/bin/photoramd --config /root/daemon.toml worker check"
CONNECT = "timeout 1 bash -c ': < /dev/tcp/127.0.0.1/8443' 2>&1"

CONFIGURATION = """
[cluster]
workers = ["https://127.0.0.1:8443"]
token_file = "/etc/photoramd/worker-token"
ca_file = "/etc/photoramd/tls/ca.pem"
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine with the worker's units, as docs/cluster.md has them set up."""
    with booted() as running:
        began = time.monotonic()
        running.run(
            "python3 -m venv /opt/photoramd;"
            " PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels /opt/photoramd/bin/pip install --quiet"
            " -c /src/constraints.txt '/src[systemd,worker]';"
            " mkdir -p /etc/photoramd;"
            " printf '[model]\nthreads = 1\n' > /etc/photoramd/config.toml;"
            " /opt/photoramd/bin/photoramd worker token /etc/photoramd/worker-token;"
            " /opt/photoramd/bin/photoramd worker certificate /etc/photoramd/tls --host 127.0.0.1;"
            f" cp /src/contrib/systemd/{SERVICE} /src/contrib/systemd/{SOCKET} /etc/systemd/system;"
            " systemctl daemon-reload",
            timeout=1500,
        )
        progress(f"installed in {time.monotonic() - began:.0f} s")
        running.path("/root/daemon.toml").write_text(CONFIGURATION)
        yield running


def is_(machine: Machine, unit: str) -> str:
    return machine.try_(f"systemctl is-active {unit}").stdout.strip()


def starts(machine: Machine) -> int:
    """How often the worker was begun with."""
    lines = machine.run(f"journalctl --no-pager -u {SERVICE}").splitlines()
    return sum("Starting photoramd" in line for line in lines)


def log(machine: Machine) -> str:
    return machine.run(f"journalctl --no-pager -u {SERVICE} -u {SOCKET} | tail -n 60")


def test_the_first_daemon_that_connects_has_it_started(machine: Machine) -> None:
    machine.run(f"systemctl start {SOCKET}")
    assert is_(machine, SERVICE) == "inactive"
    machine.try_(CONNECT)
    wait_for(lambda: is_(machine, SERVICE) == "active", "the worker", 120)
    done = machine.try_(CHECK)
    assert done.returncode == 0, done.stdout + done.stderr + log(machine)


def test_killed_it_is_started_again_as_often_as_it_takes(machine: Machine) -> None:
    machine.run(
        f"mkdir -p /run/systemd/system/{SERVICE}.d; printf '[Service]\nRestartSec=100ms\n'"
        f" > /run/systemd/system/{SERVICE}.d/quick.conf; systemctl daemon-reload"
    )
    before = starts(machine)
    for number in range(7):
        machine.run(f"systemctl kill --signal=SIGKILL {SERVICE}")
        machine.try_(CONNECT)  # perhaps it is the socket that starts it, more often than it may
        wait_for(lambda n=number: starts(machine) > before + n, "the next start")  # type: ignore[misc]
    wait_for(lambda: is_(machine, SERVICE) == "active", "the worker", 120)
    done = machine.try_(CHECK)
    assert done.returncode == 0, done.stdout + done.stderr + log(machine)


def test_with_wrong_weights_it_is_not_started_without_end(machine: Machine) -> None:
    machine.run(
        f"for each in {WEIGHTS}; do cp $each /root; printf x >> $each; done;"
        f" systemctl stop {SERVICE} {SOCKET}; systemctl start {SOCKET}"
    )
    before = starts(machine)

    def is_closed() -> bool:
        machine.try_(CONNECT)
        return is_(machine, SOCKET) == "failed"

    wait_for(is_closed, "the port to be closed", 300)
    assert 1 <= starts(machine) - before <= 5
    assert "trigger-limit-hit" in machine.try_(f"systemctl status {SOCKET}").stdout
    assert "refused" in machine.try_(CONNECT).stdout
    assert "status=3" in log(machine)
    # Put right, it goes on as docs/cluster.md says, and the socket counts anew.
    machine.run(f"cp /root/*.onnx $(dirname {WEIGHTS}); systemctl reset-failed {SERVICE} {SOCKET}")
    machine.run(f"systemctl restart {SERVICE}")
    done = machine.try_(CHECK)
    assert done.returncode == 0, done.stdout + done.stderr + log(machine)
    machine.run(f"systemctl stop {SERVICE}")
    assert is_(machine, SERVICE) == "inactive", log(machine)  # and not failed
    machine.try_(CONNECT)
    wait_for(lambda: is_(machine, SERVICE) == "active", "the worker", 120)
