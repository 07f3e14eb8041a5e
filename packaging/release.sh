#!/usr/bin/env bash
# Everything a release consists of, from a tag: `packaging/release.sh TAG DIRECTORY`. It builds in a worktree of the tag, so that nothing
# that is not committed gets in. Needs umoci, jq, cargo-deb, cargo-generate-rpm, cargo-auditable and cargo-cyclonedx.
set -euo pipefail
# Names are sorted alike on every machine.
export LC_ALL=C
usage='usage: packaging/release.sh TAG DIRECTORY'
tag=${1:?$usage}
out=$(realpath -m "${2:?$usage}")
cd "$(dirname "$0")/.."

if [ -n "$(ls -A "$out" 2>/dev/null)" ]; then
    echo "packaging/release.sh: $out is not empty" >&2
    exit 1
fi
work=$(mktemp -d)
source=$work/source
cleanup() {
    ! [ -d "$source" ] || git -C "$source" worktree remove --force "$source"
    rm -rf "$work"
}
trap cleanup EXIT
git rev-parse --verify --quiet "refs/tags/$tag^{commit}" >/dev/null || { echo "packaging/release.sh: there is no tag $tag" >&2 && exit 1; }
git worktree add --quiet --detach "$source" "refs/tags/$tag"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$work/target}
cd "$source"
. packaging/version.bash
if [ "$tag" != "v$version" ]; then
    echo "packaging/release.sh: the workspace at $tag has the version $version" >&2
    exit 1
fi
export EVERCERT_AUDITABLE=1
architecture=$(uname -m)

mkdir -p "$out"
static=$(packaging/static.sh "$work/static")
install -m 0755 "$static" "$out/evercertd-$version-linux-$architecture"
packaging/image.sh "$work/image" "$static" >/dev/null
archive() { tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" "$@"; }
archive -C "$work/image" -cf "$out/evercertd-$version-image-$architecture.tar" .
# One build for both packages.
. packaging/reproducible.bash
build evercertd "$architecture-unknown-linux-gnu" >&2
dynamic=$target_directory/$architecture-unknown-linux-gnu/release/evercertd
packaging/deb.sh "$out" "$dynamic" >/dev/null
packaging/rpm.sh "$out" "$dynamic" >/dev/null

# What is in each of them: they are of the same crates. The serial number would be another each time, and so would the directory.
cargo cyclonedx --quiet --manifest-path daemon/Cargo.toml --format json --spec-version 1.5 --target "$architecture-unknown-linux-gnu" --no-build-deps \
    --override-filename evercertd.cdx
for artefact in "$out"/*; do
    jq 'del(.serialNumber)' daemon/evercertd.cdx.json | sed "s|$source|/evercert|g" >"$artefact.cdx.json"
done
chart=$(sed -n 's/^name: *//p' kubernetes/chart/Chart.yaml)
archive -C kubernetes --transform "s|^chart|$chart|" -c chart | gzip -9n >"$out/$chart-$version.tgz"
(cd "$out" && sha256sum -- * >SHA256SUMS)
ls -l "$out"
