"""A tour of the protocol: two people, a 1:1, a group, a tunnel.

    python tour.py --url ws://127.0.0.1:7400 --state DIR ALICE_TOKEN BOB_TOKEN

Prints what happens to each of them as one line of JSON. Run it again with the same folder and it goes on where it was:
each message is printed once, whatever connections end in between.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from state import Conversation
from trunkline import Client, connected

PATIENCE_S = 120.0


def say(who: str, event: dict[str, Any]) -> None:
    print(json.dumps({"as": who} | event, ensure_ascii=False), flush=True)


async def tell(who: str, client: Client) -> None:
    """Prints what happens to a client."""
    while True:
        say(who, await client.events.get())


async def send(who: str, client: Client, conversation: Conversation, text: str) -> int:
    seq, ts = await client.send(conversation, text)
    say(who, {"event": "ack", "conversation": conversation.id, "seq": seq, "ts": ts})
    return seq


async def has(client: Client, conversation: Conversation, seq: int) -> Conversation:
    """The conversation as the client knows it, as soon as it has everything up to a seq."""

    def known() -> bool:
        other = client.state.conversations.get(conversation.id)
        return other is not None and other.next_seq > seq

    await client.until(known)
    return client.state.conversations[conversation.id]


async def talk_one_to_one(alice: Client, bob: Client) -> Conversation:
    direct = await alice.direct(bob.state.user)
    for text in ["Hello Bob!", "Grüße 👋", "Three\nlines\nlong"]:
        seq = await send("alice", alice, direct, text)
    at_bobs = await has(bob, direct, seq)
    await has(alice, direct, await send("bob", bob, at_bobs, "Hello Alice!"))

    # Ticks: Bob has read everything, and Alice sees it.
    await bob.report(at_bobs, read=True)
    await alice.typing(direct)
    return direct


async def talk_in_a_group(alice: Client, bob: Client) -> Conversation:
    group = await alice.create_group("The tour", [bob.state.user])
    at_bobs = await has(bob, group, group.next_seq - 1)
    # Both at once: whatever order the server gives them, it is the same for both.
    sent = [send("alice", alice, group, f"Alice says {number}") for number in range(5)]
    sent += [send("bob", bob, at_bobs, f"Bob says {number}") for number in range(5)]
    newest = max(await asyncio.gather(*sent))
    await asyncio.gather(has(alice, group, newest), has(bob, group, newest))
    return group


async def page(bob: Client, group: Conversation) -> None:
    """What the server has, page by page from the newest, is what Bob has been told."""
    pages = await bob.page_backwards(group, limit=3)
    entries = [entry for page in reversed(pages) for entry in page]
    assert entries == bob.state.conversations[group.id].messages, "history is what was told"
    say("bob", {"event": "paged", "conversation": group.id, "pages": len(pages), "messages": len(entries)})


async def ride_through_a_tunnel(
    alice: Client, bob: Client, direct: Conversation, group: Conversation, *, pause: bool
) -> None:
    """Bob's connection is cut while Alice goes on talking. He comes back, syncs, and has missed nothing."""
    bob.cut()
    if pause:
        # Whoever runs this does something to the server meanwhile, and then says to go on.
        say("tour", {"event": "paused"})
        await asyncio.to_thread(sys.stdin.readline)
    sent = [send("alice", alice, direct, f"In the tunnel {number}") for number in range(20)]
    in_group = [send("alice", alice, group, f"In the group's tunnel {number}") for number in range(3)]
    newest = max(await asyncio.gather(*sent))
    newest_of_group = max(await asyncio.gather(*in_group))
    await asyncio.gather(has(bob, direct, newest), has(bob, group, newest_of_group))
    await bob.until(lambda: bob.is_complete)
    for client in (alice, bob):
        await has(client, direct, newest)
        await has(client, group, newest_of_group)
        for conversation in (direct, group):
            await client.report(client.state.conversations[conversation.id], read=True)


async def tour(url: str, tokens: list[str], folder: Path, *, pause: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    alice_file, bob_file = folder / "alice.json", folder / "bob.json"
    async with connected(url, tokens[0], alice_file) as alice, connected(url, tokens[1], bob_file) as bob:
        telling = [asyncio.create_task(tell("alice", alice)), asyncio.create_task(tell("bob", bob))]
        direct = await talk_one_to_one(alice, bob)
        group = await talk_in_a_group(alice, bob)
        await page(bob, group)
        await ride_through_a_tunnel(alice, bob, direct, group, pause=pause)
        # What is still on its way to the printers.
        while not (alice.events.empty() and bob.events.empty()):
            await asyncio.sleep(0.01)
        for task in telling:
            task.cancel()
    positions = {"alice": alice.state.position, "bob": bob.state.position}
    say("tour", {"event": "done", "direct": direct.id, "group": group.id, "positions": positions})


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", default="ws://127.0.0.1:7400")
    arguments.add_argument("--state", type=Path, default=Path("tour-state"), help="folder of what is kept between runs")
    arguments.add_argument("--pause", action="store_true", help="waits for a line on stdin while Bob is cut off")
    arguments.add_argument("tokens", nargs=2, metavar="TOKEN", help="of two users")
    given = arguments.parse_args()
    asyncio.run(asyncio.wait_for(tour(given.url, given.tokens, given.state, pause=given.pause), PATIENCE_S))


if __name__ == "__main__":
    main()
