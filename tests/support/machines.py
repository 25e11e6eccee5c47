"""Workers as their users start them, on a machine of their own: `photoramd worker run`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support.daemons import wait_for
from tests.support.network import Network


class Credentials:
    """A token, an authority and a certificate, made by the commands that users have."""

    def __init__(self, directory: Path, *names: str) -> None:
        directory.mkdir()
        self.token = directory / "token"
        photoramd("worker", "token", self.token)
        hosts = [part for name in names for part in ("--host", name)]
        photoramd("worker", "certificate", directory / "pem", *hosts)
        self.ca, self.certificate, self.key = (
            directory / "pem" / name for name in ("ca.pem", "worker.pem", "worker-key.pem")
        )

    def cluster(self, *urls: str, **values: str) -> str:
        """The section [cluster] of a daemon."""
        keys: dict[str, object] = {
            "workers": list(urls), "token_file": os.fspath(self.token),
            "ca_file": os.fspath(self.ca), **values,
        }  # fmt: skip
        return "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())


def photoramd(*arguments: object) -> None:
    """Run a command; it must succeed."""
    subprocess.run([sys.executable, "-m", "photoramd", *map(str, arguments)], check=True)


class Machine:
    """Another machine with a worker that is started again whenever it ends, as systemd does.

    Use it as a context manager; it then serves.

    Args:
        directory: For its configuration, log and whatever it writes.
        network: The network that it is in.
        credentials: Its token and certificate.
        model: The keys of its section [model].
        program: Python code to run in place of ``python -m photoramd``.
        processors: The processors that it may use; None: all.
    """

    def __init__(
        self,
        directory: Path,
        network: Network,
        credentials: Credentials,
        *,
        model: str = "threads = 1",
        program: str | None = None,
        processors: Sequence[int] | None = None,
    ) -> None:
        directory.mkdir()
        self._network = network
        self._processors = processors
        self._program = ["-m", "photoramd"] if program is None else ["-c", program]
        self._config = directory / "config.toml"
        self._directory = directory
        self.log = directory / "log"
        self.url = f"https://{network.there}:8443"
        self.starts = 0
        self._is_wanted = False
        self._process: subprocess.Popen[bytes] | None = None
        self._attendant: threading.Thread | None = None
        listen = f"{network.there}:8443"
        self._config.write_text(
            f'[model]\n{model}\n[worker]\nlisten = "{listen}"\ntoken_file = "{credentials.token}"\n'
            f'certificate_file = "{credentials.certificate}"\nkey_file = "{credentials.key}"\n'
        )

    def __enter__(self) -> Self:
        self.switch_on()
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.switch_off()

    def switch_on(self) -> None:
        """Start the worker, and again whenever it ends."""
        self._is_wanted = True
        self._attendant = threading.Thread(target=self._attend, daemon=True)
        self._attendant.start()

    def switch_off(self) -> None:
        """Kill everything there, as a power cut does."""
        self._is_wanted = False
        while self._attendant is not None and self._attendant.is_alive():
            self.signal_everything()  # what was started at this very moment, too
            self._attendant.join(0.2)

    def wait_until_ready(self) -> None:
        """Wait until the worker has said that it serves, since its last start."""
        wait_for(lambda: self.ready >= self.starts > 0, f"{self.url} to serve: {self._tail()}")

    @property
    def ready(self) -> int:
        """How often it has said that it serves."""
        return self.log.read_text().count("Ready at ") if self.log.exists() else 0

    def find(self, name: str) -> list[int]:
        """The processes there whose command line has a text."""
        found = []
        for pid in self._network.processes():
            with suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                if name.encode() in line:
                    found.append(pid)
        return found

    def send(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the processes whose command line has a text; there must be some."""
        pids = self.find(name)
        assert pids, f"no process {name} among {self._network.processes()}"
        signal_all(pids, number)

    def signal_everything(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to all processes; SIGKILL is what KillMode=control-group ends with."""
        signal_all(self._network.processes(), number)

    def _attend(self) -> None:
        prefix = list(self._network.prefix)
        if self._processors is not None:
            prefix += ["taskset", "--cpu-list", ",".join(map(str, self._processors))]
        command = [*prefix, sys.executable, *self._program]
        command += ["--config", os.fspath(self._config), "worker", "run"]
        while self._is_wanted:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self._directory,
                    start_new_session=True,
                )
                self.starts += 1
                self._process.wait()
            self.signal_everything()

    def _tail(self) -> str:
        return self.log.read_text()[-3000:] if self.log.exists() else ""


def signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    """Send a signal to those of some processes that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
