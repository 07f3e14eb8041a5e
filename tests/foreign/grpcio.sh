#!/usr/bin/env bash
# grpcio, the C core's gRPC in Python: its client against our server, and our client against its server, over 60 rotations and a CA
# rollover. Our server drains superseded connections, with a deadline longer than any stream: each stream has to bring all its replies.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. tests/foreign/needs.bash
. tests/foreign/checks.bash
venv_into "$work/venv" grpcio==1.85.0
cargo build -q --release --workspace --bin interop

python=$work/venv/bin/python
check 'a grpcio client loses no call and no reply when our server rotates' \
    target/release/interop server --rotations 60 --rollovers 0 -- "$python" tests/foreign/grpcio/client.py
check 'nor when the CA of both sides is rolled over, whoever goes first' \
    target/release/interop server --rotations 0 --rollovers 2 -- "$python" tests/foreign/grpcio/client.py
check 'our client loses no call and no reply when a grpcio server and it rotate' \
    target/release/interop client --rotations 60 --rollovers 0 -- "$python" tests/foreign/grpcio/server.py
check 'nor when the CA of both sides is rolled over, whoever goes first' \
    target/release/interop client --rotations 0 --rollovers 2 -- "$python" tests/foreign/grpcio/server.py

summary
