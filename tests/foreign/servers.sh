#!/usr/bin/env bash
# Our server, tonic's own and grpc-go's, each a process of its own with the same certificate, asked for the same in turn: calls, handshakes, streams and
# the memory of idle connections. No call may fail; how quick each is is printed and judged by nobody, since machines are busy. For figures let RUNS be 5.
# BENCH names the benchmarks; unset, they are built.
set -euo pipefail
cd "$(dirname "$0")/../.."

. tests/foreign/needs.bash
. tests/foreign/go.bash

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go_by_venv "$work/venv"
go build -C tests/foreign/grpc-go -buildvcs=false -o "$work/grpc-go" .
if [ -z "${BENCH:-}" ]; then
    cargo build -q --release --workspace --bin bench
    BENCH=${CARGO_TARGET_DIR:-target}/release/bench
fi
"$BENCH" servers --go "$work/grpc-go" --runs "${RUNS:-1}" --turns "${TURNS:-2}" --idle "${IDLE:-200}"
echo '1 passed, 0 failed'
