"""Settings: flags over ASPERATHOS_LOCALCLUSTER_* variables over defaults. The only reader of the environment."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from ipaddress import ip_address
from pathlib import Path

from localcluster.errors import ConfigError
from localcluster.log import LEVELS
from localcluster.quantity import parse_quantity

PREFIX = "ASPERATHOS_LOCALCLUSTER_"
RUNTIMES = ("process", "docker")
HOST_NETWORK = "host"


@dataclass(frozen=True)
class Settings:
    """Everything configurable. Durations are seconds, sizes bytes; ``port`` 0 means: pick a free one.

    Node capacities are numbers for the scheduler; nothing holds a process to them. The default lets about fifty
    pods that ask for a core each run, whatever the machine has.
    """

    state_dir: Path
    kubeconfig: Path
    bind: str = "127.0.0.1"
    port: int = 0
    allow_remote: bool = False
    nodes: int = 1
    node_cpu: str = "64"
    node_memory: str = "256Gi"
    node_pods: int = 110
    node_resources: tuple[tuple[str, str], ...] = ()
    start_delay: float = 0.0
    backoff_base: float = 10.0
    backoff_cap: float = 600.0
    log_limit: int = 16 * 1024 * 1024
    max_connections: int = 256
    shutdown_grace: float = 3.0
    runtime: str = "process"
    docker_host: str = "unix:///var/run/docker.sock"
    docker_network: str = HOST_NETWORK
    log_level: str = "info"

    @property
    def pods_on_loopback(self) -> bool:
        """Whether pods and this process share the machine's loopback addresses."""
        return self.runtime == "process" or self.docker_network == HOST_NETWORK


def default_state_dir(environ: Mapping[str, str]) -> Path:
    """``$XDG_STATE_HOME/asperathos/localcluster``, or the same below ``~/.local/state``."""
    base = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME") or "/tmp") / ".local" / "state")
    return Path(base) / "asperathos" / "localcluster"


def parse_settings(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> Settings:
    """The settings; raises ConfigError for values that cannot be, exits for --help."""
    env = os.environ if environ is None else environ
    defaults = Settings(Path(), Path())
    parser = argparse.ArgumentParser(
        prog="python -m localcluster",
        description="The embedded Kubernetes API of Asperathos: Jobs and Pods on this machine.",
        epilog=f"Every option can be given as {PREFIX}<NAME> in the environment, for example {PREFIX}STATE_DIR.",
    )

    def option(name: str, default: object, text: str) -> None:
        variable = PREFIX + name.upper().replace("-", "_")
        parser.add_argument(f"--{name}", default=env.get(variable, default), help=f"{text} (default: {default})")

    option("bind", defaults.bind, "address to listen on; loopback unless --allow-remote")
    option("port", defaults.port, "port to listen on; 0 picks a free one")
    option("state-dir", str(default_state_dir(env)), "where objects, logs and pod directories live")
    parser.add_argument(
        "--kubeconfig",
        default=env.get(PREFIX + "KUBECONFIG"),
        help="where to write the kubeconfig (default: kubeconfig in the state directory)",
    )
    option("nodes", defaults.nodes, "number of nodes to show")
    option("node-cpu", defaults.node_cpu, "cpu capacity of each node, as a quantity")
    option("node-memory", defaults.node_memory, "memory capacity of each node, as a quantity")
    option("node-pods", defaults.node_pods, "pods each node takes")
    option("node-resources", "", "more capacities, for example nvidia.com/gpu=2,example.com/disk=10Gi")
    option("start-delay", defaults.start_delay, "seconds to wait before a pod's first start, to simulate slow starts")
    option("backoff-base", defaults.backoff_base, "first wait of a failed Job index or crashing container, in seconds")
    option("backoff-cap", defaults.backoff_cap, "longest wait of a failed Job index, in seconds")
    option("log-limit", defaults.log_limit, "bytes of log kept per container")
    option("max-connections", defaults.max_connections, "connections served at once; a watch holds one")
    option("shutdown-grace", defaults.shutdown_grace, "seconds pods get to end when the server is stopped")
    option("runtime", defaults.runtime, "what a pod is: process (of this machine) or docker (a container of an engine)")
    parser.add_argument(
        "--docker-host",
        default=env.get(PREFIX + "DOCKER_HOST") or env.get("DOCKER_HOST") or defaults.docker_host,
        help=f"the engine's socket; DOCKER_HOST is looked at, too (default: {defaults.docker_host})",
    )
    option("docker-network", defaults.docker_network, "network of the pods' containers; host: this machine's own")
    option("log-level", defaults.log_level, f"one of {', '.join(LEVELS)}")
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        default=env.get(PREFIX + "ALLOW_REMOTE", "").lower() in ("1", "true", "yes"),
        help="allow binding to an address other than loopback: whoever has the token runs commands on this machine",
    )
    given = parser.parse_args(argv)
    state_dir = Path(str(given.state_dir)).expanduser().absolute()
    kubeconfig = Path(str(given.kubeconfig)).expanduser().absolute() if given.kubeconfig else state_dir / "kubeconfig"
    settings = Settings(
        state_dir=state_dir,
        kubeconfig=kubeconfig,
        bind=str(given.bind),
        port=int(_number("port", given.port, 0, 65535)),
        allow_remote=bool(given.allow_remote),
        nodes=int(_number("nodes", given.nodes, 1, 1000)),
        node_cpu=str(given.node_cpu),
        node_memory=str(given.node_memory),
        node_pods=int(_number("node-pods", given.node_pods, 1, 100_000)),
        node_resources=_resources(str(given.node_resources)),
        start_delay=_number("start-delay", given.start_delay, 0, 3600),
        backoff_base=_number("backoff-base", given.backoff_base, 0, 3600),
        backoff_cap=_number("backoff-cap", given.backoff_cap, 0, 86400),
        log_limit=int(_number("log-limit", given.log_limit, 4096, 2**40)),
        max_connections=int(_number("max-connections", given.max_connections, 4, 10_000)),
        shutdown_grace=_number("shutdown-grace", given.shutdown_grace, 0, 600),
        runtime=str(given.runtime),
        docker_host=str(given.docker_host),
        docker_network=str(given.docker_network),
        log_level=str(given.log_level),
    )
    _check(settings)
    return settings


