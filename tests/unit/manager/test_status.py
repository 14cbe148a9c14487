from __future__ import annotations

from typing import Any

import pytest

from common.domain.forecast import Forecast
from common.domain.progress import Counts, Decision, Observation, Replicas
from common.domain.states import State
from common.domain.submission import Submission, SubmissionSpec, Summary
from manager.forecasting import forecast
from manager.status import HIDDEN, shown_spec, status

CREATED = 1_700_000_000.0
"""2023-11-14T22:13:20Z"""
BASE = {"app_id", "starting_time", "status", "visualizer_url", "redis_ip", "redis_port"}
AFTER = {
    "execution_time",
    "final_error",
    "max_error",
    "min_error",
    "final_replicas",
    "heuristic_options",
    "scaling_strategy",
}


def spec(**fields: Any) -> SubmissionSpec:
    return SubmissionSpec.model_validate({"run": "x", "workload": ["a"], "deadline": 100, **fields})


def submission(**fields: Any) -> Submission:
    return Submission(**{"id": "kj-0000001", "spec": spec(), "created_at": CREATED, "state": State.ONGOING, **fields})


def observed(**fields: Any) -> Observation:
    values = {
        "submission": "kj-0000001",
        "at": CREATED + 20,
        "elapsed": 20.0,
        "deadline": 100.0,
        "counts": Counts(total=10, ready=5, leased=1, done=3, dead=1),
        "progress": 0.4,
        "throughput": 0.2,
        "replicas": Replicas(desired=3, requested=3, observed=2, pending=1),
    }
    return Observation(**{**values, **fields})


def decided(**fields: Any) -> Decision:
    values = {"at": CREATED + 18, "law": "deadline", "wanted": 4, "granted": 3, "previous": 2, "reason": "late"}
    return Decision(**{**values, **fields})


def test_a_new_submission_has_the_originals_keys() -> None:
    told = status(submission(state=State.CREATED), None, CREATED + 1)
    assert told.keys() >= BASE
    assert not told.keys() & AFTER
    assert told["starting_time"] == "2023-11-14T22:13:20Z"
    assert (told["status"], told["state"], told["progress"], told["eta"]) == ("created", "created", 0.0, None)


def test_a_running_submission_tells_what_is_measured() -> None:
    told = status(submission(), observed(), CREATED + 25)
    assert told["elapsed"] == 25.0
    assert told["time_progress"] == 0.25
    assert told["progress"] == 0.4
    assert told["counts"]["total"] == 10
    assert told["replicas"]["observed"] == 2
    assert told["eta"] == pytest.approx(6 / 0.2 - 5)
    assert told["ends_at"] == pytest.approx(CREATED + 50)


def test_one_that_the_arbiter_keeps_waiting_says_why() -> None:
    def reason(decision: Decision, **fields: Any) -> str:
        return str(status(submission(**fields), observed(), CREATED + 25, decision)["reason"])

    waits = decided(granted=0, asked=2, reason="arbiter: 0 of 2 asked, the cluster has 0 GPUs")
    assert reason(waits) == "no replica is granted: arbiter: 0 of 2 asked, the cluster has 0 GPUs"
    assert reason(waits, reason="quota") == "quota"
    assert reason(waits, state=State.COMPLETED) == ""
    assert reason(decided(granted=0, asked=0, reason="nothing arrives")) == ""


def test_the_last_decision_knows_the_end_better() -> None:
    told = status(submission(), observed(), CREATED + 25, decided(eta=60.0, feasible=False))
    assert told["eta"] == pytest.approx(53)
    assert told["feasible"] is False


@pytest.mark.parametrize(
    ("observation", "eta"),
    [
        (None, None),
        (observed(throughput=0.0), None),
        (observed(counts=Counts()), None),
        (observed(counts=Counts(total=3, done=3)), 0.0),
    ],
)
def test_an_unknown_end_is_not_guessed(observation: Observation | None, eta: float | None) -> None:
    assert status(submission(), observation, CREATED + 25)["eta"] == eta


def test_an_ended_submission_tells_its_outcome() -> None:
    summary = Summary(
        counts=Counts(total=10, done=9, dead=1),
        execution_time=80.0,
        replica_seconds=160.0,
        scalings=2,
        peak_replicas=4,
        final_replicas=1,
        final_error=(0.2, CREATED + 80.9),
        max_error=(0.3, CREATED + 40),
        deadline_met=True,
        deadline_margin=20.0,
    )
    ended = submission(state=State.FAILED, finished_at=CREATED + 80, summary=summary)
    told = status(ended, observed(), CREATED + 500, decided(eta=1.0))
    assert told.keys() >= BASE | AFTER
    assert told["final_error"] == [0.2, "2023-11-14T22:14:40Z"]
    assert told["max_error"] == [0.3, "2023-11-14T22:14:00Z"]
    assert told["min_error"] is None
    assert told["elapsed"] == 80.0
    assert told["progress"] == 1.0
    assert told["counts"]["done"] == 9
    assert told["replicas"] == Replicas().model_dump()
    assert (told["eta"], told["feasible"]) == (None, None)
    assert (told["deadline_met"], told["deadline_margin"]) == (True, 20.0)


