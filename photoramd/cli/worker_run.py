"""What ``photoramd worker run`` puts together, once it is known that all parts are installed."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from photoramd.daemon import sd_notify
from photoramd.net.sockets import addresses, listening
from photoramd.system.token import read_token
from photoramd.worker.run import Progress, Settings, run
from photoramd.worker.tls import server_context

if TYPE_CHECKING:
    from photoramd.config.schema import Config


def run_configured(config: Config) -> None:
    """Run a worker as the configuration says.

    Raises:
        PhotoramdError: See `photoramd.worker.run.run`.
    """
    # Until the server has its own: what has been started is ended on the way out.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    worker, model = config.worker, config.model
    token = read_token(Path(worker.token_file), "photoramd worker token")
    tls = None
    if worker.certificate_file:
        tls = server_context(Path(worker.certificate_file), Path(worker.key_file))
    settings = Settings(
        model=model.name,
        precision=model.precision,
        device=model.device,
        threads=model.threads,
        replicas=worker.replicas,
    )
    with (
        sd_notify.connect() as notifier,
        listening(worker.listen, "worker.listen") as sockets,
    ):
        scheme = "http" if tls is None else "https"
        run(settings, sockets, token, tls, _Shown(notifier, sockets, scheme))


class _Shown(Progress):
    """Tells the user and systemd."""

    def __init__(
        self, notifier: sd_notify.Notifier, sockets: list[socket.socket], scheme: str
    ) -> None:
        self._notifier = notifier
        self._sockets = sockets
        self._scheme = scheme

    def step(self, text: str) -> None:
        click.echo(text)
        self._notifier.beat()
        self._notifier.describe(lambda: text)

    def ready(self, replicas: int, is_well: Callable[[], bool]) -> None:
        for address in addresses(self._sockets, "", self._scheme):
            click.echo(f"Ready at {address.removesuffix('/')}, replicas: {replicas}")
        self._notifier.ready(is_well)

    def beat(self, status: str) -> None:
        self._notifier.beat()
        self._notifier.describe(lambda: status)
