"""One submission under control: measured as the monitor does, decided on as the controller does, its plant scaled."""

from __future__ import annotations

import math
import random
from collections import deque

from common.domain.capacity import requests_of
from common.domain.forecast import Forecast
from common.domain.history import History
from common.domain.progress import Decision, Observation
from common.domain.queues import QueueAddress
from common.domain.readings import fixed_price
from common.domain.submission import SubmissionSpec
from common.http.contracts import MonitoringInfo, ScalingRequest
from controller.actuation import aim, most_extra, move, next_look, patched, reconcile
from controller.deciding import Outcome, ask, is_due, is_over, noted
from controller.foresight import foresee
from controller.guard import Bounds
from controller.lawbook import AnyLaw
from controller.laws import LawSettings
from controller.record import Scaling, begin
from monitor.measure import SPACING, Reading, measure, moved_window
from monitor.record import Sample, Tally
from monitor.tally import counted, with_total
from monitor.told import Told, with_told
from simulator.board import Board
from simulator.case import Case
from simulator.knowing import history_of
from simulator.plant import Plant
from simulator.room import Room
from simulator.run import Run
from simulator.timeline import Order, Timeline

EPOCH = 1_700_000_000.0
"""Unix time at which simulations begin."""
_EVEN = 1e-9


class Pilot:
    """Its monitor's and its controller's loops on the simulation's timeline."""

    def __init__(
        self,
        case: Case,
        law: AnyLaw,
        settings: LawSettings,
        timeline: Timeline,
        room: Room,
        board: Board,
    ) -> None:
        self.case = case
        self._law = law
        self._settings = settings
        self._timeline = timeline
        self._room = room
        self._board = board
        self._interval = case.spec.control.interval
        self._period = case.spec.monitoring.interval
        self._record: Scaling | None = None
        self._plant: Plant | None = None
        self._info: MonitoringInfo | None = None
        self._told = Told(price=fixed_price(case.spec.prices, requests_of(case.spec.resources)))
        self._tally = Tally()
        self._window: tuple[Sample, ...] = ()
        self._last: Observation | None = None
        self._seen: Observation | None = None
        self._decide_at = 0.0
        self._is_indexed = case.plant.scale_down == "drain-index"
        self._moves = 0
        self._decisions: list[Decision] = []
        self._observations: list[Observation] = []
        self._forecast_at = deque(case.forecast_at)
        self._forecasts: list[tuple[float, Forecast]] = []
        timeline.at(case.submitted_at, Order.WORLD, self._accept)

    @property
    def over(self) -> bool:
        """Whether all is settled."""
        return self._plant is not None and self._plant.over

    def _accept(self) -> None:
        case, now = self.case, self._timeline.now
        self._plant = Plant(
            case.name,
            case.work.durations,
            case.work.arrivals,
            case.plant,
            self._timeline,
            self._room,
            random.Random(case.seed),
            EPOCH,
        )
        request = scaling_request(case.name, case.spec, history_of(case.knowledge.history))
        self._info = MonitoringInfo(
            queue=request.queue,
            namespace=request.namespace,
            created_at=EPOCH + now,
            deadline=case.spec.deadline,
            target=None if case.spec.target is None else case.spec.target.latency,
        )
        self._record = begin(request, EPOCH + now)
        self._plant.scale(min(self._record.desired, case.spec.replicas.max))
        self._decide_at = now + case.measurement_phase + case.measurement_delay
        self._timeline.at(now + case.measurement_phase, Order.MEASURE, self._measure)
        self._timeline.at(self._decide_at, Order.DECIDE, self._decide)

    def _measure(self) -> None:
        assert self._plant is not None and self._info is not None
        if self._plant.over:
            return
        now = self._timeline.now
        visible_at = now + self.case.measurement_delay
        # Only the newest measurement before a decision is ever looked at; making the others would be wasted work.
        late = max(0, math.ceil((visible_at - self._decide_at - _EVEN) / self._interval))
        is_seen = self._decide_at + late * self._interval + _EVEN < visible_at + self._period
        at = EPOCH + now
        if is_seen or not self._window or at - self._window[-1].at >= SPACING:
            stats = self._plant.backlog.stats(at, now, self._plant.running_ages() if is_seen else ())
            if is_seen:
                desired = self._plant.desired if self._record is None else self._record.desired
                reading = Reading(stats, {}, self._plant.view(), desired)
                seen = with_told(measure(self.case.name, self._info, reading, self._window, self._last), self._told)
                self._tally = counted(self._tally, self._last, seen)
                self._last = with_total(seen, self._tally)
                self._timeline.at(visible_at, Order.MEASURE, self._publish, self._last)
            self._window = moved_window(self._window, stats, at)
        self._timeline.at(now + self._period, Order.MEASURE, self._measure)

    def _publish(self, observation: Observation) -> None:
        self._seen = observation

    def _decide(self) -> None:
        assert self._plant is not None and self._record is not None
        if self._plant.over:
            self._board.withdraw(self.case.name)
            return
        now = EPOCH + self._timeline.now
        self._decide_at = self._timeline.now + self._interval
        self._timeline.at(self._decide_at, Order.DECIDE, self._decide)
        seen = self._seen
        if seen is None or not is_due(self._record, now) or is_over(seen):
            return
        asked = ask(self._record, seen, self._law, self._settings, None, now)
        if isinstance(asked, Outcome):
            self._record = asked.record
            return
        outcome = self._board.settle(self.case.name, asked, now)
        self._record = outcome.record
        if self._is_indexed:
            self._moves += 1
            self._move(self._moves)
        else:
            self._plant.scale(self._record.desired)
            # As the real record does, it tells how many replicas there are or are asked for, those that drain included.
            self._record = self._record.model_copy(update={"requested": self._plant.held})
        if outcome.decision is None:
            return
        self._decisions.append(outcome.decision)
        self._observations.append(seen)
        if self._forecast_at and seen.progress >= self._forecast_at[0]:
            share = self._forecast_at.popleft()
            while self._forecast_at and seen.progress >= self._forecast_at[0]:
                share = self._forecast_at.popleft()
            foreseen = foresee(asked, outcome.decision, self._settings)
            if foreseen is not None:
                self._forecasts.append((share, foreseen))

    def _move(self, number: int) -> None:
        """One move of the controller's loop towards what was decided, and when to look again; a later decision's moves
        take the place of an earlier one's."""
        assert self._plant is not None and self._record is not None and self._seen is not None
        if self._plant.over or number != self._moves:
            return
        now, plant = EPOCH + self._timeline.now, self._plant
        record = self._compared(self._record, self._seen, now)
        aimed = aim(record, now)
        plant.tell_limit(aimed.limit)
        busy = plant.highest_busy(aimed.replicas) if aimed.draining else None
        moved = move(aimed, record, self._seen, busy, now)
        self._record = moved.record
        if moved.size is not None:
            plant.scale(moved.size)
            self._record = patched(moved.record, aimed, moved.size, now)
        if self._record.drain_since is not None or self.case.plant.hazard > 0:
            wait = next_look(self._record, self._seen)
            self._timeline.at(self._timeline.now + wait, Order.DECIDE, self._move, number)

    def _compared(self, record: Scaling, seen: Observation, now: float) -> Scaling:
        replicas = record.request.replicas
        bounds = Bounds.of(replicas.min, replicas.max, None)
        compared = reconcile(noted(record, seen, now), seen, bounds, now)
        return compared.model_copy(update={"extra": min(compared.extra, most_extra(compared, seen.replicas, bounds))})

    def run(self) -> Run:
        """What became of it, once the simulation is over."""
        assert self._plant is not None and self._record is not None
        plant, begun = self._plant, self.case.submitted_at
        ended = self._timeline.now if plant.finished_at is None else plant.finished_at
        return Run(
            name=self.case.name,
            law=self._record.request.law,
            kind=self.case.spec.kind,
            items=len(self.case.work.durations),
            done=plant.backlog.done,
            dead=plant.backlog.dead,
            attempts=plant.backlog.taken,
            work=self.case.work.total,
            finished=None if plant.finished_at is None else plant.finished_at - begun,
            ended=ended - begun,
            deadline=self.case.spec.deadline,
            steps=tuple((at - begun, replicas) for at, replicas in plant.steps),
            decisions=tuple(self._decisions),
            observations=tuple(self._observations),
            waits=tuple(plant.waits),
            latencies=tuple(plant.latencies),
            forecasts=tuple(self._forecasts),
            price=self._told.price,
        )


def scaling_request(name: str, spec: SubmissionSpec, history: History | None = None) -> ScalingRequest:
    """The body the manager would POST to the controller for this document."""
    initial = spec.replicas.initial if spec.replicas.initial is not None else max(1, spec.replicas.min)
    return ScalingRequest(
        namespace="simulated",
        job=f"{name}-g1",
        queue=QueueAddress(submission=name),
        kind=spec.kind,
        law=spec.law,
        control=spec.control,
        replicas=spec.replicas,
        initial=initial,
        target=spec.target,
        grace_period=spec.grace_period,
        expected_item_time=spec.expected_item_time,
        item_timeout=spec.item_timeout,
        priority=spec.priority,
        requests=requests_of(spec.resources),
        history=history,
    )