def test_stopping_makes_no_progress() -> None:
    summary = Summary(counts=Counts(total=10, ready=6, done=4))
    stopped = submission(state=State.STOPPED, finished_at=CREATED + 9, summary=summary)
    assert status(stopped, observed(progress=0.4), CREATED + 10)["progress"] == 0.4


def test_one_that_failed_to_start_has_all_keys_too() -> None:
    told = status(submission(state=State.ERROR, finished_at=CREATED + 3, reason="no image"), None, CREATED + 5)
    assert told.keys() >= BASE | AFTER
    assert (told["execution_time"], told["final_error"]) == (3.0, None)


def test_a_forecast_says_when_and_why() -> None:
    told = forecast(submission(), observed(), decided(eta=60.0), CREATED + 20)
    assert told["ends_at"] == pytest.approx(CREATED + 78)
    assert told["margin"] == pytest.approx(22)
    assert told["rate_per_replica"] == pytest.approx(0.1)
    assert told["basis"] == "the last decision"
    assert (told["replicas"]["wanted"], told["replicas"]["granted"], told["replicas"]["reason"]) == (4, 3, "late")


def test_a_forecast_tells_its_age_and_what_it_costs() -> None:
    made = Forecast(
        at=CREATED + 10, p50=60.0, replica_seconds=1800.0, spent_seconds=600.0, price=2.0, spent=0.3, projected=1.3
    )
    seen = observed(replica_seconds=900.0, spent=0.5)
    told = forecast(submission(), seen, decided(forecast=made), CREATED + 20)
    assert (told["made_at"], told["age"]) == (CREATED + 10, 10.0)
    assert told["cost"] == {
        "replica_seconds": 1800.0,
        "replica_hours": 0.5,
        "money": pytest.approx(1.0),
        "price": 2.0,
        "so_far": {"replica_seconds": 900.0, "replica_hours": 0.25, "money": 0.5},
        "projected": {"replica_seconds": 2400.0, "replica_hours": pytest.approx(2 / 3), "money": 1.3},
    }
    unmeasured = forecast(submission(), observed(replica_seconds=900.0), decided(forecast=made), CREATED + 20)
    assert unmeasured["cost"]["so_far"]["money"] == pytest.approx(0.5), "by the price the law knows"
    unknown = forecast(submission(), seen, None, CREATED + 20)
    assert (unknown["made_at"], unknown["age"], unknown["cost"]["price"]) == (None, None, None)
    assert (unknown["cost"]["money"], unknown["cost"]["projected"]["money"]) == (None, None)
    assert unknown["cost"]["so_far"] == {"replica_seconds": 900.0, "replica_hours": 0.25, "money": 0.5}


def test_what_has_ended_has_cost_what_it_cost() -> None:
    ended = submission(
        state=State.COMPLETED, finished_at=CREATED + 30, summary=Summary(replica_seconds=7200.0, spent=3.0)
    )
    cost = forecast(ended, None, None, CREATED + 99)["cost"]
    all_of_it = {"replica_seconds": 7200.0, "replica_hours": 2.0, "money": 3.0}
    assert cost["so_far"] == cost["projected"] == all_of_it
    assert (cost["replica_seconds"], cost["money"]) == (0.0, 0.0)
    assert status(ended, None, CREATED + 99)["spent"] == 3.0


def test_a_forecast_without_facts_says_so() -> None:
    told = forecast(submission(state=State.LOADING, loaded=4), None, None, CREATED + 20)
    assert (told["ends_at"], told["margin"], told["basis"]) == (None, None, "nothing measured yet")
    assert told["outstanding"] == 4
    measured = forecast(submission(), observed(), None, CREATED + 20)
    assert measured["basis"] == "the measured rate"


def test_a_forecast_of_the_past_is_a_fact() -> None:
    told = forecast(submission(state=State.COMPLETED, finished_at=CREATED + 30), observed(), decided(), CREATED + 99)
    assert (told["ends_at"], told["margin"], told["basis"]) == (CREATED + 30, 70.0, "it has ended")


def test_secrets_are_not_shown() -> None:
    shown = shown_spec(
        spec(
            workload="https://me:hush-1@host/items?sig=hush-2",
            env={"DB_PASSWORD": "hush-3", "API_KEY": "hush-4", "MONKEY": "ok", "GITHUB_TOKEN": "hush-5"},
            control={"settings": {"nested": [{"secret": "hush-6"}], "url": "http://u:hush-7@x/"}},
        )
    )
    assert "hush" not in str(shown)
    assert shown["env"]["MONKEY"] == "ok"
    reference = {"secret": "api", "key": "token"}
    assert shown_spec(spec(env={"TOKEN": reference}))["env"]["TOKEN"] == {**reference, "optional": False}
    assert shown["env"]["API_KEY"] == HIDDEN
    assert shown["workload"]["url"] == f"https://{HIDDEN}@host/items?{HIDDEN}"


def test_addresses_of_prices_and_metrics_are_shown_without_credentials() -> None:
    url = "https://me:hush@prices.example/now?sig=hush"
    shown = shown_spec(spec(monitoring={"prices": {"url": url}, "queries": {"load": {"url": url, "query": "sum(up)"}}}))
    assert "hush" not in str(shown) and "prices.example/now" in str(shown)
    assert shown["monitoring"]["queries"]["load"]["query"] == "sum(up)"
