"""The work queue in Redis: both sides, each method one script. See ``lua/prelude.lua`` for the keys."""

from __future__ import annotations

import json
import secrets
import threading
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import redis

from . import scripts
from .records import (
    PLACES,
    Ack,
    Histogram,
    ItemFailure,
    ItemLine,
    ItemResult,
    ItemState,
    Lease,
    NewItem,
    QueueConfig,
    QueueStats,
    Taken,
    Verdict,
    WorkerInfo,
)
from .transport import ClientTransport, Transport, WireTransport
from .wire import Argument, Wire

PUT_ITEMS = 2000
PUT_BYTES = 4 << 20
"""How many items, and about how many characters of payload, go into one call of put."""
SWEEP_ITEMS = 1000
"""How many expired leases one step of sweep moves: Redis serves nobody else meanwhile."""

_MICRO = 1_000_000
_VERDICTS = {verdict.value: verdict for verdict in Verdict}
_ACCEPTED = {"1": (True,), "0": (False,)}
_decode_json = json.JSONDecoder().raw_decode


class RedisQueue:
    """The queue of one submission; implements WorkerQueue and ServiceQueue. Threads may share it.

    Times are Redis's. Every method raises QueueUnavailable when Redis does not answer, QueueMissing when the queue is
    not there (except open and purge), QueueRefused when Redis will not do it. A call whose answer was lost may be
    made again: what a lost take handed out is handed out again by the next one, an acknowledgement that was accepted
    is accepted again, a batch is not put twice; only fail, release and extend may then call a lease lost.
    """

    def __init__(self, client_or_url: Union[str, redis.Redis], submission: str, timeout: float = 5.0) -> None:
        """``client_or_url``: a redis-py client to go through, or a URL for one lean connection of its own."""
        self._prefix = scripts.prefix_of(submission)
        self._transport: Transport
        if isinstance(client_or_url, str):
            self._transport = WireTransport(Wire(client_or_url, timeout), self._prefix)
        else:
            self._transport = ClientTransport(client_or_url, self._prefix)
        self._taking = threading.Lock()
        self._client_name = secrets.token_hex(6)
        self._call = 0

    @classmethod
    def connect(cls, url: str, submission: str, timeout: float = 5.0) -> RedisQueue:
        """The queue through one connection, made at once: the worker's way.

        ``timeout`` (seconds) bounds each wait for the server; a call is tried three times before QueueUnavailable.
        """
        queue = cls(url, submission, timeout)
        transport = queue._transport
        assert isinstance(transport, WireTransport)
        transport.connect()
        return queue

    def disconnect(self) -> None:
        """Give up the connection; a later call makes a new one."""
        self._transport.close()

    # The worker's side.

    def take(self, worker: str, index: int, n: int = 1) -> Taken:
        return self.finish_and_take(worker, index, (), n)

    def finish_and_take(self, worker: str, index: int, acks: Sequence[Ack], n: int = 1) -> Taken:
        # A call that failed keeps its number, so that the next one finds what it may have taken. Hence one at a time.
        with self._taking:
            arguments: List[Argument] = [worker, index, n, f"{self._client_name}{self._call}"]
            for ack in acks:
                arguments += (ack.id, ack.attempt, ack.result)
            answer = _text(self._transport.run(scripts.TAKE, arguments))
            self._call += 1
        fields = _decode_json(answer)[0]
        accepted = _ACCEPTED.get(fields[2]) or tuple([flag == "1" for flag in fields[2]])
        if len(fields) == 7:
            leases: Tuple[Lease, ...] = (Lease(fields[3], fields[4], fields[5], fields[6]),)
        else:
            leases = tuple(map(Lease, fields[3::4], fields[4::4], fields[5::4], fields[6::4]))
        return Taken(_VERDICTS[fields[0]], leases, accepted, fields[1] / _MICRO)

    def fail(self, worker: str, lease: Lease, error: str, permanent: bool = False) -> bool:
        return bool(self._transport.run(scripts.FAIL, [worker, lease.id, lease.attempt, int(permanent), error]))

    def release(self, worker: str, leases: Sequence[Lease]) -> int:
        return int(self._transport.run(scripts.RELEASE, [worker, *_fences(leases)]))

    def extend(
        self, worker: str, index: int, leases: Sequence[Lease], longest: Optional[float] = None
    ) -> Tuple[Lease, ...]:
        limit = "" if longest is None else round(longest * _MICRO)
        held = _text(self._transport.run(scripts.EXTEND, [worker, index, limit, *_fences(leases)]))
        return tuple([lease for at, lease in enumerate(leases) if held[at] == "0"])

    def report(self, worker: str, metrics: Mapping[str, float]) -> None:
        if metrics:
            pairs: List[Argument] = []
            for name, value in metrics.items():
                pairs += (f"{worker}\n{name}", repr(float(value)))
            self._transport.run(scripts.REPORT, pairs)

    # The services' side.

    def open(self, config: QueueConfig) -> None:
        self._transport.run(
            scripts.OPEN,
            [
                *("lease", max(1, round(config.lease * _MICRO))),
                *("retries", config.retries),
                *("backoff_base", round(config.backoff_base * _MICRO)),
                *("backoff_cap", round(config.backoff_cap * _MICRO)),
                *("retain", config.retain),
                *("stream", int(config.stream)),
                *("result_limit", config.result_limit),
            ],
        )

    def put(self, items: Sequence[NewItem]) -> int:
        return sum(int(self._transport.run(scripts.PUT, batch)) for batch in _batches(items))

    def close(self) -> None:
        self._transport.run(scripts.SET, ["closed", 1])

    def stop(self) -> None:
        self._transport.run(scripts.SET, ["stopped", 1])

    def set_limit(self, limit: Optional[int]) -> None:
        self._transport.run(scripts.SET, ["limit", "" if limit is None else limit])

    def stats(self) -> QueueStats:
        snapshot = self._transport.run(scripts.STATS, [])
        now, closed, stopped, limit, put, ready, delayed, leased, done, dead, oldest, counters, leases = snapshot
        at = _seconds(now)
        counts = {name: float(value) for name, value in _pairs(counters)}
        failed, expired, released = (int(counts.get(name, 0)) for name in ("failed", "expired", "released"))
        started = sorted(_seconds(_words(lease, 5)[4]) for lease in leases)
        return QueueStats(
            at=at,
            put=put,
            ready=ready,
            delayed=delayed,
            leased=leased,
            done=done,
            dead=dead,
            closed=bool(closed),
            stopped=bool(stopped),
            limit=int(limit) if _text(limit) else None,
            # Every attempt either is leased or has ended in one of these ways.
            taken=leased + done + failed + expired + released,
            failed=failed,
            expired=expired,
            released=released,
            oldest_ready_wait=max(0.0, at - _seconds(oldest)) if _text(oldest) else None,
            running=tuple(max(0.0, at - start) for start in started[:1000]),
            service=_histogram("service", counts),
            wait=_histogram("wait", counts),
        )

    def sweep(self) -> int:
        moved = 0
        while True:
            step = int(self._transport.run(scripts.SWEEP, [SWEEP_ITEMS]))
            moved += step
            if step < SWEEP_ITEMS:
                return moved

    def busy_from(self, index: int) -> int:
        _, leases = self._transport.run(scripts.WORKERS, [])
        return sum(int(_words(lease, 5)[3]) >= index for lease in leases)

    def workers(self) -> List[WorkerInfo]:
        records, leases = self._transport.run(scripts.WORKERS, [])
        busy: Dict[str, int] = {}
        for lease in leases:
            number = _words(lease, 5)[2]
            busy[number] = busy.get(number, 0) + 1
        found = []
        for name, record in _pairs(records):
            number, index, seen, _ = _words(record, 4)
            found.append(WorkerInfo(name, int(index), busy.get(number, 0), _seconds(seen)))
        return sorted(found, key=lambda info: (info.index, info.name))

    def results(self, cursor: int = 0, count: int = 1000) -> Tuple[List[ItemResult], int]:
        if count <= 0:
            return [], cursor
        first, records, names = self._transport.run(scripts.RESULTS, [max(0, cursor), count])
        known = [_text(name) for name in names]
        found = []
        for record in records:
            attempt, _, worker, started, finished, length, rest = _bytes(record).split(b" ", 6)
            id, result = _split(rest, int(length))
            found.append(
                ItemResult(id, int(attempt), known[int(worker)], _seconds(started), _seconds(finished), result)
            )
        return found, max(cursor, int(first) + len(found))

    def failures(self, count: int = 100) -> List[ItemFailure]:
        if count <= 0:
            return []
        records, names = self._transport.run(scripts.FAILURES, [count])
        known = [_text(name) for name in names]
        found = []
        for record in records:
            attempt, worker, at, final, length, rest = _bytes(record).split(b" ", 5)
            id, error = _split(rest, int(length))
            found.append(ItemFailure(id, int(attempt), known[int(worker)], _seconds(at), error, final == b"1"))
        return found

    def dead(self, cursor: int = 0, count: int = 1000) -> Tuple[List[ItemFailure], int]:
        if count <= 0:
            return [], cursor
        ids, records, names = self._transport.run(scripts.DEAD, [max(0, cursor), count])
        known = [_text(name) for name in names]
        found = []
        for place, record in enumerate(records):
            attempt, worker, at, _, error = _words(record, 5)
            found.append(ItemFailure(_text(ids[place]), int(attempt), known[int(worker)], _seconds(at), error, True))
        return found, max(0, cursor) + len(found)

    def items(self, ids: Iterable[str]) -> List[ItemState]:
        found = []
        wanted = list(ids)
        for start in range(0, len(wanted), PUT_ITEMS):
            for id, payload, place, attempt, failures, worker, error in self._transport.run(
                scripts.ITEMS, wanted[start : start + PUT_ITEMS]
            ):
                found.append(
                    ItemState(_text(id), _text(payload), _text(place), attempt, failures, _text(worker), _text(error))
                )
        return found

    def lines(self, place: str, cursor: int = 0, count: int = 1000) -> Tuple[List[ItemLine], int]:
        if place not in PLACES:
            raise ValueError(f"no place of items: {place}")
        if count <= 0:
            return [], cursor
        first, records = self._transport.run(scripts.LINES, [place, max(0, cursor), count])
        found = []
        for id, attempt, failures, worker, started, ended, error in records:
            began = _seconds(started) if started else None
            over = _seconds(ended) if ended else None
            found.append(
                ItemLine(_text(id), place, int(attempt), int(failures), _text(worker), began, over, _text(error))
            )
        return found, max(cursor, int(first) + len(found))

    def reported(self) -> Mapping[str, Mapping[str, float]]:
        values: Dict[str, Dict[str, float]] = {}
        answer = self._transport.command("HGETALL", self._prefix + "reported")
        for field, value in answer.items() if isinstance(answer, dict) else _pairs(answer):
            worker, _, name = _text(field).partition("\n")
            values.setdefault(name, {})[worker] = float(value)
        return values

    def purge(self) -> None:
        self._transport.command("UNLINK", *[self._prefix + part for part in scripts.PARTS])


