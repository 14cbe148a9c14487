"""Files are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.saving import save


def broken() -> Iterator[bytes]:
    yield b"half"
    raise RuntimeError("it broke off")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "report.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError):
        save(broken(), target)
    assert (target.read_text(), list(tmp_path.iterdir())) == ("old", [target])
    save([b"new ", b"one"], target)
    assert (target.read_text(), list(tmp_path.iterdir())) == ("new one", [target])


@pytest.mark.parametrize("target", [None, Path("-")])
def test_without_a_file_it_is_standard_output(target: Path | None, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    save([b"a", b"b"], target)
    assert capfdbinary.readouterr().out == b"ab"
