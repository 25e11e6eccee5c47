"""``photoramd worker run`` without the command line: everything in its order."""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from PIL import Image

from photoramd.errors import ConfigError, ModelError
from photoramd.models import registry
from photoramd.models.remote.protocol import identity_of
from photoramd.net.connections import BoundedProtocol
from photoramd.net.server import Server, bounded
from photoramd.net.sockets import is_for_others
from photoramd.system.token import Token
from photoramd.worker import cluster
from photoramd.worker.deployment import CALLS, Deployment, deployed
from photoramd.worker.front import Front, held_bytes
from photoramd.worker.replica import Options
from photoramd.worker.requests import Expected
from photoramd.worker.weights import verify

if TYPE_CHECKING:
    import uvicorn

    from photoramd.models.description import Description

_BODY_SECONDS = 120.0
"""28 MB in that time are 2 Mbit/s."""

_SILENT_SECONDS = 30.0
"""Serve's controller starts again by itself; if it does not, everything does."""

_HANGING_SECONDS = 600.0
"""As long as a whole start may take under systemd, whose next start is what helps then."""

_LOOK_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What runs.

    Attributes:
        model: The model's name.
        precision: Its precision.
        device: What it runs on.
        threads: How many photos are inferred at a time, on the processor.
        replicas: How many times it is loaded; 0: once for each GPU, or once.
    """

    model: str
    precision: str
    device: str
    threads: int
    replicas: int


class Progress:
    """Told how the start gets on, and how it is afterwards."""

    def step(self, text: str) -> None:
        """Take what is done next."""

    def ready(self, replicas: int, is_well: Callable[[], bool]) -> None:
        """Take that requests are answered, and what tells whether all is well."""

    def beat(self, status: str) -> None:
        """Take a sign of life, every few seconds."""


def require_safety(sockets: Sequence[socket.socket], tls: ssl.SSLContext | None) -> None:
    """Refuse to tell the token on a network without TLS.

    Raises:
        ConfigError: That would happen.
    """
    if tls is None and is_for_others(sockets):
        raise ConfigError(
            "other machines can reach this address, so the worker needs a certificate there: "
            "the token could be read on the way",
            remedy="photoramd worker certificate DIRECTORY --host NAME makes one; name it with "
            "--certificate and --key; or listen on 127.0.0.1 only",
        )


def run(
    settings: Settings,
    sockets: Sequence[socket.socket],
    token: Token,
    tls: ssl.SSLContext | None,
    progress: Progress,
) -> None:
    """Serve a model until SIGTERM or SIGINT.

    Args:
        settings: What runs.
        sockets: Those to listen on.
        token: What daemons must show.
        tls: The server's certificate; None for plain HTTP, which is for this machine alone.
        progress: Told how it gets on.

    Raises:
        ConfigError: See `require_safety`.
        IntegrityError: The weights are not the pinned bytes.
        ModelError: The model cannot be loaded.
        RayError: Ray cannot be started, or has ended.
    """
    require_safety(sockets, tls)
    description = registry.describe(
        settings.model, precision=settings.precision, device=settings.device
    )
    registry.require_packages(settings.model)
    progress.step("Verifying the weights")
    verify(settings.model)
    has_gpu = settings.device == "cuda"
    options = Options(
        settings.model,
        description.revision,
        settings.precision,
        settings.device,
        settings.threads or None,
    )
    expected = _expected(description)
    held = held_bytes(CALLS * _most_replicas(settings), expected)
    progress.step("Starting Ray")
    with (
        _private_directory() as directory,
        cluster.started(directory, has_gpu=has_gpu, held_bytes=held) as ray,
    ):
        replicas = settings.replicas or (ray.gpus() if has_gpu else 1)
        progress.step("Loading the model")
        with deployed(options, replicas, has_gpu=has_gpu) as deployment:
            front = Front(expected, token, deployment, _device(settings.device))
            ended = _serve(front, deployment, ray, sockets, tls, progress)
    if ended:
        raise cluster.RayError(ended)


def _serve(
    front: Front,
    deployment: Deployment,
    ray: cluster.Cluster,
    sockets: Sequence[socket.socket],
    tls: ssl.SSLContext | None,
    progress: Progress,
) -> str | None:
    """Answer requests until the end; return what Ray lacks if that is why."""
    ended: str | None = None

    def look() -> None:
        nonlocal ended
        ended = ended or _trouble(ray, deployment)
        if ended:
            server.should_exit = True
        progress.beat(f"{deployment.ready} replicas are ready")

    config = bounded(front, _Protocol, lifespan="off")
    if tls is not None:
        _use(config, tls)
    server = Server(
        config,
        lambda: progress.ready(deployment.ready, lambda: not _trouble(ray, deployment)),
        look,
        beat_seconds=_LOOK_SECONDS,
    )
    server.run(list(sockets))
    return ended


def _trouble(ray: cluster.Cluster, deployment: Deployment) -> str | None:
    """Return what only a new start puts right."""
    if (name := ray.lost()) is not None:
        return f"Ray's process {name} has ended"
    if (seconds := deployment.silent_seconds()) > _SILENT_SECONDS:
        return f"Ray Serve has not answered for {seconds:.0f} seconds"
    if (seconds := deployment.hanging_seconds()) > _HANGING_SECONDS:
        return f"no replica has been ready for {seconds / 60:.0f} minutes: the start of one hangs"
    return None


def _use(config: uvicorn.Config, tls: ssl.SSLContext) -> None:
    config.ssl_context_factory = lambda _config, _default: tls


class _Protocol(BoundedProtocol):
    body_seconds = _BODY_SECONDS
    headers_of_refusals: ClassVar[dict[str, str]] = {"Cache-Control": "no-store"}


def _expected(description: Description) -> Expected:
    side = description.crop.decode_side
    picture = description.crop.pixels(Image.new("RGB", (side, side)))
    return Expected(identity_of(description), picture.shape)


def _most_replicas(settings: Settings) -> int:
    """Return how many there will be; before its start Ray cannot be asked for GPUs."""
    if settings.replicas or settings.device != "cuda":
        return settings.replicas or 1
    import torch

    return torch.cuda.device_count()


def _device(device: str) -> str:
    if device != "cuda":
        return "cpu"
    import torch

    if not torch.cuda.is_available():
        raise ModelError("this machine has no GPU that torch can use", remedy="photoramd doctor")
    return f"cuda: {torch.cuda.get_device_name(0)}"


@contextmanager
def _private_directory() -> Iterator[Path]:
    """Make a directory for Ray, with a short path: sockets' paths have at most 107 bytes."""
    base = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or None
    with tempfile.TemporaryDirectory(
        prefix="photoramd-worker-" if base is None else "", dir=base, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)