def _bytes(value: Union[bytes, str]) -> bytes:
    """What a client that decodes answers has decoded, as it was."""
    return value if isinstance(value, bytes) else value.encode("utf-8")


def _text(value: Union[bytes, str]) -> str:
    return value if isinstance(value, str) else value.decode("utf-8")


def _seconds(microseconds: Union[bytes, str]) -> float:
    return int(microseconds) / _MICRO


def _words(record: Union[bytes, str], count: int) -> List[str]:
    return _text(record).split(" ", count - 1)


def _split(rest: bytes, length: int) -> Tuple[str, str]:
    return rest[:length].decode("utf-8"), rest[length:].decode("utf-8")


def _pairs(flat: Sequence[Union[bytes, str]]) -> Iterator[Tuple[str, str]]:
    values = iter(flat)
    for name in values:
        yield _text(name), _text(next(values))


def _fences(leases: Sequence[Lease]) -> Iterator[Argument]:
    for lease in leases:
        yield lease.id
        yield lease.attempt


def _batches(items: Sequence[NewItem]) -> Iterator[List[Argument]]:
    """The arguments of each call of put."""
    arguments: List[Argument] = [""]
    size = 0
    for item in items:
        if item.id is None:
            arguments[0] = arguments[0] or secrets.token_hex(8)
            arguments += ("", item.payload)
        elif item.id:
            arguments += (item.id, item.payload)
        else:
            raise ValueError("an item's id is not empty")
        size += len(item.payload)
        if len(arguments) > 2 * PUT_ITEMS or size > PUT_BYTES:
            yield arguments
            arguments, size = [""], 0
    if len(arguments) > 1:
        yield arguments


def _histogram(kind: str, counts: Mapping[str, float]) -> Histogram:
    buckets = {}
    for name, value in counts.items():
        of, _, field = name.partition(":")
        if of == kind and field.isdigit():
            buckets[int(field)] = int(value)
    return Histogram(
        buckets=dict(sorted(buckets.items())),
        count=sum(buckets.values()),
        total=counts.get(kind + ":total", 0.0) / _MICRO,
        squares=counts.get(kind + ":squares", 0.0),
        longest=counts.get(kind + ":longest", 0.0) / _MICRO,
    )
