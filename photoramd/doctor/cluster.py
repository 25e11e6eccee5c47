"""Check the other machines on which the model runs, as a daemon would meet them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from photoramd.clock import unix_time
from photoramd.config.schema import Config
from photoramd.doctor.finding import Finding, Grade, failure
from photoramd.doctor.systemd_unit import Unit
from photoramd.errors import ModelUnavailableError, PhotoramdError
from photoramd.models import registry
from photoramd.models.remote.failures import Kind

if TYPE_CHECKING:
    from photoramd.models.remote.checkup import Checkup

_RENEWAL_SECONDS = 30 * 86400
"""A certificate that ends sooner is worth a warning."""

_DROP_IN = "docs/cluster.md shows the drop-in that allows it (systemctl edit photoramd)"


def examine_cluster(
    config: Config, unit: Unit | None, notice: Callable[[str], object]
) -> Iterator[Finding]:
    """Ask every configured worker what it is; none is given pictures.

    Args:
        config: The configuration, with workers.
        unit: The daemon's systemd unit, if there is one.
        notice: Called with each address before it is asked, which can take seconds.
    """
    # The HTTP library and numpy take longer than the other checks.
    from photoramd.models.remote.checkup import check
    from photoramd.models.remote.client import clients

    if unit is not None and not unit.has_network:
        text = "the service has no network, so it cannot reach any worker"
        yield Finding("workers", Grade.ERROR, text, _DROP_IN, ModelUnavailableError.exit_code)
    model, cluster = config.model, config.cluster
    try:
        description = registry.describe(model.name, precision=model.precision, device=model.device)
        asking = clients(cluster.workers, cluster.token_file, cluster.ca_file, description)
    except PhotoramdError as error:
        yield failure("workers", error)
        return
    text = f"{description.name} of revision {description.revision} is to run on workers"
    yield Finding("model", Grade.OK, text)
    for client in asking:
        notice(f"asking {client.url}")
        yield _finding(check(client))
        client.close()


def _finding(found: Checkup) -> Finding:
    if found.error is not None:
        # One that is switched off is no error: photos wait for it.
        is_away = found.error.kind in (Kind.UNREACHABLE, Kind.NO_MODEL, Kind.BUSY)
        return Finding(
            found.url,
            Grade.WARNING if is_away else Grade.ERROR,
            found.error.reason,
            found.error.remedy or None,
            0 if is_away else ModelUnavailableError.exit_code,
        )
    text = f"{found.device}, photoramd {found.version}"
    if found.valid_until is None:
        return Finding(found.url, Grade.OK, text)
    text += f", certificate valid until {datetime.fromtimestamp(found.valid_until):%Y-%m-%d}"
    if found.valid_until - unix_time() < _RENEWAL_SECONDS:
        remedy = "make another one on the worker: photoramd worker certificate"
        return Finding(found.url, Grade.WARNING, text, remedy)
    return Finding(found.url, Grade.OK, text)
