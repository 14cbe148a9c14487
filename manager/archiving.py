"""Copies what a dedicated queue holds into the shared Redis before its own server goes."""

from __future__ import annotations

from typing import Protocol

from asperathos_worker.queue.api import ServiceQueue, WorkerQueue
from asperathos_worker.queue.records import Ack, NewItem, QueueConfig

_WORKER = "archive"
_LEASE = 5.0
_PAGE = 500


class Archive(ServiceQueue, WorkerQueue, Protocol):
    """A queue of which we play both sides."""


def archive_page(source: ServiceQueue, target: Archive) -> bool:
    """Copy the next page of results and dead items; whether all is copied.

    Each becomes an item of the target that is done or dead, in the source's order. How far the copy is, the target's
    own counts say, so it goes on after a crash at any point; an interrupted page is taken again when its short lease
    ends. Raises the queues' errors.
    """
    target.open(QueueConfig(lease=_LEASE, retries=1_000_000))
    copied = target.stats()
    if copied.closed:
        return True
    done = copied.done
    results, _ = source.results(done, _PAGE)
    if results:
        ids = [f"r{done + offset}" for offset in range(len(results))]
        by_id = {id: result.result for id, result in zip(ids, results, strict=True)}
        target.put([NewItem(result.id, id) for id, result in zip(ids, results, strict=True)])
        taken = target.take(_WORKER, 0, len(results))
        acks = [Ack(lease.id, lease.attempt, by_id[lease.id]) for lease in taken.leases if lease.id in by_id]
        target.finish_and_take(_WORKER, 0, acks, 0)
        return False
    dead, _ = source.dead(copied.dead, _PAGE)
    if dead:
        ids = [f"d{copied.dead + offset}" for offset in range(len(dead))]
        errors = {id: failure.error for id, failure in zip(ids, dead, strict=True)}
        target.put([NewItem(failure.id, id) for id, failure in zip(ids, dead, strict=True)])
        for lease in target.take(_WORKER, 0, len(dead)).leases:
            target.fail(_WORKER, lease, errors.get(lease.id, "failed"), permanent=True)
        return False
    target.close()
    return True
