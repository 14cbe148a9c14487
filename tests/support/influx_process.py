"""A private InfluxDB server process: Debian's ``influxd`` (1.6), on PATH or unpacked by .ci/run, else a skip."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import requests

UNPACKED = Path(__file__).resolve().parent.parent.parent / ".asperathos" / "debian" / "usr" / "bin"
"""Where .ci/run unpacks servers, so that no service of the machine is installed or started."""


def find_server(name: str) -> str:
    """The program's path. Skips the test, loudly, when there is none."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        pytest.skip(f"{name} IS NOT INSTALLED: what needs it is NOT tested (see .ci/run)")
    return found


class InfluxProcess:
    """Listens on a free port of 127.0.0.1 with its data in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = find_server("influxd")
        places = {"META_DIR": "meta", "DATA_DIR": "data", "DATA_WAL_DIR": "wal"}
        environment = {
            **{f"INFLUXDB_{name}": str(self.directory / place) for name, place in places.items()},
            "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{self.port}",
            # The port for backups: any.
            "INFLUXDB_BIND_ADDRESS": "127.0.0.1:0",
            "INFLUXDB_REPORTING_DISABLED": "true",
            "INFLUXDB_MONITOR_STORE_ENABLED": "false",
            "INFLUXDB_HTTP_LOG_ENABLED": "true",
            "INFLUXDB_HTTP_ACCESS_LOG_PATH": str(self.directory / "access.log"),
        }
        with (self.directory / "influxd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "run"], stdout=log, stderr=log, env={**os.environ, **environment}, cwd=self.directory
            )
        end = time.monotonic() + 30
        while True:
            try:
                requests.get(f"{self.url}/ping", timeout=2)
                return
            except requests.ConnectionError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def requests_of(self, path: str) -> int:
        """How many requests the server logged whose path begins like that."""
        return (self.directory / "access.log").read_text().count(f" {path}")

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=20)
            self._process = None
