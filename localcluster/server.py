"""Composition: builds the cluster from settings, runs it until a signal, ends it cleanly."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import socket
import sys
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

from localcluster import kubeconfig
from localcluster.addresses import AddressPool
from localcluster.api import Api
from localcluster.clock import Clock, SystemClock
from localcluster.cluster import Controllers, ControlPlane
from localcluster.defaults import apply_defaults
from localcluster.deployment_controller import DeploymentController, ReplicaSetController
from localcluster.errors import ConfigError, LocalClusterError
from localcluster.events import Recorder
from localcluster.garbage import GarbageCollector
from localcluster.http_server import HttpServer
from localcluster.job_controller import JobController
from localcluster.jobs import BackoffSettings
from localcluster.kubelet import Kubelet, KubeletSettings
from localcluster.log import JsonLog, Log
from localcluster.nodes import ensure_nodes
from localcluster.objects import new_uid, uid_of
from localcluster.proxy import ServiceProxy
from localcluster.resources import NAMESPACES, PODS
from localcluster.runtime.port import EventSink, Runtime, RuntimeEvent
from localcluster.runtime.process import ProcessRuntime
from localcluster.scheduling import PodScheduler
from localcluster.services import ServiceNetwork
from localcluster.settings import Settings, parse_settings, pod_environment
from localcluster.store import Change, Store
from localcluster.tls import ensure_identity
from localcluster.usage import Meter

_NAMESPACES = ("default", "kube-system")
_RESTARTED = ("NodeLost", "localcluster restarted")
_SHUTDOWN = ("Terminated", "Pod was terminated in response to imminent node shutdown.")
_HTTP_STOP_SECONDS = 1.0


class LocalCluster:
    """A running cluster. ``url`` and the kubeconfig are valid once the constructor returned."""

    def __init__(self, settings: Settings, clock: Clock, log: Log) -> None:
        """Take the state directory, bring back its objects, start serving; raises ConfigError."""
        self._settings = settings
        self._log = log
        self._lock_fd = _take_state_dir(settings.state_dir)
        # Its coming back says that this server can be reached.
        settings.kubeconfig.unlink(missing_ok=True)
        self._plane: ControlPlane | None = None
        self._store = Store(settings.state_dir / "state.db", clock, self._on_change)
        state_id = self._store.fact("state-id", new_uid())
        token = self._store.fact("token", secrets.token_urlsafe(32))
        # The runtime comes first: it ends what an earlier server left running.
        self._runtime, addresses = _build_runtime(settings, state_id, self._on_runtime_event, clock, log)
        recorder = Recorder(self._store, clock, log)
        kubelet = Kubelet(
            self._store,
            self._runtime,
            recorder,
            addresses,
            clock,
            log,
            KubeletSettings(
                logs_dir=settings.state_dir / "logs",
                log_limit=settings.log_limit,
                start_delay=settings.start_delay,
                crash_base=settings.backoff_base,
            ),
        )
        self._prepare_objects(clock)
        kubelet.fail_lost_pods(*_RESTARTED)
        self._remove_orphan_logs()
        backoff = BackoffSettings(settings.backoff_base, settings.backoff_cap)
        controllers = Controllers(
            jobs=JobController(self._store, recorder, clock, backoff, kubelet.finish_time),
            deployments=DeploymentController(self._store, recorder, clock),
            replica_sets=ReplicaSetController(self._store, recorder),
            scheduler=PodScheduler(self._store, recorder, clock),
            garbage=GarbageCollector(self._store),
        )
        # Services' addresses are this machine's loopback: what has a network of its own does not reach them.
        self._proxy = ServiceProxy(log) if settings.pods_on_loopback else None
        if self._proxy is not None:
            self._proxy.start()
        self._plane = ControlPlane(self._store, kubelet, controllers, self._proxy, recorder, clock, log)
        self._plane.start()
        network = ServiceNetwork(zlib.crc32(state_id.encode()) if settings.pods_on_loopback else None)
        meter = Meter(self._runtime.usage, clock) if self._runtime.measures else None
        api = Api(self._store, clock, settings.state_dir / "logs", self._checks, network, meter)
        listener = _listen(settings, int(self._store.fact("port", "0")))
        self.port = int(listener.getsockname()[1])
        self._store.set_fact("port", str(self.port))
        host = socket.gethostname() if settings.bind in ("0.0.0.0", "::") else settings.bind
        self.url = f"https://{f'[{host}]' if ':' in host else host}:{self.port}"
        hosts = {"127.0.0.1", "::1", "localhost", socket.gethostname(), host}
        identity = ensure_identity(settings.state_dir / "tls", tuple(hosts))
        kubeconfig.write_private(
            settings.kubeconfig, kubeconfig.render(self.url, identity.authority.read_bytes(), token)
        )
        self._http = HttpServer(api, listener, identity.context(), token, settings.max_connections, log)
        self._http.start()
        log.info("ready", url=self.url, kubeconfig=str(settings.kubeconfig), state_dir=str(settings.state_dir))

    def stop(self) -> None:
        """End pods, streams and threads; the state stays on disk."""
        self._log.info("stopping")
        if self._plane is not None:
            self._plane.stop(self._settings.shutdown_grace, *_SHUTDOWN)
        if self._proxy is not None:
            self._proxy.close()
        self._runtime.close(0.0)
        self._http.stop(_HTTP_STOP_SECONDS)
        self._store.close()
        os.close(self._lock_fd)
        self._log.info("stopped")

    def _on_change(self, change: Change) -> None:
        if self._plane is not None:
            self._plane.on_change(change)

    def _on_runtime_event(self, event: RuntimeEvent) -> None:
        if self._plane is not None:
            self._plane.on_runtime_event(event)

    def _checks(self) -> list[tuple[str, bool]]:
        return [("control-loop", self._plane is not None and self._plane.is_alive)]

    def _prepare_objects(self, clock: Clock) -> None:
        with self._store.transaction():
            for name in _NAMESPACES:
                if self._store.find(NAMESPACES, "", name) is None:
                    self._store.create(NAMESPACES, apply_defaults(NAMESPACES, {"metadata": {"name": name}}))
            ensure_nodes(self._store, self._settings, clock.now(), self._runtime.version)

    def _remove_orphan_logs(self) -> None:
        known = {uid_of(pod) for pod in self._store.list(PODS)[0]}
        logs = self._settings.state_dir / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        for entry in logs.iterdir():
            if entry.name not in known:
                shutil.rmtree(entry, ignore_errors=True)


def main(argv: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; exit code 0 after a clean stop, 2 when it cannot start."""
    if sys.platform != "linux":
        sys.stderr.write("localcluster: needs Linux: it relies on its process control and loopback network\n")
        return 2
    clock = SystemClock()
    stop = threading.Event()
    try:
        settings = parse_settings(argv)
        log = JsonLog(clock, settings.log_level)
        wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(wake_read, True)
        # The kernel may hand a signal to any thread; this pipe wakes the main one in every case.
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stop.set())
        cluster = LocalCluster(settings, clock, log)
    except ConfigError as error:
        sys.stderr.write(f"localcluster: {error}\n")
        return 2
    while not stop.is_set():
        os.read(wake_read, 64)
    try:
        cluster.stop()
    except LocalClusterError as error:
        log.error("stop_failed", error=str(error))
        return 1
    return 0


