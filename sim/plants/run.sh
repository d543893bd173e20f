#!/bin/sh
# Negative controls: each patch here plants one bug in a scratch copy of the tree, and the simulator must find it.
# Usage: sim/plants/run.sh [NAME...]   (default: all)   SEEDS=300
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
seeds=${SEEDS:-300}
scratch=${CARGO_TARGET_DIR:-$root/target}/plants
# Built apart: cargo takes the crates of both trees for the same, and would go on to build on a planted one.
target=$scratch/target
[ $# -gt 0 ] || set -- $(cd "$root/sim/plants" && ls ./*.patch | sed 's|^\./||; s|\.patch$||')
passed=0 failed=0
for name in "$@"; do
    rm -rf "$scratch/tree"
    mkdir -p "$scratch/tree"
    (cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 tar cf - --ignore-failed-read 2>/dev/null) |
        tar xmf - -C "$scratch/tree"
    rm -rf "$target"/sim/.fingerprint/trunkline-* # whatever the times of files say, what was planted before is gone
    # Outside of any repository, so that git apply takes the paths as they are.
    (cd "$scratch/tree" && GIT_CEILING_DIRECTORIES="$scratch" git apply --whitespace=nowarn "$root/sim/plants/$name.patch")
    (cd "$scratch/tree" && CARGO_TARGET_DIR="$target" cargo build --quiet --profile sim -p trunkline-sim)
    if "$target/sim/trunkline-sim" --seeds "$seeds" --twice-every 0 --expect-violation >"$scratch/$name.log" 2>&1; then
        passed=$((passed + 1))
        echo "plant $name: found ($(grep -m1 '^seed ' "$scratch/$name.log" | cut -c1-160))"
    else
        failed=$((failed + 1))
        echo "plant $name: NOT FOUND in $seeds seeds"
        tail -5 "$scratch/$name.log"
    fi
done
echo "plants: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
