"""What must hold whatever broke: told as sentences about what does not."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import redis
import requests

from tests.faults.stage import Stage, Submitted
from tests.support.stack_process import TERMINAL, marked

_RANK = {"created": 0, "loading": 1, "ongoing": 2}
LEFTOVERS_WITHIN = 45.0
PODS_GONE_WITHIN = 20.0
REPORT_WITHIN = 30.0


@dataclass(frozen=True)
class Losses:
    """What a fault may cost by its nature, as documented. ``since``: what was acknowledged after this moment (Unix
    seconds) may be undone; ``everything``: all that Redis had; ``pods``: all of them, and with its pod the items of a
    queue of its own."""

    since: float | None = None
    everything: bool = False
    pods: bool = False

    def cost(self, stage: Stage, submitted: Submitted, status: dict[str, Any]) -> bool:
        """Whether the submission says that it has lost its queue, with or without an end of its work before."""
        if not (self.pods and submitted.shape.listed):
            return False
        if status["state"] == "error":
            return str(status.get("reason")).startswith("the dedicated queue")
        end = time.monotonic() + LEFTOVERS_WITHIN
        while stage.call("GET", f"/submissions/{submitted.id}/results").status_code == 404:
            told = stage.call("GET", f"/submissions/{submitted.id}/events").json()["events"]
            if time.monotonic() > end or any("could not be kept" in event["message"] for event in told):
                return time.monotonic() <= end
            time.sleep(0.2)
        return False


@dataclass(frozen=True)
class Look:
    """What one look saw. ``at`` in Unix seconds."""

    at: float
    state: str
    finished: int | None


@dataclass
class Watcher:
    """Looks at a submission several times a second, from outside."""

    stage: Stage
    submitted: Submitted
    looks: list[Look] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(30)

    def _run(self) -> None:
        turn = 0
        while not self._stop.wait(0.1):
            turn += 1
            base = self.stage.layouts[turn % len(self.stage.layouts)].url("manager")
            state = ""
            finished: int | None = None
            try:
                asked = time.time()
                answer = requests.get(f"{base}/submissions/{self.submitted.id}", timeout=5)
                if answer.status_code == 200:
                    state, finished = answer.json()["state"], answer.json()["counts"]["done"]
                elif answer.status_code == 404:
                    state = "unknown"
            except requests.RequestException:
                asked = time.time()
            if not self.submitted.shape.listed:
                finished = self.stage.finished(self.submitted.id)
            self.looks.append(Look(asked, state, finished))

    def recovered_after(self, moment: float) -> float | None:
        """Seconds from ``moment`` (Unix) until the submission got on; None when it never did."""
        before = [look for look in self.looks if look.at <= moment]
        finished = max((look.finished or 0 for look in before), default=0)
        rank = max((_rank(look.state) for look in before if look.state), default=-1)
        if rank >= 3:
            return 0.0
        for look in self.looks:
            if look.at > moment and ((look.finished or 0) > finished or (look.state and _rank(look.state) > rank)):
                return look.at - moment
        return None


def _rank(state: str) -> int:
    return 3 if state in TERMINAL else _RANK.get(state, -1)


def steps_back(looks: list[Look], losses: Losses) -> list[str]:
    """The state machine never goes backwards, and terminal states never change."""
    found = []
    last: Look | None = None
    for look in looks:
        if not look.state:
            continue
        if last is not None and (_rank(look.state) < _rank(last.state) or _rank(last.state) == 3):
            may = losses.since is not None and last.at >= losses.since
            if look.state != last.state and not may:
                found.append(f"the state went from {last.state} to {look.state}, {look.at - last.at:.1f} s later")
        last = look
    return found


def at_the_end(stage: Stage, submitted: Submitted, status: dict[str, Any]) -> list[str]:
    """Every item has exactly one accepted result or one dead record, and the report adds up."""
    id = submitted.id
    if submitted.ends and status["state"] == submitted.ends:
        return at_an_early_end(stage, submitted, status)
    if submitted.shape.listed:
        return at_the_end_of_lists(stage, submitted, status)
    found = []
    wanted = {str(number) for number in range(len(submitted.items))}
    results = stage.results(id)
    times = Counter(result["id"] for result in results)
    twice = [item for item, count in times.items() if count > 1]
    if twice:
        found.append(f"items with more than one result: {twice[:5]}")
    dead = {key.split(":", 1)[-1] for key in stage.admin.hkeys(f"asp:{{{id}}}:q:dead")}
    if dead != submitted.dead:
        found.append(f"dead items: {sorted(dead)}, wanted {sorted(submitted.dead)}")
    if set(times) | dead != wanted or set(times) & dead:
        missing = sorted(wanted - set(times) - dead)
        found.append(
            f"items without result or dead record: {missing[:10]}, with both: {sorted(set(times) & dead)[:10]}"
        )
    for result in results:
        item = submitted.items[int(result["id"])]
        if item.get("what") != "huge" and result["result"] != f"done {item['number']}":
            found.append(f"item {result['id']} has the result {result['result'][:60]!r}")
    state = "failed" if submitted.dead else submitted.shape.ends
    if status["state"] != state:
        found.append(f"it ended {status['state']} ({status.get('reason')}), not {state}")
    counts = {"total": None if submitted.shape.fed else len(wanted), "ready": 0, "delayed": 0, "leased": 0}
    counts |= {"done": len(wanted) - len(submitted.dead), "dead": len(submitted.dead)}
    if status["counts"] != counts:
        found.append(f"the status counts {status['counts']}")
    elapsed = status.get("execution_time")
    if not isinstance(elapsed, int | float) or not 0 < elapsed < 3600:
        found.append(f"it is said to have taken {elapsed!r}")
    leases = stage.admin.hlen(f"asp:{{{id}}}:q:leases") + stage.admin.zcard(f"asp:{{{id}}}:q:leased")
    if leases:
        found.append(f"{leases} leases are left")
    found += _await([lambda: _pods_of(stage, id)], PODS_GONE_WITHIN)
    return found


def at_the_end_of_lists(stage: Stage, submitted: Submitted, status: dict[str, Any]) -> list[str]:
    """Every item has a result, and it may have two: the original's lists know no attempts."""
    found = []
    results = {result["result"] for result in stage.results(submitted.id)}
    wanted = {f"done {item['number']}" for item in submitted.items}
    if results != wanted:
        missing, strange = sorted(wanted - results), sorted(results - wanted)
        found.append(f"items without a result: {missing[:10]}; results of no item: {strange[:10]}")
    if status["state"] != submitted.shape.ends:
        found.append(f"it ended {status['state']} ({status.get('reason')}), not {submitted.shape.ends}")
    left = {place: count for place, count in status["counts"].items() if place in ("ready", "leased") and count}
    if left:
        found.append(f"the status counts {left}")
    found += _await([lambda: _pods_of(stage, submitted.id)], PODS_GONE_WITHIN)
    return found


