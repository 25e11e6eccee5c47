"""The daemon as its users start it: a process of its own, a configuration file, signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.processes import processor_seconds
from photoramd.database.connection import Database
from photoramd.database.readonly import open_readonly
from photoramd.errors import StoreError
from photoramd.search.overview import counts
from tests.support.clock import bound

TIMEOUT_SECONDS = 120.0


def wait_for(condition: Callable[[], object], what: str = "") -> None:
    """Wait until a condition holds; fails after two minutes, or more on a busy machine."""
    deadline = time.monotonic() + bound(TIMEOUT_SECONDS)
    while True:
        began = time.monotonic()
        if condition():
            return
        assert began < deadline, f"timed out: {what or condition}"
        # To wait must take no more than half of a core from what is waited for.
        time.sleep(max(0.02, time.monotonic() - began))


def unprivileged(directory: Path) -> list[str]:
    """A command prefix that drops root's rights, which no permission holds up.

    Everybody may then look into the directory, where the photos and the database are to be.
    """
    program = shutil.which("setpriv")
    assert program, "the tests need setpriv: apt-get install util-linux"
    assert os.geteuid() == 0, "this test must run as root, to drop its rights"
    for each in [directory, *directory.parents]:
        each.chmod(each.stat().st_mode | 0o055)
    prefix = [program, "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
    command = [*prefix, sys.executable, "-c", "import photoramd"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"other users must be able to read {Path(__file__).parents[2]} and the Python that runs"
        f" this: chmod o+x the directories above them ({done.stderr.strip()[-200:]})"
    )
    return prefix


@cache
def _empty_database() -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "photoramd.db"
        Database(path).close()
        return path.read_bytes()


class Photoramd:
    """The command line with one configuration, and at most one daemon."""

    def __init__(self, directory: Path, album: Path, *prefix: str, **sections: str) -> None:
        """Write a configuration.

        Args:
            directory: Where it, the database and the log are.
            album: The directory to watch.
            prefix: A command that runs photoramd.
            sections: Contents for sections of the configuration, instead of the defaults;
                ``watch`` is added to the watched directory's; ``program`` is Python code to
                run in place of ``python -m photoramd``.
        """
        program = sections.pop("program", None)
        self._program = ["-m", "photoramd"] if program is None else ["-c", program]
        self.album = album
        self.database = directory / "state" / "photoramd.db"
        self.config = directory / "config.toml"
        self.log = directory / "log"
        self._prefix: Sequence[str] = prefix
        self.environment: dict[str, str] = {}
        self._mark = 0
        self.process: subprocess.Popen[bytes] | None = None
        parts = {
            "[watch]": f"path = {json.dumps(os.fspath(album))}",
            "debounce": "quiet_seconds = 0.3\nmax_wait_seconds = 2",
            "tags": "overrides = 'overrides.json'",
            "state": f"path = {json.dumps(os.fspath(self.database))}",
        }
        (directory / "overrides.json").write_text("{}")
        if "watch" in sections:
            parts["[watch]"] += "\n" + sections.pop("watch")
        self._parts = parts | sections
        self.configure()

    def configure(self, **sections: str) -> None:
        """Write the configuration with other contents of sections; "watches" adds directories."""
        watches = sections.pop("watches", "")
        parts = self._parts | sections
        text = "".join(f"[{key}]\n{value}\n" for key, value in parts.items())
        self.config.write_text(text + watches)

    def command(self, *arguments: object) -> list[str]:
        """A command line."""
        program = [sys.executable, *self._program, "--config", os.fspath(self.config)]
        return [*self._prefix, *program, *map(str, arguments)]

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        if arguments[:1] == ("scan",):
            self._begin_empty()
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)

    def run_bytes(self, *arguments: object) -> bytes:
        """The output of a command, as it is."""
        return subprocess.run(self.command(*arguments), capture_output=True, check=True).stdout

    def ask(self, *arguments: object) -> Any:
        """The JSON answer of a command, or None if it has none."""
        done = self.run(*arguments, "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def start(self) -> None:
        """Start the daemon and wait until it watches."""
        self._begin_empty()
        self.launch()
        self.wait_for_log("Watching", "the daemon to start")

    def launch(self) -> None:
        """Start the daemon and do not wait."""
        self._mark = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            # A group of its own, so that nothing is left where a prefix (strace) goes first.
            self.process = subprocess.Popen(
                self.command("run"),
                stderr=log,
                start_new_session=True,
                env={**os.environ, **self.environment},
            )

    def wait_for_log(self, text: str, what: str = "") -> None:
        """Wait until the daemon of the last start has logged a text."""

        def logged() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            return text.encode() in self.log.read_bytes()[self._mark :]

        wait_for(logged, what or text)

    def send(self, number: signal.Signals) -> None:
        """Send the daemon a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop the daemon; returns its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(bound(TIMEOUT_SECONDS))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def processor_seconds(self) -> float:
        """How much processor time the daemon has used."""
        assert self.process is not None
        return processor_seconds(self.process.pid)

    def close(self) -> None:
        """End the daemon if it still runs."""
        if self.process is not None:
            self.stop(signal.SIGKILL)

    def states(self) -> dict[str, int]:
        """How many photos are in each state, as ``photoramd status`` counts them."""
        try:
            with closing(open_readonly(self.database)) as connection:
                return {str(state): n for state, n in counts(connection).items() if n}
        except StoreError:
            return {}

    def _begin_empty(self) -> None:
        """Begin with a database that has no photos: to make one takes as long as a start."""
        if not self._prefix and not self.database.parent.exists():
            self.database.parent.mkdir(0o700, parents=True)
            self.database.touch(0o600)
            self.database.write_bytes(_empty_database())

    def wait_for_states(self, **wanted: int) -> None:
        """Wait until exactly so many photos are in these states."""
        wait_for(lambda: self.states() == wanted, f"{wanted}, {self.log.read_text()[-2000:]}")
