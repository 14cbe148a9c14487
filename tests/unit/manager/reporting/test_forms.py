"""The report for people: text and page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from asperathos_worker.queue.records import ItemFailure

from common.domain.events import Event
from common.domain.progress import Counts, Decision
from manager.reporting.page import html
from manager.reporting.report import Failures, document, headline
from manager.reporting.text import text
from tests.unit.manager.reporting.builders import HOSTILE, report, told


class _Elements(HTMLParser):
    """Counts elements, and sees that each is closed where it must be."""

    VOID = frozenset({"meta", "br", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "data")]
        self.links += [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def elements(page: str) -> _Elements:
    parser = _Elements()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "It completed 20s before its deadline."),
        ({"deadline_met": False, "deadline_margin": -5.0}, "It completed 5s after its deadline."),
        ({"deadline_met": None}, "It completed in 40s."),
        ({"state": "failed"}, "It ended with 1 dead item."),
        (
            {"state": "stopped", "counts": Counts(ready=2).model_dump()},
            "It was stopped on request; 2 items were left undone.",
        ),
        ({"state": "error"}, "It ended: error."),
    ],
)
def test_the_headline(changes: dict[str, object], sentence: str) -> None:
    assert headline(told(**changes)) == sentence


def test_the_simple_text_has_the_figures() -> None:
    shown = text(report(), detailed=False)
    for part in (
        *(
            "met by 20s",
            "3 done, 1 dead of 4",
            "80.0 (0.02 replica-hours)",
            "2 replicas, 62.0 replica-seconds",
            "p95 5s",
        ),
        *("+0.300 at 1970-01-01T00:17:20Z", "item 3, attempt 2 on pod-a: exit code 3", "1970-01-08 00:17:20Z"),
    ):
        assert part in shown
    assert "1 -> 3" not in shown


def test_the_detailed_text_has_changes_and_story() -> None:
    shown = text(report(), detailed=True)
    assert "1 -> 3  late" in shown and "as before" not in shown
    assert "state     created" in shown


def test_no_text_steers_a_terminal() -> None:
    failures = Failures((ItemFailure("3", 2, HOSTILE, 1.0, "two\nlines" + HOSTILE, True),), (), 1, 1)
    shown = text(replace(told(reason=HOSTILE, name=HOSTILE), failures=failures), detailed=True)
    assert "\x1b" not in shown
    assert "two\ufffdlines" in shown


def test_the_page_has_everything_and_needs_nothing() -> None:
    page = html(report())
    found = elements(page)
    assert found.names.count("svg") == 7
    assert not {"script", "link", "img", "iframe", "object"} & set(found.names)
    assert found.links == []
    assert not re.search(r"url\(|@import", page)
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) == {"http://www.w3.org/2000/svg"}
    for part in (
        "before its deadline",
        "exit code 3",
        "1 → 3",
        "late",
        "2 decisions, of which 1 changed",
        "kept until",
    ):
        assert part in page
    assert "prefers-color-scheme:dark" in page and "@media print" in page


def test_no_name_or_error_becomes_an_element() -> None:
    failures = Failures((ItemFailure(HOSTILE, 2, HOSTILE, 1.0, HOSTILE, True),), (), 1, 1)
    hostile = replace(
        told(reason=HOSTILE, name=HOSTILE, warnings=[HOSTILE], law=HOSTILE, scaling_strategy=HOSTILE),
        failures=failures,
        spec={HOSTILE: HOSTILE},
        events=(Event(at=1.0, kind="pod", message=HOSTILE),),
        decisions=(Decision(at=1.0, law=HOSTILE, wanted=1, granted=1, previous=0, reason=HOSTILE),),
    )
    assert elements(html(hostile)).names == elements(html(replace(hostile, **_harmless(hostile)))).names
    assert "<script" not in html(hostile)


def _harmless(hostile: object) -> dict[str, object]:
    plain = "x"
    return {
        "status": told(reason=plain, name=plain, warnings=[plain], law=plain, scaling_strategy=plain).status,
        "failures": Failures((ItemFailure(plain, 2, plain, 1.0, plain, True),), (), 1, 1),
        "spec": {plain: plain},
        "events": (Event(at=1.0, kind="pod", message=plain),),
        "decisions": (Decision(at=1.0, law=plain, wanted=1, granted=1, previous=0, reason=plain),),
    }


def test_a_page_of_nothing_is_a_page() -> None:
    bare = replace(report(), rows={}, decisions=(), events=(), failures=Failures(), kept_until=None, complete=False)
    page = html(replace(bare, times=type(bare.times)()))
    assert "svg" not in elements(page).names
    assert "so far" in page


def test_long_tables_are_cut_and_say_so() -> None:
    many = tuple(ItemFailure(str(number), 1, "w", 1.0, "e" * 5000, True) for number in range(300))
    page = html(report(failures=Failures(many, (), 700, 700)))
    assert "the latest 200 of 700" in page
    assert len(page) < 1_000_000


def test_the_json_has_the_originals_keys_and_ours() -> None:
    simple, detailed = document(report(), detailed=False), document(report(), detailed=True)
    assert detailed.items() >= simple.items() >= report().status.items()
    assert detailed.keys() - simple.keys() == {"spec", "series", "decisions", "events"}
    assert (simple["service_time"]["p95"], simple["queue_wait"]["p50"], simple["economy"]["over"]) == (5.0, 0.5, 1.29)
    assert simple["failures"]["dead"][0]["error"] == "exit code 3"
    assert (simple["complete"], simple["kept_until"]) == (True, 605_840.0)
