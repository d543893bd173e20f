"""Every envelope of wire/vectors/frames.txt is read as what it says, and read again after being written here.

python -m unittest
"""

from __future__ import annotations

import json
import re
import unittest
from pathlib import Path
from typing import Any

from envelopes import OPS, Malformed, Table, decode, decode_change, encode

VECTORS = Path(__file__).parents[3] / "wire/vectors/frames.txt"

# Lines that begin an entry of a list, and the list; of `users` and `conversations` what they are depends on the table.
LISTS = {"message": "messages", "member": "members", "accepted": "accepted", "receipt": "receipts", "name": "names"}
WORDS = re.compile(r"\b(?:[0-9a-f]{32}|[0-9a-f]{16}|\d+)\b")
HEX_DIGITS = {16, 32}


class Vector:
    """One vector: its name, the lines of its meaning, and the bytes of its envelope or body."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.meaning: list[str] = []
        self.bytes: dict[str, bytes] = {}


def read_vectors() -> list[Vector]:
    vectors: list[Vector] = []
    kind = ""
    for line in VECTORS.read_text("utf-8").splitlines():
        if line.startswith("["):
            vectors.append(Vector(line[1:-1]))
        elif line.endswith(" bytes:"):
            kind = line.split(",")[0]
            vectors[-1].bytes[kind] = b""
        elif line.startswith("    ") and vectors[-1].bytes:
            vectors[-1].bytes[kind] += bytes.fromhex(line)
        elif line and not line.startswith("#"):
            vectors[-1].meaning.append(line)
    return vectors


def plain(value: Any) -> Any:
    """A table as dictionaries, lists and numbers."""
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    return {name: plain(field) for name, field in vars(value).items()} if hasattr(value, "__dict__") else value


def field_name(word: str) -> str:
    first, *others = word.split("_")
    return "from_" if word == "from" else first + "".join(other.capitalize() for other in others)


def written(value: Any, told: str) -> Any:
    """A field in the form in which the vectors write such a value."""
    if hasattr(value, "bytes"):
        return bytes(value.bytes).hex()
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if told.startswith('"'):
        return json.dumps(value if isinstance(value, str) else bytes(value).decode(), ensure_ascii=False)
    return f"{value:016x}" if len(told) == min(HEX_DIGITS) else str(value)


class Meaning:
    """Compares a table with the lines that say what it means."""

    def __init__(self, test: unittest.TestCase, table: Table) -> None:
        self.test = test
        self.table = table
        self.entries: dict[str, int] = {}
        self.compared = 0

    def compare(self, lines: list[str]) -> None:
        current = self.table
        for line in lines:
            name, _, told = line.strip().partition(":")
            told = told.strip()
            if not line.startswith("  "):
                current = self.table
            if name == "body" and not told:
                # The lines behind it say what is in it.
                current = decode_change(bytes(current.body))
            elif not line.startswith(" ") and (entry := self.next_entry(name)) is not None:
                current = entry
                self.compare_words(entry, told)
            else:
                self.compare_field(current, name, told)

    def next_entry(self, name: str) -> Any:
        """The next entry of the list that a line of this name speaks of, if it does."""
        of_table = {"user": "users", "place": "conversations"}
        if hasattr(self.table, "more"):
            of_table["conversation"] = "conversations"
        members = {"user": "members"} if not hasattr(self.table, "users") else {}
        field = (LISTS | of_table | members).get(name)
        entries = getattr(self.table, field, None) if field else None
        if entries is None:
            return None
        index = self.entries.get(field or "", 0)
        self.entries[field or ""] = index + 1
        return entries[index]

    def compare_words(self, entry: Any, told: str) -> None:
        """`accepted: client_seq 2 as seq 10 at ts_ms 17`: the numbers, in order, are the entry's fields."""
        fields = list(vars(entry).values()) if hasattr(entry, "__dict__") else [entry]
        for field, word in zip(fields, WORDS.findall(told), strict=False):
            self.test.assertEqual(written(field, word), word)
            self.compared += 1

    def compare_field(self, table: Any, name: str, told: str) -> None:
        if name in ("op", "request"):
            return
        if name in ("user", "member") and isinstance(getattr(table, "users", None), list):
            self.test.assertIn(int(told, 16), table.users)
        else:
            value = getattr(table, field_name(name))
            told = told.split(" ")[0] if name in ("code", "refusal", "reason", "change") else told
            self.test.assertEqual(written(value, told), told, name)
        self.compared += 1


class EnvelopesAreThoseOfTheVectors(unittest.TestCase):
    def test_reading(self) -> None:
        read = set()
        for vector in read_vectors():
            with self.subTest(vector.name):
                if "envelope" in vector.bytes:
                    request, table = decode(vector.bytes["envelope"])
                    told = dict(line.split(": ", 1) for line in vector.meaning[:2])
                    self.assertEqual(told["request"], str(request))
                    self.assertEqual(told["op"], f"{list(OPS.values()).index(type(table)) + 1} {name_of(table)}")
                    read.add(type(table))
                elif "body" in vector.bytes:
                    table = decode_change(vector.bytes["body"])
                else:
                    continue
                meaning = Meaning(self, table)
                meaning.compare(vector.meaning)
                self.assertTrue(meaning.compared > 0 or name_of(table) == "Done", vector.name)
        self.assertEqual(read, set(OPS.values()), "every op has a vector")

    def test_writing(self) -> None:
        for vector in read_vectors():
            if "envelope" in vector.bytes:
                with self.subTest(vector.name):
                    request, table = decode(vector.bytes["envelope"])
                    again = decode(encode(request, table))
                    self.assertEqual((again[0], type(again[1])), (request, type(table)))
                    self.assertEqual(plain(again[1]), plain(table))

    def test_what_is_no_envelope(self) -> None:
        whole = next(vector.bytes["envelope"] for vector in read_vectors() if vector.name == "message")
        self.assertIsNone(decode(b"\xff\xff" + whole[2:])[1], "an op of tomorrow is no error")
        for bad in [b"", whole[:7], whole[:9], whole[:2] + b"\1\0" + whole[4:], whole[:8] + b"\xff" * 8]:
            with self.assertRaises(Malformed):
                decode(bad)


def name_of(table: Table) -> str:
    return type(table).__name__.removesuffix("T")


if __name__ == "__main__":
    unittest.main()
