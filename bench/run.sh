#!/usr/bin/env bash
# Measures one scenario: starts a server on one core with a data folder of its own, loads it from another core, several
# times, and prints medians.
#
#   bench/run.sh direct         200 pairs, one message in flight in each direction, 100 B, without rate limits
#   bench/run.sh direct-legal   6,000 pairs under the default limits, open loop
#   bench/run.sh idle           10,000 sessions without traffic
#
# RUNS=3 MEASURE_S=30 WARMUP_S=10 RATE=20000 (direct-legal) PAIRS BODY CONNECTIONS SERVER_CORE=0 GENERATOR_CORE=1 PORT=7411
# OUT=folder for results. TRUNKLINE and TRUNKLINE_BENCH name programs that are built already; data lies below TMPDIR, which
# has to be a real disk for durable figures.
set -euo pipefail
cd "$(dirname "$0")/.."

scenario=${1:-}
runs=${RUNS:-3}
measure_s=${MEASURE_S:-30}
warmup_s=${WARMUP_S:-10}
body=${BODY:-100}
server_core=${SERVER_CORE:-0}
generator_core=${GENERATOR_CORE:-1}
port=${PORT:-7411}
unlimited=1000000000
limits=()
case $scenario in
direct)
    limits=(send_burst send_per_s conversation_send_burst conversation_send_per_s)
    load=(direct --pairs "${PAIRS:-200}" --body "$body" --seconds "$measure_s" --warmup "$warmup_s")
    ;;
direct-legal)
    load=(direct --pairs "${PAIRS:-6000}" --rate "${RATE:-20000}" --body "$body" --seconds "$measure_s" --warmup "$warmup_s")
    ;;
idle)
    load=(idle --connections "${CONNECTIONS:-10000}" --seconds "$measure_s")
    ;;
*)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac

if [ -z "${TRUNKLINE:-}" ] || [ -z "${TRUNKLINE_BENCH:-}" ]; then
    cargo build --release --quiet -p trunkline-engine -p trunkline-bench
fi
programs=${CARGO_TARGET_DIR:-target}/release
server=${TRUNKLINE:-$programs/trunkline}
generator=${TRUNKLINE_BENCH:-$programs/trunkline-bench}
out=${OUT:-${CARGO_TARGET_DIR:-target}/bench}
mkdir -p "$out"

settings=()
for limit in "${limits[@]}"; do
    settings+=(--set "limits.$limit=$unlimited")
done
stated=defaults
[ "${#limits[@]}" = 0 ] || stated="$(IFS=,; printf '%s' "${limits[*]}") = $unlimited, else defaults"

folder=$(mktemp -d)
server_pid=
stop_server() {
    [ -n "$server_pid" ] || return 0
    kill "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
    server_pid=
}
trap 'stop_server; rm -rf "$folder"' EXIT
[ "$(stat -f -c %T "$folder")" != tmpfs ] || echo "run.sh: $folder is in memory: nothing is durable there; set TMPDIR" >&2

start_server() {
    rm -rf "$folder/data" "$folder/data.tokens"
    mkdir "$folder/data"
    ulimit -n "$(ulimit -H -n)"
    taskset -c "$server_core" "$server" serve --listen "127.0.0.1:$port" --data "$folder/data" --shards 1 \
        "${settings[@]}" >"$folder/server.log" 2>&1 &
    server_pid=$!
    for _ in $(seq 100); do
        [ ! -S "$folder/data/admin.sock" ] || return 0
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.1
    done
    cat "$folder/server.log" >&2
    echo "run.sh: the server did not start" >&2
    exit 1
}

results=()
for run in $(seq "$runs"); do
    result=$out/$scenario-$run.json
    start_server
    "$generator" "${load[@]}" --data "$folder/data" --server "127.0.0.1:$port" --pid "$server_pid" --pin "$generator_core" \
        --limits "$stated" --json "$result" || { tail -n 5 "$folder/server.log" >&2; exit 1; }
    stop_server
    results+=("$result")
done
"$generator" median "${results[@]}"
