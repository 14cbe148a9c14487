"""What the visualizer does for its callers: keeps boards, and puts together what pages show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from common.domain.errors import BadRequest, Conflict, Fault, NotFound, Unavailable
from common.domain.progress import Decision
from common.http.contracts import MonitoringView, ScalingView, VisualizingRequest, VisualizingView
from common.ports import Clock, MetricStore, Records, Wakeups
from visualizer.boards import Board, Visualizer, checked_id, new_board
from visualizer.documents import ListDocument, Problem, SeriesDocument, SubmissionDocument
from visualizer.feed import Feed, Reading
from visualizer.reading import Row, details_of, row_of, rows_of, with_decision, with_observation
from visualizer.series import SHOWN, columns
from visualizer.verdict import verdict

T = TypeVar("T")
SERVICE = "visualizer"
_SHOWN_DECISIONS = 300
_SHOWN_EVENTS = 300
_ATTEMPTS = 5


class Sources(Protocol):
    """What the other services tell. Each raises Unavailable when the one asked does not answer."""

    def submissions(self) -> Mapping[str, Any]:
        """The manager's status documents by id."""

    def submission(self, id: str) -> Mapping[str, Any]:
        """One of them. Raises NotFound."""

    def events(self, id: str) -> Any:
        """The manager's events of a submission."""

    def errors(self, id: str) -> Any:
        """The manager's errors of a submission."""

    def scaling(self, id: str) -> ScalingView | None:
        """What the controller decided; None when it does not know the submission."""

    def monitoring(self, id: str) -> MonitoringView | None:
        """What the monitor measures; None when it does not know the submission."""


class BoardService:
    """Records that submissions are to be shown; the loop carries it out."""

    def __init__(
        self,
        records: Records[Board],
        wakeups: Wakeups,
        visualizers: Mapping[str, Visualizer],
        base_url: str,
        clock: Clock,
    ) -> None:
        self._records = records
        self._wakeups = wakeups
        self._visualizers = visualizers
        self._base_url = base_url
        self._clock = clock

    def show(self, id: str, request: VisualizingRequest) -> VisualizingView:
        """Record that the submission is to be shown; again changes nothing. Raises BadRequest."""
        id = checked_id(id)
        visualizer = self._visualizers.get(request.visualizer_plugin)
        if visualizer is None:
            installed = ", ".join(sorted(self._visualizers))
            problem = f"{request.visualizer_plugin!r} is not installed; installed are {installed}"
            raise BadRequest(f"unknown visualizer: {problem}", [Fault("visualizer_plugin", problem)])
        view = self._store(new_board(id, request, self._clock.now()), visualizer)
        self._wakeups.notify(SERVICE, id)
        return view

    def stop(self, id: str) -> None:
        """The submission is over: its board is kept as it is. Raises NotFound."""
        self._change(id, {"active": False})

    def drop(self, id: str) -> None:
        """Nothing of the submission is kept any more: its board goes. Raises NotFound."""
        self._change(id, {"active": False, "dropped": True})
        self._wakeups.notify(SERVICE, id)

    def view(self, id: str) -> VisualizingView:
        """Where the submission is shown. Raises NotFound."""
        held = self._records.get(checked_id(id))
        if held is None:
            raise NotFound(f"nothing is shown for {id}")
        return held.value.view

    def views(self) -> dict[str, VisualizingView]:
        """All boards by id, oldest first."""
        return {id: board.view for id, board in self._records.all().items()}

    def _change(self, id: str, fields: dict[str, bool]) -> None:
        for _ in range(_ATTEMPTS):
            held = self._records.get(checked_id(id))
            if held is None:
                raise NotFound(f"nothing is shown for {id}")
            changed = held.value.model_copy(update=fields)
            if changed == held.value:
                return
            try:
                self._records.update(id, changed, held.version)
                return
            except Conflict:
                continue
        raise Conflict(f"the board of {id} changes too fast; try again")

    def _store(self, asked: Board, visualizer: Visualizer) -> VisualizingView:
        for _ in range(_ATTEMPTS):
            held = self._records.get(asked.id)
            known = {} if held is None else {"created_at": held.value.created_at, "seen": held.value.seen}
            board = asked.model_copy(update=known)
            board = board.model_copy(update={"url": visualizer.url(self._base_url, board)})
            try:
                if held is None:
                    self._records.create(board.id, board)
                    return board.view
                if _same(held.value, board):
                    return held.value.view
                self._records.update(board.id, board, held.version)
                return board.view
            except Conflict:
                continue
        raise Conflict(f"the board of {asked.id} changes too fast; try again")


