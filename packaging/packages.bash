# Sourced with its arguments, DIRECTORY [BINARY], by what makes a package: sets `out`, where it is put; `work`, a directory in which
# cargo-deb and cargo-generate-rpm find the dynamic evercertd without its symbols, its default configuration, and the manual pages, compressed; and
# `version_before`, the version in which a pre-release comes before its release. Without BINARY the dynamic one is built.

out=$(realpath -m "${1:?usage: $0 DIRECTORY [BINARY]}")
binary=${2:+$(realpath "$2")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. packaging/version.bash
. packaging/reproducible.bash
# dpkg and rpm order by a tilde what Cargo orders by a dash.
version_before=${version//-/\~}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -z "$binary" ]; then
    build evercertd "$(uname -m)-unknown-linux-gnu" >&2
    binary=$target_directory/$(uname -m)-unknown-linux-gnu/release/evercertd
fi
mkdir -p "$out" "$work/release/man"
strip --strip-all -o "$work/release/evercertd" "$binary"
# The default configuration is the program's own: it may be of another release than this source.
"$work/release/evercertd" config >"$work/release/evercertd.toml"
for page in packaging/man/*; do
    gzip -9nc "$page" >"$work/release/man/${page##*/}.gz"
done
