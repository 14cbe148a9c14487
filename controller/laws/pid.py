"""PID on the progress error, in the original's incremental form and in a form that works.

Both call ``error`` progress minus time progress, so a positive gain adds replicas when the job is late.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.domain.fields import Duration
from controller.laws.base import Law, LawSettings, Memory, Proposal, Situation, recall

_MOST_INTERVALS = 5.0
"""A longer gap between two decisions counts as this many intervals: nothing was steered meanwhile."""
_TRACKING_INTERVALS = 3.0
"""The integral follows what was really granted with this time constant."""
_MOST_RATE = 1e9
_HYSTERESIS = 0.6
"""The output must leave the present count by this much: half a replica would flap at every half."""


class PidSettings(LawSettings):
    """The original's names. In mode ``correct`` the units are replicas per share of error, per share and second
    (integral), and replica seconds per share (derivative)."""

    proportional_gain: float = Field(default=10.0, ge=-1e6, le=1e6)
    derivative_gain: float = Field(default=0.0, ge=-1e6, le=1e6)
    integral_gain: float = Field(default=0.1, ge=-1e6, le=1e6)
    derivative_filter: Duration = Field(
        default=10.0, description="Time constant that smooths the measured rate of progress (mode correct)."
    )
    mode: Literal["correct", "compatible"] = Field(
        default="correct", description="compatible: exactly the original's arithmetic, truncation and wind-up included."
    )


class _Compatible(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    last_error: float | None = None
    total: float = 0.0


class _Correct(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    at: float | None = None
    progress: float = 0.0
    rate: float = 0.0
    integral: float = 0.0
    wanted: int = 0
    proportional_gain: float = 0.0
    derivative_gain: float = 0.0


class Pid(Law[PidSettings]):
    """See the two modes' functions."""

    settings: ClassVar[type[LawSettings]] = PidSettings
    summary: ClassVar[str] = "PID on the progress error (mode correct, or compatible with the original)"

    def decide(self, situation: Situation, settings: PidSettings, memory: Memory) -> Proposal:
        if situation.observation.deadline is None:
            reason = "holds: without a deadline there is no error to act on"
            return Proposal(situation.current, reason, memory=dict(memory))
        if settings.mode == "compatible":
            return _compatible(situation, settings, recall(_Compatible, memory))
        return _correct(situation, settings, recall(_Correct, memory))


def _compatible(situation: Situation, settings: PidSettings, past: _Compatible) -> Proposal:
    """r' = r + int(-Kp*e - Kd*(e - e_prev) - Ki*sum(e)): one step a tick whatever its length, truncated towards 0."""
    error = situation.error
    total = min(max(past.total + error, -1e12), 1e12)
    change = 0.0 if past.last_error is None else error - past.last_error
    output = -settings.proportional_gain * error - settings.derivative_gain * change - settings.integral_gain * total
    wanted = situation.clamp(situation.current + int(output))
    reason = f"error {error:+.3f}, sum {total:+.3f}, output {output:+.3f} truncated to {int(output):+d}"
    return Proposal(wanted, reason, memory=_Compatible(last_error=error, total=total).model_dump())


def _correct(situation: Situation, settings: PidSettings, past: _Correct) -> Proposal:
    """Positional PID with real time steps.

    The output stays fractional; the integral moves only while it does not push a saturated output further, follows
    what the guard really granted, and takes over the difference when gains change; the derivative is of the
    measurement, so a new deadline gives no kick.
    """
    seen = situation.observation
    late = -situation.error
    gap = 0.0 if past.at is None else seen.at - past.at
    step = min(max(gap, 0.0), _MOST_INTERVALS * situation.interval)
    rate = past.rate
    if gap > 0:
        # A filter of the first order: progress comes in steps of whole items, whose slope is mostly noise.
        weight = 1.0 - math.exp(-gap / settings.derivative_filter) if settings.derivative_filter > 0 else 1.0
        rate += weight * ((seen.progress - past.progress) / gap - past.rate)
        rate = min(max(rate, -_MOST_RATE), _MOST_RATE)
    damping = -settings.derivative_gain * rate
    if past.at is None:
        integral = situation.current - settings.proportional_gain * late - damping
    else:
        integral = past.integral
        integral += (past.proportional_gain - settings.proportional_gain) * late
        integral += (settings.derivative_gain - past.derivative_gain) * rate
        granted_less = situation.current - past.wanted
        integral += granted_less * min(1.0, step / (_TRACKING_INTERVALS * situation.interval))
    growth = settings.integral_gain * late * step
    before = settings.proportional_gain * late + integral + damping
    if not (before >= situation.maximum and growth > 0) and not (before <= situation.minimum and growth < 0):
        integral += growth
    integral = min(max(integral, -1e9), 1e9)
    output = settings.proportional_gain * late + integral + damping
    if not math.isfinite(output):
        return Proposal(situation.current, "holds: the output is not finite; its memory starts anew")
    bounded = min(max(output, float(situation.minimum)), float(situation.maximum))
    wanted = situation.current if abs(bounded - situation.current) < _HYSTERESIS else situation.clamp(bounded)
    memory = _Correct(
        at=seen.at,
        progress=seen.progress,
        rate=rate,
        integral=integral,
        wanted=wanted,
        proportional_gain=settings.proportional_gain,
        derivative_gain=settings.derivative_gain,
    )
    reason = f"error {situation.error:+.3f}, integral {integral:.2f}, output {output:.2f}"
    return Proposal(wanted, reason, memory=memory.model_dump())