def _build_runtime(
    settings: Settings, state_id: str, sink: EventSink, clock: Clock, log: Log
) -> tuple[Runtime, AddressPool]:
    """What runs the containers, and the addresses their pods get."""
    seed = zlib.crc32(state_id.encode())
    if settings.runtime == "process":
        pods = settings.state_dir / "pods"
        return ProcessRuntime(state_id, pods, pod_environment(), sink, clock, log), AddressPool(seed)
    # Imported only when asked for: the engine's client would be a third of this process.
    from localcluster.runtime.docker_engine import DockerEngine
    from localcluster.runtime.docker_network import pod_networks
    from localcluster.runtime.docker_runtime import DockerRuntime

    engine = DockerEngine(settings.docker_host)
    runtime = DockerRuntime(engine, state_id, settings.docker_network, sink, clock, log)
    if settings.pods_on_loopback:
        return runtime, AddressPool(seed)
    networks, reserved = pod_networks(engine.network(settings.docker_network))
    return runtime, AddressPool(seed, networks, reserved)


def _take_state_dir(directory: Path) -> int:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"the state directory {directory} cannot be used: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise ConfigError(f"the state directory {directory} is in use by process {holder}") from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _listen(settings: Settings, last_port: int) -> socket.socket:
    """The listener; a free choice falls on the last run's port if it can, so that clients find a restarted server."""
    if settings.port == 0 and last_port:
        try:
            return _bind(settings, last_port)
        except ConfigError:
            return _bind(settings, 0)
    return _bind(settings, settings.port)


def _bind(settings: Settings, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.bind else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.bind, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen on {settings.bind} port {port}: {error.strerror}") from error
    return listener
