"""One WebSocket: the handshake, requests and their answers, and what is pushed in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from envelopes import Malformed, Table, decode, encode
from generated import schema

PROTOCOL_VERSION = 1
NAME = "trunkline-example-python/1"
FRAME_BYTES_MAX = 65_536
REQUESTS_OUTSTANDING_MAX = 16
ANSWER_PATIENCE_S = 30.0
CONNECT_PATIENCE_S = 10.0
# After these close codes the same client with the same token comes to the same end.
FINAL_CLOSES = {1002, 1003, 1007, 1008, 1009, 4001, 4002, 4003, 4004}


class Refused(Exception):
    """The server has answered with an error."""

    def __init__(self, code: int, name: str, retry_after_ms: int = 0) -> None:
        super().__init__(f"{name} ({code})")
        self.code = code
        self.name = name
        self.retry_after_ms = retry_after_ms


class Lost(Exception):
    """The connection has ended, or takes too long: whatever was asked may have been done or not."""


class Rejected(Exception):
    """The server wants nothing more of this client: wrong token, or a bug on one of the sides."""


class Connection:
    """From Hello to the end of the socket. At most 16 requests wait for their answers, others wait for their turn."""

    def __init__(self, socket: ClientConnection, take_push: Callable[[Table], None]) -> None:
        self._socket = socket
        self._take_push = take_push
        self._number = 0
        self._answers: dict[int, asyncio.Future[Table]] = {}
        self._turns = asyncio.Semaphore(REQUESTS_OUTSTANDING_MAX)
        self._reader = asyncio.create_task(self._read())
        # Of GoAway: the client does not come back earlier.
        self.retry_after_ms = 0

    @classmethod
    async def open(cls, url: str, token: str, take_push: Callable[[Table], None]) -> tuple[Connection, schema.WelcomeT]:
        """Connects and says Hello. `take_push` is called with everything pushed, in order; it must not block."""
        path = "" if "/" in url.removeprefix("ws://").removeprefix("wss://") else "/v1/ws"
        try:
            socket = await connect(
                url + path,
                open_timeout=CONNECT_PATIENCE_S,
                max_size=FRAME_BYTES_MAX,
                compression=None,
                proxy=None,
            )
        except (OSError, WebSocketException) as error:
            raise Lost(str(error)) from error
        connection = cls(socket, take_push)
        try:
            welcome = await connection.ask(schema.HelloT(PROTOCOL_VERSION, token, NAME))
        except BaseException:
            await connection.close()
            raise
        return connection, welcome

    async def ask(self, request: Table) -> Table:
        """Sends a request and gives its answer. Raises `Refused` for an error, `Lost` where there is no answer."""
        async with self._turns:
            self._number += 1
            number = self._number
            answer: asyncio.Future[Table] = asyncio.get_running_loop().create_future()
            self._answers[number] = answer
            try:
                if self._reader.done():
                    raise Lost("the connection has ended")
                await self._socket.send(encode(number, request))
                table = await asyncio.wait_for(answer, ANSWER_PATIENCE_S)
            except (ConnectionClosed, TimeoutError) as error:
                # Without an answer in time this connection is no good: the next one begins anew.
                self.cut()
                raise Lost(str(error)) from error
            finally:
                del self._answers[number]
        if isinstance(table, schema.ErrorT):
            raise Refused(table.code, table.message or "", table.retryAfterMs)
        return table

    async def ended(self) -> None:
        """Returns when the connection has ended. Raises `Rejected` if it is no use to come back."""
        await asyncio.wait([self._reader])
        code = self._socket.close_code
        if code in FINAL_CLOSES:
            raise Rejected(f"{code} {self._socket.close_reason}")

    async def close(self) -> None:
        """Ends the connection in order."""
        await self._socket.close()
        await asyncio.wait([self._reader])

    def cut(self) -> None:
        """Ends the TCP connection at once, without a word to the other side, as a tunnel does to a train."""
        self._socket.transport.abort()

    async def _read(self) -> None:
        try:
            with contextlib.suppress(ConnectionClosed):
                async for envelope in self._socket:
                    self._take(envelope)
        except Malformed:
            await self._socket.close(1002, "no envelope")
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(Lost("the connection has ended"))

    def _take(self, envelope: str | bytes) -> None:
        if isinstance(envelope, str):
            raise Malformed("text")
        request, table = decode(envelope)
        if table is None:
            return
        if isinstance(table, schema.GoAwayT):
            self.retry_after_ms = table.retryAfterMs
        elif request == 0:
            self._take_push(table)
        elif (answer := self._answers.get(request)) is not None and not answer.done():
            answer.set_result(table)
