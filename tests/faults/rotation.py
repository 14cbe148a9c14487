"""What a Service of Kubernetes does for its clients, on loopback: each new connection goes to the next instance that is
in rotation. Nothing is tried twice."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Sequence
from types import TracebackType

from tests.support.tcp_relay import pump


class Rotation:
    """A listener before several ports of loopback."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._lock = threading.Lock()
        self._ports = list(ports)
        self._turn = itertools.count()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Rotation:
        threading.Thread(target=self._serve, name="rotation", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def withdraw(self, port: int) -> None:
        """No new connections go there; those that are open stay."""
        with self._lock:
            self._ports.remove(port)

    def restore(self, port: int) -> None:
        with self._lock:
            self._ports.append(port)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                port = self._ports[next(self._turn) % len(self._ports)]
            threading.Thread(target=_relay, args=(client, port), daemon=True).start()


def _relay(client: socket.socket, port: int) -> None:
    with client:
        try:
            server = socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            return
        with server:
            server.settimeout(None)
            pump(client, server)
