"""The visualizer's loop: publishes boards that were asked for, forgets those of purged submissions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set

from common.domain.errors import AsperathosError
from common.logging import get_logger
from common.ports import Clock, Records
from visualizer.boards import Board, Visualizer, forgotten

log = get_logger(__name__)
_GONE = 3600.0


class BoardSteps:
    """Implements loop.Steps. ``known`` tells the ids the manager knows, None while it does not answer."""

    def __init__(
        self,
        records: Records[Board],
        visualizers: Mapping[str, Visualizer],
        known: Callable[[], Set[str] | None],
        clock: Clock,
        check: float,
    ) -> None:
        self._records = records
        self._visualizers = visualizers
        self._known = known
        self._clock = clock
        self._check = check

    def active_ids(self) -> Iterable[str]:
        return self._records.active_ids()

    def step(self, id: str) -> float:
        """Publish the board, time and again while its submission goes on, and see whether that still exists."""
        held = self._records.get(id)
        if held is None:
            return _GONE
        board, version = held.value, held.version
        visualizer = self._visualizers.get(board.visualizer)
        if visualizer is None:
            self._tell(board, version, f"the visualizer {board.visualizer} is not installed any more")
            return self._check
        if board.active and not board.dropped:
            published = self._publish(board, version, visualizer)
            if published != board:
                self._records.update(id, published, version)
                return 0.05
        return self._look(board, version, visualizer)

    def _publish(self, board: Board, version: int, visualizer: Visualizer) -> Board:
        try:
            remark = visualizer.publish(board)
        except AsperathosError as error:
            # What was made once may be there all the same: the address stays good.
            how = "may be out of date" if board.published else "not shown yet"
            self._tell(board, version, f"{how}: {error.message}")
            raise
        if not board.published:
            log.info("board_published", id=board.id, visualizer=board.visualizer, url=board.url)
        return board.model_copy(update={"published": True, "reason": remark})

    def _look(self, board: Board, version: int, visualizer: Visualizer) -> float:
        known: Set[str] | None = frozenset() if board.dropped else self._known()
        if known is None:
            return self._check
        if board.id in known and not board.seen:
            self._records.update(board.id, board.model_copy(update={"seen": True}), version)
        elif forgotten(board, board.id in known, self._clock.now()):
            visualizer.withdraw(board)
            self._records.delete(board.id)
            log.info("board_forgotten", id=board.id)
            return _GONE
        return self._check

    def _tell(self, board: Board, version: int, reason: str) -> None:
        if board.reason != reason:
            self._records.update(board.id, board.model_copy(update={"reason": reason}), version)
