#!/usr/bin/env bash
# gRPC's own authorisation policies (A43): decided by grpc-go's package authz and by ours, policies that are no policies included.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The longest that the comparison may take, in seconds: far longer than it does.
LIMIT=300

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. tests/foreign/needs.bash
. tests/foreign/go.bash
go_by_venv "$work/venv"
go build -C tests/foreign/grpc-go -buildvcs=false -o "$work/authz" ./authz

test=auth::policy::a43::differential::decisions_are_grpc_gos
# Of the whole workspace, as its tests are: another choice of features would be built anew.
cargo test -q --workspace --lib --no-run
EVERCERT_TEST_GRPC_GO_AUTHZ=$work/authz timeout "$LIMIT" cargo test -q --workspace --lib -- \
    --ignored --nocapture --exact "$test" | tee "$work/lines"
grep -E '^[0-9]+ policies, [0-9]+ decisions, 0 differences' "$work/lines" >/dev/null
