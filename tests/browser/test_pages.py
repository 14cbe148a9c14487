"""The pages in a real browser: live, complete, without complaint, worth looking at (``pictures``)."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from common.adapters.redis_history import RedisMetrics
from common.domain.progress import Decision
from common.domain.states import State
from tests.browser import scenes
from tests.browser.conftest import AXE, Watched
from tests.browser.world import VisualizerProcess, World

HOSTILE = "</script><img src=x onerror=alert(1)><svg onload=alert(2)>\"'`${alert(3)}{{7*7}}"
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
LOOKS = [
    pytest.param({"viewport": {"width": width, "height": 900}, "color_scheme": scheme}, id=f"{width}-{scheme}")
    for width in (400, 1600)
    for scheme in ("light", "dark")
]


def page_of(scene: scenes.Scene) -> str:
    return f"/submissions/{scene.id}"


def fill(world: World, store: RedisMetrics, count: int) -> scenes.Scene:
    """``count`` submissions; the one with its series has an id of its own in every test, and is the answer."""
    now = time.time()
    live = replace(scenes.LIVE, id=f"kj-{secrets.token_hex(4)[:7]}")
    for scene in scenes.crowd(count - 1):
        story = scenes.steps(scene)
        world.submissions[scene.id] = scenes.status(scene, story[-1], now - scene.elapsed, now)
    if count:
        scenes.play(world, store, live, now)
    return live


def rows_are(watched: Watched, count: int) -> None:
    """Wait until the list has so many rows."""
    watched.page.wait_for_function(
        "count => document.querySelectorAll('table.list tbody tr').length === count", arg=count
    )


def picture(watched: Watched, pictures: Path, name: str, request: pytest.FixtureRequest, full: bool = True) -> None:
    size = request.node.callspec.id if hasattr(request.node, "callspec") else ""
    path = pictures / f"{name}-{size}.png"
    watched.page.screenshot(path=path, full_page=full)
    assert path.stat().st_size > 5000


@pytest.mark.parametrize("watched", LOOKS, indirect=True)
@pytest.mark.parametrize("count", [0, 1, 40])
def test_the_list_looks_right_with_none_one_and_many(
    count: int,
    world: World,
    store: RedisMetrics,
    watched: Watched,
    pictures: Path,
    request: pytest.FixtureRequest,
) -> None:
    fill(world, store, count)
    watched.live("/")
    if count == 0:
        watched.page.get_by_text("There is no submission yet.").wait_for()
    else:
        rows_are(watched, count)
    assert watched.page.evaluate(OVERFLOW) == 0
    picture(watched, pictures, f"list-{count}", request, full=count < 10)


@pytest.mark.parametrize("watched", LOOKS, indirect=True)
def test_a_submission_looks_right(
    world: World, store: RedisMetrics, watched: Watched, pictures: Path, request: pytest.FixtureRequest
) -> None:
    live = fill(world, store, 1)
    watched.live(page_of(live))
    watched.page.locator("svg.plot path.line").first.wait_for(state="attached")
    assert watched.page.locator("section.chart").count() == 7
    watched.page.locator("path.fan").wait_for()
    assert watched.page.evaluate(OVERFLOW) == 0
    picture(watched, pictures, "submission", request)


@pytest.mark.parametrize("watched", LOOKS[1:2], indirect=True)
def test_what_has_not_begun_has_empty_charts_that_say_so(
    world: World, watched: Watched, pictures: Path, request: pytest.FixtureRequest
) -> None:
    world.submissions["kj-young01"] = {
        "status": "created",
        "name": "just-posted",
        "created_at": time.time(),
        "deadline": 60.0,
    }
    watched.live("/submissions/kj-young01")
    watched.page.get_by_text("Getting ready").wait_for()
    assert watched.page.get_by_text("Nothing measured yet").count() == 6
    assert watched.page.get_by_text("No forecast yet").count() == 1
    assert watched.page.get_by_text("No decision yet.").is_visible()
    assert watched.page.locator("svg.plot").first.get_attribute("visibility") == "hidden"
    picture(watched, pictures, "young", request)


def test_the_list_updates_itself(world: World, store: RedisMetrics, watched: Watched) -> None:
    live = fill(world, store, 1)
    watched.live("/")
    row = watched.page.locator("tbody tr", has_text=live.name)
    row.get_by_text("ongoing").wait_for()
    world.submissions["kj-new0001"] = {"status": "loading", "name": "newcomer", "created_at": time.time()}
    watched.page.locator("tbody tr", has_text="newcomer").wait_for()
    world.submissions[live.id] |= {"status": "failed", "state": "failed", "reason": "4 items are dead"}
    row.get_by_text("failed").wait_for()
    row.get_by_text("4 items are dead").wait_for()
    del world.submissions["kj-new0001"]
    watched.page.locator("tbody tr", has_text="newcomer").wait_for(state="detached")


def test_a_submission_updates_itself(
    world: World, store: RedisMetrics, watched: Watched, eventually: Callable[..., None]
) -> None:
    live = fill(world, store, 1)
    watched.live(page_of(live))
    line = watched.page.locator("svg.plot path.line").first
    line.wait_for(state="attached")
    before = line.get_attribute("d")
    now = time.time()
    later = scenes.steps(live)[-1]
    store.write(scenes.points(live, later, now - live.elapsed + 10.0))
    eventually(lambda: line.get_attribute("d") != before)
    view = world.scaling[live.id]
    change = Decision(at=now, law="deadline", wanted=14, granted=12, previous=10, reason="a new reason", eta=20.0)
    world.scaling[live.id] = view.model_copy(update={"decisions": (*view.decisions, change)})
    first = watched.page.locator("#decisions li").first
    first.get_by_text("a new reason").wait_for()
    assert "10 → 12" in first.inner_text()
    assert "the law wanted 14" in first.inner_text()
    world.submissions[live.id] |= {
        "status": "completed",
        "state": "completed",
        "progress": 1.0,
        "finished_at": now,
        "deadline_met": True,
        "deadline_margin": 30.0,
        "execution_time": 250.0,
        "final_replicas": 2,
    }
    watched.page.get_by_text("It finished 30s before its deadline.").wait_for()
    assert watched.page.locator("#state").inner_text() == "completed"
    assert watched.page.get_by_text("Duration").is_visible()


def test_the_deadline_counts_down(world: World, store: RedisMetrics, watched: Watched) -> None:
    live = fill(world, store, 1)
    watched.live(page_of(live))
    figure = watched.page.locator(".tile", has_text="Deadline").locator(".figure")
    figure.get_by_text("left").wait_for()
    shown = figure.inner_text()
    watched.page.wait_for_function(
        "([shown]) => document.querySelectorAll('.tile .figure')[1].textContent !== shown", arg=[shown]
    )
    assert re.fullmatch(r"\dm \d\ds left", figure.inner_text())


def test_a_deleted_submission_is_said_to_be(world: World, store: RedisMetrics, watched: Watched) -> None:
    live = fill(world, store, 1)
    watched.live(page_of(live))
    watched.page.locator("#charts").wait_for()
    world.submissions.clear()
    watched.page.get_by_text("This submission has been deleted").wait_for()


def test_nothing_users_write_becomes_markup(world: World, store: RedisMetrics, watched: Watched) -> None:
    live = fill(world, store, 1)
    id = live.id
    world.submissions[id] |= {"name": HOSTILE, "reason": HOSTILE, "status": HOSTILE, "warnings": [HOSTILE]}
    world.submissions[id] |= {"state": HOSTILE, "law": HOSTILE, "kind": HOSTILE}
    world.specs[id] = {"name": HOSTILE, "env": {HOSTILE: HOSTILE}}
    world.logs[id] = {"w-0": HOSTILE}
    world.errors[id] = [HOSTILE]
    world.events[id] = [world.events[id][0].model_copy(update={"message": HOSTILE})]
    hostile = Decision(at=1.0, law=HOSTILE, wanted=2, granted=2, previous=1, reason=HOSTILE)
    world.scaling[id] = world.scaling[id].model_copy(update={"decisions": (hostile,)})
    watched.live("/")
    rows_are(watched, 1)
    link = watched.page.locator("tbody a").first
    assert link.inner_text() == HOSTILE
    watched.live(f"/submissions/{id}")
    watched.page.locator("#troubles pre").wait_for()
    for place in ("#name", "#reason", "#state", "#troubles pre", "#warnings li"):
        assert watched.page.locator(place).inner_text() == HOSTILE, place
    watched.page.locator("summary", has_text="Specification").click()
    watched.page.locator("summary", has_text="Logs").click()
    watched.page.wait_for_function("() => document.querySelector('#log-text').textContent.includes('onerror')")
    assert json.dumps(HOSTILE) in watched.page.locator("#spec").inner_text()
    for place in ("#events li", "#decisions li", "#facts"):
        assert HOSTILE in watched.page.locator(place).first.inner_text(), place
    assert watched.page.locator("main img, main [onload], main [onerror], body > script").count() == 0
    assert HOSTILE in watched.page.title()


def test_a_manager_that_is_away_is_said_and_the_page_recovers(
    world: World, store: RedisMetrics, watched: Watched
) -> None:
    world.away = {"manager"}
    watched.live("/")
    banner = watched.page.get_by_text("The manager does not answer.")
    banner.wait_for()
    world.away = set()
    live = fill(world, store, 1)
    watched.page.locator("tbody tr", has_text=live.name).wait_for()
    banner.wait_for(state="detached")
    world.away = {"manager"}
    banner.wait_for()
    assert watched.page.locator("tbody tr", has_text=live.name).is_visible()


def test_a_submission_opened_while_the_manager_is_away_appears_when_it_is_back(
    world: World, store: RedisMetrics, watched: Watched
) -> None:
    live = fill(world, store, 1)
    world.away = {"manager"}
    watched.live(page_of(live))
    watched.page.get_by_text("waiting for the manager").wait_for()
    world.away = set()
    watched.page.locator("svg.plot path.line").first.wait_for(state="attached")


def test_a_restarted_visualizer_is_found_again(
    world: World, store: RedisMetrics, watched: Watched, visualizer: VisualizerProcess
) -> None:
    # The browser itself reports the connections that break; that is what this test is about.
    watched.faults_expected = ("net::ERR_", "503")
    fill(world, store, 1)
    watched.live("/")
    visualizer.stop()
    watched.page.wait_for_selector("#link-state[data-link=away]")
    world.submissions["kj-new0002"] = {"status": "ongoing", "name": "meanwhile", "created_at": time.time()}
    visualizer.start()
    watched.page.wait_for_selector("#link-state[data-link=live]", timeout=30000)
    watched.page.locator("tbody tr", has_text="meanwhile").wait_for()


def test_without_a_place_for_a_stream_the_page_polls(world: World, store: RedisMetrics, watched: Watched) -> None:
    live = fill(world, store, 1)
    watched.faults_expected = ("503",)
    watched.page.route("**/api/stream/**", lambda route: route.fulfill(status=503, body="{}"))
    for path, place in (("/", "tbody tr"), (page_of(live), "svg.plot path.line")):
        watched.open(path)
        watched.page.wait_for_selector("#link-state[data-link=polling]")
        watched.page.locator(place).first.wait_for(state="attached")
        world.submissions[live.id] |= {"reason": f"changed before {path}"}
        watched.page.get_by_text(f"changed before {path}").first.wait_for()


def test_filters_and_sorting(world: World, store: RedisMetrics, watched: Watched) -> None:
    fill(world, store, 19)
    watched.live("/")
    rows = watched.page.locator("tbody tr")
    rows_are(watched, 19)
    watched.page.get_by_role("button", name="Completed").click()
    assert set(watched.page.locator("tbody .badge").all_inner_texts()) == {"completed"}
    watched.page.reload()  # what was chosen is in the address
    assert watched.page.get_by_role("button", name="Completed").get_attribute("aria-pressed") == "true"
    rows.first.wait_for()
    assert set(watched.page.locator("tbody .badge").all_inner_texts()) == {"completed"}
    watched.page.get_by_role("button", name="All").click()
    watched.page.keyboard.press("/")
    watched.page.keyboard.type("insufficient CPU")
    assert rows.count() == 2
    watched.page.get_by_role("searchbox").fill("no such thing")
    watched.page.get_by_text("No submission matches.").wait_for()
    watched.page.get_by_role("searchbox").fill("")
    watched.page.get_by_label("Kind").select_option("stream")
    watched.page.get_by_text("No submission matches.").wait_for()
    watched.page.get_by_label("Kind").select_option("")
    sorter = watched.page.get_by_role("columnheader", name="Name").get_by_role("button")
    sorter.click()
    names = watched.page.locator("tbody .c-name a").all_inner_texts()
    assert names == sorted(names)
    sorter.click()
    assert watched.page.locator("tbody .c-name a").all_inner_texts() == sorted(names, reverse=True)
    header = watched.page.get_by_role("columnheader", name="Name")
    assert header.get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize("watched", [LOOKS[0], LOOKS[2]], indirect=True)
def test_a_thousand_submissions_stay_usable(
    world: World, store: RedisMetrics, watched: Watched, pictures: Path, request: pytest.FixtureRequest
) -> None:
    now = time.time()
    kinds = [scenes.steps(scene)[-1] for scene in scenes.crowd(9)]
    world.submissions |= {
        scene.id: scenes.status(scene, kinds[number % 9], now - scene.elapsed, now)
        for number, scene in enumerate(scenes.crowd(1000))
    }
    watched.live("/")
    watched.page.locator("#summary", has_text=re.compile("^1,000 submissions$")).wait_for()
    rows_are(watched, 50)
    states = watched.page.locator("tbody .badge").all_inner_texts()
    assert set(states) <= {"ongoing", "loading"}
    watched.page.get_by_role("button", name="Older").click()
    watched.page.get_by_text("51 to 100 of 1,000").wait_for()
    rows_are(watched, 50)
    assert "page=2" in watched.page.url
    assert watched.page.evaluate(OVERFLOW) == 0
    picture(watched, pictures, "list-1000", request, full=False)
    watched.page.get_by_role("searchbox").fill("tide-model-8")
    assert 1 <= watched.page.locator("tbody tr").count() < 30
    watched.page.get_by_text("of 1,000 submissions").wait_for()


def test_charts_are_read_by_keyboard_and_as_tables(world: World, store: RedisMetrics, watched: Watched) -> None:
    live = fill(world, store, 1)
    watched.live(page_of(live))
    chart = watched.page.locator("section.chart", has_text="Progress against time")
    plot = chart.locator("svg.plot")
    chart.locator("svg.plot path.line").first.wait_for(state="attached")
    latest = chart.locator(".value").first.inner_text()
    plot.focus()
    watched.page.keyboard.press("Home")
    begun = f"{scenes.steps(live)[0].counts.progress:.1%}".replace("%", " %")
    assert chart.locator(".value").first.inner_text() == begun != latest
    assert f"work done {begun}, time used 0.0 %" in (chart.locator("[aria-live]").text_content() or "")
    watched.page.keyboard.press("ArrowRight")
    assert chart.locator(".when").inner_text() == "at 2s"
    other = watched.page.locator("section.chart", has_text="Throughput")
    assert other.locator(".when").inner_text() == "at 2s"
    watched.page.keyboard.press("End")
    assert chart.locator(".value").first.inner_text() == latest
    watched.page.keyboard.press("Escape")
    assert chart.locator(".when").inner_text() == ""
    assert chart.locator("table caption").text_content() == "Progress against time"
    assert chart.locator("table tbody tr").count() == 12


def test_charts_are_read_by_pointer(world: World, store: RedisMetrics, watched: Watched) -> None:
    live = fill(world, store, 1)
    watched.live(page_of(live))
    chart = watched.page.locator("section.chart", has_text="Replicas").first
    chart.locator("svg.plot path.line").first.wait_for(state="attached")
    chart.locator("svg.plot").hover(position={"x": 150, "y": 80})
    assert re.fullmatch(r"at (\dm )?\d+s", chart.locator(".when").inner_text())
    assert watched.page.locator("line.cross").count() == 7
    watched.page.mouse.move(5, 5)
    assert watched.page.locator("line.cross").count() == 0


@pytest.mark.parametrize("watched", [LOOKS[2], LOOKS[1]], indirect=True)
def test_no_page_has_a_serious_fault_for_those_who_see_or_hear_otherwise(
    world: World, store: RedisMetrics, watched: Watched, axe: str
) -> None:
    watched.faults_expected = ("404", "400")
    live = fill(world, store, 12)
    scenes.furnish(world)
    page = watched.page

    def judge(path: str, ready: str, *, open_up: Callable[[], None] = lambda: None) -> None:
        watched.open(path)
        page.locator(ready).first.wait_for(state="attached")
        open_up()
        page.evaluate(axe)
        assert page.evaluate(AXE) == [], path
        assert page.locator("h1").count() == 1

    def unfold() -> None:
        for title in ("Logs", "Specification"):
            page.locator("summary", has_text=title).click()
        page.wait_for_function("() => document.querySelector('#log-text').textContent.length > 10")

    def refuse() -> None:
        fault = {"field": "name", "problem": "use lower case letters"}
        world.replies["POST /submissions?dry_run=true"] = ({"error_message": "invalid", "details": [fault]}, 400)
        page.get_by_role("button", name="Check").click()
        page.locator(".field.wrong").wait_for()

    judge("/", "tbody tr path[d]")
    judge(page_of(live), "svg.plot path.line", open_up=unfold)
    judge(page_of(live), "#decisions li", open_up=lambda: page.get_by_role("button", name="Change…").click())
    judge("/clusters", ".plain tbody tr")
    judge("/submit", "#form:not([hidden])", open_up=refuse)
    judge("/submissions/kj-unknown", ".missing")


def test_a_submission_without_deadline_has_no_time_to_race(world: World, store: RedisMetrics, watched: Watched) -> None:
    scene = scenes.Scene(f"kj-{secrets.token_hex(4)[:7]}", "calm", elapsed=60.0, deadline=None, state=State.ONGOING)
    scenes.play(world, store, scene, time.time())
    watched.live(f"/submissions/{scene.id}")
    watched.page.get_by_text("It has no deadline.").wait_for()
    titles = watched.page.locator("section.chart h3").all_inner_texts()
    assert titles == ["Progress", "Replicas", "Items by place", "Expected end", "Throughput", "Time per item"]
