#!/usr/bin/env bash
# The page at `/` of a real daemon with a thousand identities, in headless Chromium: names that would be markup, a rotation that appears by
# itself, a walk by the keyboard, axe-core's rules in light and dark. Screenshots are written to EVERCERT_ARTIFACTS, else to target/page.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The longest that the browser's part may take, in seconds: far longer than it does.
LIMIT=300

. tests/foreign/needs.bash
needs_npm
needs chromium=chromium
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-save --ignore-scripts --prefix "$work" puppeteer-core@24.43.1 axe-core@4.11.0
export NODE_PATH=$work/node_modules
target=${CARGO_TARGET_DIR:-target}
artifacts=${EVERCERT_ARTIFACTS:-$target/page}
mkdir -p "$artifacts"

cargo build -q --release --workspace --bin evercert-page --bin evercertd-under-test
timeout "$LIMIT" node tests/foreign/page/run.js \
    "$target/release/evercert-page" "$target/release/evercertd-under-test" "$(command -v chromium)" "$artifacts"
