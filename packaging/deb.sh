#!/usr/bin/env bash
# The package of evercertd for Debian and Ubuntu: `packaging/deb.sh DIRECTORY [BINARY]` prints its path. Without BINARY a dynamic one is
# built. EVERCERT_VERSION is another version than that of the workspace. Needs cargo-deb.
set -euo pipefail
out=$(realpath -m "${1:?usage: packaging/deb.sh DIRECTORY [BINARY]}")
binary=${2:+$(realpath "$2")}
cd "$(dirname "$0")/.."
. packaging/version.bash
. packaging/reproducible.bash
. packaging/packages.bash

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage "$work" "$binary"
mkdir -p "$out"
# What its versions hold is ordered by dpkg with a tilde, where Cargo has a dash.
CARGO_TARGET_DIR=$work cargo deb --quiet --no-build --package evercertd --deb-version "${version//-/\~}-1" --output "$out/"
