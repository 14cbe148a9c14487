"""What the visualizer does for its callers: keeps boards, and puts together what pages show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from common.domain import metrics as measured
from common.domain.errors import BadRequest, Conflict, Fault, Forbidden, NotFound, Unavailable
from common.domain.progress import Decision
from common.http.contracts import MonitoringView, ScalingView, SharesView, VisualizingRequest, VisualizingView
from common.ports import Clock, MetricStore, Records, Wakeups
from visualizer.boards import Board, Visualizer, checked_id, new_board
from visualizer.clusters import MOST_CLUSTERS, Asked, ClusterView, Known, cluster_view, known_clusters
from visualizer.documents import (
    ClusterDocument,
    ListDocument,
    Problem,
    SeriesDocument,
    SparksDocument,
    SubmissionDocument,
)
from visualizer.feed import Feed, Reading
from visualizer.reading import Row, details_of, row_of, rows_of, with_decision, with_observation
from visualizer.series import SHOWN, columns, spark
from visualizer.verdict import verdict

T = TypeVar("T")
SERVICE = "visualizer"
_SHOWN_DECISIONS = 300
_SHOWN_EVENTS = 300
_ATTEMPTS = 5
_SELDOM = 10
_RARELY = 30
"""So many times as long as the main answers serve what hardly changes, and what takes long to read."""
_MOST_KEPT_SPARKS = 1000
LATELY = 900.0
"""Seconds of a sparkline."""


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

    def spec(self, id: str) -> Any:
        """The specification as the manager shows it."""

    def log(self, id: str, pod: str, tail: int) -> Any:
        """The last lines of a pod's log, or (without a name) of all. Raises NotFound."""

    def clusters(self) -> Any:
        """The manager's clusters by name."""

    def nodes(self, cluster: str) -> Any:
        """The manager's nodes of a cluster."""

    def shares(self, cluster: str) -> SharesView:
        """How the controller divides a cluster."""

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
        self._rows: Feed[_Rows] = Feed(clock, freshness.main, keys=1)
        self._status: Feed[Mapping[str, Any]] = Feed(clock, freshness.main)
        self._events: Feed[Any] = Feed(clock, freshness.other)
        self._errors: Feed[Any] = Feed(clock, freshness.other)
        self._scaling: Feed[ScalingView | None] = Feed(clock, freshness.other)
        self._monitoring: Feed[MonitoringView | None] = Feed(clock, freshness.other)
        self._specs: Feed[Any] = Feed(clock, _SELDOM * freshness.main)
        self._clusters: Feed[Any] = Feed(clock, _SELDOM * freshness.main, keys=1)
        self._nodes: Feed[Any] = Feed(clock, _SELDOM * freshness.main, keys=MOST_CLUSTERS)
        self._shares: Feed[SharesView] = Feed(clock, freshness.other, keys=MOST_CLUSTERS)
        self._sparks: Feed[list[float]] = Feed(clock, _RARELY * freshness.main, keys=_MOST_KEPT_SPARKS)

    def listing(self) -> ListDocument:
        """All submissions."""
        reading = self._listed()
        return ListDocument(
            now=self._clock.now(),
            known=reading.value is not None,
            problems=_problems([("manager", reading)]),
            rows=reading.value.plain if reading.value else {},
        )

    def sparks(self, ids: Sequence[str]) -> SparksDocument:
        """The throughput of these submissions lately; of one that has ended, before its end. Those without any
        measurement are left out."""
        listed = self._listed().value
        now = self._clock.now()
        found: dict[str, list[float]] = {}
        problem = ""
        for id in ids:
            row = listed.rows.get(id) if listed else None
            if row is None:
                continue
            since = max(0.0, (row.finished_at or now) - LATELY)
            reading = self._sparks.get(id, partial(self._spark, id, since))
            problem = reading.problem or problem
            if reading.value:
                found[id] = reading.value
        return SparksDocument(now=now, problem=problem, sparks=found)

    def clusters(self) -> ClusterDocument:
        """The clusters, their nodes, and who uses them."""
        known = self._clusters.get("", self._sources.clusters)
        listed = self._listed()
        rows = tuple(listed.value.rows.values()) if listed.value else ()
        views = [self._cluster(one, rows) for one in known_clusters(known.value)[:MOST_CLUSTERS]]
        return ClusterDocument(
            now=self._clock.now(),
            known=known.value is not None,
            problems=_problems([("manager", known if known.problem else listed)]),
            clusters=tuple(views),
        )

    def log(self, id: str, pod: str, tail: int) -> dict[str, str]:
        """The last lines of a pod's log by the pod's name, or (without one) of all pods' logs. Raises NotFound and
        Unavailable."""
        answer = self._sources.log(checked_id(id), pod, tail)
        pods = answer.get("pods") if isinstance(answer, Mapping) else None
        return {str(name): str(text) for name, text in pods.items()} if isinstance(pods, Mapping) else {}

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
        spec = self._specs.get(id, lambda: _none_if_unknown(lambda: self._sources.spec(id)))
        details = details_of(status.value, observation, decisions, events.value, errors.value, spec.value)
        now = self._clock.now()
        asked: list[tuple[str, Reading[Any]]] = [("manager", status), ("controller", scaling), ("monitor", monitoring)]
        return SubmissionDocument(
            now=now,
            known=status.value is not None,
            problems=_problems(asked),
            row=with_observation(row, observation),
            verdict=verdict(with_observation(row, observation), now, observation) if status.value is not None else None,
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

    def _listed(self) -> Reading[_Rows]:
        return self._rows.get("", lambda: _Rows.of(self._sources.submissions()))

    def _spark(self, id: str, since: float) -> list[float]:
        return spark(self._metrics.read(id, measured.FLOW, since), "throughput")

    def _cluster(self, known: Known, rows: Iterable[Row]) -> ClusterView:
        nodes = self._nodes.get(known.name, lambda: _told(lambda: self._sources.nodes(known.name)))
        shares = self._shares.get(known.name, lambda: _told(lambda: self._sources.shares(known.name)))
        problems = tuple(reading.problem for reading in (nodes, shares) if reading.problem)
        return cluster_view(known, Asked(nodes.value, shares.value, problems), rows)


@dataclass(frozen=True)
class _Rows:
    """The listing, also as plain data."""

    rows: Mapping[str, Row]
    plain: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, listing: object) -> _Rows:
        rows = rows_of(listing)
        return cls(rows, {id: row.model_dump(mode="json") for id, row in rows.items()})


def _told(ask: Callable[[], T]) -> T:
    """An answer of a cluster; that it refuses to tell is shown as that it does not."""
    try:
        return ask()
    except (NotFound, Forbidden) as error:
        raise Unavailable(error.message) from error


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
