"""A manager that answers what a test tells it to: for the command line on a terminal, without a stack."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any

Answer = tuple[int, Any]


class ScriptedManager:
    """Serves on a free port. ``answers`` maps paths without queries to what makes the answer: status and document."""

    def __init__(self, answers: dict[str, Callable[[], Answer]]) -> None:
        self.asked: list[str] = []
        manager = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                manager.asked.append(self.path)
                make = answers.get(self.path.partition("?")[0])
                status, document = (404, {"error_message": "there is no such thing"}) if make is None else make()
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
