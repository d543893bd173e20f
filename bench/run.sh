#!/usr/bin/env bash
# Measures one scenario: starts a server on one core with a data folder of its own, loads it from another core, several
# times, and prints medians.
#
#   bench/run.sh direct         200 pairs, one message in flight in each direction, 100 B, without rate limits
#   bench/run.sh direct-legal   6,000 pairs under the default limits, open loop
#   bench/run.sh group          4 groups of 100, 4 of each talk with one message in flight, 100 B, without rate limits
#   bench/run.sh resume         2,000 sessions come back and sync, ten times, to a server that has all in memory
#   bench/run.sh resume-cold    10,000 sessions come back and sync, once, to a server that was started anew
#   bench/run.sh account        an account of 10,000 conversations syncs the 20 that changed, and all, from memory
#   bench/run.sh account-cold   the same with a server that was started anew
#   bench/run.sh idle           10,000 sessions without traffic; SHARDS=6 CONNECTIONS=100000 bench/run.sh idle for more, since
#                               every shard has a table of as many descriptors as the process may open
#
# RUNS=3 MEASURE_S=30 WARMUP_S=10 SHARDS=1 RATE=20000 (direct-legal) PAIRS BODY GROUPS_COUNT MEMBERS SENDERS USERS ROUNDS
# CONVERSATIONS CHANGED CONNECTIONS CONNECTING=200 SERVER_CORE=0 GENERATOR_CORE=1 PORT=7411
# DROP_CACHES=1 drops the kernel's caches before a cold server starts, which needs root and slows down everybody else.
# OUT=folder for results. TRUNKLINE and TRUNKLINE_BENCH name programs that are built already; data lies below TMPDIR, which
# has to be a real disk for durable figures.
set -euo pipefail
cd "$(dirname "$0")/.."

scenario=${1:-}
runs=${RUNS:-3}
body=${BODY:-100}
shards=${SHARDS:-1}
server_core=${SERVER_CORE:-0}
generator_core=${GENERATOR_CORE:-1}
port=${PORT:-7411}
unlimited=1000000000
timed=(--body "$body" --seconds "${MEASURE_S:-30}" --warmup "${WARMUP_S:-10}")
sends=(send_burst send_per_s conversation_send_burst conversation_send_per_s)
limits=()
prepare=()
from=memory
case $scenario in
direct)
    limits=("${sends[@]}")
    load=(direct --pairs "${PAIRS:-200}" "${timed[@]}")
    ;;
direct-legal)
    load=(direct --pairs "${PAIRS:-6000}" --rate "${RATE:-20000}" "${timed[@]}")
    ;;
group)
    limits=("${sends[@]}")
    load=(group --groups "${GROUPS_COUNT:-4}" --members "${MEMBERS:-100}" --senders "${SENDERS:-4}" "${timed[@]}")
    ;;
resume)
    prepare=(resume prepare --users "${USERS:-2000}" --members "${MEMBERS:-100}")
    load=(resume measure --rounds "${ROUNDS:-10}")
    ;;
resume-cold)
    from=store
    prepare=(resume prepare --users "${USERS:-10000}" --members "${MEMBERS:-100}")
    load=(resume measure --rounds 1)
    ;;
account | account-cold)
    [ "$scenario" = account ] || from=store
    # Those who make the conversations say more than a client may.
    limits=("${sends[@]}")
    prepare=(account prepare --conversations "${CONVERSATIONS:-10000}" --changed "${CHANGED:-20}")
    load=(account measure)
    ;;
idle)
    load=(idle --connections "${CONNECTIONS:-10000}" --seconds "${MEASURE_S:-30}")
    ;;
*)
    sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
if [ "$from" = store ] && [ "${DROP_CACHES:-0}" = 1 ]; then
    from=disk
fi

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
state=$folder/prepared.json
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
    rm -f "$folder/data/admin.sock"
    ulimit -n "$(ulimit -H -n)"
    taskset -c "$server_core" "$server" serve --listen "127.0.0.1:$port" --data "$folder/data" --shards "$shards" \
        --set admin.listen= "${settings[@]}" >"$folder/server.log" 2>&1 &
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

generate() {
    "$generator" "$@" --data "$folder/data" --server "127.0.0.1:$port" --pid "$server_pid" --pin "$generator_core" \
        --connecting "${CONNECTING:-200}" --limits "$stated" || { tail -n 5 "$folder/server.log" >&2; exit 1; }
}

results=()
for run in $(seq "$runs"); do
    result=$out/$scenario-$run.json
    rm -rf "$folder/data" "$folder/data.tokens"
    mkdir "$folder/data"
    start_server
    measured=("${load[@]}")
    if [ "${#prepare[@]}" -gt 0 ]; then
        generate "${prepare[@]}" --state "$state"
        measured+=(--state "$state" --from "$from")
        if [ "$from" != memory ]; then
            stop_server
            if [ "$from" = disk ]; then
                sync
                echo 3 >/proc/sys/vm/drop_caches
            fi
            start_server
        fi
    fi
    generate "${measured[@]}" --json "$result"
    stop_server
    results+=("$result")
done
"$generator" median "${results[@]}"