def at_an_early_end(stage: Stage, submitted: Submitted, status: dict[str, Any]) -> list[str]:
    """It was stopped or terminated: no item has two results, the numbers add up, and nobody works any more."""
    found = []
    times = Counter(result["id"] for result in stage.results(submitted.id))
    if any(count > 1 for count in times.values()):
        found.append("items with more than one result")
    counts = dict(status["counts"])
    total = counts.pop("total")
    # A queue of its own, or a stream, need not have got all of them.
    is_whole = not submitted.shape.listed and not submitted.shape.fed
    if submitted.ends == "stopped" and is_whole and sum(counts.values()) != len(submitted.items):
        found.append(f"the status counts {counts} of {len(submitted.items)} items ({total})")
    found += _await([lambda: _pods_of(stage, submitted.id)], PODS_GONE_WITHIN)
    return found


def same_again(stage: Stage, submitted: Submitted) -> list[str]:
    """The same request makes nothing new, another one with its key is refused."""
    headers = {"Idempotency-Key": submitted.key}
    again = stage.call("POST", "/submissions", json=submitted.document, headers=headers)
    found = []
    if again.status_code != 202 or again.json()["job_id"] != submitted.id:
        found.append(f"the same request again: {again.status_code}: {again.text[:200]}")
    other = stage.call("POST", "/submissions", json={**submitted.document, "name": "other"}, headers=headers)
    if other.status_code != 422:
        found.append(f"another document with the same key: {other.status_code}: {other.text[:200]}")
    return found


