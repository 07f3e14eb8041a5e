#!/usr/bin/env bash
# Second opinions on 300 leaves that are made here: `evercertd check` beside zlint and pkilint. Every kind of difference is listed with its
# reason in opinions/topics.toml; one that is not fails.
set -euo pipefail
cd "$(dirname "$0")/../.."

ZLINT=v3.7.3
PKILINT=0.13.3

. tests/foreign/needs.bash
. tests/foreign/go.bash

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
mkdir "$work/leaves"
go_by_venv "$work/go-venv"
GOBIN=$work go install "github.com/zmap/zlint/v3/cmd/zlint@$ZLINT"
venv_into "$work/venv" "pkilint==$PKILINT" cryptography
cargo build -q --release --workspace --bin evercertd
"$work/venv/bin/python" tests/foreign/opinions/opinions.py "${CARGO_TARGET_DIR:-target}/release/evercertd" "$work/zlint" "$work/leaves"
echo '1 passed, 0 failed'
