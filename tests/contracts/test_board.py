"""Boards: the same laws in memory and in Redis."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import redis

from common.adapters import redis_client, redis_keys
from common.adapters.redis_board import RedisBoard
from common.domain.errors import Unavailable
from common.ports import Board
from controller.arbiter import Demand
from tests.fakes.records import MemoryBoard
from tests.support.redis_process import RedisProcess


@pytest.fixture
def client(redis_server: RedisProcess) -> Iterator[redis.Redis]:
    with redis_client.connect(redis_server.url) as client:
        yield client


@pytest.fixture(params=["memory", "redis"])
def board(request: pytest.FixtureRequest) -> Board[Demand]:
    if request.param == "memory":
        return MemoryBoard()
    return RedisBoard(request.getfixturevalue("client"), "demand", Demand)


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


def demand(wanted: int) -> Demand:
    return Demand(wanted=wanted, most=10)


def test_each_reads_what_all_have_put(board: Board[Demand], name: str) -> None:
    assert board.exchange(name, "a", demand(1)) == {"a": demand(1)}
    assert board.exchange(name, "b", demand(2)) == {"a": demand(1), "b": demand(2)}
    board.put(name, "a", demand(3))
    assert board.entries(name) == {"a": demand(3), "b": demand(2)}
    assert board.entries(name + "x") == {}


def test_a_dropped_entry_is_gone_and_dropping_again_is_fine(board: Board[Demand], name: str) -> None:
    board.put(name, "a", demand(1))
    board.put(name, "b", demand(1))
    board.drop(name, "a")
    board.drop(name, "a")
    assert set(board.entries(name)) == {"b"}


def test_what_is_not_understood_is_left_out_and_a_board_does_not_stay_for_ever(client: redis.Redis, name: str) -> None:
    board = RedisBoard(client, "demand", Demand)
    key = redis_keys.board("demand", name)
    board.put(name, "a", demand(1))
    client.hset(key, "b", '{"of": "another version"}')
    assert set(board.entries(name)) == {"a"}
    assert 0 < int(client.ttl(key)) <= 86400


def test_what_is_read_again_as_it_was_is_the_same(client: redis.Redis, name: str) -> None:
    board, other = RedisBoard(client, "demand", Demand), RedisBoard(client, "demand", Demand)
    board.put(name, "a", demand(1))
    board.put(name, "b", demand(2))
    first = board.entries(name)
    other.put(name, "b", demand(3))
    again = board.entries(name)
    assert again == {"a": demand(1), "b": demand(3)}
    assert again["a"] is first["a"]
    other.drop(name, "a")
    other.drop(name, "b")
    assert (board.entries(name), board._known) == ({}, {})


def test_a_silent_redis_is_unavailable() -> None:
    with redis_client.connect("redis://127.0.0.1:1/0") as nobody, pytest.raises(Unavailable):
        RedisBoard(nobody, "demand", Demand).entries("default")
