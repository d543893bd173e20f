"""Envelopes: tables of the schema to the bytes of a binary message, and back.

PROTOCOL, "Envelopes": eight bytes of header, little-endian {op u16, flags u16 = 0, request u32}, then a FlatBuffers
buffer whose root is the table of the op. The classes of the tables are generated from the schema (generated/schema.py);
those that end in T hold their fields as plain attributes.
"""

from __future__ import annotations

import struct
from typing import Any

import flatbuffers

from generated import schema

# A table of the schema. What it has depends on its op, so the checker of types is told nothing more.
Table = Any

HEADER = struct.Struct("<HHI")

# The table of each op, by number, from PROTOCOL's list of ops. `Opened` answers two of them.
OPS: dict[int, type[Table]] = {
    1: schema.HelloT,
    2: schema.WelcomeT,
    3: schema.ResolveT,
    4: schema.ResolvedT,
    5: schema.OpenT,
    6: schema.OpenedT,
    7: schema.SendT,
    8: schema.AckT,
    9: schema.MessageT,
    10: schema.HistoryT,
    11: schema.HistoryPageT,
    12: schema.ErrorT,
    13: schema.RenewT,
    14: schema.RenewedT,
    15: schema.GoAwayT,
    16: schema.SyncT,
    17: schema.SyncedT,
    18: schema.CreateGroupT,
    19: schema.ChangeMembersT,
    20: schema.MembersChangedT,
    21: schema.MembersT,
    22: schema.MembersPageT,
    23: schema.ReportT,
    24: schema.DoneT,
    25: schema.AdvancedT,
    26: schema.ReceiptsT,
    27: schema.TypingT,
    28: schema.TypingNowT,
}
NUMBER_OF = {table: number for number, table in OPS.items()}

# The error codes that this client judges by, of PROTOCOL's list of them.
BUSY, RATE_LIMITED, NOT_FOUND, CLIENT_SEQ_CONFLICT, OUT_OF_ORDER, EXPIRED = 6, 7, 8, 14, 15, 16
TOO_MANY_REQUESTS, DRAINING, STORAGE_UNAVAILABLE = 18, 19, 22
# The same request is sent again after these.
AGAIN = {BUSY, RATE_LIMITED, TOO_MANY_REQUESTS, DRAINING, STORAGE_UNAVAILABLE}

# What the body of a message is.
TEXT, MEMBERSHIP = 1, 2
# What ChangeMembers asks for.
ADD, REMOVE = 2, 3


class Malformed(Exception):
    """Bytes that are no envelope of this protocol."""


def encode(request: int, table: Table) -> bytes:
    """The envelope of a table; `request` is the client's number for it, never 0."""
    builder = flatbuffers.Builder(256)
    builder.Finish(table.Pack(builder))
    return HEADER.pack(NUMBER_OF[type(table)], 0, request) + bytes(builder.Output())


def decode(envelope: bytes) -> tuple[int, Table]:
    """The number of the request that an envelope answers (0: it was pushed), and its table.

    None in place of the table is an op that this client does not know: servers of tomorrow may push some.
    """
    # Python's runtime has no verifier: what is broken shows as an index or a number out of range. A client in a language
    # without bounds checks verifies first.
    try:
        op, flags, request = HEADER.unpack_from(envelope)
        if flags != 0:
            raise Malformed(f"flags {flags}")
        table = OPS.get(op)
        return request, table and table.InitFromPackedBuf(envelope, HEADER.size)
    except (struct.error, IndexError, ValueError, TypeError, OverflowError) as error:
        raise Malformed(str(error)) from error


def decode_change(body: bytes) -> schema.MembershipChangeT:
    """The body of a message of kind 2: what happened to the members of a group."""
    try:
        return schema.MembershipChangeT.InitFromPackedBuf(body)
    except (struct.error, IndexError, ValueError, TypeError, OverflowError) as error:
        raise Malformed(str(error)) from error


def conversation_id(text: str) -> schema.ConversationIdT:
    """The id of 32 hex digits."""
    return schema.ConversationIdT(list(bytes.fromhex(text)))


def conversation_text(conversation: schema.ConversationIdT | None) -> str:
    """32 hex digits, as ids of conversations are written."""
    return bytes(conversation.bytes).hex() if conversation else ""


def user_text(user: int) -> str:
    """16 hex digits, as ids of users and messages are written."""
    return f"{user:016x}"
