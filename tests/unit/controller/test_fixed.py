"""The laws that do not look."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from controller.laws.base import LawSettings
from controller.laws.fixed import Nop, Scripted, ScriptedSettings
from tests.unit.controller.builders import observed, situation


def test_nop_and_scripted() -> None:
    assert Nop().decide(situation(current=7), LawSettings(), {}).wanted == 7
    settings = ScriptedSettings(steps=((10.0, 4), (60.0, 2)))
    wanted = [
        Scripted().decide(situation(observed(elapsed=t), current=1), settings, {}).wanted for t in (5, 10, 59, 60)
    ]
    assert wanted == [1, 4, 4, 2]


def test_a_script_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match="later"):
        ScriptedSettings(steps=((10.0, 4), (10.0, 2)))
