"""A private embedded cluster: its own process, port and state directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class LocalClusterProcess:
    """``backoff`` in seconds: the first wait of a failed Job index."""

    def __init__(self, directory: Path, backoff: float = 0.3) -> None:
        self.directory = directory
        self.kubeconfig = directory / "kubeconfig"
        self._backoff = backoff
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it serves."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "localcluster"),
                    *("--state-dir", str(self.directory / "state"), "--kubeconfig", str(self.kubeconfig)),
                    *("--backoff-base", str(self._backoff), "--shutdown-grace", "1"),
                ],
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        end = time.monotonic() + 30
        while not self.kubeconfig.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(
                    f"localcluster does not start: {(self.directory / 'server.log').read_text()[-2000:]}"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """SIGTERM, and wait for it."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """It does not answer any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It answers again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
        self._process.wait(timeout=20)
        self._process = None
