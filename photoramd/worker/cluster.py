"""Ray on this machine, from its start to its end, and whether it is well."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photoramd.errors import PhotoramdError
from photoramd.worker import environment, processes

log = logging.getLogger(__name__)

_LEAST_STORE_BYTES = 200 << 20
"""Ray's memory for what is under way between the front and the replicas."""

_ESSENTIAL = ("gcs_server", "raylet")
"""Without these nothing works, and Ray's own detection takes a minute."""

_END_SECONDS = 4.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class RayError(PhotoramdError):
    """Ray cannot be started, or has ended."""


class Cluster:
    """Ray, started by this process.

    Args:
        essential: The numbers of the processes that it needs.
    """

    def __init__(self, essential: dict[str, int]) -> None:
        self._essential = essential

    def lost(self) -> str | None:
        """Return the name of an essential process that has ended."""
        gone = (name for name, each in self._essential.items() if not processes.is_running(each))
        return next(gone, None)

    def gpus(self) -> int:
        """Return how many GPUs Ray has found.

        Raises:
            RayError: None.
        """
        import ray

        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        count = int(resources.get("GPU", 0))
        if not count:
            raise RayError(
                "there is no GPU that Ray can use",
                remedy='nvidia-smi lists them; or set model.device to "cpu"',
            )
        return count


@contextmanager
def started(directory: Path, *, has_gpu: bool, held_bytes: int) -> Iterator[Cluster]:
    """Start Ray for a ``with`` block; afterwards no process of it is left.

    Args:
        directory: A private directory with a short path, for its sockets and logs.
        has_gpu: Whether it should look for GPUs.
        held_bytes: How much is under way at most between the front and the replicas.

    Raises:
        RayError: It cannot be started.
    """
    environment.prepare(os.environ, directory)
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    processes.adopt_orphans()
    import ray

    try:
        try:
            ray.init(
                address="local",
                num_cpus=2,
                num_gpus=None if has_gpu else 0,
                object_store_memory=_store_bytes(held_bytes),
                include_dashboard=False,
                configure_logging=False,
                log_to_driver=False,
                _node_ip_address="127.0.0.1",
                _temp_dir=os.fspath(directory / "ray"),
            )
        except SystemExit:
            # A handler of Ray's for signals; a stop is no failure.
            sys.exit(0)
        except Exception as error:  # its exceptions have no common class
            raise RayError(f"Ray cannot be started: {error}") from error
        finally:
            # Ray has put its own there.
            for number, handler in handlers.items():
                signal.signal(number, handler)
        found = processes.children()
        missing = [name for name in _ESSENTIAL if name not in found]
        if missing:
            raise RayError(f"Ray has started without {' and '.join(missing)}")
        yield Cluster({name: found[name] for name in _ESSENTIAL})
    finally:
        _shut_down()


def _store_bytes(held_bytes: int) -> int:
    """Return how large Ray's memory must be: what does not fit there waits for the disk."""
    # More, for answers, gaps, and what a replica still reads although nobody waits for it.
    return max(_LEAST_STORE_BYTES, held_bytes + held_bytes // 4)


def _shut_down() -> None:
    """End Ray, which may hang when parts of it are gone, and then what is left of it."""
    import ray

    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # It would be tried again.
    atexit.unregister(ray.shutdown)

    thread = threading.Thread(target=ray.shutdown, name="ray-end", daemon=True)
    thread.start()
    thread.join(_END_SECONDS)
    processes.end_descendants(_END_SECONDS / 2)
