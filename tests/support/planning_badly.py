"""A FAKE weakness in planning: importing this makes workers crash of some sidecars."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.misbehaving_crop import MisbehavingCrop, plan_badly

plan_badly()


@dataclass(frozen=True, slots=True)
class PlanningBadly(MisbehavingCrop):
    """The same preprocessing; its module is imported where workers are forked."""
