"""What a client keeps between its runs: its position, and with it everything that the position stands for.

One file of JSON, written as a whole and renamed into its place, so that a position is never stored without its data.
That is enough to learn from. A client for people keeps this in a database, and writes a position in the transaction
that writes the last message it stands for.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envelopes import MEMBERSHIP, TEXT, decode_change, user_text
from generated import schema

KINDS = {TEXT: "text", MEMBERSHIP: "membership"}
CHANGES = {1: "created", 2: "added", 3: "removed"}


def entry_of(message: schema.MessageT) -> dict[str, Any]:
    """A message as this client keeps and prints it."""
    body = bytes(message.body or [])
    entry = {
        "seq": message.seq,
        "epoch": message.epoch,
        "kind": KINDS.get(message.kind, str(message.kind)),
        "sender": user_text(message.sender),
        "device": message.device,
        "message_id": user_text(message.messageId),
        "ts": message.tsMs,
    }
    if message.kind == TEXT:
        entry["text"] = body.decode("utf-8")
    elif message.kind == MEMBERSHIP:
        change = decode_change(body)
        entry["change"] = CHANGES.get(change.change, str(change.change))
        entry["users"] = [user_text(user) for user in change.users or []]
    return entry


@dataclass
class Waiting:
    """A message that is not acknowledged yet."""

    message_id: int
    text: str
    # Its number in the conversation, given when it is first sent; 0: not sent yet.
    client_seq: int = 0


@dataclass
class Conversation:
    """A conversation as this client knows it."""

    id: str
    kind: int = 0
    peer: int = 0
    title: str = ""
    # The first seq that the user may see; 0: not known yet.
    joined_seq: int = 0
    # The last one, since the user has left there; 0: it is a member.
    left_seq: int = 0
    read_seq: int = 0
    # The highest client_seq that this device has used here.
    number: int = 0
    # Everything from joined_seq on, without a gap: {seq, epoch, kind, sender, ts, text, ...}.
    messages: list[dict[str, Any]] = field(default_factory=list)
    # In the order in which they are sent.
    outbox: list[Waiting] = field(default_factory=list)

    @property
    def next_seq(self) -> int:
        """The first seq that is missing."""
        return self.joined_seq + len(self.messages)


@dataclass
class State:
    """Everything of one device. `user` and `device` are those of the token it was made with."""

    user: int = 0
    device: int = 0
    position: int = 0
    # The nonces of groups that this client has asked for, by title.
    nonces: dict[str, int] = field(default_factory=dict)
    conversations: dict[str, Conversation] = field(default_factory=dict)

    def conversation(self, conversation: str) -> Conversation:
        """The one of this id; made here if it is new."""
        return self.conversations.setdefault(conversation, Conversation(conversation))

    @classmethod
    def load(cls, path: Path) -> State:
        """As it was saved; empty where nothing was."""
        if not path.exists():
            return cls()
        kept = json.loads(path.read_text("utf-8"))
        conversations = {}
        for told in kept.pop("conversations"):
            outbox = [Waiting(**waiting) for waiting in told.pop("outbox")]
            conversations[told["id"]] = Conversation(outbox=outbox, **told)
        return cls(conversations=conversations, **kept)

    def save(self, path: Path) -> None:
        """One durable write: the old file or the new one is there, whatever happens."""
        told = dataclasses.asdict(self)
        told["conversations"] = list(told["conversations"].values())
        new = path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(told, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
