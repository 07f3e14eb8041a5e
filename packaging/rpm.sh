#!/usr/bin/env bash
# The package of evercertd for Fedora, RHEL, SUSE and the like: `packaging/rpm.sh DIRECTORY [BINARY]` prints its path. Without BINARY a
# dynamic one is built. EVERCERT_VERSION is another version than that of the workspace. Needs cargo-generate-rpm.
set -euo pipefail
. "$(dirname "$0")/packages.bash"

file=$out/evercertd-$version-1.$(uname -m).rpm
CARGO_TARGET_DIR=$work cargo generate-rpm --package daemon --target-dir "$work" --output "$file" --auto-req builtin \
    --set-metadata "version = '$version_before'"
printf '%s\n' "$file"
