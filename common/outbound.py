"""HTTP to addresses that users name: each connection goes to an address that was looked at, and that one only.

The name is resolved once, what it resolves to is checked, and the connection is made to just that: a name that leads
somewhere else a moment later (DNS rebinding) is of no use. Redirects make connections of their own and are checked
like any other.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from common.domain.outbound import Outbound


class AddressRefused(ValueError):
    """The operator allows nobody to be led there."""

    def __init__(self, host: str) -> None:
        super().__init__(f"the operator does not allow addresses at {host[:100]} (ASPERATHOS_OUTBOUND_ALLOW)")


def outbound_session(rules: Outbound) -> requests.Session:
    """A session that connects to what the rules allow; it may raise AddressRefused beside what requests raises.

    With a proxy, which resolves names itself, only what an address says by itself is looked at.
    """
    session = requests.Session()
    # Neither a proxy nor .netrc credentials of the service's account are given to a stranger's URL.
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(rules))
    return session


class _Adapter(HTTPAdapter):
    def __init__(self, rules: Outbound) -> None:
        self._rules = rules
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._rules)

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        host = urlsplit(request.url or "").hostname or ""
        if self._rules.refuses_name(host):
            raise AddressRefused(host)
        return super().send(request, *arguments, **options)


def _pools(rules: Outbound) -> Mapping[str, type[HTTPConnectionPool]]:
    class Connection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, rules)

    class SecureConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, rules)

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": Pool, "https": SecurePool}


def _connected(connection: HTTPConnection, rules: Outbound) -> socket.socket:
    host, port = connection.host, connection.port
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(host, connection, socket.gaierror(str(error))) from error
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    # All of them: a name that has one that is refused is not trusted with the others.
    if any(rules.refuses(host, ip_address(address.partition("%")[0])) for address in addresses):
        raise AddressRefused(host)
    failure: OSError | None = None
    for address in addresses:
        try:
            return create_connection(
                (address, port),
                connection.timeout,
                source_address=connection.source_address,
                socket_options=connection.socket_options,
            )
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, f"{host} does not answer in time") from error
        except OSError as error:
            failure = error
    raise NewConnectionError(connection, f"no connection can be made: {failure}")
