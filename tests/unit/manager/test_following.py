"""Following logs: what each round adds, who is let in, and when it ends. No cluster, no clock of its own."""

from __future__ import annotations

import pytest

from common.domain.cluster import LogLine
from common.domain.errors import Unavailable
from common.domain.states import Intent, State
from common.domain.submission import Submission
from manager.following import Cursor, FollowRules, LogFollower, Wanted
from tests.fakes.cluster import FakeCluster, FakePod
from tests.support.manager_stage import ID, Stage


def lines(*given: tuple[int, str]) -> list[LogLine]:
    return [LogLine(at, text) for at, text in given]


def texts(found: list[LogLine]) -> list[str]:
    return [line.text for line in found]


def test_a_cursor_tells_each_line_once_also_of_one_moment() -> None:
    cursor = Cursor()
    assert texts(cursor.fresh(lines((5, "a"), (5, "b")), final=False)) == ["a", "b"]
    assert texts(cursor.fresh(lines((5, "a"), (5, "b"), (5, "c"), (6, "d")), final=False)) == ["c", "d"]
    assert texts(cursor.fresh(lines((5, "a"), (5, "b"), (5, "c"), (6, "d")), final=False)) == []
    assert texts(cursor.fresh(lines((6, "d"), (6, "e")), final=False)) == ["e"]


def test_a_line_that_may_grow_is_told_when_it_is_whole_or_last() -> None:
    cursor = Cursor()
    assert cursor.fresh([LogLine(1, "50 %", complete=False)], final=False) == []
    assert texts(cursor.fresh([LogLine(1, "50 % 60 %", complete=False)], final=True)) == ["50 % 60 %"]


def test_the_rest_of_a_kept_log_begins_after_what_was_told() -> None:
    cursor = Cursor()
    cursor.fresh(lines((1, "tick"), (2, "tick"), (3, "tock")), final=False)
    assert cursor.rest_of("boot\ntick\ntick\ntock\nbye\n") == ["bye"]
    assert cursor.rest_of("tock\nbye\n") == ["bye"]
    assert cursor.rest_of("something else\n") == []
    assert Cursor().rest_of("a\nb\n") == ["a", "b"]


class Theatre:
    """A running submission with two pods, and a follower that looks when asked."""

    def __init__(self, **rules: float) -> None:
        self.stage = Stage()
        self.stage.submit(replicas={"initial": 2})
        self.stage.run(3)
        self.follower = LogFollower(
            self.stage.clusters, self.stage.texts, self.stage.clock, self.read, FollowRules(**rules)
        )

    def read(self, id: str) -> Submission | None:
        found = self.stage.records.get(id)
        return None if found is None else found.value

    def pod(self, index: int) -> FakePod:
        return next(pod for pod in self.stage.cluster.running(ID) if pod.index == index)


def test_lines_of_all_pods_come_by_time_and_only_once() -> None:
    theatre = Theatre()
    one, two = theatre.pod(0), theatre.pod(1)
    one.log, two.log = "a\nc\n", "b\nd\n"
    two.created_at = one.created_at
    following = theatre.follower.follow(Wanted(ID, "default"))
    assert next(following) == f"{one.name} | a\n{two.name} | b\n{one.name} | c\n{two.name} | d\n"
    assert next(following) == ""
    one.log += "e\n"
    assert next(following) == f"{one.name} | e\n"
    following.close()


def test_one_pod_and_the_last_lines_may_be_asked_for() -> None:
    theatre = Theatre()
    one, two = theatre.pod(0), theatre.pod(1)
    one.log, two.log = "a\nb\nc\n", "x\n"
    following = theatre.follower.follow(Wanted(ID, "default", one.name, tail=2))
    assert next(following) == f"{one.name} | b\n{one.name} | c\n"
    one.log += "d\n"
    assert next(following) == f"{one.name} | d\n"
    following.close()


def test_nothing_of_the_past_may_be_asked_for() -> None:
    theatre = Theatre()
    one = theatre.pod(0)
    one.log = "a\nb\n"
    following = theatre.follower.follow(Wanted(ID, "default", one.name, tail=0))
    assert next(following) == ""
    one.log += "c\n"
    assert next(following) == f"{one.name} | c\n"
    following.close()


