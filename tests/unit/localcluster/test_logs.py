from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from localcluster.podlogs import LogOptions, read_log
from localcluster.runtime.logfile import LogWriter, encode

AT = 1_700_000_000_000_000_000


def read(path: Path, **options: object) -> bytes:
    return b"".join(read_log(path, LogOptions(**options), lambda: True, lambda _seconds: True))  # type: ignore[arg-type]


def written(path: Path, *chunks: bytes, limit: int = 1 << 20) -> Path:
    writer = LogWriter(str(path), limit)
    for number, chunk in enumerate(chunks):
        writer.write(chunk, AT + number * 1_000_000_000)
    writer.close()
    return path


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
def test_what_was_written_is_read_back(chunks: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = written(Path(directory) / "0.log", *chunks)
        assert read(path) == b"".join(chunks)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(0, 6))
def test_tail_is_the_last_lines(chunks: list[bytes], lines: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = written(Path(directory) / "0.log", *chunks)
        every = b"".join(chunks).split(b"\n")
        ended = [line + b"\n" for line in every[:-1]] + ([every[-1]] if every[-1] else [])
        assert read(path, tail_lines=lines) == b"".join(ended[len(ended) - min(lines, len(ended)) :])


def test_timestamps_since_and_limit(tmp_path: Path) -> None:
    path = written(tmp_path / "0.log", b"one\n", b"tw", b"o\n", b"three\n")
    assert read(path, timestamps=True).splitlines()[:2] == [
        b"2023-11-14T22:13:20.000000000Z one",
        b"2023-11-14T22:13:21.000000000Z two",
    ]
    assert read(path, since=AT / 1e9 + 3) == b"three\n"
    assert read(path, limit_bytes=5) == b"one\nt"
    assert read(path, tail_lines=1, limit_bytes=2) == b"th"


def test_a_log_never_exceeds_its_cap_and_keeps_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    written(path, *(b"%06d\n" % number for number in range(5000)), limit=20_000)
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert size <= 20_000
    lines = read(path).splitlines()
    assert lines[-1] == b"004999"
    assert lines == [b"%06d" % number for number in range(5000 - len(lines), 5000)]
    assert read(path, tail_lines=3).splitlines() == [b"004997", b"004998", b"004999"]


def test_a_full_disk_drops_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.symlink_to("/dev/full")
    writer = LogWriter(str(path), 1 << 20)
    writer.write(b"lost\n", AT)
    writer.write(b"lost too\n", AT)
    assert writer.take_dropped() == (14, "No space left on device")
    assert writer.take_dropped()[0] == 0
    writer.close()


def test_a_log_that_cannot_be_opened_drops_too(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path / "missing" / "0.log"), 1 << 20)
    writer.write(b"lost\n", AT)
    assert writer.take_dropped() == (5, "No such file or directory")
    (tmp_path / "missing").mkdir()
    writer.write(b"kept\n", AT)
    writer.close()
    assert read(tmp_path / "missing" / "0.log") == b"kept\n"


def test_following_sees_what_comes_and_survives_rotation(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    writer = LogWriter(str(path), 4000)
    writer.write(b"first\n", AT)
    lines = iter(range(300))
    over = False

    def wait(_seconds: float) -> bool:
        nonlocal over
        for _ in range(20):
            number = next(lines, None)
            if number is None:
                over = True
                return False
            writer.write(b"%d\n" % number, AT)
        return False

    out = b"".join(read_log(path, LogOptions(follow=True), lambda: over, wait))
    writer.close()
    assert out.splitlines() == [b"first", *(b"%d" % number for number in range(300))]
    assert Path(f"{path}.1").exists()


def test_an_absent_log_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "none.log") == b""
    assert read(tmp_path / "none.log", tail_lines=5) == b""
    assert encode(b"", AT) == b""
