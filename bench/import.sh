#!/bin/sh
# How many lines a second `trunkline import` brings into a server with an embedded store, and what reading them back takes:
#   bench/import.sh [LINES]     (200,000 by default; TRUNKLINE=BINARY is the one that is measured)
# The log has two conversations and 3,000 senders. Everything is in a temporary folder, on loopback, and ends with this.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
trunkline=${TRUNKLINE:-$root/target/release/trunkline}
lines=${1:-200000}
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

python3 - "$lines" >"$work/log.jsonl" <<'PYTHON'
import json, random, sys
dice, at = random.Random(7), 1_325_376_000_000
words = "ahoy the quick brown fox jumps over 你好 grüße привет 👋 a lazy dog and apt-get install".split()
for _ in range(int(sys.argv[1])):
    at += dice.randrange(1_000, 200_000)
    sender = f"nick{int(dice.paretovariate(0.5)) % 3_000}"
    text = " ".join(dice.choices(words, k=dice.randrange(0, 20)))
    line = {"conversation": dice.choice(["#ubuntu", "#linux"]), "sender": sender, "sent_at": at, "text": text}
    print(json.dumps(line, ensure_ascii=False))
PYTHON

: >"$work/ready"
"$trunkline" serve --listen 127.0.0.1:0 --data "$work/data" --set admin.listen= >"$work/ready" 2>"$work/log" &
server=$!
until grep -q 'is ready' "$work/ready"; do
    kill -0 "$server" || { cat "$work/log" >&2; exit 1; }
    sleep 0.1
done
# What each says of itself: lines, and lines a second.
"$trunkline" import "$work/log.jsonl" --data "$work/data" >/dev/null
"$trunkline" import "$work/log.jsonl" --data "$work/data" >/dev/null
time "$trunkline" export --data "$work/data" >"$work/export.jsonl"
[ "$(wc -l <"$work/export.jsonl")" -eq "$lines" ] && echo "$lines lines came back"
