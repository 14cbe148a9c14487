"""A whole stack, started as a user starts it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack_process import StackProcess


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """One stack for all tests that do not hurt it."""
    running = StackProcess(tmp_path_factory.mktemp("stack"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[StackProcess]:
    """A stack of this test's own: its parts may be killed."""
    running = StackProcess(tmp_path / "home")
    running.start()
    yield running
    running.stop()


class FileSite:
    """A little web site: ``put`` a text, get its URL."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self._port = port

    def put(self, name: str, content: bytes) -> str:
        (self._directory / name).write_bytes(content)
        return f"http://127.0.0.1:{self._port}/{name}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FileSite]:
    """Serves workloads over http."""
    directory = tmp_path / "site"
    directory.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, directory=str(directory), **named)  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield FileSite(directory, server.server_address[1])
    server.shutdown()
    server.server_close()
    thread.join(5)
