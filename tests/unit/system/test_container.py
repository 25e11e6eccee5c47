"""What is said where a container takes the service's place."""

from __future__ import annotations

import pytest

from photoramd.system.container import how_to


def test_the_service_is_named_where_there_is_no_container() -> None:
    assert how_to("start") == "systemctl start photoramd or photoramd run"
    assert how_to("restart") == "systemctl restart photoramd"


def test_in_a_container_the_one_who_runs_it_is_told_of_the_container(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("container", "oci")
    assert how_to("start") == "docker start photoramd or docker compose up -d"
    assert how_to("restart", "[{}]") == (
        "[docker restart photoramd] or [docker compose restart photoramd]"
    )
