"""What Ray finds in the environment, whatever the user's holds. Set before ray is imported."""

from __future__ import annotations

import os
import secrets
from collections.abc import MutableMapping
from pathlib import Path

from photoramd.system.files import PRIVATE

_FORCED = {
    # Who has no token can start nothing. The token is in a file, so that no environment has it.
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    # As on other systems: this machine is known as 127.0.0.1 and nothing listens elsewhere.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Ray would end the replica when the machine's memory is short, and a photo would be blamed.
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_enable_metrics_collection": "false",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ROTATION_MAX_BYTES": str(4 << 20),
    "RAY_ROTATION_BACKUP_COUNT": "1",
    # A replica that does not answer is not waited for.
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # One that has just become free is asked again soon.
    "RAY_SERVE_ROUTER_RETRY_INITIAL_BACKOFF_S": "0.005",
}


def prepare(environment: MutableMapping[str, str], directory: Path) -> None:
    """Replace all that concerns Ray, and give it a new token.

    Args:
        environment: That of this process and those it starts.
        directory: A private directory, where the token is put.
    """
    for name in [name for name in environment if name.startswith("RAY_")]:
        del environment[name]
    file = directory / "ray.token"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(file, flags, PRIVATE), "w", encoding="ascii") as opened:
        opened.write(secrets.token_hex(32))
    environment.update(_FORCED, RAY_AUTH_TOKEN_PATH=os.fspath(file))
