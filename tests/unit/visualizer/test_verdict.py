"""The sentence that says whether it will make it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.progress import Observation, ServiceTimes
from common.domain.states import State
from visualizer.reading import row_of
from visualizer.verdict import verdict

NOW = 1100.0
RUNNING = {"status": "ongoing", "created_at": 1000.0, "deadline": 200.0}


@pytest.mark.parametrize(
    ("document", "level", "words"),
    [
        ({**RUNNING, "ends_at": 1190.0, "feasible": True}, "good", "10s before its deadline"),
        ({**RUNNING, "ends_at": 1215.0, "feasible": True}, "warn", "15s after its deadline"),
        ({**RUNNING, "ends_at": 1260.0, "feasible": False}, "bad", "even at the most replicas: 1m 00s late"),
        ({**RUNNING, "feasible": False}, "bad", "cannot meet its deadline"),
        ({**RUNNING, "progress": 0.6}, "good", "Ahead of time by 10.0%"),
        ({**RUNNING, "progress": 0.4}, "warn", "Behind time by 10.0%"),
        (RUNNING, "neutral", "Too early to tell"),
        ({**RUNNING, "deadline": 50.0, "progress": 0.4, "ends_at": 1105.0}, "bad", "passed 50s ago with 40% done"),
        ({"status": "ongoing", "target": {"latency": 2.0}}, "neutral", "within 2s"),
        ({"status": "ongoing", "created_at": 1.0}, "neutral", "no deadline"),
        ({"status": "created"}, "neutral", "Getting ready"),
        ({"status": "loading", "deadline": 5.0}, "neutral", "Getting ready"),
        ({"status": "completed", "deadline_margin": 12.0, "deadline_met": True}, "good", "12s before its deadline"),
        ({"status": "completed", "deadline_margin": -3.0, "deadline_met": False}, "bad", "3s after its deadline"),
        ({**RUNNING, "status": "completed", "finished_at": 1080.0}, "good", "2m 00s before its deadline"),
        ({"status": "completed"}, "good", "every item has its result"),
        ({"status": "failed", "counts": {"dead": 1}}, "bad", "with 1 dead item."),
        ({"status": "failed", "counts": {"dead": 2}}, "bad", "with 2 dead items."),
        ({"status": "stopped"}, "neutral", "stopped on request"),
        ({"status": "terminated"}, "neutral", "terminated on request"),
        ({"status": "error"}, "bad", "could not be carried out"),
    ],
)
def test_verdict(document: dict[str, object], level: str, words: str) -> None:
    told = verdict(row_of("kj-1", document), NOW)
    assert told.level == level
    assert words in told.text


@given(
    st.sampled_from([*State]),
    st.none() | st.floats(0, 1e6),
    st.none() | st.floats(0.001, 1e6),
    st.none() | st.floats(0, 1),
    st.none() | st.floats(0, 1e7),
    st.none() | st.booleans(),
)
def test_there_is_always_a_sentence(
    state: State,
    created: float | None,
    deadline: float | None,
    progress: float | None,
    ends: float | None,
    feasible: bool | None,
) -> None:
    document = {"created_at": created, "deadline": deadline, "progress": progress, "ends_at": ends}
    told = verdict(row_of("kj-1", {"status": state.value, "feasible": feasible, **document}), 5e5)
    assert told.text.endswith(".")


@pytest.mark.parametrize(
    ("wait", "oldest", "level", "said"),
    [
        (0.5, 1.0, "good", "Keeps its target of 3s: 95 % wait at most 500ms and then take at most 2s."),
        (1.5, 1.0, "warn", "May miss its target of 3s"),
        (0.5, 4.0, "bad", "Misses its target of 3s: an item has waited 4s."),
        (None, None, "neutral", "A stream: it runs until it is stopped; each item is to be done within 3s."),
    ],
)
def test_a_stream_is_judged_by_its_target(wait: float | None, oldest: float | None, level: str, said: str) -> None:
    row = row_of("kj-1", {"status": "ongoing", "kind": "stream", "target": {"latency": 3.0}})
    seen = Observation(
        submission="kj-1",
        at=1.0,
        elapsed=1.0,
        service=ServiceTimes(count=9, p95=2.0),
        queue_wait_p95=wait,
        oldest_wait=oldest,
    )
    told = verdict(row, 1.0, seen)
    assert told.level == level
    assert told.text.startswith(said)
