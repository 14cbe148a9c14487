from __future__ import annotations

import gzip
import itertools
import os
import tracemalloc
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.domain.errors import WorkloadError
from common.domain.outbound import without_credentials
from common.domain.submission import Workload
from manager.workload import Source, check_workload, lines, open_items
from tests.support.manager_door import DoorSettings

LIMIT = 100
SETTINGS = DoorSettings(max_item=LIMIT)


def read(*chunks: bytes, limit: int = LIMIT) -> list[str]:
    return list(lines(chunks, limit))


@pytest.mark.parametrize(
    ("content", "items"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\r\nb\r", ["a", "b"]),
        (b"\n a \n\t\n \nb\n", [" a ", "b"]),
        (b"\xef\xbb\xbfa\nb", ["a", "b"]),
        (b'{"x": 1}\n{"y": "\\n"}\n', ['{"x": 1}', '{"y": "\\n"}']),
        ("ä\n\U0001f600\n".encode(), ["ä", "\U0001f600"]),
        ("a\u2028b\x0bc\x85d\n".encode(), ["a\u2028b\x0bc\x85d"]),
    ],
)
def test_a_line_is_an_item(content: bytes, items: list[str]) -> None:
    assert read(content) == items
    assert read(*(content[place : place + 1] for place in range(len(content)))) == items
    assert read(gzip.compress(content)) == items


def test_gzip_in_several_members_and_small_chunks() -> None:
    packed = gzip.compress(b"a\nb") + gzip.compress(b"c\nd\n")
    assert read(packed) == ["a", "bc", "d"]
    assert read(*(packed[place : place + 1] for place in range(len(packed)))) == ["a", "bc", "d"]


@pytest.mark.parametrize(
    "packed", [gzip.compress(b"a\nb\n")[:-3], b"\x1f\x8b", gzip.compress(b"a\n")[:12] + b"junk" * 9]
)
def test_broken_gzip_is_told(packed: bytes) -> None:
    with pytest.raises(WorkloadError, match="gzip"):
        read(packed)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"a\n\xff\n", "line 2 .* not UTF-8"),
        (b"a\n\nb\0c\n", "line 3 .* NUL"),
        (b"a\n" + b"x" * (LIMIT + 1) + b"\nb", "line 2 .* longer than 100 bytes"),
        (b"a\n" + b"x" * (LIMIT + 1), "line 2 .* longer than 100 bytes"),
    ],
)
def test_a_bad_line_is_told_by_its_number(content: bytes, told: str) -> None:
    with pytest.raises(WorkloadError, match=told):
        read(content)


def test_the_longest_line_is_taken() -> None:
    longest = b"x" * LIMIT
    assert read(longest + b"\r\n" + longest) == [longest.decode()] * 2


def test_what_comes_before_a_bad_line_is_had() -> None:
    found = lines([b"a\nb\n\xff\nc\n"], LIMIT)
    assert list(itertools.islice(found, 2)) == ["a", "b"]
    with pytest.raises(WorkloadError):
        next(found)


def test_a_huge_line_never_sits_in_memory() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 1024

    with pytest.raises(WorkloadError, match="longer"):
        list(lines(endless(), 10_000))
    assert taken < 15


