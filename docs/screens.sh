#!/usr/bin/env bash
# Takes the screens of the documents anew: runs a server and people in tmux, and puts what their terminals show behind
# the marks `<!-- screen: NAME -->`. Needs tmux, and a built binary: TRUNKLINE, else target/release/trunkline.
set -euo pipefail
cd "$(dirname "$0")/.."

trunkline=$(realpath "${TRUNKLINE:-target/release/trunkline}")
folder=$(mktemp -d)
tmux=(tmux -f /dev/null -S "$folder/tmux")
export XDG_CONFIG_HOME=$folder/config XDG_STATE_HOME=$folder/state TRUNKLINE_DATA=$folder/data TZ=UTC
port=${PORT:-7421}
export TRUNKLINE_URL=ws://127.0.0.1:$port
server_pid=
finish() {
    "${tmux[@]}" kill-server 2>/dev/null || true
    [ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

"$trunkline" serve --listen "127.0.0.1:$port" --shards 2 --no-pin --set admin.listen= --set http.listen= \
    >"$folder/server.log" 2>&1 &
server_pid=$!
for _ in $(seq 100); do
    ! grep -q 'is ready' "$folder/server.log" || break
    sleep 0.1
done
for name in alice bob carol dave; do
    "$trunkline" user add "$name" >/dev/null 2>&1
done

say() {
    "$trunkline" send --as "$1" --to "$2" "$3" >/dev/null
}

# Waits until a terminal shows something.
shows() {
    for _ in $(seq 200); do
        ! "${tmux[@]}" capture-pane -p -t "$1" | grep -qF "$2" || return 0
        sleep 0.05
    done
    "${tmux[@]}" capture-pane -p -t "$1" >&2
    echo "screens.sh: $1 does not show: $2" >&2
    exit 1
}

# Opens a terminal: name, columns, lines, command.
terminal() {
    "${tmux[@]}" new-session -d -s "$1" -x "$2" -y "$3" "${@:4}"
}

# Puts a terminal's text behind its mark in a document.
take() {
    "${tmux[@]}" capture-pane -p -t "$1" | sed 's/ *$//' >"$folder/screen"
    awk -v mark="<!-- screen: $1 -->" -v screen="$folder/screen" '
        skips && /^```$/ { skips = 0; next }
        skips { next }
        after && $0 == "" { next }
        after && /^```/ { after = 0; skips = 1; next }
        after { after = 0; print "" }
        { print }
        $0 == mark {
            print ""; print "```text"
            while ((getline line < screen) > 0) print line
            print "```"; after = 1
        }' "$2" >"$folder/document"
    cat "$folder/document" >"$2"
}

group=$("$trunkline" group create --as alice "Sunday lunch" bob carol dave | sed 's/.*"conversation":"\([0-9a-f]*\)".*/\1/')
say carol alice "are you coming on Sunday?"
say dave alice "call me when you can"
say dave alice "it is about the boat 🛶"
say bob alice "hello alice"
terminal chat 80 20 "$trunkline" chat --as alice carol
shows chat "are you coming"
"${tmux[@]}" send-keys -t chat "/open dave" Enter
shows chat "the boat"
"${tmux[@]}" send-keys -t chat "/open bob" Enter
shows chat "hello alice"
terminal bob 80 20 "$trunkline" chat --as bob alice
shows bob "hello alice"
"${tmux[@]}" send-keys -t chat "did you see the new screen?" Enter
shows chat "✓✓ read"
"${tmux[@]}" send-keys -t bob "yes: conversations on the left, ticks, and lines that are broken where words end, whatever is in them: 日本語, 👩‍👩‍👧, עברית" Enter
shows chat "עברית"
say carol "$group" "who brings bread?"
"${tmux[@]}" send-keys -t chat "I like it" Enter
shows chat "like it ✓✓ read"
# That somebody types is told every three seconds at most.
sleep 3.5
"${tmux[@]}" send-keys -t bob "and "
shows chat "typing"
"${tmux[@]}" send-keys -t chat "even over a rest"
shows chat "> even over a rest"
take chat docs/CLIENT_DEVELOPERS.md

"${tmux[@]}" send-keys -t bob C-u
for _ in $(seq 40); do
    say alice bob "one more"
done &
terminal top 112 9 "$trunkline" top
shows top "SHARD"
sleep 3
take top docs/OPERATORS.md
wait $!
