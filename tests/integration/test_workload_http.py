"""Workloads from real web servers, such as there are."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest

from common.domain.errors import WorkloadError
from common.domain.submission import Workload
from manager.workload import check_workload, open_items
from tests.support.items_site import ItemsSite
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
