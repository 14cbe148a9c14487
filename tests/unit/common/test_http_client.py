"""The client against a real socket: a server of the standard library that answers as told."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import BaseModel

from common.domain.errors import (
    AsperathosError,
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from common.http.client import ServiceClient


class Thing(BaseModel):
    name: str


class Server(ThreadingHTTPServer):
    """Answers ``(status, body)`` from ``answers`` in turn, the last one for ever; keeps what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, bytes]] = [(200, b"{}")]
        self.asked: list[dict[str, Any]] = []
        self.delay = threading.Event()
        self.delay.set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is what some tests are about."""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.server.asked.append(
            {
                "call": f"{self.command} {self.path}",
                "body": self.rfile.read(length),
                "token": self.headers.get("Authorization"),
            }
        )
        self.server.delay.wait(10.0)
        answers = self.server.answers
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "30")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.delay.set()
    server.shutdown()
    thread.join(5.0)
    server.server_close()


@pytest.fixture
def client(server: Server) -> Iterator[ServiceClient]:
    client = ServiceClient(server.base + "/", token="t", timeout=5.0)
    yield client
    client.close()


def test_calls_carry_body_and_token(server: Server, client: ServiceClient) -> None:
    server.answers = [(202, b'{"id": "a"}'), (204, b""), (200, b'{"name": "n"}'), (200, b"[1]")]
    assert client.post("/things/a", Thing(name="ä")) == {"id": "a"}
    assert client.put("/things/a/stop") is None
    assert client.get("/things/a", Thing) == Thing(name="n")
    assert client.get_json("/things") == [1]
    assert client.delete("/things/a") == [1]
    assert [asked["call"] for asked in server.asked] == [
        "POST /things/a",
        "PUT /things/a/stop",
        "GET /things/a",
        "GET /things",
        "DELETE /things/a",
    ]
    assert json.loads(server.asked[0]["body"]) == {"name": "ä"}
    assert {asked["token"] for asked in server.asked} == {"Bearer t"}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequest),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (413, TooLarge),
        (418, Unavailable),
        (500, Unavailable),
    ],
)
def test_error_answers_become_our_errors_with_their_message(
    server: Server, client: ServiceClient, status: int, error: type[AsperathosError]
) -> None:
    server.answers = [(status, b'{"error_message": "it is so"}')]
    with pytest.raises(error, match="it is so"):
        client.put("/x")
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [502, 503, 504])
def test_passing_troubles_are_retried_post_included(server: Server, client: ServiceClient, status: int) -> None:
    server.answers = [(status, b""), (status, b""), (202, b"{}")]
    assert client.post("/x", Thing(name="n")) == {}
    assert [asked["body"] for asked in server.asked] == [server.asked[0]["body"]] * 3


def test_lasting_troubles_are_not_retried_for_ever(server: Server, client: ServiceClient) -> None:
    server.answers = [(503, b"busy")]
    with pytest.raises(Unavailable, match="busy"):
        client.put("/x")
    assert len(server.asked) == 3


@pytest.mark.parametrize("body", [b"<html>", b'{"nmae": 3}', b"[]", b""])
def test_an_answer_in_another_form_is_unavailable(server: Server, client: ServiceClient, body: bytes) -> None:
    server.answers = [(200, body)]
    with pytest.raises(Unavailable):
        client.get("/x", Thing)


def test_nobody_there_is_unavailable() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        client = ServiceClient(f"http://127.0.0.1:{probe.getsockname()[1]}", retries=1)
        with pytest.raises(Unavailable, match="does not answer"):
            client.put("/x")
        client.close()


def test_a_server_that_is_silent_is_unavailable(server: Server) -> None:
    server.delay.clear()
    client = ServiceClient(server.base, timeout=0.05, retries=1)
    with pytest.raises(Unavailable, match="does not answer"):
        client.put("/x")
    client.close()
