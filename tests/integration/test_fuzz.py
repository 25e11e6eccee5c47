"""A short run of the fuzzer; make fuzz runs a long one."""

from __future__ import annotations

import random
from pathlib import Path

from tests.fuzz.campaign import Campaign
from tests.fuzz.mutations import mutated

SECONDS = 6


def test_damaged_files_cost_only_themselves(tmp_path: Path) -> None:
    with Campaign(tmp_path, seed=20261126) as campaign:
        campaign.run(SECONDS)
    assert not campaign.faults, campaign.report()
    assert not campaign.lost, campaign.report()
    kinds = {outcome.split(" ", 1)[0] for outcome in campaign.outcomes}
    assert kinds == {"photo", "sidecar", "embedding", "name"}
    assert sum(campaign.outcomes.values()) > 50


def test_the_same_seed_makes_the_same_files() -> None:
    one, other = (mutated(b"abc" * 100, random.Random(7), b"xyz") for _ in range(2))  # noqa: S311
    assert one == other != b"abc" * 100
