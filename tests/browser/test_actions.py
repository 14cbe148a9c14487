"""What people do on the pages: each wish is confirmed, reaches the manager once, and a refusal says what is wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from common.adapters.redis_history import RedisMetrics
from common.domain.capacity import Capacity
from common.domain.forecast import Forecast
from common.domain.parsing import parse_native
from common.http.body import read_yaml
from common.http.contracts import ForecastAnswer
from manager.forecasting import planned
from tests.browser import scenes
from tests.browser.conftest import Watched
from tests.browser.test_pages import LOOKS, OVERFLOW, fill, page_of, picture
from tests.browser.world import World

DOCUMENT = {"name": "tide", "run": "tide {item}", "workload": {"items": ["a", "b"]}, "deadline": "30m"}


def planned_answer() -> dict[str, Any]:
    """What the manager answers to a dry run."""
    foreseen = Forecast(
        at=1.0, p5=500.0, p10=540.0, p50=600.0, p90=900.0, p95=950.0, chance=0.97, replica_seconds=7200.0, reason="why"
    )
    answer = ForecastAnswer(forecast=foreseen, law="deadline", wanted=4, granted=3, capacity=Capacity(replicas=40))
    forecast = planned(parse_native(DOCUMENT), 2, answer, time.time())
    return {"kind": "batch", "items": 2, "deadline": 1800.0, "warnings": ["a warning"], "forecast": forecast}


def test_a_change_is_sent_once_with_what_was_changed(world: World, store: RedisMetrics, watched: Watched) -> None:
    live = fill(world, store, 1)
    page = watched.page
    watched.live(page_of(live))
    change = page.get_by_role("button", name="Change…")
    change.click()
    box = page.get_by_role("dialog")
    deadline = box.get_by_label("Deadline")
    assert (deadline.input_value(), box.get_by_label("Most replicas").input_value()) == ("8m", "16")
    deadline.fill("1h")
    box.get_by_text("That is at").wait_for()
    box.get_by_label("Most replicas").fill("0")
    asked = f"PATCH /submissions/{live.id}"
    faults = [{"field": "replicas.max", "problem": "must be 1 or more"}, {"field": "odd", "problem": "is elsewhere"}]
    world.replies[asked] = ({"error_message": "invalid", "details": faults}, 400)
    watched.faults_expected = ("400",)
    box.get_by_role("button", name="Change").click()
    box.get_by_text("must be 1 or more").wait_for()
    assert box.get_by_label("Most replicas").get_attribute("aria-invalid") == "true"
    assert page.evaluate("() => document.activeElement.id") == "field-replicas-max"
    assert box.get_by_role("alert").inner_text() == "odd: is elsewhere"
    world.replies[asked] = ({"job_id": live.id, "changed": {"deadline": {}, "replicas.max": {}}}, 200)
    box.get_by_label("Most replicas").fill("20")
    box.get_by_role("button", name="Change").click()
    page.get_by_text("Changed: deadline, replicas.max.").wait_for()
    assert page.get_by_role("dialog").count() == 0
    assert [wish.asked for wish in world.wishes] == [asked, asked]
    assert json.loads(world.wishes[-1].body) == {"deadline": "1h", "replicas": {"max": 20}}


def test_stopping_is_confirmed_and_retrying_leads_to_the_new_one(
    world: World, store: RedisMetrics, watched: Watched
) -> None:
    live = fill(world, store, 1)
    page = watched.page
    watched.live(page_of(live))
    page.get_by_role("button", name="Stop…").click()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    page.get_by_role("button", name="Stop…").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("Its stop was asked for.").wait_for()
    world.submissions[live.id] |= {"status": "failed", "state": "failed", "finished_at": time.time()}
    world.submissions["kj-again01"] = {"status": "created", "name": "again"}
    world.replies[f"POST /submissions/{live.id}/retry"] = ({"job_id": "kj-again01", "warnings": []}, 202)
    page.get_by_role("button", name="Retry dead items…").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    page.wait_for_url("**/submissions/kj-again01")
    assert [wish.asked for wish in world.wishes] == [
        f"PUT /submissions/{live.id}/stop",
        f"POST /submissions/{live.id}/retry",
    ]


def test_a_manager_that_is_away_is_said_where_one_asked(world: World, store: RedisMetrics, watched: Watched) -> None:
    live = fill(world, store, 1)
    watched.faults_expected = ("503",)
    watched.live(page_of(live))
    watched.page.get_by_role("button", name="Stop…").click()
    world.away = {"manager"}
    box = watched.page.get_by_role("dialog")
    box.get_by_role("button", name="Terminate at once").click()
    box.get_by_role("alert").get_by_text("away").wait_for()
    assert box.get_by_role("button", name="Stop", exact=True).is_enabled()


@pytest.mark.parametrize("watched", [LOOKS[0], LOOKS[2]], indirect=True)
def test_a_submission_is_checked_and_handed_in(
    world: World, watched: Watched, pictures: Path, request: pytest.FixtureRequest
) -> None:
    page = watched.page
    watched.faults_expected = ("400",)
    watched.open("/submit")
    page.get_by_label("Command for one item").fill("tide {item}")
    page.get_by_label("Name").fill("Tide")
    faults = [{"field": "name", "problem": "use lower case letters"}, {"field": "workload", "problem": "give items"}]
    world.replies["POST /submissions?dry_run=true"] = ({"error_message": "invalid", "details": faults}, 400)
    page.get_by_role("button", name="Check").click()
    page.get_by_text("use lower case letters").wait_for()
    assert page.get_by_label("Name").get_attribute("aria-invalid") == "true"
    assert "give items" in page.locator(".field", has_text="One item per line").inner_text()
    picture(watched, pictures, "submit-refused", request)
    world.replies["POST /submissions?dry_run=true"] = (planned_answer(), 200)
    page.get_by_label("Name").fill("tide")
    page.get_by_label("One item per line").fill("a\n\nb\n")
    page.get_by_role("button", name="Check").click()
    page.get_by_text("expected to end in time").wait_for()
    assert "97 %" in page.locator("#plan").inner_text()
    assert "3 of 4 wanted" in page.locator("#plan").inner_text()
    assert page.evaluate(OVERFLOW) == 0
    picture(watched, pictures, "submit-planned", request)
    assert json.loads(world.wishes[-1].body) == {
        "name": "tide",
        "run": "tide {item}",
        "workload": {"items": ["a", "b"]},
        "deadline": "30m",
        "replicas": {"min": 1, "max": 10},
        "retries": 3,
        "priority": "normal",
    }
    world.submissions["kj-handed1"] = {"status": "created", "name": "tide"}
    world.replies["POST /submissions"] = ({"job_id": "kj-handed1", "warnings": []}, 202)
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/submissions/kj-handed1")
    assert world.wishes[-1].headers["Idempotency-Key"].startswith("page-")


def test_fields_become_a_document_that_means_the_same(world: World, store: RedisMetrics, watched: Watched) -> None:
    page = watched.page
    watched.open("/submit")
    page.get_by_label("Command for one item").fill("measure --depth 'no: #1' {item}")
    page.get_by_label("Name").fill("tide")
    page.get_by_label("One item per line").fill('true\n007\n- x\n"quoted"\nñ: ✓')
    page.get_by_label("CPU a replica").fill("500m")
    world.replies["POST /submissions?dry_run=true"] = (planned_answer(), 200)
    page.get_by_role("button", name="Check").click()
    page.locator("#answer:not([hidden])").wait_for()
    page.get_by_role("button", name="Document").click()
    page.get_by_role("button", name="Check").click()
    page.locator("#answer:not([hidden])").wait_for()
    fields, document = world.wishes
    assert (fields.headers["Content-Type"], document.headers["Content-Type"]) == (
        "application/json",
        "application/yaml",
    )
    assert read_yaml(document.body) == json.loads(fields.body)


def test_another_submissions_specification_is_copied(world: World, store: RedisMetrics, watched: Watched) -> None:
    live = fill(world, store, 1)
    watched.live(page_of(live))
    watched.page.get_by_role("link", name="Submit again").click()
    paper = watched.page.locator("#field-document")
    watched.page.wait_for_function("() => document.querySelector('#field-document')?.value.includes('aligner')")
    assert read_yaml(paper.input_value()) == world.specs[live.id]


@pytest.mark.parametrize("watched", [LOOKS[0], LOOKS[3]], indirect=True)
def test_the_clusters_look_right_and_follow(
    world: World, store: RedisMetrics, watched: Watched, pictures: Path, request: pytest.FixtureRequest
) -> None:
    fill(world, store, 12)
    scenes.furnish(world)
    watched.live("/clusters")
    watched.page.get_by_text("Its nodes are not known.").wait_for()
    first = watched.page.locator("section.cluster").first
    assert "not ready" in first.inner_text()
    assert watched.page.evaluate(OVERFLOW) == 0
    picture(watched, pictures, "clusters", request)
    world.shares["default"] = world.shares["default"].model_copy(update={"capacity": Capacity(replicas=77)})
    first.get_by_text("of 77").wait_for()