def report_adds_up(stage: Stage, submitted: Submitted) -> list[str]:
    """The detailed report's last entry is that of the end; it may be empty when it ended before it was measured."""
    if "ASPERATHOS_INFLUX_URL" in stage.options.environment:
        # The series are away with their store; the summary in the status is not.
        return []
    end = time.monotonic() + REPORT_WITHIN
    while True:
        answer = stage.call("GET", f"/submissions/{submitted.id}/report")
        if answer.status_code != 200:
            return [f"the report answers {answer.status_code}: {answer.text[:200]}"]
        series = answer.json()
        if "message" not in series:
            break
        if time.monotonic() > end:
            return [f"the report says {series['message']!r} {REPORT_WITHIN:.0f} s after the end"]
        time.sleep(0.2)
    progress = [entry["job_progress"] for entry in series.values() if entry.get("job_progress") is not None]
    if progress and not submitted.dead and not submitted.shape.fed and not 0.999 <= progress[-1] <= 1.0:
        return [f"the report ends with a progress of {progress[-1]}"]
    return []


def forgotten(stage: Stage, submitted: Submitted) -> list[str]:
    """After its deletion nothing of a submission is left: key, user, lease, pod, process."""
    answer = stage.call("DELETE", f"/submissions/{submitted.id}")
    if answer.status_code not in (204, 404):
        return [f"deleting answers {answer.status_code}: {answer.text[:200]}"]
    return _await([lambda: leftovers(stage, submitted.id)], LEFTOVERS_WITHIN)


def leftovers(stage: Stage, id: str) -> list[str]:
    """What there still is of it."""
    found = []
    try:
        keys = sorted(stage.redis_keys(f"*{id}*") - _kept_for_later(stage, id))
        if keys:
            found.append(f"keys are left: {keys[:6]}")
        users = [user for user in stage.admin.acl_list() if id in user]
        if users:
            found.append(f"the Redis user of {id} is left")
    except redis.RedisError as error:
        found.append(f"Redis: {error}")
    found += _pods_of(stage, id, with_objects=True)
    return found


def _kept_for_later(stage: Stage, id: str) -> set[str]:
    """While InfluxDB is away its series cannot be deleted: the record stays, unseen, to do so when it is back."""
    is_away = "ASPERATHOS_INFLUX_URL" in stage.options.environment
    kept = (f"asp:rec:{kind}:{id}" for kind in ("submission", "monitoring", "observation"))
    return {*kept, f"asp:journal:events:{id}"} if is_away else set()


def _pods_of(stage: Stage, id: str, with_objects: bool = False) -> list[str]:
    found = []
    processes = marked(id)
    if processes:
        found.append(f"processes of {id} are left: {sorted(processes)[:6]}")
    if with_objects:
        selector = f"labelSelector=asperathos.io/submission%3D{id}"
        for path in ("apis/batch/v1/namespaces/default/jobs", "api/v1/namespaces/default/pods",
                     "api/v1/namespaces/default/secrets", "api/v1/namespaces/default/configmaps",
                     "api/v1/namespaces/default/services", "apis/apps/v1/namespaces/default/deployments"):  # fmt: skip
            try:
                names = [entry["metadata"]["name"] for entry in stage.kube(f"/{path}?{selector}")["items"]]
            except requests.RequestException as error:
                names = [f"unknown: {error}"]
            if names:
                found.append(f"{path.rsplit('/', 1)[-1]} are left: {names[:4]}")
    return found


def _await(looks: list[Any], within: float) -> list[str]:
    end = time.monotonic() + within
    while True:
        found = [sentence for look in looks for sentence in look()]
        if not found or time.monotonic() > end:
            return [f"{sentence} after {within:.0f} s" for sentence in found]
        time.sleep(0.2)


def restarts(results: list[dict[str, Any]], held: dict[str, int], killed_at: float) -> list[float]:
    """Seconds from a worker's death until each item it held was begun anew, as far as the last attempt tells."""
    return [
        result["started"] - killed_at
        for result in results
        if result["attempt"] == held.get(result["id"], 0) + 1 and result["id"] in held
    ]
