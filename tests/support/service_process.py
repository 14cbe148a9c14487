"""One service as a child process, with the settings a test gives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import requests


class ServiceProcess:
    """``python -m <name>`` on a port of 127.0.0.1, or of what ``bind`` says. ``settings`` become ASPERATHOS_*
    variables."""

    def __init__(self, name: str, port: int, log: Path, *arguments: str, **settings: str) -> None:
        self.url = f"http://{settings.get('bind', '127.0.0.1')}:{port}"
        self.log = log
        self._command = [sys.executable, "-m", name, "--port", str(port), *arguments]
        self._settings = {f"ASPERATHOS_{key.upper()}": value for key, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers; raises RuntimeError with its log when it does not."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("ASPERATHOS_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env={**inherited, **self._settings},
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
            )
        end = time.monotonic() + 30
        while not self._answers():
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError(f"{self._command} did not start: {self.log.read_text()}")
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """Of the process that was started; its workers are its children."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that is not enough."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
            raise

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=2).ok
        except requests.RequestException:
            return False
