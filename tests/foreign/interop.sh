#!/usr/bin/env bash
# gRPC's official interoperability cases against grpc-go, grpcio and grpc-js, each as client and as server, over mutual TLS, while the
# certificates of both sides rotate every second. A line for each case and pair; a case that was not run has failed.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The longest that one pair may take, in seconds: far longer than it does.
LIMIT=60

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. tests/foreign/needs.bash
venv_into "$work/venv" grpcio==1.85.0 grpcio-tools==1.85.0
mkdir "$work/generated"
"$work/venv/bin/python" -m grpc_tools.protoc -I tests/proto --python_out="$work/generated" --grpc_python_out="$work/generated" testing.proto
export PYTHONPATH=$work/generated

needs_npm
npm install --silent --no-save --ignore-scripts --prefix "$work" @grpc/grpc-js@1.14.7 @grpc/proto-loader@0.8.1
export NODE_PATH=$work/node_modules

. tests/foreign/go.bash
go_by_venv "$work/venv"
go build -C tests/foreign/grpc-go -buildvcs=false -o "$work/grpc-go" .

cargo build -q --release --workspace --bin interop
interop=${CARGO_TARGET_DIR:-target}/release/interop

cases=0
failed=0
pair() { # pair PEER ROLE COMMAND…: runs all cases, and counts them
    local peer=$1 role=$2 lines=$work/lines
    shift 2
    timeout "$LIMIT" "$interop" "cases-$role" --peer "$peer" -- "$@" >"$lines" || {
        grep -q '^FAILED: ' "$lines" || echo "FAILED: $peer, and we as the $role: no verdict" >>"$lines"
    }
    cat "$lines"
    cases=$((cases + $(grep -Ec '^(ok|FAILED): ' "$lines" || true)))
    failed=$((failed + $(grep -c '^FAILED: ' "$lines" || true)))
}

pair grpc-go server "$work/grpc-go" client
pair grpc-go client "$work/grpc-go" server
pair grpcio server "$work/venv/bin/python" tests/foreign/grpcio/cases_client.py
pair grpcio client "$work/venv/bin/python" tests/foreign/grpcio/cases_server.py
pair grpc-js server node tests/foreign/grpc-js/cases-client.js
pair grpc-js client node tests/foreign/grpc-js/cases-server.js
"$interop" cases-left-out

printf '%s cases, %s failed\n' "$cases" "$failed"
[ "$failed" = 0 ]