def _same(held: Board, asked: Board) -> bool:
    """Whether the request asks for nothing new."""
    own = {"published", "seen", "reason"}
    return held.model_dump(exclude=own) == asked.model_dump(exclude=own)


@dataclass(frozen=True)
class Freshness:
    """How long, in seconds, an answer serves all who watch: the main one, and the ones that change less."""

    main: float
    other: float


class Watching:
    """What the pages show, from the other services and the metric store. Never raises for a service being away."""

    def __init__(self, sources: Sources, metrics: MetricStore, clock: Clock, freshness: Freshness) -> None:
        self._sources = sources
        self._metrics = metrics
        self._clock = clock
        self._rows: Feed[dict[str, Row]] = Feed(clock, freshness.main, keys=1)
        self._status: Feed[Mapping[str, Any]] = Feed(clock, freshness.main)
        self._events: Feed[Any] = Feed(clock, freshness.other)
        self._errors: Feed[Any] = Feed(clock, freshness.other)
        self._scaling: Feed[ScalingView | None] = Feed(clock, freshness.other)
        self._monitoring: Feed[MonitoringView | None] = Feed(clock, freshness.other)

    def listing(self) -> ListDocument:
        """All submissions."""
        reading = self._rows.get("", lambda: rows_of(self._sources.submissions()))
        return ListDocument(
            now=self._clock.now(),
            known=reading.value is not None,
            problems=_problems([("manager", reading)]),
            rows=reading.value or {},
        )

    def submission(self, id: str) -> SubmissionDocument:
        """One submission. Raises NotFound when the manager does not know it."""
        id = checked_id(id)
        status = self._status.get(id, lambda: self._sources.submission(id))
        scaling = self._scaling.get(id, lambda: self._sources.scaling(id))
        monitoring = self._monitoring.get(id, lambda: self._sources.monitoring(id))
        events = self._events.get(id, lambda: _none_if_unknown(lambda: self._sources.events(id)))
        errors = self._errors.get(id, lambda: _none_if_unknown(lambda: self._sources.errors(id)))
        decisions = scaling.value.decisions[-_SHOWN_DECISIONS:] if scaling.value else ()
        observation = monitoring.value.observation if monitoring.value else None
        row = _latest_row(row_of(id, status.value), decisions)
        details = details_of(status.value, observation, decisions, events.value, errors.value)
        now = self._clock.now()
        asked: list[tuple[str, Reading[Any]]] = [("manager", status), ("controller", scaling), ("monitor", monitoring)]
        return SubmissionDocument(
            now=now,
            known=status.value is not None,
            problems=_problems(asked),
            row=with_observation(row, observation),
            verdict=verdict(with_observation(row, observation), now) if status.value is not None else None,
            details=details.model_copy(update={"events": details.events[-_SHOWN_EVENTS:]}),
        )

    def series(self, id: str, since: float = 0.0, reached: Mapping[str, float] | None = None) -> SeriesDocument:
        """The submission's series after ``since``, or after what each has ``reached`` (Unix seconds).

        Its ``problem`` says when the store is away.
        """
        id = checked_id(id)
        after = reached or {}
        try:
            tables = {
                name: columns(measurement, self._metrics.read(id, measurement, after.get(name, since)))
                for name, measurement in SHOWN.items()
            }
        except Unavailable as error:
            return SeriesDocument(now=self._clock.now(), problem=error.message, series={})
        return SeriesDocument(now=self._clock.now(), problem="", series=tables)


def _latest_row(row: Row, decisions: Iterable[Decision]) -> Row:
    listed = list(decisions)
    return with_decision(row, listed[-1] if listed else None)


def _none_if_unknown(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except NotFound:
        return None


def _problems(asked: Iterable[tuple[str, Reading[Any]]]) -> tuple[Problem, ...]:
    return tuple(
        Problem(service=service, message=reading.problem, known_at=None if reading.value is None else reading.at)
        for service, reading in asked
        if reading.problem
    )