def test_a_gzip_bomb_never_sits_in_memory() -> None:
    bomb = gzip.compress(b"x\n" * 5_000_000)
    tracemalloc.start()
    try:
        found = lines([bomb], LIMIT)
        assert sum(1 for _ in itertools.islice(found, 20_000)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_no_workload_has_no_items() -> None:
    assert list(open_items(None, SETTINGS)) == []
    check_workload(None, SETTINGS)


def test_inline_items() -> None:
    assert list(open_items(Workload(items=("a", " ", "b")), SETTINGS)) == ["a", "b"]
    with pytest.raises(WorkloadError, match=r"item 2 .* longer"):
        list(open_items(Workload(items=("a", "x" * 101)), SETTINGS))


def test_a_local_file(tmp_path: Path) -> None:
    (tmp_path / "some items.txt").write_bytes(b"a\nb")
    workload = Workload(url=f"file://{tmp_path}/some%20items.txt")
    check_workload(workload, SETTINGS)
    assert list(open_items(workload, SETTINGS)) == ["a", "b"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="cannot be read"):
        check_workload(Workload(url=f"file://{tmp_path}/none"), SETTINGS)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for url in (f"file://{tmp_path}/pipe", f"file://{tmp_path}"):
        with pytest.raises(WorkloadError, match="is not a file"):
            check_workload(Workload(url=url), SETTINGS)


def test_a_glob_has_the_files_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "sub/c.txt", "d.log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list(open_items(Workload(glob=f"{tmp_path}/**/*.txt"), SETTINGS))
    assert found == [f"{tmp_path}/{name}" for name in ("a.txt", "b.txt", "sub/c.txt")]
    assert next(open_items(Workload(glob=f"file://{tmp_path}/*"), SETTINGS)) == f"{tmp_path}/a.txt"


@pytest.mark.parametrize("workload", [Workload(url="file:///etc/hostname"), Workload(glob="/etc/*")])
def test_the_managers_disk_is_closed_unless_opened(workload: Workload) -> None:
    closed = replace(SETTINGS, allow_local_files=False)
    with pytest.raises(WorkloadError, match="ASPERATHOS_ALLOW_LOCAL_FILES"):
        check_workload(workload, closed)
    with pytest.raises(WorkloadError, match="ASPERATHOS_ALLOW_LOCAL_FILES"):
        list(open_items(workload, closed))


def test_only_some_directories_are_open(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "items").write_text("a\n")
    (tmp_path / "secret").write_text("covert\n")
    (tmp_path / "open" / "link").symlink_to(tmp_path / "secret")
    settings = replace(SETTINGS, local_directories=(f"{tmp_path}/open",))
    assert list(open_items(Workload(url=f"file://{tmp_path}/open/items"), settings)) == ["a"]
    for place in ("secret", "open/../secret", "open/%2e%2e/secret", "open/link"):
        with pytest.raises(WorkloadError, match="ASPERATHOS_LOCAL_DIRECTORIES"):
            check_workload(Workload(url=f"file://{tmp_path}/{place}"), settings)
    for pattern in (f"{tmp_path}/*", f"{tmp_path}/open/*", "/etc/host*"):
        with pytest.raises(WorkloadError, match="ASPERATHOS_LOCAL_DIRECTORIES"):
            list(open_items(Workload(glob=pattern), settings))


@pytest.mark.parametrize("url", ["file:///proc/self/environ", "file:///dev/zero", "file:///proc/1/cmdline"])
def test_what_tells_secrets_of_the_manager_is_never_a_workload(url: str) -> None:
    with pytest.raises(WorkloadError):
        check_workload(Workload(url=url), SETTINGS)


@pytest.mark.parametrize(
    "place",
    ["ftp://host/x", "sftp://host/x", "simplecache::file:///etc/hostname", "zip://x::file:///etc/hostname",
     "dir::file:///etc", "github://o:r@/x", "reference://x"],
)  # fmt: skip
def test_kinds_of_addresses_that_are_not_allowed(place: str) -> None:
    is_url = "::" not in place.partition("://")[0]
    for workload in (Workload(glob=place), *([Workload(url=place)] if is_url else [])):
        with pytest.raises(WorkloadError, match="ASPERATHOS_WORKLOAD_SCHEMES"):
            check_workload(workload, SETTINGS)
        with pytest.raises(WorkloadError, match="ASPERATHOS_WORKLOAD_SCHEMES"):
            list(open_items(workload, SETTINGS))


def test_a_workload_has_a_largest_size_unpacked(tmp_path: Path) -> None:
    (tmp_path / "items.gz").write_bytes(gzip.compress(b"x\n" * 10_000))
    workload = Workload(url=f"file://{tmp_path}/items.gz")
    with pytest.raises(WorkloadError, match="larger than 5000 bytes"):
        list(open_items(workload, replace(SETTINGS, max_workload=5000)))


def test_other_places_are_read_through_fsspec() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/box/items.txt", b"a\nb\n")
    assert list(open_items(Workload(url="memory://box/items.txt"), SETTINGS)) == ["a", "b"]
    assert list(open_items(Workload(glob="memory://box/*.txt"), SETTINGS)) == ["memory:///box/items.txt"]
    with pytest.raises(WorkloadError, match="cannot be read"):
        check_workload(Workload(url="memory://box/none"), SETTINGS)


def test_a_missing_package_is_told() -> None:
    with pytest.raises(WorkloadError, match=r"s3.*package"):
        check_workload(Workload(url="s3://bucket/items.txt"), SETTINGS)


def numbers(options: Mapping[str, Any]) -> Iterable[str]:
    return (str(number) for number in range(options["count"]))


def broken(_: Mapping[str, Any]) -> Iterable[str]:
    yield "a"
    raise RuntimeError("the database is away")


def odd(_: Mapping[str, Any]) -> Iterable[Any]:
    return ["a", 5]


SOURCES: dict[str, Source] = {"numbers": numbers, "broken": broken, "odd": odd}


def test_a_source_plugin() -> None:
    workload = Workload(source="numbers", options={"count": 3})
    check_workload(workload, SETTINGS, lambda: SOURCES)
    assert list(open_items(workload, SETTINGS, lambda: SOURCES)) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("name", "told"), [("none", "installed: broken, numbers, odd"), ("broken", "database"), ("odd", "item 2 .* int")]
)
def test_a_bad_source_is_told(name: str, told: str) -> None:
    with pytest.raises(WorkloadError, match=told):
        list(open_items(Workload(source=name), SETTINGS, lambda: SOURCES))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:hush@host:8443/a/b?sig=hush#hush", "https://host:8443/a/b"),
        ("http://host/x", "http://host/x"),
        ("http://[broken", "(not a URL)"),
        ("http://host:hush/x", "(not a URL)"),
    ],
)
def test_addresses_are_shown_without_credentials(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
