#!/usr/bin/env bash
# The package of evercertd for Debian and Ubuntu: `packaging/deb.sh DIRECTORY [BINARY]` prints its path. Without BINARY a dynamic one is
# built. EVERCERT_VERSION is another version than that of the workspace. Needs cargo-deb.
set -euo pipefail
. "$(dirname "$0")/packages.bash"

CARGO_TARGET_DIR=$work cargo deb --quiet --no-build --package evercertd --deb-version "$version_before-1" --output "$out/"
