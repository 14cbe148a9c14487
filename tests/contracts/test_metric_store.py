"""Metric stores: the same laws in memory, in Redis and in InfluxDB; of InfluxDB 2 and 3 before a double."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from influxdb_client import Point as LineBuilder
from influxdb_client import WritePrecision

from common.adapters import redis_client, redis_keys
from common.adapters.influx_metrics import line_of, nanoseconds
from common.adapters.influx_server import InfluxSettings
from common.adapters.outbox import OutboxLimits
from common.adapters.redis_history import RedisMetrics
from common.domain.errors import Unavailable
from common.domain.metrics import JOB_PROGRESS, MEASUREMENTS, PARALLELISM, PROGRESS_ERROR, QUEUE, Measurement, Point
from common.ports import MetricStore
from tests.fakes.records import MemoryMetrics
from tests.support.influx import CountingMeter, influx_metrics
from tests.support.influx_double import TOKEN, InfluxDouble
from tests.support.influx_process import InfluxProcess
from tests.support.redis_process import RedisProcess


@dataclass(frozen=True)
class Bench:
    metrics: MetricStore
    id: str
    kind: str

    def write(self, *points: Point) -> None:
        """What is written and flushed is there for all."""
        self.metrics.write(points)
        assert self.metrics.flush(10.0)


@pytest.fixture
def client(redis_server: RedisProcess) -> Iterator[redis.Redis]:
    with redis_client.connect(redis_server.url) as client:
        yield client


@pytest.fixture(params=["memory", "redis", "influx", "influx 2.7 double", "influx 3.2 double"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    metrics: MetricStore
    if request.param == "memory":
        metrics = MemoryMetrics()
    elif request.param == "redis":
        metrics = RedisMetrics(request.getfixturevalue("client"))
    else:
        server: InfluxProcess = request.getfixturevalue("influx_server")
        url = server.url
        if "double" in request.param:
            double = InfluxDouble(f"{request.param.split()[1]}.0", server.url)
            request.addfinalizer(double.stop)
            url = double.url
        metrics = influx_metrics(InfluxSettings(url, bucket="contract", token=TOKEN))
    yield Bench(metrics, uuid.uuid4().hex, request.param)
    metrics.close(1.0)


def _point(at: float, value: float = 0.0, measurement: Measurement = JOB_PROGRESS, id: str = "") -> Point:
    return Point(measurement.name, id, at, {"value": value})


def test_points_are_read_by_measurement_oldest_first(bench: Bench) -> None:
    moments = [1000.25, 1002.1234567, 1004.0]
    for at in moments:
        bench.write(
            _point(at, at / 3, JOB_PROGRESS, bench.id),
            Point(QUEUE.name, bench.id, at, {"ready": 3, "done": 1.0}),
            _point(at, 7.0, JOB_PROGRESS, "somebody else"),
        )
    assert bench.metrics.read(bench.id, JOB_PROGRESS) == [_point(at, at / 3, id=bench.id) for at in moments]
    assert bench.metrics.read(bench.id, QUEUE)[0].fields == {"ready": 3, "done": 1.0}
    assert bench.metrics.read(bench.id, PARALLELISM) == []


def test_several_measurements_are_read_at_once(bench: Bench) -> None:
    for at in (1000.25, 1002.5, 1004.0):
        bench.write(_point(at, at, JOB_PROGRESS, bench.id), Point(QUEUE.name, bench.id, at, {"ready": 3.0}))
    bench.write(_point(1006.0, 1.0, PARALLELISM, bench.id))
    wanted = (QUEUE, PARALLELISM, PROGRESS_ERROR)
    found = bench.metrics.read_several(bench.id, wanted, 1001.0)
    assert found == {measurement.name: bench.metrics.read(bench.id, measurement, 1001.0) for measurement in wanted}
    assert {name: len(points) for name, points in found.items()} == {
        QUEUE.name: 2,
        PARALLELISM.name: 1,
        PROGRESS_ERROR.name: 0,
    }


@pytest.mark.parametrize("base", [1000.0, 0.0])
def test_since_leaves_out_what_is_not_later(bench: Bench, base: float) -> None:
    now = time.time() if base else 1000.0
    bench.write(*(_point(now + second, id=bench.id) for second in range(-90, 1, 30)))
    read = bench.metrics.read(bench.id, JOB_PROGRESS, since=now - 60)
    assert [point.at for point in read] == [now - 30, now]
    assert bench.metrics.read(bench.id, JOB_PROGRESS, since=now) == []


def test_a_moment_written_in_parts_is_whole(bench: Bench) -> None:
    bench.write(_point(1000.0, 1.0, JOB_PROGRESS, bench.id))
    bench.write(_point(1000.0, 2.0, PARALLELISM, bench.id))
    assert [point.fields["value"] for point in bench.metrics.read(bench.id, JOB_PROGRESS)] == [1.0]
    assert [point.fields["value"] for point in bench.metrics.read(bench.id, PARALLELISM)] == [2.0]


def test_points_keep_their_place_whatever_their_tags(bench: Bench) -> None:
    for at, law in ((1.0, "deadline"), (2.0, "pid"), (3.0, "deadline")):
        bench.write(
            Point(JOB_PROGRESS.name, bench.id, at, {"value": at}, {"law": law, "name": "a b,c=d\\", "kind": ""})
        )
    read = bench.metrics.read(bench.id, JOB_PROGRESS)
    assert [(point.at, point.fields) for point in read] == [(at, {"value": at}) for at in (1.0, 2.0, 3.0)]


def test_writing_nothing_is_no_trouble(bench: Bench) -> None:
    bench.write()
    assert bench.metrics.read(bench.id, JOB_PROGRESS) == []


def test_what_is_expired_at_once_is_gone_and_nothing_else(bench: Bench, eventually: Callable[..., None]) -> None:
    if isinstance(bench.metrics, MemoryMetrics):
        pytest.skip("the fake only notes what was to expire")
    if bench.kind.startswith("influx 3"):
        pytest.skip("InfluxDB 3 cannot delete: the retention period ends its series")
    bench.write(_point(1000.0, id=bench.id), _point(1000.0, 3.0, PARALLELISM, bench.id), _point(1.0, id="o" + bench.id))
    bench.metrics.expire(bench.id, 0.0)
    eventually(lambda: not any(bench.metrics.read(bench.id, one) for one in MEASUREMENTS), within=5)
    assert len(bench.metrics.read("o" + bench.id, JOB_PROGRESS)) == 1
    bench.metrics.expire(bench.id, 0.0)


# Redis.


def test_a_repeated_write_is_one_point_and_late_ones_find_their_place(client: redis.Redis) -> None:
    metrics, id = RedisMetrics(client), uuid.uuid4().hex
    for at in (1004.0, 1002.0, 1004.0):
        metrics.write([_point(at, id=id)])
    assert [point.at for point in metrics.read(id, JOB_PROGRESS)] == [1002.0, 1004.0]


def test_series_are_bounded_and_go_when_their_time_is_over(
    client: redis.Redis, eventually: Callable[..., None]
) -> None:
    metrics, id = RedisMetrics(client, bound=100), uuid.uuid4().hex
    metrics.write([_point(float(at), id=id) for at in range(1000)])
    assert 100 <= len(metrics.read(id, JOB_PROGRESS)) < 300
    assert 0 < int(client.ttl(redis_keys.metrics(id))) <= 30 * 86400
    metrics.expire(id, 0.0)
    eventually(lambda: metrics.read(id, JOB_PROGRESS) == [], within=3)


def test_points_of_an_outage_are_written_after_it_up_to_the_buffer(own_redis: RedisProcess) -> None:
    with redis_client.connect(own_redis.url, timeout=0.5) as client:
        metrics = RedisMetrics(client, buffer=3)
        metrics.write([_point(1.0, id="s")])
        own_redis.kill()
        for at in (2.0, 3.0, 4.0, 5.0):
            metrics.write([_point(at, id="s")])
        assert not metrics.flush(1.0)
        with pytest.raises(Unavailable):
            metrics.read("s", JOB_PROGRESS)
        own_redis.start()
        assert metrics.flush(1.0)
        metrics.write([_point(6.0, id="s")])
        assert [point.at for point in metrics.read("s", JOB_PROGRESS)] == [1.0, 3.0, 4.0, 5.0, 6.0]


# InfluxDB.


def test_what_influxdb_missed_while_it_was_away_is_written_afterwards(own_influx: InfluxProcess) -> None:
    meter = CountingMeter()
    limits = OutboxLimits(bound=1000, pause=0.02, backoff_cap=0.1)
    metrics = influx_metrics(InfluxSettings(own_influx.url, timeout=1.0), limits, meter)
    metrics.write([_point(1.0, id="s")])
    assert metrics.flush(10.0)
    own_influx.kill()
    for at in range(2, 1302):
        metrics.write([_point(float(at), id="s")])
    with pytest.raises(Unavailable):
        metrics.read("s", JOB_PROGRESS)
    own_influx.start()
    end = time.monotonic() + 20
    while not metrics.flush(1.0):
        assert time.monotonic() < end
    moments = [point.at for point in metrics.read("s", JOB_PROGRESS)]
    assert moments == [1.0, *(float(at) for at in range(302, 1302))]
    assert (meter.sent, meter.dropped, meter.held) == (1001, 300, 0)
    metrics.close(1.0)


@given(st.floats(min_value=3.2e7, max_value=9e9))
def test_a_moment_survives_its_nanoseconds(at: float) -> None:
    assert nanoseconds(at) / 10**9 == at


def test_what_is_no_number_is_not_written() -> None:
    point = Point("queue", "s", 1.0, {"ready": float("nan"), "done": 2, "dead": float("inf")})
    assert line_of(point) == "queue,job=s,submission=s done=2 1000000000"
    assert line_of(Point("queue", "s", 1.0, {"ready": float("nan")})) == ""


@given(
    st.dictionaries(st.sampled_from(("ready", "done", "p50")), st.floats() | st.integers(-(2**40), 2**40)),
    st.dictionaries(st.sampled_from(("name", "law")), st.text(max_size=20)),
    st.floats(1e8, 4e9),
)
def test_lines_are_those_that_influxdb_client_writes(fields: dict[str, float], tags: dict[str, str], at: float) -> None:
    point = Point("queue", "kj-1 =,x", at, fields, tags)
    theirs = LineBuilder("queue").tag("submission", point.submission).tag("job", point.submission)
    for name, tag in tags.items():
        theirs.tag(name, tag)
    for name, value in fields.items():
        theirs.field(name, float(value))
    assert line_of(point) == theirs.time(nanoseconds(at), WritePrecision.NS).to_line_protocol()
