"""Whatever the network does, each message is there once and in order, on every device, and positions lose nothing.

python -m unittest
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from typing import Any

import connection
import trunkline
from envelopes import ADD, REMOVE, user_text
from fake_server import FakeServer
from state import State
from tour import tour
from trunkline import Client, connected

ALICE, BOB = 1, 2


def texts(client: Client, conversation: str) -> list[Any]:
    return [entry.get("text") for entry in client.state.conversations[conversation].messages]


class Messages(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        # Trouble comes often here, and nobody wants to wait for it.
        for module, name, value in [
            (trunkline, "RETRY_FIRST_S", 0.002),
            (trunkline, "RETRY_MOST_S", 0.02),
            (trunkline, "GAP_PATIENCE_S", 0.01),
            (connection, "ANSWER_PATIENCE_S", 5.0),
        ]:
            before = getattr(module, name)
            setattr(module, name, value)
            self.addCleanup(setattr, module, name, before)

    def device(self, url: str, user: int, name: str) -> contextlib.AbstractAsyncContextManager[Client]:
        return connected(url, str(user), self.folder / f"{name}.json")

    def check(self, server: FakeServer, *clients: Client) -> None:
        """Each client has what its window shows of each log, once, in order."""
        for client in clients:
            user = client.state.user
            for id, held in server.conversations.items():
                if user in held.windows and held.rows:
                    joined, left = held.window(user)
                    wanted = [row.messageId for row in held.rows if joined <= row.seq <= left]
                    known = [int(entry["message_id"], 16) for entry in client.state.conversations[id].messages]
                    self.assertEqual(known, wanted, (user, id))

    async def settled(self, server: FakeServer, *clients: Client) -> None:
        for client in clients:
            newest = server.numbers.get(client.state.user, 0)
            await client.until(lambda client=client, newest=newest: client.state.position >= newest)  # type: ignore[misc]

    async def talk(self, seed: int, trouble: float) -> FakeServer:
        server = FakeServer(seed, trouble)
        running, url = await server.start()
        async with running, self.device(url, ALICE, "alice") as alice, self.device(url, BOB, "bob") as bob:
            direct = await alice.direct(BOB)
            server.forget_empty = True
            groups = [await alice.create_group(f"group {number}", [BOB]) for number in range(4)]
            await alice.send(direct, "first")
            sends = [alice.send(direct, f"alice {number}") for number in range(40)]
            for group in groups:
                await bob.until(lambda group=group: group.id in bob.state.conversations)  # type: ignore[misc]
                sends += [alice.send(group, f"alice {number}") for number in range(5)]
                sends += [bob.send(bob.state.conversations[group.id], f"bob {number}") for number in range(5)]
            acks = await asyncio.gather(*sends)
            self.assertEqual(len(acks), 80)
            await self.settled(server, alice, bob)
            self.check(server, alice, bob)
            self.assertEqual(texts(bob, direct.id), ["first"] + [f"alice {number}" for number in range(40)])
            # A second device begins with nothing, page by page.
            async with self.device(url, BOB, "bob's other") as other:
                self.check(server, other)
        return server

    def test_in_peace(self) -> None:
        server = asyncio.run(self.talk(1, 0.0))
        self.assertEqual(server.counts, {"cut": 0, "lagged": 0, "busy": 0, "resync": 0})

    def test_in_trouble(self) -> None:
        counts = {"cut": 0, "lagged": 0, "busy": 0}
        for seed in range(8):
            with self.subTest(seed=seed):
                server = asyncio.run(asyncio.wait_for(self.talk(seed, 0.05), 60))
                for path in self.folder.glob("*.json"):
                    path.unlink()
                counts = {name: count + server.counts[name] for name, count in counts.items()}
        self.assertTrue(all(count > 10 for count in counts.values()), f"there was little trouble: {counts}")

    def test_windows(self) -> None:
        async def run() -> None:
            server = FakeServer(1)
            running, url = await server.start()
            async with running, self.device(url, ALICE, "alice") as alice, self.device(url, BOB, "bob") as bob:
                group = await alice.create_group("group", [BOB])
                await alice.send(group, "you see this")
                await alice.change_members(group, REMOVE, [BOB])
                await alice.send(group, "you don't")
                await self.settled(server, alice, bob)
                self.assertEqual(bob.state.conversations[group.id].left_seq, 3)
                self.assertEqual(texts(bob, group.id), [None, "you see this", None])
                await alice.change_members(group, ADD, [BOB])
                await alice.send(group, "again")
                await self.settled(server, alice, bob)
                self.assertEqual(texts(bob, group.id), [None, "again"])
                self.assertEqual(await alice.change_members(group, ADD, [BOB]), 0)
                self.check(server, alice, bob)

        asyncio.run(asyncio.wait_for(run(), 30))

    def test_runs_go_on_where_they_were(self) -> None:
        async def run() -> None:
            server = FakeServer(1)
            running, url = await server.start()
            async with running:
                async with self.device(url, ALICE, "alice") as alice, self.device(url, BOB, "bob") as bob:
                    direct = await alice.direct(BOB)
                    await alice.send(direct, "one")
                    await self.settled(server, bob)
                async with self.device(url, ALICE, "alice") as alice:
                    self.assertTrue(alice.events.empty(), "nothing is told twice")
                    await alice.send(alice.state.conversations[direct.id], "two")
                position = State.load(self.folder / "bob.json").position
                async with self.device(url, BOB, "bob") as bob:
                    self.assertEqual(bob.events.get_nowait()["text"], "two")
                    self.assertGreater(bob.state.position, position)
                # The state is gone: the server knows the numbers of the device.
                (self.folder / "alice.json").unlink()
                async with self.device(url, ALICE, "alice") as alice:
                    await alice.send(await alice.direct(BOB), "three")
                    self.check(server, alice)
                    self.assertEqual(alice.state.conversations[direct.id].number, 3)

        asyncio.run(asyncio.wait_for(run(), 30))

    def test_a_position_of_another_server(self) -> None:
        async def run() -> None:
            state = State(user=BOB, device=1, position=1 << 50)
            state.conversation("ab" * 16).joined_seq = 1
            state.save(self.folder / "bob.json")
            server = FakeServer(1)
            running, url = await server.start()
            async with running, self.device(url, ALICE, "alice") as alice:
                groups = [await alice.create_group(f"group {number}", [BOB]) for number in range(5)]
                async with self.device(url, BOB, "bob") as bob:
                    self.assertEqual(bob.state.position, server.numbers[BOB])
                    self.assertEqual(set(bob.state.conversations), {group.id for group in groups})
                    self.check(server, bob)
            self.assertGreater(server.counts["resync"], 0)

        asyncio.run(asyncio.wait_for(run(), 30))

    def test_the_tour(self) -> None:
        async def run() -> str:
            server = FakeServer(1, 0.01)
            running, url = await server.start()
            printed = io.StringIO()
            async with running:
                for _ in range(2):
                    with contextlib.redirect_stdout(printed):
                        await tour(url, [str(ALICE), str(BOB)], self.folder / "tour", pause=False)
            for id, held in server.conversations.items():
                for who, user in [("alice", ALICE), ("bob", BOB)]:
                    lines = map(json.loads, printed.getvalue().splitlines())
                    told = [line for line in lines if (line["as"], line.get("conversation")) == (who, id)]
                    seqs = [line["seq"] for line in told if line["event"] == "message"]
                    self.assertEqual(seqs, list(range(1, len(held.rows) + 1)), (user_text(user), id))
            return printed.getvalue()

        printed = asyncio.run(asyncio.wait_for(run(), 60))
        events = {json.loads(line)["event"] for line in printed.splitlines()}
        self.assertEqual(events, {"message", "ack", "receipt", "typing", "paged", "cut", "done"})


if __name__ == "__main__":
    unittest.main()
