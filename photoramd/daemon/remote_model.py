"""The model on other machines, as a configuration names them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from photoramd.clock import monotonic
from photoramd.config.schema import Config
from photoramd.models import registry
from photoramd.models.remote.client import clients
from photoramd.models.remote.tagger import RemoteTagger
from photoramd.models.tagger import Tagger
from photoramd.system.cpu import available_cores


def remote_tagger(config: Config, wake: Callable[[], object]) -> RemoteTagger:
    """Return the configured model on the configured workers, which are being looked at.

    Args:
        config: The configuration, with workers.
        wake: Called when a worker is well again, from any thread.

    Raises:
        ConfigError: The token or the certificate of the authority cannot be used.
        IntegrityError: A list that belongs to the model is not what it must be.
        ModelError: A list is missing, or a package.
    """
    model, cluster = config.model, config.cluster
    local = _local(config) if cluster.fallback == "local" else None
    description = registry.describe(model.name, precision=model.precision, device=model.device)
    workers = clients(cluster.workers, cluster.token_file, cluster.ca_file, description)
    tagger = RemoteTagger(description, workers, local=local, wake=wake)
    tagger.step(monotonic())
    return tagger


def _local(config: Config) -> Callable[[], Tagger]:
    """Return a function that loads the same model here.

    All its labels are wanted, as on the workers: with fewer, RAM++ has another revision.

    Raises:
        ModelError: A package is missing.
    """
    registry.require_packages(config.model.name)
    return partial(
        registry.load,
        config.model.name,
        threads=config.model.threads or available_cores(),
        precision=config.model.precision,
        device=config.model.device,
    )
