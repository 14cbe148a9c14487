"""Runs in a pod, as ``python3 -c <this> URL...``: says of each URL whether something answers there.

Standard library only, for any Python from 3.8 on. One JSON object a line: url, ok, message. A Redis need not let us in,
a manager has to say that it is well.
"""

import json
import socket
import ssl
import sys
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

TIMEOUT = 5.0
PING = b"*1\r\n$4\r\nPING\r\n"


def ask_redis(url: str) -> tuple[bool, str]:
    """Whether a Redis answers there, be it that it asks for a password."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 6379
    with socket.create_connection((host, port), TIMEOUT) as plain:
        channel = plain
        if parts.scheme == "rediss":
            channel = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        channel.sendall(PING)
        answer = channel.recv(200)
    if answer[:1] in (b"+", b"-"):
        return True, "answers"
    return False, f"answers, but not as a Redis does: {answer[:50]!r}"


def ask_http(url: str) -> tuple[bool, str]:
    """Whether what is there is well."""
    try:
        # Not by way of a proxy: workers' curl would not go there either.
        with build_opener(ProxyHandler({})).open(url.rstrip("/") + "/healthz", timeout=TIMEOUT):
            return True, "answers"
    except HTTPError as error:
        return False, f"answers {error.code}: is it the manager?"


def ask(url: str) -> tuple[bool, str]:
    """Never raises for what is not there."""
    try:
        return ask_redis(url) if url.startswith("redis") else ask_http(url)
    except (OSError, ValueError) as error:
        return False, str(getattr(error, "reason", "") or error) or type(error).__name__


def main() -> None:
    """One line for each argument."""
    for url in sys.argv[1:]:
        ok, message = ask(url)
        sys.stdout.write(json.dumps({"url": url, "ok": ok, "message": message}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
