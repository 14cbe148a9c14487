"""How fast the pages are with a thousand live submissions: the list, its sparklines, and what live readers cost.

    python -m benchmarks.pages [--submissions 1000] [--readers 4] [--seconds 10] [--quick] [--json] [--check]

A real Redis holds the records and the series, a real manager answers from them, a real visualizer serves the pages.
All submissions move every two seconds, as a monitor writes them. ``list_cpu`` is the seconds of a core that manager
and visualizer need for one list, ``busy`` how many processes a core had to share: times grow with it. Where playwright
and Chromium are installed a browser opens the list: usable means that its first fifty rows are drawn and a filter
answers.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
import requests

from benchmarks.idle import cpu_seconds
from benchmarks.verdict import verdict
from common.adapters.redis_history import RedisMetrics
from common.adapters.redis_records import RedisRecords
from common.domain.events import OBSERVATION_RECORDS
from common.domain.metrics import FLOW, Point
from common.domain.parsing import parse_native
from common.domain.progress import Counts, Observation, Replicas, ServiceTimes
from common.domain.states import State
from common.domain.submission import Submission
from manager.bootstrap import SUBMISSION_RECORDS
from tests.support.redis_process import RedisProcess
from tests.support.service_process import ServiceProcess
from tests.support.stack_process import descendants

BAR_LIST = 0.2
"""Seconds to answer the list."""
BAR_USABLE = 1.0
"""Seconds until the page of the list is usable."""
CHROMIUM = Path("/usr/bin/chromium")
PERIOD = 2.0
SPARKED = 50
_LATELY = 900
REFRESH = 1.0


def observation(id: str, began: float, now: float) -> Observation:
    """What the monitor tells of a submission that is ``now - began`` seconds old."""
    elapsed = now - began
    done = min(999, int(elapsed))
    return Observation(
        submission=id,
        at=now,
        elapsed=elapsed,
        deadline=3600.0,
        counts=Counts(total=1000, ready=991 - min(991, done), leased=8, done=done),
        progress=done / 1000,
        throughput=1.0 + (done % 7) / 10,
        service=ServiceTimes(count=done, mean=8.0, p50=7.5, p95=12.0),
        replicas=Replicas(desired=8, requested=8, observed=8),
    )


class Pile:
    """The submissions in Redis, three in four running, each with its latest observation."""

    def __init__(self, client: redis.Redis, count: int) -> None:
        self._submissions = RedisRecords(client, SUBMISSION_RECORDS, Submission, active=lambda _: True)
        self._observations = RedisRecords(client, OBSERVATION_RECORDS, Observation)
        self._metrics = RedisMetrics(client)
        self.began = time.time() - 300.0
        self.ids = [f"kj-{number:07x}" for number in range(count)]

    def fill(self) -> None:
        spec = parse_native({"name": "tide-model", "run": "tide {item}", "workload": ["a"], "deadline": "1h"})
        for number, id in enumerate(self.ids):
            over = number % 4 == 3
            self._submissions.create(
                id,
                Submission(
                    id=id,
                    spec=spec.model_copy(update={"name": f"tide-model-{number}"}),
                    state=State.COMPLETED if over else State.ONGOING,
                    created_at=self.began + number / 1000,
                    finished_at=self.began + 200 if over else None,
                ),
            )
        self.move()
        at = self.began - _LATELY
        for id in self.ids[-2 * SPARKED :]:
            moments = (at + PERIOD * number for number in range(int(_LATELY / PERIOD)))
            self._metrics.write([Point(FLOW.name, id, moment, {"throughput": moment % 9}) for moment in moments])

    def move(self) -> None:
        """Every submission is a little further."""
        now = time.time()
        for id in self.ids:
            self._observations.put(id, observation(id, self.began, now))


@dataclass(frozen=True)
class Times:
    """Seconds."""

    median: float
    worst: float


def timed(ask: Callable[[], object], times: int, pause: float = 0.0) -> Times:
    """How long ``ask`` takes, the first time left out: the first answer of a process builds its connections."""
    ask()
    taken = []
    for _ in range(times):
        time.sleep(pause)
        began = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - began)
    return Times(statistics.median(taken), max(taken))


def fetch(session: requests.Session, url: str) -> int:
    answer = session.get(url, timeout=30)
    answer.raise_for_status()
    return len(answer.content)


@contextmanager
def moving(pile: Pile) -> Iterator[None]:
    """All submissions move meanwhile."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(PERIOD):
            pile.move()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def readers_cost(url: str, pids: set[int], readers: int, seconds: float) -> dict[str, float]:
    """What so many live readers of the list cost: share of a core, and bytes a second for each."""
    received = [0] * readers
    stop = threading.Event()

    def read(place: int) -> None:
        with requests.get(f"{url}/api/stream/submissions", stream=True, timeout=30) as answer:
            for chunk in answer.iter_content(65536):
                received[place] += len(chunk)
                if stop.is_set():
                    return

    threads = [threading.Thread(target=read, args=(place,), daemon=True) for place in range(readers)]
    for thread in threads:
        thread.start()
    time.sleep(2 * REFRESH)
    before, begun, bytes_before = cpu_seconds(pids), time.monotonic(), sum(received)
    time.sleep(seconds)
    took = time.monotonic() - begun
    cost = (cpu_seconds(pids) - before) / took
    rate = (sum(received) - bytes_before) / took / readers
    stop.set()
    for thread in threads:
        thread.join(15)
    return {"readers": readers, "core_share": cost, "bytes_per_second": rate}


