#!/usr/bin/env bash
# The package of evercertd for Fedora, RHEL, SUSE and the like: `packaging/rpm.sh DIRECTORY [BINARY]` prints its path. Without BINARY a
# dynamic one is built. EVERCERT_VERSION is another version than that of the workspace. Needs cargo-generate-rpm.
set -euo pipefail
out=$(realpath -m "${1:?usage: packaging/rpm.sh DIRECTORY [BINARY]}")
binary=${2:+$(realpath "$2")}
cd "$(dirname "$0")/.."
. packaging/version.bash
. packaging/reproducible.bash
. packaging/packages.bash

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage "$work" "$binary"
mkdir -p "$out"
# What its versions hold is ordered by rpm with a tilde, where Cargo has a dash.
file=$out/evercertd-$version-1.$(uname -m).rpm
CARGO_TARGET_DIR=$work cargo generate-rpm --package daemon --target-dir "$work" --output "$file" --auto-req builtin --set-metadata "version = '${version//-/\~}'"
printf '%s\n' "$file"
