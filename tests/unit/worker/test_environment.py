from __future__ import annotations

from pathlib import Path

from photoramd.worker.environment import prepare


def test_nothing_of_the_users_ray_is_left_and_the_token_is_in_a_private_file(
    tmp_path: Path,
) -> None:
    environment = {"HOME": "/home", "RAY_ADDRESS": "elsewhere:1", "RAY_AUTH_MODE": "disabled"}
    prepare(environment, tmp_path)
    assert "RAY_ADDRESS" not in environment
    assert (environment["HOME"], environment["RAY_AUTH_MODE"]) == ("/home", "token")
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"
    file = Path(environment["RAY_AUTH_TOKEN_PATH"])
    assert (file.parent, file.stat().st_mode & 0o777) == (tmp_path, 0o600)
    assert len(file.read_text()) == 64
    assert file.read_text() not in environment.values()
