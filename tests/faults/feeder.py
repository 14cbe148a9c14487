"""A client that puts items into a stream, one after the other, and stops the stream when all are worked off."""

from __future__ import annotations

import random
import threading
import time

from tests.faults.invariants import Losses
from tests.faults.stage import Stage, Submitted
from tests.support.stack_process import TERMINAL

BATCH = 5
PUT_AGAIN = 10.0
"""Seconds without progress after which a careful client puts all again: what is known adds nothing."""


class Feeder:
    """Looks at what there is to do again and again, since whatever it did may be lost with Redis's last second."""

    def __init__(self, stage: Stage, submitted: Submitted, chance: random.Random) -> None:
        self._stage = stage
        self._submitted = submitted
        self._pauses = random.Random(chance.random())
        self._acknowledged: dict[int, float] = {}
        self._again: list[float] = []
        self._problem = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(120)

    def lost(self, losses: Losses) -> list[str]:
        """What was acknowledged and had to be put again, but for what the fault may cost."""
        found = [at for at in self._again if losses.since is None or at < losses.since]
        told = [f"{len(found)} acknowledged batches of the stream were lost"] if found else []
        return told + ([self._problem] if self._problem else [])

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._pauses.uniform(0.05, 0.4)):
                if not self._submitted.ends and not self._step():
                    return
        except AssertionError as error:
            self._problem = f"the stream's client: {error}"

    def _step(self) -> bool:
        """False when the stream is gone."""
        place = len(self._acknowledged) * BATCH
        if place < len(self._submitted.items):
            return self._put(place)
        answer = self._stage.call("GET", f"/submissions/{self._submitted.id}")
        if answer.status_code == 404:
            return False
        if answer.json()["state"] not in TERMINAL:
            self._end()
        return True

    def _end(self) -> None:
        everything = len(self._submitted.items)
        began, finished = time.monotonic(), -1
        while finished < everything:
            now = self._stage.finished(self._submitted.id)
            if now is not None and now > finished:
                began, finished = time.monotonic(), now
            if self._stop.wait(0.1) or self._submitted.ends:
                return
            if time.monotonic() - began > PUT_AGAIN:
                for place in range(0, everything, BATCH):
                    self._put(place)
                return
        self._stage.call("PUT", f"/submissions/{self._submitted.id}/stop")

    def _put(self, place: int) -> bool:
        """False when the stream is gone, or takes no more."""
        numbers = range(place, min(place + BATCH, len(self._submitted.items)))
        items = [{"id": str(number), "payload": self._submitted.payload(number)} for number in numbers]
        answer = self._stage.call("POST", f"/submissions/{self._submitted.id}/items", json={"items": items})
        if answer.status_code in (404, 409):
            # Not even open yet, somebody has ended it, or Redis has lost it.
            return answer.status_code == 409 and not self._submitted.ends
        assert answer.status_code == 202, f"items are answered with {answer.status_code}: {answer.text[:200]}"
        if place in self._acknowledged and answer.json()["added"]:
            self._again.append(self._acknowledged[place])
        self._acknowledged[place] = time.time()
        return True
