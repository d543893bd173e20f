"""What is sent: one owner of the numbers of this device, from the first try to the acknowledgement.

PROTOCOL, "Sending". A number and an id are stored before they are sent, and sent unchanged until there is an answer;
one Send is under way per conversation. That is all it takes for a message to be stored once, over any number of lost
answers.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connection import Refused
from envelopes import AGAIN, CLIENT_SEQ_CONFLICT, EXPIRED, NOT_FOUND, OUT_OF_ORDER, TEXT, conversation_id, user_text
from generated import schema
from state import Conversation, Waiting

if TYPE_CHECKING:
    from trunkline import Client

SEND_MESSAGES_MAX = 16
SEND_BYTES_MAX = 61_440
DIRECT = 1


class Failed(Exception):
    """A message will not be stored. To send it again is to send a new one."""


@dataclass
class Refusal:
    """Why the first message of the outbox was not accepted."""

    code: int
    high: int = 0
    retry_after_ms: int = 0


class Sender:
    """The outboxes of all conversations; one task for each that is not empty."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._promises: dict[int, asyncio.Future[tuple[int, int]]] = {}

    async def send(self, tasks: asyncio.TaskGroup, conversation: Conversation, text: str) -> tuple[int, int]:
        """Takes a text, and gives its seq and time once it is durable."""
        waiting = Waiting(secrets.randbits(64) | 1, text)
        conversation.outbox.append(waiting)
        promise: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        self._promises[waiting.message_id] = promise
        self.wake(tasks, conversation)
        return await promise

    def wake(self, tasks: asyncio.TaskGroup, conversation: Conversation) -> None:
        """Sees to it that what waits is sent."""
        task = self._tasks.get(conversation.id)
        if conversation.outbox and (task is None or task.done()):
            self._tasks[conversation.id] = tasks.create_task(self._deliver(conversation))

    def cancel(self) -> None:
        """What waits, waits for the next run."""
        for task in self._tasks.values():
            task.cancel()

    async def _deliver(self, conversation: Conversation) -> None:
        reopened = False
        while conversation.outbox:
            refusal = await self._send(conversation, self._batch(conversation))
            if refusal is None:
                reopened = False
            elif refusal.code in AGAIN:
                await asyncio.sleep(refusal.retry_after_ms / 1_000 * random.uniform(1.0, 1.5))
            elif refusal.code == NOT_FOUND and conversation.kind == DIRECT and not reopened:
                # A 1:1 that has no messages is forgotten by a server that restarts.
                reopened = True
                await self._client.direct(conversation.peer)
            else:
                await self._judge(conversation, refusal)
        self._client.state.save(self._client.path)

    def _batch(self, conversation: Conversation) -> list[Waiting]:
        """The first messages that fit into one Send, with consecutive numbers, stored before they leave."""
        batch: list[Waiting] = []
        size = 0
        for waiting in conversation.outbox[:SEND_MESSAGES_MAX]:
            size += len(waiting.text.encode())
            if batch and (size > SEND_BYTES_MAX or waiting.client_seq not in (0, batch[-1].client_seq + 1)):
                break
            if waiting.client_seq == 0:
                if batch and batch[-1].client_seq != conversation.number:
                    break
                conversation.number += 1
                waiting.client_seq = conversation.number
            batch.append(waiting)
        self._client.state.save(self._client.path)
        return batch

    async def _send(self, conversation: Conversation, batch: list[Waiting]) -> Refusal | None:
        outgoing = [
            schema.OutgoingT(waiting.client_seq, waiting.message_id, TEXT, body=list(waiting.text.encode()))
            for waiting in batch
        ]
        try:
            ack = await self._client.ask(schema.SendT(conversation_id(conversation.id), outgoing))
        except Refused as refused:
            # An error of the whole Send is taken as a refusal of its first message.
            return Refusal(refused.code, retry_after_ms=refused.retry_after_ms)
        for waiting, accepted in zip(batch, ack.accepted or [], strict=False):
            self._accept(conversation, waiting, ack.epoch, accepted)
        return Refusal(ack.refusal, ack.high, ack.retryAfterMs) if ack.refusal else None

    def _accept(self, conversation: Conversation, waiting: Waiting, epoch: int, accepted: schema.AcceptedT) -> None:
        conversation.outbox.remove(waiting)
        if accepted.seq >= conversation.next_seq:
            # Nobody pushes to a connection what it has sent: this is how it gets there.
            entry = {
                "seq": accepted.seq,
                "epoch": epoch,
                "kind": "text",
                "sender": user_text(self._client.state.user),
                "device": self._client.state.device,
                "message_id": user_text(waiting.message_id),
                "ts": accepted.tsMs,
                "text": waiting.text,
            }
            self._client.take(conversation, entry)
        self._settle(waiting, accepted.seq, accepted.tsMs)

    async def _judge(self, conversation: Conversation, refusal: Refusal) -> None:
        """PROTOCOL, "What the client does with the message that was refused"."""
        first = conversation.outbox[0]
        if refusal.code == CLIENT_SEQ_CONFLICT:
            self._renumber(conversation, max(conversation.number, refusal.high))
        elif refusal.code == OUT_OF_ORDER:
            self._renumber(conversation, refusal.high)
        elif refusal.code == EXPIRED:
            await self._client.complete(conversation)
            mine = (user_text(self._client.state.user), self._client.state.device, user_text(first.message_id))
            for entry in conversation.messages:
                if (entry["sender"], entry["device"], entry["message_id"]) == mine:
                    conversation.outbox.remove(first)
                    return self._settle(first, entry["seq"], entry["ts"])
            first.client_seq = 0
            conversation.number = max(conversation.number, refusal.high)
        else:
            self._fail(conversation, refusal.code)

    def _renumber(self, conversation: Conversation, number: int) -> None:
        """All that wait lose their numbers; the next ones are above `number`."""
        conversation.number = number
        for waiting in conversation.outbox:
            waiting.client_seq = 0

    def _fail(self, conversation: Conversation, code: int) -> None:
        """The first message, and those behind it that were sent, have failed. The next one takes the number."""
        conversation.number = conversation.outbox[0].client_seq - 1
        failed = [waiting for waiting in conversation.outbox if waiting.client_seq > 0]
        conversation.outbox = [waiting for waiting in conversation.outbox if waiting.client_seq == 0]
        for waiting in failed:
            promise = self._promises.pop(waiting.message_id, None)
            if promise is not None and not promise.done():
                promise.set_exception(Failed(f"error {code}"))

    def _settle(self, waiting: Waiting, seq: int, ts: int) -> None:
        promise = self._promises.pop(waiting.message_id, None)
        if promise is not None and not promise.done():
            promise.set_result((seq, ts))
