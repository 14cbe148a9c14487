"""Forwards connections to Services to their pods: what kube-proxy is on a real node, for TCP on loopback.

One thread with an event loop. A Service's port is listened on only while a pod is ready behind it, so that clients are
refused at once otherwise, as on a real cluster. Connections under way outlive a change of routes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from localcluster.log import Log
from localcluster.services import Address, Routes

_CHUNK = 1 << 16
_CONNECT_SECONDS = 5.0
_RETRY_SECONDS = 2.0
_CLOSE_SECONDS = 2.0


class ServiceProxy:
    """``follow`` may be called from any thread."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="service-proxy", daemon=True)
        self._routes: Routes = {}
        self._servers: dict[Address, asyncio.Server] = {}
        self._turns: dict[Address, int] = {}
        self._connections: set[asyncio.Task[Any]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._updating = asyncio.Lock()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def follow(self, routes: Routes) -> None:
        """Have these routes from now on; returns at once."""
        self._submit(self._apply(dict(routes)))

    def close(self) -> None:
        """End every listener and connection."""
        done = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        with suppress(TimeoutError):
            done.result(_CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    def _submit(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _apply(self, routes: Routes) -> None:
        async with self._updating:
            self._routes = routes
            for address in self._servers.keys() - routes.keys():
                self._servers.pop(address).close()
                self._turns.pop(address, None)
            missing = routes.keys() - self._servers.keys()
            for address in missing:
                await self._listen(address)
        if routes.keys() - self._servers.keys() and self._retry is None:
            self._retry = self._loop.call_later(_RETRY_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._submit(self._apply(self._routes))

    async def _listen(self, address: Address) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._forward(address, reader, writer)

        try:
            self._servers[address] = await asyncio.start_server(serve, *address)
        except OSError as error:
            self._log.warning("service_not_served", address=f"{address[0]}:{address[1]}", error=str(error))

    async def _forward(self, address: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        pod_writer: asyncio.StreamWriter | None = None
        try:
            pod = self._next_pod(address)
            if pod is None:
                return
            pod_reader, opened = await asyncio.wait_for(asyncio.open_connection(*pod), _CONNECT_SECONDS)
            pod_writer = opened
            await asyncio.gather(_copy(reader, opened), _copy(pod_reader, writer))
        except (OSError, TimeoutError):
            # Broken on one side: the other side is told by the end of its connection.
            return
        finally:
            self._connections.discard(task)
            for end in (writer, pod_writer):
                if end is not None:
                    end.close()

    def _next_pod(self, address: Address) -> Address | None:
        pods = self._routes.get(address)
        if not pods:
            return None
        turn = self._turns.get(address, 0)
        self._turns[address] = turn + 1
        return pods[turn % len(pods)]

    async def _end(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        left = list(self._connections)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction until its end, which is passed on; the other direction may go on."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
