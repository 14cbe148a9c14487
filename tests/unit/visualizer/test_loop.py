"""The loop publishes boards and forgets those of purged submissions."""

from __future__ import annotations

from collections.abc import Set

import pytest

from common.domain.errors import Unavailable
from common.http.contracts import VisualizingRequest
from tests.unit.visualizer.fake_sources import Fixture
from tests.unit.visualizer.test_boards import Wall
from visualizer.boards import Board
from visualizer.loop import BoardSteps

CHECK = 60.0


class Bench:
    def __init__(self) -> None:
        self.wall = Wall()
        self.fixture = Fixture(visualizers={"wall": self.wall})
        self.known: Set[str] | None = {"kj-1"}
        self.steps = BoardSteps(
            self.fixture.records, {"wall": self.wall}, lambda: self.known, self.fixture.clock, CHECK
        )
        self.fixture.boards.show("kj-1", VisualizingRequest(visualizer_plugin="wall"))

    @property
    def board(self) -> Board | None:
        held = self.fixture.records.get("kj-1")
        return None if held is None else held.value

    def run(self, times: int = 3) -> float:
        return [self.steps.step("kj-1") for _ in range(times)][-1]


def test_a_board_is_published_and_again_while_its_submission_goes_on() -> None:
    bench = Bench()
    assert list(bench.steps.active_ids()) == ["kj-1"]
    assert bench.run() == CHECK
    assert bench.wall.shown == ["kj-1"] * 3
    assert bench.board is not None
    assert (bench.board.published, bench.board.seen, bench.board.reason) == (True, True, "")
    assert bench.fixture.http.put("/visualizing/kj-1/stop").status_code == 204
    assert bench.run() == CHECK
    assert bench.wall.shown == ["kj-1"] * 3


def test_what_was_published_once_may_be_out_of_date() -> None:
    bench = Bench()
    bench.run()
    bench.wall.away = True
    with pytest.raises(Unavailable):
        bench.steps.step("kj-1")
    view = bench.fixture.http.get("/visualizing/kj-1").json
    assert (view["url"], view["reason"]) == ("http://wall.example/kj-1", "may be out of date: the wall is away")


def test_a_visualizer_that_is_away_is_told_and_tried_again() -> None:
    bench = Bench()
    bench.wall.away = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            bench.steps.step("kj-1")
    assert bench.fixture.http.get("/visualizing/kj-1").json["reason"] == "not shown yet: the wall is away"
    bench.wall.away = False
    bench.run()
    assert bench.fixture.http.get("/visualizing/kj-1").json["reason"] == ""


def test_the_board_of_a_purged_submission_is_withdrawn_and_forgotten() -> None:
    bench = Bench()
    bench.run()
    bench.known = frozenset()
    bench.run()
    assert bench.board is None
    assert bench.wall.removed == ["kj-1"]


def test_a_board_that_is_dropped_goes_at_once_though_the_manager_is_away() -> None:
    bench = Bench()
    bench.run()
    bench.known = None
    for _ in range(2):
        assert bench.fixture.http.delete("/visualizing/kj-1").status_code == 204
    assert bench.fixture.wakeups.sent[-1] == ("visualizer", "kj-1")
    bench.run(1)
    assert bench.board is None
    assert bench.wall.removed == ["kj-1"]


def test_a_dropped_board_that_is_asked_for_again_stays() -> None:
    bench = Bench()
    bench.run()
    bench.fixture.http.delete("/visualizing/kj-1")
    bench.fixture.boards.show("kj-1", VisualizingRequest(visualizer_plugin="wall"))
    bench.run()
    assert bench.board is not None


def test_a_manager_that_is_away_purges_nothing() -> None:
    bench = Bench()
    bench.run()
    bench.known = None
    bench.run()
    assert bench.board is not None


def test_a_submission_the_manager_does_not_know_yet_has_a_day() -> None:
    bench = Bench()
    bench.known = frozenset()
    bench.run()
    assert bench.board is not None
    bench.fixture.clock.advance(86401)
    bench.run()
    assert bench.board is None


def test_a_visualizer_uninstalled_meanwhile_is_told() -> None:
    bench = Bench()
    BoardSteps(bench.fixture.records, {}, lambda: bench.known, bench.fixture.clock, CHECK).step("kj-1")
    assert "not installed any more" in bench.fixture.http.get("/visualizing/kj-1").json["reason"]
