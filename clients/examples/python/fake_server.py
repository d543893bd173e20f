"""A server for the tests of this example: what PROTOCOL says, in memory, and as unkind as a network can be.

It cuts connections before and after it has done what was asked, drops what it pushes, and forgets nothing but sessions.
It is no model of the real server, which tests/e2e runs against the same client.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import random
import struct
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from envelopes import Table, conversation_id, conversation_text, decode, encode
from generated import schema

PAGE_CONVERSATIONS_MAX = 2
PAGE_MESSAGES_MAX = 7
NOT_FOUND, BUSY, CONFLICT, OUT_OF_ORDER, FORBIDDEN = 8, 6, 14, 15, 21


@dataclass
class Held:
    """A conversation: what its log says."""

    id: str
    kind: int
    title: str
    # user -> [joined_seq, left_seq or 0, role]
    windows: dict[int, list[int]]
    rows: list[Table] = field(default_factory=list)

    def window(self, user: int) -> tuple[int, int]:
        joined, left, _ = self.windows[user]
        return joined, left or 1 << 63


@dataclass
class Session:
    """A connection of a user. A lagging one gets no pushes."""

    socket: ServerConnection
    user: int
    lagging: bool = False


class FakeServer:
    """Tokens are the users' numbers in decimal, all with device 1."""

    def __init__(self, seed: int, trouble: float = 0.0) -> None:
        self.dice = random.Random(seed)
        # How likely each piece of bad luck is.
        self.trouble = trouble
        self.conversations: dict[str, Held] = {}
        # user -> conversation -> user_seq of its latest change
        self.lists: dict[int, dict[str, int]] = {}
        self.numbers: dict[int, int] = {}
        self.told: dict[int, int] = {}
        self.sessions: list[Session] = []
        self.clock = itertools.count(1_700_000_000_000)
        self.forget_empty = False
        self.counts = {"cut": 0, "lagged": 0, "busy": 0, "resync": 0}

    async def start(self, port: int = 0) -> tuple[Server, str]:
        server = await serve(self.session, "127.0.0.1", port, compression=None)
        return server, "ws://127.0.0.1:{}".format(next(iter(server.sockets)).getsockname()[1])

    # --- connections ------------------------------------------------------------------------------------------------

    async def session(self, socket: ServerConnection) -> None:
        number, hello = decode(await self.receive(socket))
        session = Session(socket, int(hello.token))
        self.sessions.append(session)
        await socket.send(encode(number, schema.WelcomeT(1, session.user, 1, 7)))
        tick = asyncio.create_task(self.tick(session))
        with contextlib.suppress(ConnectionClosed, ConnectionAbortedError):
            while True:
                number, request = decode(await self.receive(socket))
                self.perhaps_cut(session)
                answer = self.answer(session, request)
                self.perhaps_cut(session)
                await socket.send(encode(number, answer))
        self.sessions.remove(session)
        tick.cancel()

    async def receive(self, socket: ServerConnection) -> bytes:
        envelope = await socket.recv()
        assert isinstance(envelope, bytes), "only binary is spoken"
        return envelope

    def unlucky(self) -> bool:
        return self.dice.random() < self.trouble

    def perhaps_cut(self, session: Session) -> None:
        if self.unlucky():
            self.counts["cut"] += 1
            session.socket.transport.abort()
            raise ConnectionAbortedError

    async def tick(self, session: Session) -> None:
        """What the home of a user does every `list_every_ms`."""
        told = self.numbers.get(session.user, 0)
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(0.02)
                newest = self.numbers.get(session.user, 0)
                if session.lagging and not self.unlucky():
                    session.lagging = False
                    await session.socket.send(encode(0, schema.AdvancedT(newest, newest, [])))
                elif newest > told and not session.lagging:
                    rows = self.lists[session.user].items()
                    places = [
                        schema.PlaceT(conversation_id(id), self.last_seq(self.conversations[id], session.user))
                        for id, user_seq in rows
                        if user_seq > told
                    ]
                    await session.socket.send(encode(0, schema.AdvancedT(told, newest, places)))
                told = newest

    def push(self, users: Any, table: Table, sender: Session | None = None) -> None:
        """To all sessions of these users but the one that sent it; a session that begins to lag misses it."""
        for session in [session for session in self.sessions if session.user in users and session is not sender]:
            if not session.lagging and self.unlucky():
                session.lagging = True
                self.counts["lagged"] += 1
            # As in a large conversation, a message that is not pushed is named by an Advanced.
            if not session.lagging and not self.unlucky():
                asyncio.get_running_loop().create_task(self.push_one(session, encode(0, table)))

    async def push_one(self, session: Session, envelope: bytes) -> None:
        with contextlib.suppress(ConnectionClosed):
            await session.socket.send(envelope)

    # --- requests ---------------------------------------------------------------------------------------------------

    def answer(self, session: Session, request: Table) -> Table:
        name = type(request).__name__.removesuffix("T").lower()
        if name != "done" and self.unlucky():
            self.counts["busy"] += 1
            return schema.ErrorT(BUSY, "busy", 1)
        answer: Table = getattr(self, f"do_{name}")(session, request)
        return answer

    def find(self, session: Session, request: Table) -> Held | None:
        held = self.conversations.get(conversation_text(request.conversation))
        return held if held and session.user in held.windows else None

    def last_seq(self, held: Held, user: int) -> int:
        return min(len(held.rows), held.window(user)[1])

    def do_open(self, session: Session, request: Table) -> Table:
        if request.peer:
            low, high = sorted((session.user, request.peer))
            id = hashlib.sha256(b"trunkline/1:1" + struct.pack(">IQQ", 0, low, high)).hexdigest()[:32]
            windows = {user: [1, 0, 1] for user in (low, high)}
            held = self.conversations.setdefault(id, Held(id, 1, "", windows))
        else:
            found = self.find(session, request)
            if found is None:
                return schema.ErrorT(NOT_FOUND, "not_found", 0)
            held = found
        return self.opened(session, held)

    def opened(self, session: Session, held: Held) -> Table:
        joined, left, role = held.windows[session.user]
        high = self.high(held, session.user)
        return schema.OpenedT(
            conversation=conversation_id(held.id),
            kind=held.kind,
            epoch=1,
            lastSeq=self.last_seq(held, session.user),
            high=high.number if high else 0,
            highMessageId=high.messageId if high else 0,
            peer=next((user for user in held.windows if user != session.user), 0) if held.kind == 1 else 0,
            title=held.title,
            members=len(held.windows),
            role=role,
            joinedSeq=joined,
            leftSeq=left,
        )

    def high(self, held: Held, user: int) -> Any:
        mine = [row for row in held.rows if row.sender == user and row.kind == 1]
        return max(mine, key=lambda row: row.number, default=None)

    def do_send(self, session: Session, request: Table) -> Table:
        held = self.find(session, request)
        if held is not None and not held.rows and self.forget_empty:
            self.forget_empty = False
            del self.conversations[held.id]
            held = None
        if held is None:
            return schema.ErrorT(NOT_FOUND, "not_found", 0)
        ack = schema.AckT(request.conversation, 1, [], 0)
        for message in request.messages:
            row, refusal = self.judge(session, held, message)
            if row is None:
                high = self.high(held, session.user)
                ack.refusal, ack.retryAfterMs, ack.high = refusal, refusal == BUSY, high.number if high else 0
                break
            ack.accepted.append(schema.AcceptedT(message.clientSeq, row.seq, row.tsMs))
        return ack

    def judge(self, session: Session, held: Held, message: Table) -> tuple[Table | None, int]:
        mine = {row.number: row for row in held.rows if row.sender == session.user and row.kind == 1}
        if (row := mine.get(message.clientSeq)) is not None:
            return (row, 0) if row.messageId == message.messageId else (None, CONFLICT)
        if held.windows[session.user][1]:
            return None, FORBIDDEN
        if message.clientSeq != len(mine) + 1:
            return None, OUT_OF_ORDER
        if self.unlucky():
            return None, BUSY
        row = self.append(held, session, 1, message.body, message.messageId, message.clientSeq)
        return row, 0

    def append(
        self, held: Held, session: Session, kind: int, body: list[int], message_id: int, number: int = 0
    ) -> Table:
        row: Table = schema.MessageT(
            conversation_id(held.id),
            1,
            len(held.rows) + 1,
            next(self.clock),
            session.user,
            1,
            message_id,
            kind,
            0,
            body,
        )
        row.number = number
        held.rows.append(row)
        seeing = [user for user in held.windows if held.window(user)[0] <= row.seq <= held.window(user)[1]]
        for user in seeing:
            self.change(user, held.id)
        self.push(seeing, row, session if kind == 1 else None)
        return row

    def change(self, user: int, conversation: str) -> None:
        # Numbers may be left out.
        self.numbers[user] = self.numbers.get(user, 0) + self.dice.randint(1, 3)
        self.lists.setdefault(user, {})[conversation] = self.numbers[user]

    def do_history(self, session: Session, request: Table) -> Table:
        held = self.find(session, request)
        if held is None:
            return schema.ErrorT(NOT_FOUND, "not_found", 0)
        joined, left = held.window(session.user)
        seen = [row for row in held.rows if joined <= row.seq <= left]
        limit = min(request.limit, PAGE_MESSAGES_MAX)
        if request.backward:
            seen = [row for row in seen if row.seq <= request.fromSeq or not request.fromSeq]
            rows, more = seen[-limit:], len(seen) > limit
        else:
            seen = [row for row in seen if row.seq >= request.fromSeq]
            rows, more = seen[:limit], len(seen) > limit
        return schema.HistoryPageT(request.conversation, 1, rows, more, self.last_seq(held, session.user))

    def do_sync(self, session: Session, request: Table) -> Table:
        newest = self.numbers.get(session.user, 0)
        resync = request.position > newest
        self.counts["resync"] += resync
        position = 0 if resync else request.position
        rows = sorted(((seq, id) for id, seq in self.lists.get(session.user, {}).items()), reverse=True)
        rows = [(seq, id) for seq, id in rows if seq > position and (seq < request.below or not request.below)]
        limit = min(request.limit, PAGE_CONVERSATIONS_MAX)
        page = []
        for user_seq, id in rows[:limit]:
            held = self.conversations[id]
            joined, left, _ = held.windows[session.user]
            last_seq = self.last_seq(held, session.user)
            page.append(
                schema.SummaryT(conversation_id(id), held.kind, 0, last_seq, user_seq, 0, joined, left, held.title)
            )
        return schema.SyncedT(position, newest, page, len(rows) > limit, resync)

    def do_creategroup(self, session: Session, request: Table) -> Table:
        id = hashlib.sha256(b"trunkline/group" + struct.pack(">IQQ", 0, session.user, request.nonce)).hexdigest()[:32]
        if id not in self.conversations:
            windows = {user: [1, 0, 1] for user in request.members} | {session.user: [1, 0, 2]}
            held = self.conversations.setdefault(id, Held(id, 2, request.title, windows))
            body = self.body(1, request.members, request.title)
            self.append(held, session, 2, body, self.dice.getrandbits(63))
        return self.opened(session, self.conversations[id])

    def do_changemembers(self, session: Session, request: Table) -> Table:
        held = self.find(session, request)
        if held is None:
            return schema.ErrorT(NOT_FOUND, "not_found", 0)
        is_in = {user for user, window in held.windows.items() if not window[1]}
        users = [user for user in request.users if (user in is_in) == (request.change == 3)]
        if not users:
            return schema.MembersChangedT(request.conversation, 1, 0)
        seq = len(held.rows) + 1
        for user in users:
            if request.change == 2:
                held.windows[user] = [seq, 0, 1]
            else:
                held.windows[user][1:] = [seq, 0]
        self.append(held, session, 2, self.body(request.change, users, ""), self.dice.getrandbits(63))
        return schema.MembersChangedT(request.conversation, 1, seq)

    def body(self, change: int, users: list[int], title: str) -> list[int]:
        builder = flatbuffers.Builder()
        table: Table = schema.MembershipChangeT(change, users, title)
        builder.Finish(table.Pack(builder))
        return list(builder.Output())

    def do_report(self, session: Session, request: Table) -> Table:
        for receipt in request.receipts or []:
            held = self.find(session, receipt)
            if held is not None:
                told = schema.UserReceiptT(session.user, receipt.deliveredSeq, receipt.readSeq)
                self.push(held.windows, schema.ReceiptsT(receipt.conversation, [told]), session)
        return schema.DoneT()

    def do_typing(self, session: Session, request: Table) -> Table:
        held = self.find(session, request)
        if held is not None:
            self.push(held.windows, schema.TypingNowT(request.conversation, session.user, 5_000), session)
        return schema.DoneT()
