"""Copies what a dedicated queue holds into the shared Redis before its own server goes."""

from __future__ import annotations

from typing import Protocol

from asperathos_worker.queue.api import ServiceQueue, WorkerQueue
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig

MOST_ERRORS = 1000
_WORKER = "archive"
_LEASE = 5.0
_PAGE = 500


class Archive(ServiceQueue, WorkerQueue, Protocol):
    """A queue of which we play both sides."""


def archive_page(source: ServiceQueue, target: Archive) -> bool:
    """Copy the next page of results, then the latest errors; whether all is copied.

    Each result becomes a done item of the target, each error a dead one, in the source's order. How far the copy is,
    the target's own counts say, so it goes on after a crash at any point; an interrupted page is taken again when its
    short lease ends. Raises the queues' errors.
    """
    target.open(QueueConfig(lease=_LEASE, retries=1_000_000))
    copied = target.stats()
    if copied.closed:
        return True
    results, _ = source.results(copied.done, _PAGE)
    if results:
        texts = {result.id: result.result for result in results}
        target.put([NewItem("", id) for id in texts])
        taken = target.take(_WORKER, 0, len(texts))
        acks = [Ack(lease.id, lease.attempt, texts[lease.id]) for lease in taken.leases if lease.id in texts]
        target.finish_and_take(_WORKER, 0, acks, 0)
        return False
    errors = source.failures(MOST_ERRORS)[::-1][copied.dead : copied.dead + _PAGE]
    if errors:
        texts = {f"error-{copied.dead + offset}": failure.error for offset, failure in enumerate(errors)}
        target.put([NewItem("", id) for id in texts])
        for lease in target.take(_WORKER, 0, len(texts)).leases:
            target.fail(_WORKER, lease, texts.get(lease.id, ""), permanent=True)
        return False
    target.close()
    return True