def test_a_pod_that_went_between_two_looks_is_finished_with_its_kept_log() -> None:
    theatre = Theatre()
    one = theatre.pod(0)
    one.log = "a\n"
    following = theatre.follower.follow(Wanted(ID, "default", one.name))
    assert next(following) == f"{one.name} | a\n"
    theatre.stage.texts.put(ID, one.name, "a\nbye\n")
    del theatre.stage.cluster.pods["default", one.name]
    assert next(following) == f"{one.name} | bye\n"
    assert next(following) == ""
    following.close()


def test_it_ends_with_the_submission_and_misses_nothing() -> None:
    theatre = Theatre()
    one = theatre.pod(0)
    one.log = "a\n"
    following = theatre.follower.follow(Wanted(ID, "default", one.name))
    assert next(following) == f"{one.name} | a\n"
    one.log += "last words\n"
    theatre.stage.intend(Intent.TERMINATE)
    theatre.stage.run(3)
    assert theatre.stage.now.state is State.TERMINATED
    assert "".join(following) == f"{one.name} | last words\n"


def test_the_last_look_does_not_trust_a_view_that_is_older_than_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    theatre = Theatre()
    one = theatre.pod(0)
    one.log = "a\n"
    following = theatre.follower.follow(Wanted(ID, "default", one.name))
    assert next(following) == f"{one.name} | a\n"
    stale = theatre.stage.cluster.view("default", ID)
    one.log += "last words\n"
    theatre.stage.intend(Intent.TERMINATE)
    theatre.stage.run(3)
    present = theatre.stage.records.get(ID)
    assert present is not None
    theatre.stage.records.update(ID, present.value.model_copy(update={"job_deleted": False}), present.version)
    monkeypatch.setattr(theatre.stage.cluster, "view", lambda namespace, submission: stale)
    assert "".join(following) == f"{one.name} | last words\n"


def test_what_has_ended_is_told_from_what_was_kept() -> None:
    theatre = Theatre()
    theatre.pod(0).log = "a\nb\n"
    theatre.stage.intend(Intent.TERMINATE)
    theatre.stage.run(3)
    assert "".join(theatre.follower.follow(Wanted(ID, "default", tail=1))).endswith(" | b\n")


def test_only_so_many_may_follow_and_each_makes_room_again() -> None:
    theatre = Theatre(most=2)
    followers = [theatre.follower.follow(Wanted(ID, "default")) for _ in range(2)]
    with pytest.raises(Unavailable):
        theatre.follower.follow(Wanted(ID, "default"))
    followers[0].close()
    followers[0].close()
    third = theatre.follower.follow(Wanted(ID, "default"))
    with pytest.raises(Unavailable):
        theatre.follower.follow(Wanted(ID, "default"))
    third.close()


def test_it_is_bounded_in_time_and_says_so() -> None:
    theatre = Theatre(limit=5)
    following = theatre.follower.follow(Wanted(ID, "default"))
    assert "the submission goes on" in list(following)[-1]
    # Its place is free again.
    again = [theatre.follower.follow(Wanted(ID, "default")) for _ in range(8)]
    for one in again:
        one.close()


def test_a_cluster_that_is_away_is_waited_for() -> None:
    theatre = Theatre()
    one = theatre.pod(0)
    one.log = "a\n"
    following = theatre.follower.follow(Wanted(ID, "default", one.name))
    theatre.stage.cluster.down = True
    assert next(following) == ""
    theatre.stage.cluster.down = False
    assert next(following) == f"{one.name} | a\n"
    following.close()


def test_the_lines_come_from_the_cluster_that_is_wanted() -> None:
    theatre = Theatre()
    theatre.stage.clusters.others["east"] = theatre.stage.cluster
    theatre.pod(0).log = "a\n"
    name = theatre.pod(0).name
    theatre.stage.clusters.default = FakeCluster(theatre.stage.clock)
    following = theatre.follower.follow(Wanted(ID, "default", name, cluster="east"))
    assert next(following) == f"{name} | a\n"
    following.close()
    elsewhere = theatre.follower.follow(Wanted(ID, "default", name))
    assert next(elsewhere) == ""
    elsewhere.close()
