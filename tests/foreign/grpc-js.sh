#!/usr/bin/env bash
# @grpc/grpc-js, the gRPC of Node.js: its client against our server over 60 rotations and a CA rollover. Our server drains superseded
# connections, with a deadline longer than any stream: each stream has to bring all its replies.
set -euo pipefail
cd "$(dirname "$0")/../.."

. tests/foreign/needs.bash
. tests/foreign/checks.bash
needs_npm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-save --ignore-scripts --prefix "$work" @grpc/grpc-js@1.14.7
export NODE_PATH=$work/node_modules
cargo build -q --release --workspace --bin interop

check 'a grpc-js client loses no call and no reply when our server rotates' \
    target/release/interop server --rotations 60 --rollovers 0 -- node tests/foreign/grpc-js/client.js
check 'nor when the CA of both sides is rolled over, whoever goes first' \
    target/release/interop server --rotations 0 --rollovers 2 -- node tests/foreign/grpc-js/client.js

summary
