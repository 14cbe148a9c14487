"""The page of a report in a real browser: alone, light and dark, on phones and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from asperathos_worker.queue.records import ItemFailure

from cli.comparison import html as comparison
from common.domain.events import Event
from manager.reporting.page import html
from manager.reporting.report import Failures, document
from tests.browser.test_pages import LOOKS, OVERFLOW
from tests.unit.manager.reporting.builders import HOSTILE, report, told

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

INK = "() => getComputedStyle(document.querySelector('svg text')).fill"
PAPER = "() => getComputedStyle(document.body).backgroundColor"


@pytest.fixture
def look(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that may load one file and complain of nothing."""
    context = browser.new_context(**request.param)
    page = context.new_page()
    complaints: list[str] = []
    loaded: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda each: loaded.append(each.url))
    yield page
    context.close()
    assert complaints == []
    assert len(loaded) == 1 and loaded[0].startswith("file:")


def shown(look: Page, directory: Path, text: str) -> None:
    path = directory / "page.html"
    path.write_text(text)
    look.goto(path.as_uri())


@pytest.mark.parametrize("look", LOOKS, indirect=True)
def test_a_report_stands_alone(look: Page, tmp_path: Path, pictures: Path, request: pytest.FixtureRequest) -> None:
    failures = Failures((ItemFailure(HOSTILE, 2, HOSTILE, 1030.0, HOSTILE * 3, True),), (), 1, 2)
    hostile = replace(told(reason=HOSTILE), failures=failures, events=(Event(at=1.0, kind="pod", message=HOSTILE),))
    shown(look, tmp_path, html(hostile))
    assert look.locator("svg").count() == 7
    assert look.get_by_text("before its deadline").is_visible()
    assert look.evaluate(OVERFLOW) == 0
    look.screenshot(path=pictures / f"report-{request.node.callspec.id}.png", full_page=True)


@pytest.mark.parametrize("look", LOOKS[:1], indirect=True)
def test_a_comparison_stands_alone(look: Page, tmp_path: Path, pictures: Path) -> None:
    reports = [document(one, detailed=True) for one in (report(), told(id="kj-0000002", name=HOSTILE))]
    shown(look, tmp_path, comparison(reports))
    assert look.locator("svg").count() == 3
    assert look.evaluate(OVERFLOW) == 0
    look.screenshot(path=pictures / "comparison.png", full_page=True)


@pytest.mark.parametrize("look", [{"color_scheme": "dark"}], indirect=True)
def test_paper_is_white(look: Page, tmp_path: Path) -> None:
    shown(look, tmp_path, html(report()))
    dark = look.evaluate(INK), look.evaluate(PAPER)
    look.emulate_media(media="print", color_scheme="dark")
    assert (look.evaluate(INK), look.evaluate(PAPER)) == ("rgb(51, 51, 51)", "rgba(0, 0, 0, 0)")
    assert dark == ("rgb(221, 221, 221)", "rgb(20, 23, 27)")
    assert look.pdf().startswith(b"%PDF")
