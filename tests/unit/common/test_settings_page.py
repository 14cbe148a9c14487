"""docs/settings.md and the settings say the same, and no page names a variable that nobody reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from localcluster.settings import PREFIX, parse_settings
from tests.support.settings_page import render, sections

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
_ELSEWHERE = ("HOME", "TOKEN", "CA", "QUEUE_PATIENCE", "ITEM", "ITEMS_URL", "ITEMS_TOKEN", "VERSION", "TEST_COMPOSE")
OTHERS = {
    *(f"ASPERATHOS_{name}" for name in _ELSEWHERE),
    "ASPERATHOS_VOLUME_",
    "ASPERATHOS_JOBS_",
}
"""Read elsewhere: by the command line, by workers, by compose, by tests."""


def test_the_page_is_what_the_settings_say() -> None:
    written = (ROOT / "docs" / "settings.md").read_text()
    assert written.splitlines() == render().splitlines(), "python -m tests.support.settings_page > docs/settings.md"


def test_every_setting_has_a_meaning() -> None:
    silent = [name for fields in sections().values() for name, field in fields.items() if not field.description]
    assert silent == []


def test_no_page_names_a_variable_that_nobody_reads() -> None:
    known = {f"ASPERATHOS_{name.upper()}" for fields in sections().values() for name in fields} | OTHERS
    named = {(page.name, name) for page in PAGES for name in re.findall(r"ASPERATHOS_[A-Z_]+", page.read_text())}
    assert {(page, name) for page, name in named if name not in known and not name.startswith(PREFIX)} == set()


def test_every_option_of_the_local_cluster_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_settings(["--help"], {})
    options = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}
    page = (ROOT / "docs" / "localcluster.md").read_text()
    assert [option for option in sorted(options) if f"`{option}" not in page and f"{option}`" not in page] == []
