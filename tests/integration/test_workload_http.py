"""Workloads from real web servers, such as there are."""

from __future__ import annotations

import itertools
import socket
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from common import outbound
from common.domain.errors import WorkloadError
from common.domain.outbound import Outbound
from common.domain.submission import Workload
from manager.workload import check_workload, open_items
from tests.support.items_site import ItemsSite, redirect
from tests.support.manager_door import DoorSettings

SETTINGS = DoorSettings(workload_connect_timeout=2.0, workload_read_timeout=0.5, max_item=2**20)


@pytest.fixture(scope="module")
def site() -> Iterator[ItemsSite]:
    running = ItemsSite()
    running.start()
    yield running
    running.stop()


@pytest.mark.parametrize("path", ["/items", "/gzip", "/items.gz", "/moved"])
def test_lines_are_items(site: ItemsSite, path: str) -> None:
    workload = Workload(url=site.url + path)
    check_workload(workload, SETTINGS)
    assert list(open_items(workload, SETTINGS)) == ["a", "b", "c"]
    assert list(open_items(workload, SETTINGS)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/missing", "answered 404"),
        ("/broken", "answered 500"),
        ("/page", "web page"),
        ("/loop", "redirects"),
        ("/to-file", "cannot be read"),
        ("/silent", "cannot be read: it stopped sending"),
    ],
)
def test_what_cannot_be_read_is_known_at_once(site: ItemsSite, path: str, told: str) -> None:
    for look in (check_workload, lambda workload, settings: list(open_items(workload, settings))):
        with pytest.raises(WorkloadError, match=told):
            look(Workload(url=site.url + path), SETTINGS)


CLOSED = replace(SETTINGS, outbound=Outbound(deny=("loopback", "link-local")))


def test_what_leads_to_this_machine_is_refused_however_it_is_written(site: ItemsSite) -> None:
    port = site.url.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]"):
        with pytest.raises(WorkloadError, match=r"does not allow|no connection|InvalidURL"):
            check_workload(Workload(url=f"http://{host}:{port}/items"), CLOSED)
    allowed = replace(CLOSED, outbound=Outbound(allow=("127.0.0.1",), deny=("loopback",)))
    assert list(open_items(Workload(url=site.url + "/items"), allowed)) == ["a", "b", "c"]


def test_a_name_leads_only_where_it_was_looked_at(site: ItemsSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of names that answers otherwise each time: what is connected to is what was checked."""
    asked: list[str] = []
    answers = itertools.cycle([["192.0.2.1"], ["127.0.0.1"], ["192.0.2.1", "127.0.0.1"]])

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(answers)]

    connected: list[str] = []

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        connected.append(address[0])
        raise OSError("nobody there")

    monkeypatch.setattr(outbound.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(outbound, "create_connection", connect)
    for _ in range(6):
        with pytest.raises(WorkloadError, match=r"does not allow|no connection"):
            check_workload(Workload(url="http://rebound.example/items"), CLOSED)
    assert asked == ["rebound.example"] * 6
    assert set(connected) == {"192.0.2.1"}


def test_redirects_are_looked_at_too(site: ItemsSite) -> None:
    site.pages["/inwards"] = redirect(site.url.replace("127.0.0.1", "localhost") + "/items")
    only_one = replace(SETTINGS, outbound=Outbound(allow=("127.0.0.1",), deny=("localhost", "loopback")))
    assert list(open_items(Workload(url=site.url + "/moved"), only_one)) == ["a", "b", "c"]
    # The name is denied though its address is allowed to who names that.
    denied = replace(SETTINGS, outbound=Outbound(deny=("localhost",)))
    with pytest.raises(WorkloadError, match="does not allow addresses at localhost"):
        check_workload(Workload(url=site.url + "/inwards"), denied)


def test_nobody_there(free_port: int) -> None:
    with pytest.raises(WorkloadError, match=rf"http://127\.0\.0\.1:{free_port}/x cannot be read: no connection"):
        check_workload(Workload(url=f"http://me:hush@127.0.0.1:{free_port}/x?hush"), SETTINGS)


def test_a_slow_servers_lines_are_had_when_they_are_there(site: ItemsSite) -> None:
    items = open_items(Workload(url=site.url + "/drips"), SETTINGS)
    assert next(items) == "a"
    items.close()  # type: ignore[attr-defined]
    check_workload(Workload(url=site.url + "/drips"), SETTINGS)


@pytest.mark.parametrize("path", ["/short", "/stalls", "/cut-chunks", "/bad-gzip"])
def test_an_answer_that_breaks_off_is_no_short_workload(site: ItemsSite, path: str) -> None:
    items = open_items(Workload(url=site.url + path), SETTINGS)
    found: list[str] = []
    with pytest.raises(WorkloadError, match="cannot be read"):
        found.extend(iter(items))
    assert set(found) <= {"a", "b", "c"}


def test_a_line_of_10_megabytes_is_told_and_not_held(site: ItemsSite) -> None:
    items = open_items(Workload(url=site.url + "/huge-line"), SETTINGS)
    assert next(items) == "a"
    tracemalloc.start()
    try:
        with pytest.raises(WorkloadError, match="line 2 of the workload is longer than 1048576 bytes"):
            next(items)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_an_endless_source_is_read_as_it_is_used(site: ItemsSite) -> None:
    items = open_items(Workload(url=site.url + "/endless"), replace(SETTINGS, workload_read_timeout=5.0))
    assert set(itertools.islice(items, 100_000)) == {"item"}
    items.close()  # type: ignore[attr-defined]
