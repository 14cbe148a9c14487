"""Every benchmark tells how it is run."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import benchmarks

PROGRAMS = sorted(
    path.stem for path in Path(benchmarks.__file__).parent.glob("*.py") if "def main()" in path.read_text("utf-8")
)


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_is_shown(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{name}").main()
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out
