#!/usr/bin/env bash
# An image of evercertd as an OCI layout, without a container engine: `packaging/image.sh DIRECTORY [BINARY]`. Without BINARY the static
# one is built. The same binary, commit and version of umoci give the same digest, which is printed. Needs umoci and jq.
set -euo pipefail
out=$(realpath -m "${1:?usage: packaging/image.sh DIRECTORY [BINARY]}")
binary=${2:+$(realpath "$2")}
cd "$(dirname "$0")/.."
. packaging/version.bash

binary=${binary:-$(packaging/static.sh)}
if [ -n "$(ls -A "$out" 2>/dev/null)" ]; then
    echo "packaging/image.sh: $out is not empty" >&2
    exit 1
fi
case $(od -An -tx2 -j18 -N2 "$binary" | tr -d ' ') in
    003e) architecture=amd64 ;;
    00b7) architecture=arm64 ;;
    *) echo "packaging/image.sh: $binary is for a processor that no image is made for" >&2 && exit 1 ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
install -D -m 0755 "$binary" "$root/usr/bin/evercertd"
chmod 0755 "$root" "$root/usr"
find "$root" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)

umoci init --layout "$out"
umoci new --image "$out:$version"
# `umoci insert` of 0.4 leaves out the end of the archive, and tar refuses such a layer.
tar -C "$root" --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf "$work/layer.tar" usr
umoci raw add-layer --image "$out:$version" --history.created "$created" --history.created_by 'evercertd, static' --history.author '' \
    "$work/layer.tar"
about=(
    org.opencontainers.image.title=evercertd
    "org.opencontainers.image.description=$description"
    "org.opencontainers.image.licenses=$licenses"
    "org.opencontainers.image.version=$version"
    "org.opencontainers.image.revision=$revision"
    "org.opencontainers.image.created=$created"
)
flags=()
for label in "${about[@]}"; do
    flags+=(--config.label "$label" --manifest.annotation "$label")
done
# The user is nobody's, and has no capabilities. A daemon that is to read others' keys is started as 0, see packaging/README.md.
umoci config --image "$out:$version" --no-history --created "$created" --os linux --architecture "$architecture" --config.user 65532:65532 \
    --config.entrypoint /usr/bin/evercertd --config.cmd run --config.workingdir / --clear=config.env "${flags[@]}"
umoci gc --layout "$out"
jq -r '.manifests[0].digest' "$out/index.json"
