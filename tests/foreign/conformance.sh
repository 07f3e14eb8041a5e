#!/usr/bin/env bash
# The conformance suite for gRPC and gRPC-Web (connectrpc.com/conformance): its client against our server, and our channels against its
# server, over TLS with and without client certificates. The cases that fail for what tonic does are listed beside, with the reasons; one of them
# that passes has failed the run too.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The longest that one of the three runs may take, in seconds: far longer than it does.
LIMIT=60

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. tests/foreign/needs.bash
. tests/foreign/go.bash
go_by_venv "$work/venv"
GOBIN=$work go install connectrpc.com/conformance/cmd/connectconformance@v1.0.5

cargo build -q --release --workspace --bin conformance
conformance=${CARGO_TARGET_DIR:-target}/release/conformance
lists=tests/foreign/conformance

cases=0
known=0
failed=0
run() { # run SENTENCE CONFIGURATION ROLE LISTS…: runs its cases, and counts them
    local sentence=$1 configuration=$2 role=$3 output=$work/output total unexpected
    shift 3
    timeout "$LIMIT" "$work/connectconformance" --conf "$lists/$configuration" --mode "$role" "$@" -- "$conformance" "$role" \
        >"$output" 2>&1 || unexpected=1
    total=$(sed -n 's/^Total cases: \([0-9]*\)$/\1/p' "$output")
    if [ -n "${unexpected:-}" ] || [ -z "$total" ]; then
        grep -A2 '^FAILED: ' "$output" || tail -n 20 "$output"
        unexpected=$(grep -c '^FAILED: ' "$output" || true)
        failed=$((failed + (unexpected > 0 ? unexpected : 1)))
    else
        echo "ok: $sentence ($total cases)"
    fi
    cases=$((cases + ${total:-0}))
    known=$((known + $(grep -c ' failed (as expected):$' "$output" || true)))
}

run 'our server speaks gRPC as the suite wants it' grpc.yaml server --known-failing "@$lists/server-known-failing.txt"
run 'our server speaks gRPC-Web as the suite wants it' grpc-web.yaml server --known-failing "@$lists/server-web-known-failing.txt"
run 'our channels speak gRPC as the suite wants it' grpc.yaml client --known-failing "@$lists/client-known-failing.txt"

printf '%s cases, %s fail as listed, %s failed\n' "$cases" "$known" "$failed"
[ "$failed" = 0 ]
