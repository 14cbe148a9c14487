"""The visualizer as a process, with a real Redis and doubles of the other services."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from common.adapters.redis_history import RedisMetrics
from tests.browser import scenes
from tests.browser.world import VisualizerProcess, World
from tests.support.redis_process import RedisProcess

Eventually = Callable[..., None]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.start()
    yield made
    made.stop()
    assert made.strays == []


@pytest.fixture
def visualizer(world: World, redis_server: RedisProcess, free_port: int, tmp_path: Path) -> Iterator[VisualizerProcess]:
    process = VisualizerProcess(
        free_port, world.url, redis_server.url, tmp_path / "visualizer.log", board_check="0.2", max_streams="2"
    )
    process.start()
    yield process
    process.stop()


def get(visualizer: VisualizerProcess, path: str) -> Any:
    answer = requests.get(visualizer.url + path, timeout=5)
    answer.raise_for_status()
    return answer.json()


def events(response: requests.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in response.iter_lines(chunk_size=1, decode_unicode=True):
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def first(following: Iterator[tuple[str, dict[str, Any]]], event: str, part: str) -> dict[str, Any]:
    """The next event of that name that tells that part."""
    return next(document for name, document in following if name == event and part in document)


def test_a_board_lives_until_its_submission_is_purged(
    world: World, visualizer: VisualizerProcess, eventually: Eventually
) -> None:
    world.submissions["kj-board01"] = {"status": "ongoing"}
    answer = requests.post(
        f"{visualizer.url}/visualizing/kj-board01",
        json={"plugin": "kubejobs", "visualizer_plugin": "k8s-grafana", "password": "s3cr3t-pass"},
        timeout=5,
    )
    assert answer.status_code == 202
    view = get(visualizer, "/visualizing/kj-board01")
    assert view["url"] == f"{visualizer.url}/submissions/kj-board01"
    assert requests.get(view["url"], timeout=5).status_code == 200
    eventually(lambda: "no Grafana is configured" in get(visualizer, "/visualizing/kj-board01")["reason"])
    eventually(lambda: world.calls.count("/submissions") >= 2)
    assert requests.put(f"{visualizer.url}/visualizing/kj-board01/stop", timeout=5).status_code == 204
    assert get(visualizer, "/visualizing")["kj-board01"]["active"] is False
    del world.submissions["kj-board01"]
    eventually(
        lambda: requests.get(f"{visualizer.url}/visualizing/kj-board01", timeout=5).status_code == 404, within=20
    )
    assert "s3cr3t-pass" not in visualizer.log.read_text()


def test_no_password_reaches_redis(world: World, visualizer: VisualizerProcess, redis_server: RedisProcess) -> None:
    world.submissions["kj-board02"] = {"status": "ongoing"}
    body = {"password": "s3cr3t-pass", "username": "s3cr3t-user"}
    assert requests.post(f"{visualizer.url}/visualizing/kj-board02", json=body, timeout=5).status_code == 202
    with redis_server.client() as client:
        kept = client.hgetall("asp:rec:board:kj-board02")
    assert kept
    assert "s3cr3t" not in json.dumps(kept)


def test_a_live_submission_tells_status_and_points_as_they_come(
    world: World, visualizer: VisualizerProcess, redis_server: RedisProcess
) -> None:
    now = time.time()
    scene = scenes.Scene("kj-live001", "tide-model", elapsed=60.0, deadline=300.0, total=600)
    with redis_server.client() as client:
        store = RedisMetrics(client)
        scenes.play(world, store, scene, now)
        whole = get(visualizer, "/api/submissions/kj-live001/series")["series"]
        assert len(whole["progress"]["at"]) == 31
        since = whole["progress"]["at"][-1]
        url = f"{visualizer.url}/api/stream/submissions/kj-live001?since={since!r}"
        with requests.get(url, stream=True, timeout=10) as response:
            following = events(response)
            name, document = next(following)
            assert (name, document["row"]["name"]) == ("submission", "tide-model")
            assert document["decisions"]
            assert document["events"][0]["message"] == "accepted"
            world.submissions["kj-live001"]["reason"] = "2 pods are pending"
            document = first(following, "submission", "row")
            assert document["row"]["reason"] == "2 pods are pending"
            later = scenes.steps(scene)[-1]
            store.write(scenes.points(scene, later, now - scene.elapsed + 5.0))
            # A look may fall between the reads of two series; what it missed comes with the next one.
            told = (document["series"]["progress"]["at"] for name, document in following if name == "series")
            assert next(moments for moments in told if moments) == [pytest.approx(now + 5.0, abs=0.01)]
            world.submissions.clear()
            assert [name for name, _ in following][-1] == "gone"


def test_the_list_follows_the_manager_through_an_outage(world: World, visualizer: VisualizerProcess) -> None:
    world.submissions["kj-list001"] = {"status": "ongoing", "name": "tide-model"}
    with requests.get(f"{visualizer.url}/api/stream/submissions", stream=True, timeout=10) as response:
        following = events(response)
        assert next(following)[1]["rows"]["kj-list001"]["state"] == "ongoing"
        world.away = {"manager"}
        assert next(following)[1]["problems"][0]["service"] == "manager"
        world.submissions["kj-list001"] = {"status": "completed", "name": "tide-model"}
        world.away = set()
        told = next(following)[1]
        assert told["problems"] == []
        assert told["rows"]["kj-list001"]["state"] == "completed"


def test_live_connections_are_bounded(world: World, visualizer: VisualizerProcess, eventually: Eventually) -> None:
    url = f"{visualizer.url}/api/stream/submissions"
    held = [requests.get(url, stream=True, timeout=10) for _ in range(2)]
    assert requests.get(url, timeout=5).status_code == 503
    assert requests.get(f"{visualizer.url}/", timeout=5).status_code == 200
    for response in held:
        response.close()

    def place_is_free() -> bool:
        world.submissions[f"kj-{len(world.submissions):07}"] = {"status": "ongoing"}
        with requests.get(url, stream=True, timeout=5) as response:
            return response.status_code == 200

    # A closed connection is noticed at the next word to it.
    eventually(place_is_free, within=25, every=0.2)


def test_shutdown_ends_live_connections_at_once(
    world: World, redis_server: RedisProcess, free_port: int, tmp_path: Path
) -> None:
    process = VisualizerProcess(free_port, world.url, redis_server.url, tmp_path / "v.log", shutdown_grace="60")
    process.start()
    with requests.get(f"{process.url}/api/stream/submissions", stream=True, timeout=30) as response:
        next(events(response))
        code, _ = process.terminate(within=20)
    assert code == 0


def test_redis_away_is_said_and_over_when_it_is_back(
    world: World, own_redis: RedisProcess, free_port: int, tmp_path: Path, eventually: Eventually
) -> None:
    world.submissions["kj-redis01"] = {"status": "ongoing", "name": "tide-model"}
    process = VisualizerProcess(free_port, world.url, own_redis.url, tmp_path / "v.log", redis_timeout="0.5")
    process.start()
    try:
        body: dict[str, str] = {}
        assert requests.post(f"{process.url}/visualizing/kj-redis01", json=body, timeout=5).status_code == 202
        own_redis.kill()
        assert requests.get(f"{process.url}/visualizing/kj-redis01", timeout=20).status_code == 503
        document = requests.get(f"{process.url}/api/submissions/kj-redis01/series", timeout=20).json()
        assert "Redis" in document["problem"]
        assert requests.get(f"{process.url}/api/submissions", timeout=20).json()["known"] is True
        own_redis.start()
        eventually(lambda: requests.get(f"{process.url}/visualizing/kj-redis01", timeout=20).status_code == 200)
    finally:
        process.stop()


def test_a_restarted_visualizer_knows_its_boards(
    world: World, redis_server: RedisProcess, free_port: int, tmp_path: Path
) -> None:
    world.submissions["kj-again01"] = {"status": "ongoing"}
    process = VisualizerProcess(free_port, world.url, redis_server.url, tmp_path / "v.log", public_url="https://x.org/")
    for attempt in range(2):
        process.start()
        try:
            if attempt == 0:
                requests.post(f"{process.url}/visualizing", json={"app_id": "kj-again01"}, timeout=5)
            assert get(process, "/visualizing/kj-again01")["url"] == "https://x.org/submissions/kj-again01"
        finally:
            process.stop()
