"""A client of Trunkline, written from docs/PROTOCOL.md alone, to be read from top to bottom.

A `Client` is one device. It stays connected, or comes back; it has every message of its conversations once and in
order; and what it is told to send is stored once. `connection.py` has one connection, `sending.py` what is sent,
`state.py` what is kept between runs, `envelopes.py` the bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from connection import Connection, Lost, Refused, Rejected
from envelopes import AGAIN, Table, conversation_id, conversation_text, user_text
from generated import schema
from sending import Sender
from state import Conversation, State, entry_of

PAGE_MESSAGES = 50
PAGE_CONVERSATIONS = 200
# How long a message below others may be late before it is asked for.
GAP_PATIENCE_S = 0.25
RETRY_FIRST_S = 0.5
RETRY_MOST_S = 60.0
# Errors of Hello with which a client does not come back: token_invalid, token_expired, protocol_version, forbidden.
FINAL_REFUSALS = {4, 5, 20, 21}


@contextlib.asynccontextmanager
async def connected(url: str, token: str, path: Path) -> AsyncIterator[Client]:
    """A client with the state of a file, connected and complete; it stays so until the end of the block."""
    client = Client(url, token, path)
    async with asyncio.TaskGroup() as tasks:
        client.start(tasks)
        try:
            await client.until(lambda: client.is_complete)
            yield client
        finally:
            await client.stop()


class Client:
    """One device. What happens comes as `events`, what there is stands in `state`."""

    def __init__(self, url: str, token: str, path: Path) -> None:
        self.url = url
        self.token = token
        self.path = path
        self.state = State.load(path)
        # What happened, in order: every message once, then receipts, typing and cuts.
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._connection: Connection | None = None
        self._connected = asyncio.Event()
        # Messages above a gap, by conversation and seq.
        self._early: dict[str, dict[int, dict[str, Any]]] = {}
        # The highest position that the server has spoken of on this connection.
        self._newest = 0
        # How often it connected, and with which of these connections it has synced.
        self._connections = 0
        self._synced_connections = 0
        self._work = asyncio.Event()
        self._watchers: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._sender = Sender(self)
        self._tasks: asyncio.TaskGroup | None = None
        self._loops: list[asyncio.Task[None]] = []

    # --- its life ---------------------------------------------------------------------------------------------------

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Connects and stays connected, with tasks of this group."""
        self._tasks = tasks
        self._loops = [tasks.create_task(self._stay_connected()), tasks.create_task(self._mend())]
        for conversation in self.state.conversations.values():
            self._sender.wake(tasks, conversation)

    async def stop(self) -> None:
        """Ends all of that, in order, and saves the state."""
        for loop in self._loops:
            loop.cancel()
        self._sender.cancel()
        if self._connection is not None:
            await self._connection.close()
        self.state.save(self.path)

    @property
    def is_complete(self) -> bool:
        """Whether it has caught up since it connected the last time."""
        return 0 < self._connections == self._synced_connections

    async def _stay_connected(self) -> None:
        """PROTOCOL, "Coming back": a random wait below a bound that doubles with each failure."""
        failures = 0
        while True:
            retry_after_ms = 0
            try:
                self._connection, welcome = await Connection.open(self.url, self.token, self._take_push)
                failures = 0
                self._begin(welcome)
                await self._connection.ended()
                retry_after_ms = self._connection.retry_after_ms
            except Lost:
                failures += 1
            except Refused as refused:
                if refused.code in FINAL_REFUSALS:
                    raise Rejected(refused.name) from refused
                failures += 1
                retry_after_ms = refused.retry_after_ms
            if self._connected.is_set():
                self._connected.clear()
                self._tell({"event": "cut"})
            bound = min(RETRY_MOST_S, RETRY_FIRST_S * 2**failures)
            await asyncio.sleep(max(random.uniform(0, bound), retry_after_ms / 1_000))

    def _begin(self, welcome: schema.WelcomeT) -> None:
        if self.state.user not in (0, welcome.user):
            raise Rejected(f"{self.path} is of another user")
        self.state.user, self.state.device = welcome.user, welcome.device
        # Of the time without a connection nothing is pushed: whatever this client has, it has to ask.
        self._newest = 0
        self._connections += 1
        self._connected.set()
        self._work.set()

    def cut(self) -> None:
        """Ends the TCP connection abruptly; the client comes back by itself."""
        if self._connection is not None:
            self._connection.cut()

    async def ask(self, request: Table) -> Table:
        """Asks until there is an answer: later, where the server says so, and on the next connection, where this one
        ends. All requests of the protocol may be repeated. Raises `Refused` for what is final."""
        while True:
            await self._connected.wait()
            assert self._connection is not None
            try:
                return await self._connection.ask(request)
            except Refused as refused:
                if refused.code not in AGAIN:
                    raise
                await asyncio.sleep(refused.retry_after_ms / 1_000 * random.uniform(1.0, 1.5))
            except Lost:
                # `_stay_connected` hears of it in this turn or the next.
                await asyncio.sleep(0.01)

    # --- what the program asks for ----------------------------------------------------------------------------------

    async def resolve(self, handle: str) -> int:
        """Whose handle is this?"""
        user: int = (await self.ask(schema.ResolveT(handle))).user
        return user

    async def direct(self, peer: int) -> Conversation:
        """The 1:1 with a user. It comes into being with its first message."""
        return self._opened(await self.ask(schema.OpenT(peer=peer)))

    async def create_group(self, title: str, members: list[int]) -> Conversation:
        """A group of this user and others. The nonce is stored first: however often this is run, there is one."""
        nonce = self.state.nonces.setdefault(title, secrets.randbits(64) | 1)
        self.state.save(self.path)
        conversation = self._opened(await self.ask(schema.CreateGroupT(nonce, title, members)))
        # The answer has the seq of the message that says so, not the message.
        await self.until(lambda: conversation.next_seq > conversation.joined_seq)
        return conversation

    async def change_members(self, conversation: Conversation, change: int, users: list[int]) -> int:
        """Adds users (2) or removes them (3). Gives the seq of the message that says so; 0: nothing was to change."""
        request = schema.ChangeMembersT(conversation_id(conversation.id), change, users)
        seq: int = (await self.ask(request)).seq
        if seq >= conversation.next_seq:
            self._missing(conversation)
        return seq

    async def send(self, conversation: Conversation, text: str) -> tuple[int, int]:
        """Sends a text. Gives its seq and time when it is durable, however many connections that takes."""
        assert self._tasks is not None
        return await self._sender.send(self._tasks, conversation, text)

    async def page_backwards(self, conversation: Conversation, limit: int) -> list[list[dict[str, Any]]]:
        """All there is, from the newest page to the oldest, straight from the server: what a person scrolls through."""
        pages = []
        from_seq = 0
        while True:
            request = schema.HistoryT(conversation_id(conversation.id), from_seq, True, limit)
            page = await self.ask(request)
            pages.append([entry_of(message) for message in page.messages or []])
            if not page.more or not page.messages:
                return pages
            from_seq = page.messages[0].seq - 1

    async def report(self, conversation: Conversation, *, read: bool) -> None:
        """Says that this device has everything of a conversation that it has, and that its user has read that. The
        state is saved before: nothing is reported that a crash could take back."""
        self.state.save(self.path)
        newest = conversation.next_seq - 1
        receipt = schema.ReceiptT(conversation_id(conversation.id), newest, newest if read else 0)
        await self.ask(schema.ReportT(self.state.position, [receipt]))

    async def typing(self, conversation: Conversation) -> None:
        """Says that the user types."""
        await self.ask(schema.TypingT(conversation_id(conversation.id)))

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Waits until something holds of the state."""
        if not predicate():
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watchers.append((predicate, changed))
            await changed

    # --- what the server pushes -------------------------------------------------------------------------------------

    def _take_push(self, table: Table) -> None:
        if isinstance(table, schema.MessageT):
            self.take(self.state.conversation(conversation_text(table.conversation)), entry_of(table))
        elif isinstance(table, schema.AdvancedT):
            self._advance(table)
        elif isinstance(table, schema.ReceiptsT):
            for receipt in table.users or []:
                told = {"user": user_text(receipt.user), "delivered": receipt.deliveredSeq, "read": receipt.readSeq}
                self._tell({"event": "receipt", "conversation": conversation_text(table.conversation), **told})
        elif isinstance(table, schema.TypingNowT):
            told = {"user": user_text(table.user), "expires_ms": table.expiresMs}
            self._tell({"event": "typing", "conversation": conversation_text(table.conversation), **told})

    def _advance(self, advanced: schema.AdvancedT) -> None:
        """The rule that makes positions safe: adopted only by who has what it stands for, else there is a sync."""
        self._newest = max(self._newest, advanced.to)
        places = advanced.conversations or []
        known = all(self._knows(conversation_text(place.conversation), place.lastSeq) for place in places)
        if not self.is_complete or advanced.from_ > self.state.position or not known:
            self._work.set()
        elif advanced.to > self.state.position:
            self._adopt(advanced.to)

    def _knows(self, conversation: str, last_seq: int) -> bool:
        known = self.state.conversations.get(conversation)
        return known is not None and known.joined_seq > 0 and known.next_seq > last_seq

    def _adopt(self, position: int) -> None:
        self.state.position = position
        self.state.save(self.path)
        self._look()

    def take(self, conversation: Conversation, entry: dict[str, Any]) -> None:
        """Takes a message in its turn: drops what is there, keeps what is early, hands on what is next."""
        seq = entry["seq"]
        if 0 < conversation.joined_seq <= seq < conversation.next_seq:
            index = seq - conversation.joined_seq
            if entry["epoch"] <= conversation.messages[index]["epoch"]:
                return
            # The operator has restored a backup: what was behind this seq never was.
            del conversation.messages[index:]
        early = self._early.setdefault(conversation.id, {})
        if seq >= conversation.next_seq:
            early[seq] = entry
        while conversation.joined_seq > 0 and (entry := early.pop(conversation.next_seq, {})):
            conversation.messages.append(entry)
            self._follow_members(conversation, entry)
            self._tell({"event": "message", "conversation": conversation.id, **entry})
        if early:
            self._work.set()

    def _follow_members(self, conversation: Conversation, entry: dict[str, Any]) -> None:
        """The message that removes this user is the last one that it sees."""
        if entry.get("change") == "removed" and user_text(self.state.user) in entry["users"]:
            conversation.left_seq = entry["seq"]

    # --- catching up ------------------------------------------------------------------------------------------------

    async def _mend(self) -> None:
        """Syncs where the position is behind, and reads what is missing where messages are early. One at a time."""
        while True:
            await self._work.wait()
            if self.is_complete:
                await asyncio.sleep(GAP_PATIENCE_S)
            self._work.clear()
            if not self.is_complete or self.state.position < self._newest:
                await self._sync()
            for conversation in [self.state.conversations[id] for id, early in self._early.items() if early]:
                await self._fill(conversation)
            self._look()

    async def _sync(self) -> None:
        """PROTOCOL, "Catching up": pages from the latest change downwards; the `to` of the first page counts."""
        connections = self._connections
        position, below = self.state.position, 0
        first = page = await self.ask(schema.SyncT(position, below, PAGE_CONVERSATIONS))
        listed = set()
        while True:
            for summary in page.conversations or []:
                listed.add(conversation_text(summary.conversation))
                await self._catch_up(summary)
            if not page.more:
                break
            # The `from` of the first page is where this sync begins; after a resync that is 0.
            below = page.conversations[-1].userSeq
            page = await self.ask(schema.SyncT(first.from_, below, PAGE_CONVERSATIONS))
        if first.resync:
            for conversation in self.state.conversations.keys() - listed:
                del self.state.conversations[conversation]
        self._adopt(first.to)
        self._synced_connections = connections
        if not self.is_complete or self.state.position < self._newest:
            self._work.set()

    async def _catch_up(self, told: schema.SummaryT | schema.OpenedT) -> None:
        """Everything of a conversation up to its newest message, which a summary or an answer to Open names."""
        conversation = self._learn(told)
        while conversation.next_seq <= told.lastSeq:
            before = conversation.next_seq
            request = schema.HistoryT(conversation_id(conversation.id), before, False, PAGE_MESSAGES)
            page = await self.ask(request)
            for message in page.messages or []:
                self.take(conversation, entry_of(message))
            if conversation.next_seq == before:
                # Its window is another one meanwhile: a message or a sync will say so.
                return

    async def complete(self, conversation: Conversation) -> None:
        """Has everything of a conversation that there is now."""
        await self._catch_up(await self.ask(schema.OpenT(conversation_id(conversation.id))))

    async def _fill(self, conversation: Conversation) -> None:
        """There are messages above a gap, or of a conversation that is new here."""
        try:
            await self.complete(conversation)
        except Refused:
            # It is no longer this user's business.
            self._early.pop(conversation.id, None)

    def _missing(self, conversation: Conversation) -> None:
        self._early.setdefault(conversation.id, {}).setdefault(0, {})
        self._work.set()

    def _learn(self, told: schema.SummaryT | schema.OpenedT) -> Conversation:
        """What a conversation is, and which of its messages this user may see."""
        conversation = self.state.conversation(conversation_text(told.conversation))
        conversation.kind, conversation.peer, conversation.title = told.kind, told.peer, told.title or ""
        conversation.left_seq = told.leftSeq
        conversation.read_seq = max(conversation.read_seq, told.readSeq)
        if told.joinedSeq > conversation.joined_seq:
            # New here, or the user was removed and added again: this window is all it sees.
            conversation.joined_seq = told.joinedSeq
            conversation.messages.clear()
        early = self._early.get(conversation.id, {})
        for seq in [seq for seq in early if seq < conversation.next_seq]:
            del early[seq]
        return conversation

    def _opened(self, opened: schema.OpenedT) -> Conversation:
        conversation = self._learn(opened)
        # Where this device lost its state, the server knows how far its numbers are.
        conversation.number = max(conversation.number, opened.high)
        if conversation.next_seq <= opened.lastSeq:
            self._missing(conversation)
        return conversation

    # --- telling ----------------------------------------------------------------------------------------------------

    def _tell(self, event: dict[str, Any]) -> None:
        self.events.put_nowait(event)
        self._look()

    def _look(self) -> None:
        for watcher in [watcher for watcher in self._watchers if watcher[1].done() or watcher[0]()]:
            self._watchers.remove(watcher)
            with contextlib.suppress(asyncio.InvalidStateError):
                watcher[1].set_result(None)
