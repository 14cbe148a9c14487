"""Running a local stack from start to Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.home import Addresses, Home
from cli.stack.plan import DEFAULT_PORTS, Layout, parts, redis_config
from cli.stack.ports import LOOPBACK, allot, holder_of
from cli.stack.redis_server import find_redis_server
from cli.stack.supervisor import Supervisor


class AlreadyRunning(Exception):
    """Another process runs a stack in the same directory."""


@dataclass(frozen=True)
class StackOptions:
    """``any_port``: take free ports where the wanted ones are held."""

    home: Path
    any_port: bool
    ports: dict[str, int]
    log_level: str = "info"
    authentication: bool = False
    """Whether users have to log in."""
    capacity: int | None = None
    """Most replicas of all submissions together; None: as many as the local cluster has room for."""


@contextlib.contextmanager
def running_stack(options: StackOptions, say: Callable[[str], None]) -> Iterator[tuple[Supervisor, Addresses]]:
    """Start everything, yield the supervisor and the addresses, end everything on the way out.

    Raises AlreadyRunning, PortTaken, NoRedis, StartFailed; what had been started is ended then.
    """
    home = Home(options.home)
    home.prepare()
    if not home.lock():
        raise AlreadyRunning(_who_runs(home))
    ports, notes = allot({**DEFAULT_PORTS, **options.ports}, options.any_port)
    for note in notes:
        say(note)
    layout = Layout(
        home=options.home.resolve(),
        ports=ports,
        python=sys.executable,
        redis_server=find_redis_server(),
        redis_password=secrets.token_hex(16),
        service_token=secrets.token_hex(16),
        cluster_key=home.cluster_key,
        log_level=options.log_level,
        admin_token=home.admin_token if options.authentication else "",
        capacity=options.capacity,
    )
    layout.redis_config.touch(mode=0o600)
    layout.redis_config.write_text(redis_config(layout))
    supervisor = Supervisor(home.logs, say)
    try:
        redis, cluster, *services = parts(layout)
        supervisor.start(redis)
        supervisor.start(cluster)
        supervisor.start_together(services)
        addresses = Addresses(
            pid=os.getpid(),
            manager=layout.url("manager"),
            controller=layout.url("controller"),
            monitor=layout.url("monitor"),
            visualizer=layout.url("visualizer"),
            cluster=f"{LOOPBACK}:{ports['cluster']}",
            kubeconfig=str(layout.kubeconfig),
            redis=f"{LOOPBACK}:{ports['redis']}",
        )
        home.write(addresses)
        yield supervisor, addresses
    finally:
        home.retract()
        supervisor.end()


def stop_signals() -> threading.Event:
    """An event that SIGINT, SIGTERM and SIGHUP set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _who_runs(home: Home) -> str:
    addresses = home.read()
    if addresses is None:
        return f"another 'asperathos up' is starting or ending in {home.path}"
    port = int(addresses.manager.rsplit(":", 1)[1])
    return (
        f"a stack already runs in {home.path}: process {addresses.pid}, manager at {addresses.manager} "
        f"(port {port} is held by {holder_of(port)}), pages at {addresses.visualizer}"
    )