def pod_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What every container inherits: a PATH that begins with this interpreter's directory, and the locale."""
    env = os.environ if environ is None else environ
    path = env.get("PATH") or os.defpath
    base = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{path}"}
    for name in ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        if name in env:
            base[name] = env[name]
    return base


def _number(name: str, value: object, low: float, high: float) -> float:
    try:
        number = float(str(value))
    except ValueError as error:
        raise ConfigError(f"{name} must be a number: {value!r}") from error
    if not low <= number <= high:
        raise ConfigError(f"{name} must be between {low:g} and {high:g}: {value!r}")
    return number


def _resources(text: str) -> tuple[tuple[str, str], ...]:
    found = []
    for part in text.split(","):
        if part.strip():
            name, sign, amount = part.partition("=")
            if not sign:
                raise ConfigError(f"node-resources must be NAME=QUANTITY,...: {text!r}")
            found.append((name.strip(), amount.strip()))
    return tuple(found)


def _check(settings: Settings) -> None:
    if settings.runtime not in RUNTIMES:
        raise ConfigError(f"runtime must be one of {', '.join(RUNTIMES)}: {settings.runtime!r}")
    if not settings.docker_host.startswith(("unix://", "tcp://")):
        raise ConfigError(f"docker-host must begin with unix:// or tcp://: {settings.docker_host!r}")
    if settings.log_level not in LEVELS:
        raise ConfigError(f"log-level must be one of {', '.join(LEVELS)}: {settings.log_level!r}")
    try:
        loopback = settings.bind == "localhost" or ip_address(settings.bind).is_loopback
    except ValueError as error:
        raise ConfigError(f"bind must be an IP address: {settings.bind!r}") from error
    if not loopback and not settings.allow_remote:
        raise ConfigError(
            f"{settings.bind} is not a loopback address; --allow-remote is needed to serve other machines"
        )
    amounts = [("cpu", settings.node_cpu), ("memory", settings.node_memory), *settings.node_resources]
    for name, amount in amounts:
        try:
            positive = parse_quantity(amount) > Fraction(0)
        except ValueError as error:
            raise ConfigError(f"the capacity of {name} is {error}") from error
        if not positive:
            raise ConfigError(f"the capacity of {name} must be positive: {amount!r}")
