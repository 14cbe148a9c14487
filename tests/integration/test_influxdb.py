"""InfluxDB of each kind: Debian's real 1.6, 2 and 3 as a double before it, VictoriaMetrics for /api/v2/write."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from common.adapters.influx_server import InfluxServer, InfluxSettings, literal
from common.adapters.outbox import OutboxLimits
from common.domain.errors import BadRequest, Unavailable
from common.domain.events import Event
from common.domain.metrics import EVENT, JOB_PROGRESS, QUEUE, Point
from tests.support.influx import CountingMeter, influx_metrics
from tests.support.influx_double import ORG, TOKEN, InfluxDouble
from tests.support.influx_process import InfluxProcess, find_server

DAY = 86400
NOW = 1_700_000_000.0


@pytest.fixture
def name() -> str:
    return f"b{uuid.uuid4().hex[:8]}"


@pytest.fixture(params=["2.7.6", "3.2.0"])
def double(request: pytest.FixtureRequest, influx_server: InfluxProcess) -> Iterator[InfluxDouble]:
    made = InfluxDouble(request.param, influx_server.url)
    yield made
    made.stop()
    assert made.strays == []


def lines(*values: float) -> list[str]:
    return [f"queue,submission=s ready={value} {int(NOW * 1e9) + number}" for number, value in enumerate(values)]


def retention(server: InfluxProcess, name: str) -> str:
    found = requests.get(f"{server.url}/query", params={"q": f'SHOW RETENTION POLICIES ON "{name}"'}, timeout=5).json()
    return str(found["results"][0]["series"][0]["values"][0][1])


def test_a_database_is_made_with_the_first_write_and_its_retention(influx_server: InfluxProcess, name: str) -> None:
    server = InfluxServer(InfluxSettings(influx_server.url, bucket=name, retention=30 * DAY))
    assert (server.version().major, server.version().minor, server.version().has_write_v2) == (1, 6, False)
    assert server.query('SELECT "ready" FROM "queue"') == []
    with pytest.raises(BadRequest, match="retention"):
        server.write(lines(1.0))
    assert retention(influx_server, name) == "720h0m0s"


def test_a_database_that_is_dropped_is_made_again(influx_server: InfluxProcess, name: str) -> None:
    server = InfluxServer(InfluxSettings(influx_server.url, bucket=name))
    server.write(lines(1.0))
    requests.post(f"{influx_server.url}/query", data={"q": f'DROP DATABASE "{name}"'}, timeout=5).raise_for_status()
    server.write(lines(1.0, 2.0))
    (series,) = server.query('SELECT "ready" FROM "queue"')
    assert [row[1] for row in series.rows] == [1, 2]


def test_points_of_another_type_are_refused_and_do_not_hold_up_the_others(
    influx_server: InfluxProcess, name: str
) -> None:
    meter = CountingMeter()
    metrics = influx_metrics(InfluxSettings(influx_server.url, bucket=name), meter=meter)
    InfluxServer(InfluxSettings(influx_server.url, bucket=name)).write(
        [f'job_progress,submission=s value="text" {int(NOW * 1e9)}']
    )
    metrics.write([Point(JOB_PROGRESS.name, "s", NOW, {"value": 0.5})])
    assert metrics.flush(10.0)
    metrics.write([Point(QUEUE.name, "s", NOW, {"ready": 3.0})])
    assert metrics.flush(10.0)
    assert (meter.sent, meter.dropped) == (1, 1)
    assert metrics.read("s", QUEUE)[0].fields == {"ready": 3.0}
    metrics.close(1.0)


def test_texts_pass_for_what_they_are(influx_server: InfluxProcess, name: str) -> None:
    metrics = influx_metrics(InfluxSettings(influx_server.url, bucket=name))
    text = 'it\'s "failed":\n\\ exit code 1, 2=3'
    metrics.annotate("s", Event(at=NOW, kind="pod", message=text, warning=True))
    metrics.annotate("s'; DROP SERIES", Event(at=NOW, kind="state", message="completed"))
    assert metrics.flush(10.0)
    server = InfluxServer(InfluxSettings(influx_server.url, bucket=name))
    (series,) = server.query(f'SELECT "text", "kind" FROM "{EVENT}" WHERE "submission" = {literal("s")}')
    assert series.rows == [[int(NOW * 1e9), " ".join(text.split()), "warning"]]
    odd = literal("s'; DROP SERIES")
    (series,) = server.query(f'SELECT "text", "kind" FROM "{EVENT}" WHERE "submission" = {odd}')
    assert series.rows == [[int(NOW * 1e9), "completed", "state"]]
    metrics.close(1.0)


def test_there_is_a_request_a_second_at_most_however_much_is_written(own_influx: InfluxProcess) -> None:
    metrics = influx_metrics(InfluxSettings(own_influx.url), OutboxLimits())
    began = time.monotonic()
    for number in range(30):
        metrics.write([Point(QUEUE.name, f"s{each}", NOW + number, {"ready": 1.0}) for each in range(500)])
        time.sleep(0.1)
    assert metrics.flush(10.0)
    took = time.monotonic() - began
    metrics.close(1.0)
    # The first write finds no database and is repeated once it is made.
    assert own_influx.requests_of("/write") <= 1 + 1 + took
    found = requests.get(
        f"{own_influx.url}/query", params={"db": "asperathos", "q": 'SELECT COUNT("ready") FROM "queue"'}, timeout=10
    ).json()
    assert found["results"][0]["series"][0]["values"][0][1] == 15_000


def test_a_bucket_is_made_with_the_first_write_on_the_double(double: InfluxDouble, name: str) -> None:
    server = InfluxServer(InfluxSettings(double.url, bucket=name, token=TOKEN, retention=30 * DAY))
    assert server.version().has_write_v2
    server.write(lines(1.0, 2.0))
    server.write(lines(1.0, 2.0, 3.0))
    assert double.buckets[name]["retentionRules"] == [{"type": "expire", "everySeconds": 30 * DAY}]
    assert double.writes == 2
    (series,) = server.query('SELECT "ready" FROM "queue"')
    assert [row[1] for row in series.rows] == [1, 2, 3]
    server.close()


def test_a_bucket_that_is_there_is_left_as_it_is_on_the_double(double: InfluxDouble, name: str) -> None:
    double.make_bucket(name, 7 * DAY)
    double.may_make_buckets = False
    server = InfluxServer(InfluxSettings(double.url, bucket=name, token=TOKEN, org=ORG["name"], retention=30 * DAY))
    server.write(lines(1.0))
    assert double.buckets[name]["retentionRules"][0]["everySeconds"] == 7 * DAY
    server.close()


@pytest.mark.parametrize("double", ["2.0.9"], indirect=True)
def test_without_virtual_mappings_one_is_made_on_the_double(double: InfluxDouble, name: str) -> None:
    double.has_virtual_mappings = False
    server = InfluxServer(InfluxSettings(double.url, bucket=name, token=TOKEN))
    server.write(lines(1.0))
    assert [mapping["database"] for mapping in double.mappings] == [name]
    assert server.query('SELECT "ready" FROM "queue"')
    server.close()


@pytest.mark.parametrize("double", ["2.7.6"], indirect=True)
def test_a_deleted_submission_is_gone_on_the_double(double: InfluxDouble, name: str) -> None:
    server = InfluxServer(InfluxSettings(double.url, bucket=name, token=TOKEN))
    server.write([*lines(1.0), f"queue,submission=t ready=1 {int(NOW * 1e9)}"])
    server.delete("s")
    (series,) = server.query('SELECT "ready", "submission" FROM "queue"')
    assert [row[2] for row in series.rows] == ["t"]
    server.close()


@pytest.mark.parametrize("double", ["3.2.0"], indirect=True)
def test_influxdb_3_keeps_deleted_submissions_until_their_time_is_over(double: InfluxDouble, name: str) -> None:
    server = InfluxServer(InfluxSettings(double.url, bucket=name, token=TOKEN))
    server.write(lines(1.0))
    server.delete("s")
    assert server.query('SELECT "ready" FROM "queue"')


def test_a_wrong_token_is_told_with_its_remedy_on_the_double(double: InfluxDouble, name: str) -> None:
    server = InfluxServer(InfluxSettings(double.url, bucket=name, token="wrong"))
    with pytest.raises(Unavailable, match="ASPERATHOS_INFLUX_TOKEN"):
        server.write(lines(1.0))
    server.close()


@pytest.mark.parametrize("double", ["2.7.6"], indirect=True)
def test_what_the_token_may_not_make_is_told_on_the_double(double: InfluxDouble, name: str) -> None:
    double.may_make_buckets = False
    server = InfluxServer(InfluxSettings(double.url, bucket=name, token=TOKEN))
    with pytest.raises(Unavailable, match="insufficient permissions"):
        server.write(lines(1.0))
    double.orgs.append({"id": "00000000000000ab", "name": "garden"})
    with pytest.raises(Unavailable, match=r"ASPERATHOS_INFLUX_ORG \(the token sees garden, house"):
        server.write(lines(1.0))
    server.close()


def test_another_server_is_not_taken_for_influxdb(free_port: int, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        InfluxServer(InfluxSettings(f"http://127.0.0.1:{free_port}", timeout=1.0)).write(lines(1.0))


def test_what_influxdb_client_writes_a_real_server_understands(
    free_port: int, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """VictoriaMetrics has /api/v2/write, gzip and all; its version is not InfluxDB's, so the protocol is named."""
    url = f"http://127.0.0.1:{free_port}"
    command = [
        find_server("victoria-metrics"),
        f"-storageDataPath={tmp_path}",
        f"-httpListenAddr=127.0.0.1:{free_port}",
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, "-retentionPeriod=10y"], stdout=log, stderr=log)
    try:

        def is_up() -> bool:
            try:
                return requests.get(f"{url}/health", timeout=1).ok
            except requests.ConnectionError:
                return False

        eventually(is_up, within=30)
        with pytest.raises(Unavailable, match="ASPERATHOS_INFLUX_WRITE_API"):
            InfluxServer(InfluxSettings(url)).version()
        server = InfluxServer(InfluxSettings(url, bucket="asperathos", write_api="v2"))
        at = time.time()
        server.write([f"queue,submission=s,law=pid ready=3,done=4.5 {int(at * 1000)}000000"])

        def told() -> dict[str, tuple[dict[str, str], float, int]]:
            requests.get(f"{url}/internal/force_flush", timeout=5)
            exported = requests.get(f"{url}/api/v1/export", params={"match[]": '{submission="s"}'}, timeout=5).text
            found = [json.loads(line) for line in exported.splitlines()]
            return {one["metric"]["__name__"]: (one["metric"], one["values"][0], one["timestamps"][0]) for one in found}

        eventually(lambda: len(told()) == 2)
        metric, value, moment = told()["queue_done"]
        assert (metric["law"], value, moment) == ("pid", 4.5, int(at * 1000))
        server.close()
    finally:
        process.terminate()
        process.wait(20)
