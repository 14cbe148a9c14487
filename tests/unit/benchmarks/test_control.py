"""The benchmark of control: what it makes of trials, which bars it says are missed, what it reads from traces."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import control
from benchmarks.control_parts.bars import missed
from benchmarks.control_parts.contenders import CONTENDERS
from benchmarks.control_parts.summary import Line, lines_of
from benchmarks.control_parts.traces import bags_in, streams_in
from benchmarks.control_parts.trials import FAMILIES, Task, Trial, attempt, tasks
from simulator.scenarios.streams import Pattern

BAGS = Task("bags", "deadline", "tight", "history", 0, 1)
GUESSED = {"error at 25%": 0.03, "error at 50%": 0.03, "held at 25%": 0.9, "held at 50%": 0.9}
GOOD = {"met": 1.0, "met (even)": 1.0, "cost": 1.0, "excess": 0.1}


def trial(met: float, cost: float, spread: str, excess: float = 0.2) -> Trial:
    return Trial(BAGS, spread, {"met": met, "cost": cost, "excess": excess, "peak": 1.0, "scalings": 3.0})


def test_shares_are_meant_and_the_rest_are_medians() -> None:
    [line] = lines_of([trial(1, 1.0, "even"), trial(0, 1.1, "heavy"), trial(1, 3.0, "heavy"), trial(1, 1.2, "heavy")])
    assert line.trials == 4
    assert line.figures["met"] == 0.75
    assert line.figures["cost"] == pytest.approx(1.15)
    assert (line.figures["met (even)"], line.figures["met (heavy)"]) == (1.0, pytest.approx(2 / 3))
    assert "met (mixed)" not in line.figures


def test_each_missed_bar_is_named() -> None:
    line = Line("bags", "tight", "history", "deadline", 100, GOOD)
    assert list(missed([line])) == []
    bad = {"met": 0.98, "met (even)": 0.99, "cost": 1.06, "excess": 0.37}
    told = list(missed([replace(line, figures=bad)]))
    assert [text.split(": ")[1].split(" is ")[0] for text in told] == ["met", "met (even)", "cost", "excess"]
    assert told[0] == "bags tight history deadline: met is 0.980, not at least 0.99"
    assert list(missed([replace(line, contender="baseline", figures=bad)])) == []


def test_the_other_families_have_bars_too() -> None:
    within = {"within": 0.94, "cost": 1.5}
    told = list(
        missed(
            [
                Line("streams", "smooth", "", "latency", 3, within),
                Line("streams", "bursty", "", "latency", 3, within),
                Line("streams", "extreme", "", "latency", 1, {"within": 0.91, "cost": 6.0}),
                Line("forecast", "", "nothing", "deadline", 400, {"error at 25%": 0.2, "held at 25%": 0.96}),
                Line("forecast", "", "timeout", "deadline", 20, GUESSED | {"held at 50%": 0.8}),
                Line("forecast", "", "all", "deadline", 20, GUESSED | {"held": 0.87}),
                Line("shared", "", "timeout", "deadline", 9, {"met": 0.9}),
                Line("speed", "", "", "deadline", 1, {"cpu_s": 1.5}),
            ]
        )
    )
    assert sum("streams smooth" in text for text in told) == 2
    assert sum("streams bursty" in text for text in told) == 1
    assert sum("error at 25%" in text or "held at 25%" in text for text in told) == 2
    assert sum("was not measured" in text for text in told) == 3
    assert any("shared" in text for text in told) and any("cpu_s" in text for text in told)
    assert not any("extreme" in text for text in told)
    assert not any("forecast timeout" in text for text in told), "20 runs tell no better"
    assert [text for text in told if "forecast all" in text] == [
        "forecast all deadline: held is 0.870, not at least 0.88"
    ]


def test_all_runs_together_tell_how_often_the_interval_holds() -> None:
    def foreseen(known: str, held: float) -> Trial:
        task = Task("forecast", "deadline", "", known, 0, 1)
        return Trial(task, "even", {"error at 25%": 0.1, "held at 25%": held, "held at 50%": 1.0})

    lines = lines_of([foreseen("nothing", 0.0), foreseen("timeout", 1.0), foreseen("timeout", 1.0)])
    assert [(line.known, line.trials) for line in lines] == [("nothing", 1), ("timeout", 2), ("all", 3)]
    assert lines[-1].figures["held"] == pytest.approx(5 / 6)


def test_every_family_has_contenders_and_only_ours_know_something() -> None:
    sizes = {"bags": 2, "streams": 1, "crowds": 1}
    for family in FAMILIES:
        wanted = list(tasks(family, CONTENDERS, sizes, 1))
        assert wanted
        if family == "bags":
            assert {task.contender for task in wanted if task.known != "nothing"} == {"deadline"}
            assert len([task for task in wanted if task.contender == "deadline"]) == 2 * 3 * 3


@pytest.mark.parametrize(
    ("task", "figures"),
    [
        (BAGS, {"met", "cost", "excess", "peak", "scalings"}),
        (replace(BAGS, contender="keda-default", known="nothing"), {"met", "cost", "excess", "peak", "scalings"}),
        (Task("forecast", "deadline", "", "nothing", 0, 1), {"error at 50%"}),
        (Task("shared", "deadline", "", "timeout", 0, 1), {"met", "clairvoyant"}),
    ],
)
def test_a_trial_brings_its_figures(task: Task, figures: set[str]) -> None:
    assert figures <= attempt(task).figures.keys()


def test_traces_become_bags_and_streams(tmp_path: Path) -> None:
    jobs = ["submit_s,run_s,procs,user"]
    jobs += [f"{60 * number},{10 + number % 7},1,a" for number in range(30)]
    # Hours later the same user comes again, and another one with too few.
    jobs += [f"{50_000 + 60 * number},{20 + number},1,a" for number in range(25)]
    jobs += [f"{60 * number},5,1,b" for number in range(10)]
    (tmp_path / "jobs.csv").write_text("\n".join(jobs))
    (tmp_path / "calls.csv").write_text("t_s,service_s_model\n" + "".join(f"{n},{1 + n % 2}\n" for n in range(5, 50)))
    (tmp_path / "other.csv").write_text("name\nx\n")
    first, second = bags_in(tmp_path)
    assert (len(first.durations), len(first.history)) == (30, 0)
    assert (len(second.durations), len(second.history)) == (25, 30)
    [stream] = streams_in(tmp_path)
    assert stream.pattern is Pattern.EXTREME
    assert stream.arrivals[:2] == (0.0, 1.0)


def test_it_prints_json_and_checks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("benchmarks.control.QUICK", {"bags": 1, "streams": 1, "crowds": 1})
    arguments = ["control", "--quick", "--json", "--family", "bags", "--law", "slack-1.2", "--check"]
    monkeypatch.setattr("sys.argv", arguments)
    assert control.main() == 0
    lines = json.loads(capsys.readouterr().out)
    assert [line["setting"] for line in lines] == ["tight", "medium", "loose"]


def test_an_unknown_law_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["control", "--law", "slak"])
    with pytest.raises(SystemExit):
        control.main()
    assert "slack-1.2" in capsys.readouterr().err
