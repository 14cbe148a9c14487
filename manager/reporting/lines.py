"""What became of each item, page by page: all of them in order, or a sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from asperathos_worker.queue.api import ServiceQueue
from asperathos_worker.queue.records import PLACES, ItemLine

_PAGE = 1000
_SAMPLE_PAGES = 20


@dataclass(frozen=True)
class Sample:
    """Done items, of ``kept`` that there are: all of them while they are few, else stretches evenly spread."""

    lines: tuple[ItemLine, ...] = ()
    kept: int = 0


def all_lines(queue: ServiceQueue) -> Iterator[ItemLine]:
    """Every item: those done in order of completion, those dead, those still to be done. Raises the queue's errors."""
    for place in PLACES:
        cursor, more = 0, True
        while more:
            page, cursor = queue.lines(place, cursor, _PAGE)
            yield from page
            more = len(page) == _PAGE


def sample(queue: ServiceQueue, page: int = _PAGE, pages: int = _SAMPLE_PAGES) -> Sample:
    """Done items, at most ``pages`` times ``page`` of them. Raises the queue's errors."""
    first, following = queue.lines("done", 0, page)
    if len(first) < page:
        return Sample(tuple(first), len(first))
    begin, done = following - len(first), queue.stats().done
    kept = done - begin
    if kept <= page * pages:
        starts = list(range(following, done, page))
    else:
        starts = [begin + (kept - page) * number // (pages - 1) for number in range(1, pages)]
    lines = list(first)
    for start in starts:
        lines += queue.lines("done", start, page)[0]
    return Sample(tuple(lines), kept)
