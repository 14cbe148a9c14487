"""Reading container logs: the options of the pods/log subresource over the files that ``runtime.logfile`` writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from localcluster.objects import format_micro_time

_BLOCK = 65536
_FOLLOW_FIRST = 0.02
_FOLLOW_LAST = 0.25


@dataclass(frozen=True)
class LogOptions:
    """PodLogOptions: ``since`` is seconds since the epoch."""

    follow: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since: float | None = None
    limit_bytes: int | None = None


class LogReader:
    """Turns records into output. Keeps the unfinished record at the end of what it was given."""

    def __init__(self, options: LogOptions) -> None:
        self._timestamps = options.timestamps
        self._since = format_micro_time(options.since).encode()[:-1] if options.since is not None else b""
        self._left = options.limit_bytes
        self._rest = b""
        self._at_line_start = True

    @property
    def is_full(self) -> bool:
        """Whether limitBytes is used up."""
        return self._left is not None and self._left <= 0

    def feed(self, data: bytes) -> bytes:
        """The output for more bytes of the file."""
        *records, self._rest = (self._rest + data).split(b"\n")
        out = bytearray()
        for record in records:
            time, _, tagged = record.partition(b" ")
            tag, _, text = tagged.partition(b" ")
            if tag not in (b"F", b"P") or (self._since and time < self._since):
                continue
            if self._timestamps and self._at_line_start:
                out += time + b" "
            out += text
            if tag == b"F":
                out += b"\n"
            self._at_line_start = tag == b"F"
        if self._left is not None:
            out = out[: self._left]
            self._left -= len(out)
        return bytes(out)


def read_log(
    path: Path, options: LogOptions, is_over: Callable[[], bool], wait: Callable[[float], bool]
) -> Iterator[bytes]:
    """Yield output; with follow, until ``is_over`` says that the container ended (or ``wait(seconds)`` says stop)."""
    reader = LogReader(options)
    older = path.with_name(path.name + ".1")
    if options.tail_lines is not None:
        tail, position = _tail(older, path, options.tail_lines)
        yield from _nonempty(reader.feed(tail))
    else:
        yield from _file(older, reader)
        position = 0
    delay = _FOLLOW_FIRST
    inode = _inode(path)
    while not reader.is_full:
        over = is_over()
        progressed = False
        while not reader.is_full:
            current = _inode(path)
            if current != inode and inode is not None:
                # The file was rotated: finish the renamed one first.
                if _inode(older) == inode:
                    yield from _nonempty(reader.feed(_read_from(older, position)))
                position = 0
            inode = current
            data = _read_from(path, position, _BLOCK)
            if not data:
                break
            progressed = True
            position += len(data)
            yield from _nonempty(reader.feed(data))
        if not options.follow or over:
            return
        delay = _FOLLOW_FIRST if progressed else min(delay * 1.5, _FOLLOW_LAST)
        if wait(delay):
            return


def _nonempty(data: bytes) -> Iterator[bytes]:
    if data:
        yield data


def _file(path: Path, reader: LogReader) -> Iterator[bytes]:
    position = 0
    while not reader.is_full:
        data = _read_from(path, position, _BLOCK)
        if not data:
            return
        position += len(data)
        yield from _nonempty(reader.feed(data))


def _read_from(path: Path, position: int, count: int = -1) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(position)
            return file.read(count)
    except FileNotFoundError:
        return b""


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _tail(older: Path, path: Path, lines: int) -> tuple[bytes, int]:
    """The last complete lines' records of both files together, and where the current file ends."""
    current = _read_from(path, 0)
    end = current.rfind(b"\n") + 1
    records = current[:end].split(b"\n")[:-1]
    if _count_lines(records) <= lines:
        records = _read_from(older, 0).split(b"\n")[:-1] + records
    start = len(records)
    wanted = lines
    while start > 0:
        if _ends_line(records[start - 1]):
            if wanted == 0:
                break
            wanted -= 1
        elif start == len(records):
            # An unfinished last line counts as a line.
            if wanted == 0:
                break
            wanted -= 1
        start -= 1
    return b"".join(record + b"\n" for record in records[start:]), end


def _count_lines(records: list[bytes]) -> int:
    return sum(_ends_line(record) for record in records)


def _ends_line(record: bytes) -> bool:
    return record[30:].lstrip().startswith(b"F ")
