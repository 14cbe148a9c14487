"""What the stack consists of: each part's command, environment and health address. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.stack.ports import LOOPBACK

SERVICES = ("manager", "controller", "monitor", "visualizer")
DEFAULT_PORTS = {
    "redis": 6379,
    "cluster": 6443,
    "manager": 1500,
    "controller": 5000,
    "monitor": 5001,
    "visualizer": 5002,
}


@dataclass(frozen=True)
class Part:
    """One process of the stack. ``ready`` is the address that answers 200 when it is up ('' for Redis: see port)."""

    name: str
    argv: tuple[str, ...]
    port: int
    ready: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """Everything that decides the parts: ports by part, directories, programs and secrets."""

    home: Path
    ports: Mapping[str, int]
    python: str
    redis_server: str
    redis_password: str
    service_token: str
    cluster_key: str
    log_level: str = "info"
    admin_token: str = ""
    """What makes the first users; '' when nobody has to log in."""
    capacity: int | None = None
    """Most replicas of all submissions together, None for what the local cluster offers."""

    def url(self, part: str) -> str:
        """The REST address of a service."""
        return f"http://{LOOPBACK}:{self.ports[part]}"

    @property
    def redis_url(self) -> str:
        return f"redis://:{self.redis_password}@{LOOPBACK}:{self.ports['redis']}/0"

    @property
    def kubeconfig(self) -> Path:
        return self.home / "kubeconfig"

    @property
    def redis_config(self) -> Path:
        return self.home / "redis.conf"


def redis_config(layout: Layout) -> str:
    """The text of redis.conf: loopback, a password, an append-only file synced each second."""
    lines = (
        f"bind {LOOPBACK}",
        f"port {layout.ports['redis']}",
        f"dir {layout.home / 'redis'}",
        f"requirepass {layout.redis_password}",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "daemonize no",
    )
    return "\n".join(lines) + "\n"


def parts(layout: Layout) -> list[Part]:
    """The parts in the order to start them; ending goes the other way round."""
    return [
        Part("redis", (layout.redis_server, str(layout.redis_config)), layout.ports["redis"]),
        _cluster(layout),
        *(_service(layout, name) for name in ("controller", "monitor", "visualizer", "manager")),
    ]


def _cluster(layout: Layout) -> Part:
    port = layout.ports["cluster"]
    argv = (
        *(layout.python, "-m", "localcluster"),
        *("--port", str(port)),
        *("--state-dir", str(layout.home / "cluster")),
        *("--kubeconfig", str(layout.kubeconfig)),
    )
    return Part("cluster", argv, port)


def _service(layout: Layout, name: str) -> Part:
    port = layout.ports[name]
    environment = {
        "ASPERATHOS_REDIS_URL": layout.redis_url,
        "ASPERATHOS_SERVICE_TOKEN": layout.service_token,
        "ASPERATHOS_CLUSTER_KEY": layout.cluster_key,
        "ASPERATHOS_KUBECONFIG": str(layout.kubeconfig),
        "ASPERATHOS_LOG_LEVEL": layout.log_level,
        "ASPERATHOS_LOG_JSON": "true",
        "ASPERATHOS_ALLOW_LOCAL_FILES": "true",
        "ASPERATHOS_AUTHENTICATION": "on" if layout.admin_token else "off",
        "ASPERATHOS_ADMIN_TOKEN": layout.admin_token,
        # Its users' data is on this machine.
        "ASPERATHOS_OUTBOUND_DENY": "[]",
        "ASPERATHOS_QUEUE_COMMAND": f'["{layout.redis_server}"]',
        **{f"ASPERATHOS_{other.upper()}_URL": layout.url(other) for other in SERVICES},
        **({} if layout.capacity is None else {"ASPERATHOS_CAPACITY": f'{{"*": {layout.capacity}}}'}),
    }
    argv = (layout.python, "-m", name, "--port", str(port))
    return Part(name, argv, port, f"{layout.url(name)}/readyz", environment)