def usable(url: str, times: int) -> tuple[Times, Times] | None:
    """Seconds until the list's page is usable, and what a filter then takes; None without a browser."""
    if not CHROMIUM.exists() or importlib.util.find_spec("playwright") is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})

        def open_it() -> None:
            page.goto(f"{url}/")
            page.wait_for_function("() => document.querySelectorAll('table.list tbody tr').length === 50")

        def filter_it() -> None:
            page.fill("#filter", "tide-model-7")
            page.wait_for_function("() => document.querySelector('#summary').textContent.includes(' of ')")
            page.fill("#filter", "")
            page.wait_for_function("() => !document.querySelector('#summary').textContent.includes(' of ')")

        found = timed(open_it, times, pause=0.2), timed(filter_it, times)
        browser.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=1000)
    parser.add_argument("--readers", type=int, default=4, help="live readers of the list")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the live readers are watched")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", action="store_true", help="print JSON")
    bars = f"exit 1 when the list takes {BAR_LIST:g} s or its page {BAR_USABLE:g} s and more"
    parser.add_argument("--check", action="store_true", help=bars)
    given = parser.parse_args()
    times = 5 if given.quick else 20
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = RedisProcess(directory)
        server.start()
        stack.callback(server.stop)
        client = stack.enter_context(server.client())
        pile = Pile(client, given.submissions)
        pile.fill()
        manager = service(stack, "manager", directory, redis_url=server.url)
        visualizer = service(
            stack, "visualizer", directory, redis_url=server.url, manager_url=manager.url, page_refresh=f"{REFRESH:g}"
        )
        session = stack.enter_context(requests.Session())
        size = fetch(session, f"{visualizer.url}/api/submissions")
        stack.enter_context(moving(pile))
        both = pids_of(manager) | pids_of(visualizer)
        manager_list = timed(lambda: fetch(session, f"{manager.url}/submissions"), times, 0.1)
        before = cpu_seconds(both)
        # Each after the last answer's time is over: the manager is asked anew.
        fresh_list = timed(lambda: fetch(session, f"{visualizer.url}/api/submissions"), times, 1.1 * REFRESH)
        told: dict[str, object] = {
            "submissions": given.submissions,
            "list_bytes": size,
            "manager_list": manager_list,
            "list": fresh_list,
            "list_cpu": round((cpu_seconds(both) - before) / (times + 1), 3),
            "list_again": timed(lambda: fetch(session, f"{visualizer.url}/api/submissions"), times, 0.01),
            "page": timed(lambda: fetch(session, f"{visualizer.url}/"), times),
            "sparklines": sparks(session, visualizer.url, pile),
            "live": readers_cost(visualizer.url, pids_of(visualizer), given.readers, given.seconds),
        }
        opened = usable(visualizer.url, min(times, 10))
    told["busy"] = round(os.getloadavg()[0] / (os.cpu_count() or 1), 1)
    if opened is not None:
        told |= {"usable": opened[0], "filter": opened[1]}
    show(told, given.json)
    return verdict(missed_bars(told)) if given.check else 0


def service(stack: ExitStack, name: str, directory: Path, **settings: str) -> ServiceProcess:
    """A service that answers requests only: nothing carries out what the records say."""
    made = ServiceProcess(name, free_port(), directory / f"{name}.log", "--api-only", log_level="error", **settings)
    made.start()
    stack.callback(made.stop)
    return made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pids_of(process: ServiceProcess) -> set[int]:
    return descendants(process.pid) | {process.pid}


def sparks(session: requests.Session, url: str, pile: Pile) -> Times:
    """Sparklines of two pages; those that were asked for lately are kept, so each is asked for once."""
    pages = [pile.ids[-SPARKED:], pile.ids[-2 * SPARKED : -SPARKED]]
    taken = []
    for ids in pages:
        began = time.perf_counter()
        fetch(session, f"{url}/api/sparks?ids={','.join(ids)}")
        taken.append(time.perf_counter() - began)
    return Times(statistics.median(taken), max(taken))


def show(told: dict[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(told, default=vars))
        return
    for name, value in told.items():
        if isinstance(value, Times):
            print(f"{name:<14} median {value.median * 1000:7.1f} ms   worst {value.worst * 1000:7.1f} ms")
        else:
            print(f"{name:<14} {value}")
    if "usable" not in told:
        print("usable         not measured: playwright or chromium is missing")


def missed_bars(told: dict[str, object]) -> list[str]:
    bars = {"list": BAR_LIST, "usable": BAR_USABLE}
    return [
        f"{name}: {value.median:.3f} s, not under {bars[name]:g} s"
        for name, value in told.items()
        if name in bars and isinstance(value, Times) and value.median >= bars[name]
    ]


if __name__ == "__main__":
    sys.exit(main())
